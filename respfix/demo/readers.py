"""Two strict readers, which do with a stream what the measured clients do with it.

The real ones are run by the tests, against these very streams; here they are as short as their rules, so that the demo
needs nothing but Python. Codex was measured as 0.135.0 and 0.169.0, openai-python as 3.51.0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from respfix.demo.streams import Event, call

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a client made of a stream."""

    shown: str = ""  # the text, or the call that it runs
    complaint: str = ""  # the error that its user gets to see
    is_raised: bool = False  # the program was stopped by it


def codex(events: Iterable[Event]) -> Reading:
    """Like Codex: one active item, prints and runs what `output_item.done` says, skips an item that does not parse."""
    shown, orphans, is_active, is_over = "", 0, False, False
    for event in events:
        item = event.body.get("item") or {}
        match event.kind:
            case "output_item.added" if item.get("type") == "message":
                is_active = _parses(item)
            case "output_text.delta" if "delta" in event.body and not is_active:
                orphans += 1
            case "output_item.done":
                is_active = False
                shown = _said(item) if _parses(item) else shown
            case "completed":
                is_over = isinstance(event.body["response"].get("id"), str)
    complaint = f'{orphans} x "OutputTextDelta without active item"' if orphans else ""
    return Reading(shown, complaint if is_over else "stream closed before response.completed")


def _parses(item: Json) -> bool:
    """Codex deserializes items; one without a required field is dropped without a word."""
    if item.get("type") == "message":
        return isinstance(item.get("role"), str) and isinstance(item.get("content"), list)
    return all(isinstance(item.get(key), str) and item[key] for key in ("call_id", "name", "arguments"))


def _said(item: Json) -> str:
    if item["type"] == "function_call":
        return call(item["name"], item["arguments"])
    return "".join(part["text"] for part in item.get("content") or ())


def openai_python(events: Iterable[Event]) -> Reading:
    """Like openai-python's `responses.stream()`: adds each event to a snapshot, and believes the last one."""
    try:
        return Reading(_accumulated(events))
    except (LookupError, RuntimeError, TypeError) as error:
        return Reading(complaint=f"{type(error).__name__}: {error}", is_raised=True)


def _accumulated(events: Iterable[Event]) -> str:
    items: list[Any] = []
    closed: list[Json] = []
    for event in events:
        body = event.body
        match event.kind:
            case "output_item.added":
                items.append(body["item"])
            case "content_part.added":
                items[-1].get("content").append(body["part"])
            case "output_text.delta":
                part = items[-1].get("content")[body.get("content_index", 0)]
                part["text"] += body["delta"]
            case "function_call_arguments.delta":
                arguments = items[-1].get("arguments")
                arguments += body["delta"]
                items[-1]["arguments"] = arguments
            case "output_item.done":
                closed.append(body["item"])
            case "completed":
                output = body["response"].get("output")
                return "".join(map(_said, closed if output is None else output))
    raise RuntimeError("Didn't receive a `response.completed` event.")


READERS: Mapping[str, Callable[[Iterable[Event]], Reading]] = MappingProxyType(
    {"Codex": codex, "openai-python": openai_python}
)
