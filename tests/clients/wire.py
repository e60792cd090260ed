"""What a stream says, read off the bytes without any idea of how it could be repaired.

This is the truth that a repaired stream is held against, so it must share nothing with the engine. It knows no
brackets: it joins deltas, collects closing values, and leaves the verdict to the test. It reads well-formed SSE only,
which is what the recorded servers send.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Event = dict[str, Any]
VALUES = {"output_text": "text", "refusal": "refusal", "reasoning_summary_text": "summary"}
CALLS = {"function_call_arguments": "arguments", "custom_tool_call_input": "input"}
CALL_ITEMS = {"function_call", "custom_tool_call"}
TERMINALS = {"response.completed", "response.incomplete", "response.failed"}


@dataclass(slots=True)
class Values:
    """One kind of value, in the three places where a stream can say it."""

    streamed: str = ""  # all deltas
    closed: str = ""  # the `….done` events and the items in `output_item.done`, whichever says more
    final: str = ""  # the items in the terminal event

    @property
    def known(self) -> set[str]:
        """Give every non-empty version; more than one means that the stream contradicts itself."""
        return {value for value in (self.streamed, self.closed, self.final) if value}


@dataclass(slots=True)
class Call:
    """One tool call: its names, and its arguments in the three places where a stream can say them."""

    name: str = ""
    call_id: str = ""
    streamed: str = ""
    closed: str = ""
    final: str = ""
    custom: bool = False  # a custom tool call


@dataclass(slots=True)
class Wire:
    """Everything a stream says that a reader could want."""

    text: Values = field(default_factory=Values)
    refusal: Values = field(default_factory=Values)
    summary: Values = field(default_factory=Values)
    calls: list[Call] = field(default_factory=list)
    terminal: str | None = None
    status: str | None = None


def events(body: bytes) -> Iterator[Event]:
    """Read the JSON events of a stream; comments, blank lines and `[DONE]` are not events."""
    for frame in body.decode().replace("\r\n", "\n").split("\n\n"):
        data = [line[5:].removeprefix(" ") for line in frame.split("\n") if line.startswith("data:")]
        if data and data != ["[DONE]"]:
            yield json.loads("\n".join(data))


def texts(items: list[Event] | None, kind: str, holder: str, part_kind: str, key: str) -> str:
    """Join the values of all parts of one kind in all items of one kind."""
    return "".join(
        part.get(key) or ""
        for item in items or []
        if item.get("type") == kind
        for part in item.get(holder) or []
        if part.get("type") == part_kind
    )


def said(items: list[Event] | None) -> tuple[str, str, str]:
    """Give the text, the refusal and the reasoning summary of complete items."""
    return (
        texts(items, "message", "content", "output_text", "text"),
        texts(items, "message", "content", "refusal", "refusal"),
        texts(items, "reasoning", "summary", "summary_text", "text"),
    )


class Reader:
    """Collects what the events of one stream say."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.names: list[set[str]] = []  # the names of each call, in the order of `wire.calls`
        self.valued = {"text": "", "refusal": "", "summary": ""}  # what the events ….done say
        self.done: list[Event] = []  # the items of output_item.done

    def call(self, event: Event) -> Call:
        """Find the call that an event or an item is about, by any of its names; a new one where none is known."""
        names = {str(event[key]) for key in ("item_id", "id", "call_id") if event.get(key)}
        index = f"#{event['output_index']}" if event.get("output_index") is not None else ""
        for known, found in zip(self.names, self.wire.calls, strict=True):
            if known & names:
                known.update(names)
                return found
        for known, found in zip(self.names, self.wire.calls, strict=True):
            if index in known:
                return found
        self.names.append(names | ({index} if index else set()))
        self.wire.calls.append(Call())
        return self.wire.calls[-1]

    def take(self, event: Event) -> None:
        """Take one event."""
        kind: str = event["type"].removeprefix("response.")
        family, _, verb = kind.rpartition(".")
        if family in VALUES and verb == "delta":
            values: Values = getattr(self.wire, VALUES[family])
            values.streamed += event.get("delta", "")
        elif family in VALUES:
            self.valued[VALUES[family]] += event.get("text") or event.get("refusal") or ""
        elif family in CALLS and verb == "delta":
            self.call(event).streamed += event.get("delta", "")
        elif family in CALLS:
            self.call(event).closed = event.get(CALLS[family]) or ""
        elif family == "output_item":
            self.item(event, verb)
        elif event["type"] in TERMINALS and self.wire.terminal is None:
            self.terminal(event)

    def item(self, event: Event, verb: str) -> None:
        """Take an item that opens or closes."""
        item = event["item"]
        if verb == "done":
            self.done.append(item)
        if item["type"] in CALL_ITEMS:
            found = self.call({"output_index": event.get("output_index"), **item})
            found.name = item.get("name") or found.name
            found.call_id = item.get("call_id") or found.call_id
            found.custom = item["type"] == "custom_tool_call"
            found.closed = item.get("arguments") or item.get("input") or found.closed

    def terminal(self, event: Event) -> None:
        """Take the first terminal event; nothing counts after it."""
        wire, response = self.wire, event["response"]
        wire.terminal, wire.status = event["type"], response.get("status")
        wire.text.final, wire.refusal.final, wire.summary.final = said(response.get("output"))
        for item in response.get("output") or []:
            if item["type"] in CALL_ITEMS:
                found = self.call(item)
                found.name, found.call_id = item["name"], item["call_id"]
                found.final = item.get("arguments") or item.get("input") or ""

    def close(self) -> Wire:
        """The stream is over: give what was said."""
        for (kind, one), other in zip(self.valued.items(), said(self.done), strict=True):
            getattr(self.wire, kind).closed = max(one, other, key=len)
        return self.wire


def read(body: bytes) -> Wire:
    """Read a stream to its end."""
    reader = Reader()
    for event in events(body):
        reader.take(event)
    return reader.close()


@dataclass(slots=True)
class Fed:
    """What a bridge was fed: what the model really said."""

    text: str = ""
    refusal: str = ""
    summary: str = ""
    calls: list[tuple[str, str, str]] = field(default_factory=list)  # name, call id, arguments


def fed(upstream_input: bytes) -> Fed:
    """Read the Chat Completions or Anthropic Messages stream that Sub2API's bridge was given."""
    result = Fed()
    calls: dict[int, list[str]] = {}
    for event in events(upstream_input):
        for choice in event.get("choices") or []:
            delta = choice["delta"]
            result.text += delta.get("content") or ""
            result.refusal += delta.get("refusal") or ""
            result.summary += delta.get("reasoning_content") or ""
            for piece in delta.get("tool_calls") or []:
                held = calls.setdefault(piece["index"], ["", "", ""])
                function = piece.get("function") or {}
                held[0] += function.get("name") or ""
                held[1] += piece.get("id") or ""
                held[2] += function.get("arguments") or ""
        if event.get("type") == "content_block_start" and event["content_block"]["type"] == "tool_use":
            calls[event["index"]] = [event["content_block"]["name"], event["content_block"]["id"], ""]
        elif event.get("type") == "content_block_delta":
            delta = event["delta"]
            result.text += delta.get("text", "")
            result.summary += delta.get("thinking", "")
            if "partial_json" in delta:
                calls[event["index"]][2] += delta["partial_json"]
    result.calls = [(name, call_id, arguments or "{}") for name, call_id, arguments in calls.values()]
    return result
