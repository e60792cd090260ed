"""An independent reader of Responses streams: SSE, JSON, and the grammar of a correct stream.

It shares nothing with the engine. The framing is written from the specification of Server-Sent Events, the grammar from
what 353 recorded bodies of OpenAI have in common: brackets balance, ids and indices agree, numbers are dense, and what
closes a bracket says what was said inside it. `complaints` gives one sentence for each thing that a strict reader would
object to, so an empty list is a correct stream.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Event = dict[str, Any]

LIFECYCLE = {"response.created", "response.queued", "response.in_progress"}
TERMINALS = {"response.completed", "response.incomplete", "response.failed"}

# value: (item type, its key in the done event, array and index key of its part, its part's type)
VALUES = {
    "response.output_text": ("message", "text", "content", "content_index", "output_text"),
    "response.refusal": ("message", "refusal", "content", "content_index", "refusal"),
    "response.reasoning_text": ("reasoning", "text", "content", "content_index", "reasoning_text"),
    "response.reasoning_summary_text": ("reasoning", "text", "summary", "summary_index", "summary_text"),
    "response.function_call_arguments": ("function_call", "arguments", None, None, None),
    "response.custom_tool_call_input": ("custom_tool_call", "input", None, None, None),
}
PARTS = {
    "response.content_part": ("content", "content_index"),
    "response.reasoning_summary_part": ("summary", "summary_index"),
}
VALUE_KEY = {"output_text": "text", "refusal": "refusal", "reasoning_text": "text", "summary_text": "text"}
OPAQUE = {"encrypted_content", "fingerprint"}  # OpenAI encrypts them anew each time
NEVER_DONE = {"mcp_list_tools"}  # OpenAI leaves them open


class Block(NamedTuple):
    """What a reader dispatches for one block of lines."""

    name: str | None
    data: str


def blocks(body: bytes) -> Iterator[Block]:
    """Read SSE by the book: LF, CRLF and CR, comments, several data lines; what no blank line ends is lost."""
    name, data = None, None
    lines = re.split("\r\n|\n|\r", body.decode().removeprefix("\ufeff"))
    for line in lines[:-1]:
        key, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if line == "":
            if data is not None:
                yield Block(name, data)
            name, data = None, None
        elif key == "event":
            name = value
        elif key == "data":
            data = value if data is None else f"{data}\n{value}"


def events(body: bytes) -> list[Event]:
    """Give the events of a stream; the sentinel is none."""
    return [json.loads(block.data) for block in blocks(body) if block.data != "[DONE]"]


def frames(body: bytes) -> list[str]:
    """Cut a stream at its blank lines, so that a difference between two streams can be read."""
    return re.findall(r".*?(?:\r?\n\r?\n|\Z)", body.decode("utf-8", "backslashreplace"), re.DOTALL)[:-1]


def said(stream: Iterable[Event]) -> dict[tuple[str, str], str]:
    """Join the deltas of each item, by its id and their family; silence is not said, and a call may come whole."""
    texts: dict[tuple[str, str], str] = {}
    for event in stream:
        family, _, role = str(event.get("type")).rpartition(".")
        if family not in VALUES:
            continue
        _, key, array, _, _ = VALUES[family]
        whose = str(event.get("item_id")), family
        if role == "delta" and isinstance(event.get("delta"), str) and event["delta"]:
            texts[whose] = texts.get(whose, "") + event["delta"]
        elif role == "done" and array is None and event.get(key):
            texts.setdefault(whose, event[key])
    return texts


def terminal(stream: list[Event]) -> Event:
    """Give the one terminal event."""
    (event,) = (event for event in stream if event["type"] in TERMINALS)
    return event


@dataclass
class _Part:
    type: str
    said: str = ""
    deltas: int = 0
    value: str | None = None
    annotations: list[Any] = field(default_factory=list)
    is_open: bool = True
    body: Event = field(default_factory=dict)


@dataclass
class _Item:
    body: Event
    index: int
    is_open: bool = True
    final: Event | None = None
    own: _Part = field(default_factory=lambda: _Part("own"))
    parts: dict[str, list[_Part]] = field(default_factory=lambda: {"content": [], "summary": []})


@dataclass
class _Checker:
    """Goes along a stream and notes what is wrong."""

    complaints: list[str] = field(default_factory=list)
    items: list[_Item] = field(default_factory=list)
    response_id: object = None
    ended: str | None = None
    number: int = -1
    is_numbered: bool | None = None
    is_strict: bool = True

    def expect(self, truth: object, complaint: str) -> bool:
        """Note a complaint unless something is true."""
        if not truth:
            self.complaints.append(complaint)
        return bool(truth)

    def see(self, event: Event) -> None:
        """Judge the next event."""
        kind = event.get("type")
        if not self.expect(isinstance(kind, str) and kind, f"an event without a type: {event}"):
            return
        kind = str(kind)
        self._number(kind, event)
        if self.ended is not None:
            self.expect(kind == "error" and self.ended == "response.failed", f"{kind} after {self.ended}")
            return
        if self.response_id is None and kind != "response.created":
            self.expect(kind.partition(".")[0] != "response", f"{kind} before response.created")
        if kind in LIFECYCLE | TERMINALS:
            self._lifecycle(kind, event)
        elif kind == "response.output_item.added":
            self._item_added(event)
        elif kind == "response.output_item.done":
            self._item_done(event)
        elif kind.startswith("response."):
            self._inside(kind, event)

    def _number(self, kind: str, event: Event) -> None:
        number = event.get("sequence_number")
        if number is None and (not self.is_strict or not kind.startswith("response.")):
            return
        if self.is_numbered is None:
            self.is_numbered = number is not None
        if not self.is_numbered:
            self.expect(number is None, f"{kind} has a number and others have none")
        elif self.expect(type(number) is int, f"{kind} has the number {number!r}"):
            due = self.number + 1
            rises = number == due if self.is_strict else int(str(number)) >= due
            self.expect(rises, f"{kind} is number {number} where {due} is due")
            self.number = int(str(number))

    def _lifecycle(self, kind: str, event: Event) -> None:
        response = event.get("response")
        if not self.expect(isinstance(response, dict), f"{kind} without a response"):
            return
        response = event["response"]
        if kind == "response.created":
            self.expect(self.response_id is None, "response.created twice")
        if self.response_id is None:
            self.response_id = response.get("id")
            self.expect(isinstance(self.response_id, str) and self.response_id, "a response without an id")
        self.expect(response.get("id") == self.response_id, f"{kind} names another response: {response.get('id')}")
        self.expect(response.get("object") == "response", f"{kind}: object is {response.get('object')!r}")
        self.expect(isinstance(response.get("output"), list), f"{kind} without output")
        self.expect(isinstance(response.get("created_at"), int | float), f"{kind} without created_at")
        if kind in LIFECYCLE:
            self.expect(response.get("output") == [], f"{kind} has output already")
            return
        self.ended = kind
        if kind == "response.failed":
            error = response.get("error")
            self.expect(isinstance(error, dict) and error.get("message"), "response.failed does not say why")
            return
        for item in self.items:
            may_stay = item.body.get("type") in NEVER_DONE
            self.expect(not item.is_open or may_stay, f"item {item.index} is open at the end")
        output = response.get("output")
        entries = output if isinstance(output, list) else []
        if self.expect(len(entries) == len(self.items), f"{len(self.items)} items, {len(entries)} in the output"):
            for item, entry in zip(self.items, entries, strict=True):
                if item.final is not None:
                    differing = _differing(item.final, entry)
                    differing = differing if self.is_strict else [key for key in differing if key != "status"]
                    self.expect(not differing, f"output[{item.index}] is not the item: {differing}")

    def _item_added(self, event: Event) -> None:
        body, index = event.get("item"), event.get("output_index")
        if not self.expect(isinstance(body, dict), "an item is announced without a body"):
            return
        body = event["item"]
        due = len(self.items)
        self.expect(index == due and type(index) is int, f"item {due} has the index {index!r}")
        ids = [item.body.get("id") for item in self.items]
        self.expect(body.get("id") is None or body["id"] not in ids, f"two items have the id {body.get('id')}")
        for key in ("content", "summary"):
            if (body.get("type"), key) in {("message", "content"), ("reasoning", "summary")}:
                self.expect(body.get(key) == [], f"item {due} is announced with {key} {body.get(key)!r}")
        if body.get("type") in {"function_call", "custom_tool_call"}:
            key = "arguments" if body["type"] == "function_call" else "input"
            self.expect(body.get(key) == "", f"item {due} is announced with {key} {body.get(key)!r}")
            self.expect(body.get("name") and body.get("call_id"), f"item {due} is announced without name and call_id")
        if body.get("type") == "message":
            self.expect(body.get("role") == "assistant", f"item {due} is a message of {body.get('role')!r}")
        self.items.append(_Item(body, due))

    def _item(self, kind: str, event: Event) -> _Item | None:
        index = event.get("output_index")
        if not self.expect(type(index) is int and 0 <= int(index) < len(self.items), f"{kind} for item {index!r}"):
            return None
        item = self.items[int(event["output_index"])]
        if not self.expect(item.is_open, f"{kind} for item {index}, which is done"):
            return None
        return item

    def _item_done(self, event: Event) -> None:
        item = self._item("output_item.done", event)
        body = event.get("item")
        if item is None or not self.expect(isinstance(body, dict), "an item is closed without a body"):
            return
        body = event["item"]
        for key in ("id", "type", "call_id", "name"):
            same = item.body.get(key) == body.get(key)
            self.expect(same, f"item {item.index}: {key} was {item.body.get(key)!r} and is {body.get(key)!r}")
        for array, parts in item.parts.items():
            self.expect(not any(part.is_open for part in parts), f"item {item.index} is closed with a part open")
            entries = body.get(array) or []
            if body.get("type") in {"message", "reasoning"} and parts:
                self.expect(len(entries) == len(parts), f"item {item.index}: {len(parts)} parts, done has {entries}")
            for part, entry in zip(parts, entries, strict=False):
                differing = _differing(part.body, entry)
                self.expect(not differing, f"item {item.index}: {array} is not as its part was closed: {differing}")
        for item_type, key, own_array, _, _ in VALUES.values():
            if own_array is None and item_type == body.get("type"):
                self.expect(item.own.value is not None, f"item {item.index} is closed and its {key} are not")
                self.expect(body.get(key) == item.own.value, f"item {item.index}: {key} are not as closed")
        item.is_open, item.final = False, body

    def _inside(self, kind: str, event: Event) -> None:
        if "output_index" not in event and kind.rpartition(".")[0] not in {*VALUES, *PARTS}:
            return
        item = self._item(kind, event)
        if item is None:
            return
        if "item_id" in event or kind.rpartition(".")[0] in {*VALUES, *PARTS}:
            right = event.get("item_id") == item.body.get("id")
            self.expect(right, f"{kind} for {event.get('item_id')!r}, which is {item.body.get('id')!r}")
        family, _, role = kind.rpartition(".")
        if family in PARTS:
            self._part(family, role, event, item)
        elif family in VALUES:
            self._value(family, role, event, item)
        elif kind == "response.output_text.annotation.added":
            part = self._part_at(event, item, "content", "content_index", kind)
            if part is not None:
                part.annotations.append(event.get("annotation"))

    def _part(self, family: str, role: str, event: Event, item: _Item) -> None:
        array, index_key = PARTS[family]
        body, index, parts = event.get("part"), event.get(index_key), item.parts[array]
        where = f"item {item.index} {array}"
        if not self.expect(isinstance(body, dict), f"{where}: {role} without a part"):
            return
        body = event["part"]
        part_type = str(body.get("type"))
        if role == "added":
            self.expect(index == len(parts) and type(index) is int, f"{where}: part {len(parts)} has index {index!r}")
            self.expect(not any(part.is_open for part in parts), f"{where}: two parts are open")
            if part_type in VALUE_KEY:
                self.expect(body.get(VALUE_KEY[part_type]) == "", f"{where}: a part opens with text in it")
            parts.append(_Part(part_type))
            return
        part = self._part_at(event, item, array, index_key, f"{family}.done")
        if part is None:
            return
        if part.type in VALUE_KEY:
            value = body.get(VALUE_KEY[part.type])
            self.expect(part.value is not None, f"{where}: a part is closed and its value is not")
            self.expect(value == part.value, f"{where}: the part says {value!r}, its value {part.value!r}")
        if part.annotations:
            self.expect(body.get("annotations") == part.annotations, f"{where}: annotations got lost")
        self.expect(part_type == part.type, f"{where}: a {part.type} is closed as {part_type}")
        part.is_open, part.body = False, body

    def _part_at(self, event: Event, item: _Item, array: str, index_key: str, kind: str) -> _Part | None:
        index, parts = event.get(index_key), item.parts[array]
        if not self.expect(type(index) is int and 0 <= int(index) < len(parts), f"{kind} for part {index!r}"):
            return None
        part = parts[int(event[index_key])]
        return part if self.expect(part.is_open, f"{kind} for part {index}, which is done") else None

    def _value(self, family: str, role: str, event: Event, item: _Item) -> None:
        item_type, key, array, index_key, part_type = VALUES[family]
        fits = item.body.get("type") == item_type
        if not self.expect(fits, f"{family}.{role} for a {item.body.get('type')}"):
            return
        part: _Part | None = item.own
        if array is not None and index_key is not None:
            part = self._part_at(event, item, array, index_key, f"{family}.{role}")
            if part is None or not self.expect(part.type == part_type, f"{family}.{role} in a {part.type}"):
                return
        if part is None or not self.expect(part.value is None, f"{family}.{role} for a value that is closed"):
            return
        if role == "delta":
            if self.expect(isinstance(event.get("delta"), str), f"{family}.delta is {event.get('delta')!r}"):
                part.said, part.deltas = part.said + event["delta"], part.deltas + 1
        elif role == "done":
            value = event.get(key)
            self.expect(isinstance(value, str), f"{family}.done is {value!r}")
            is_quiet = array is None and not part.deltas  # a call may come whole, as LM Studio's do
            self.expect(value == part.said or is_quiet, f"{family}: {part.said!r} was said, done is {value!r}")
            part.value = str(value)


def _differing(old: Event, new: Event) -> list[str]:
    """Name the keys that two bodies differ in, but for those that may."""
    old, new = _plain(old), _plain(new)
    return sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))


def _plain(value: Any) -> Any:
    """Leave out what OpenAI encrypts anew each time, and what says nothing."""
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    silent = OPAQUE | {"logprobs"} | ({"annotations"} if value.get("annotations") == [] else set())
    return {key: _plain(entry) for key, entry in value.items() if key not in silent}


def complaints(stream: Iterable[Event], *, is_strict: bool = True) -> list[str]:
    """Say everything that is wrong with a stream; of a correct one there is nothing to say.

    A strict judge wants numbers that are dense, or none at all. Of a stream that was repaired they need only rise: what
    upstream left out before the first repair is not made up, and absent numbers are filled from there on.
    """
    checker = _Checker(is_strict=is_strict)
    for event in stream:
        checker.see(event)
    checker.expect(checker.response_id is not None, "there is no response.created")
    checker.expect(checker.ended is not None, "there is no terminal event")
    return checker.complaints
