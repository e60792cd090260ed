"""The broken answers: written for the demo, in the exact shapes in which the servers send theirs.

`sse/*.sse` are what leaves the server, byte for byte; this file says which server each of them imitates.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import Any

STORIES = MappingProxyType(
    {
        "chat-text": "Sub2API up to 0.1.133, Chat Completions upstream: a text answer",
        "chat-tool": "Sub2API up to 0.1.133, Chat Completions upstream: a tool call",
        "anthropic-text": "Sub2API up to 0.1.133, Anthropic upstream: a text answer",
        "anthropic-tool": "Sub2API up to 0.1.133, Anthropic upstream: a tool call",
        "empty-values": "Sub2API 0.1.134 to 0.1.160, Anthropic upstream: a text answer",
        "opencode-text": "opencode-llm-proxy 1.6.1: a text answer",
    }
)
"""Every stream by name, with the server that answers like that."""

STREAMS: Mapping[str, bytes] = MappingProxyType(
    {name: (resources.files(__package__) / "sse" / f"{name}.sse").read_bytes() for name in STORIES}
)
"""Every stream by name, as bytes."""

DONE = "[DONE]"
PREFIX = "response."


@dataclass(frozen=True, slots=True)
class Event:
    """One event, as a client has read it."""

    data: str

    @property
    def body(self) -> Mapping[str, Any]:
        """What the data says."""
        return {} if self.data == DONE else dict(json.loads(self.data))

    @property
    def kind(self) -> str:
        """Its type, without the `response.` that all of them begin with; its data where it has no type."""
        return str(self.body.get("type", self.data)).removeprefix(PREFIX)

    @property
    def is_last(self) -> bool:
        """After this one a client stops reading."""
        return self.kind in {"completed", "failed", "incomplete", DONE}


def bytes_of(events: Iterable[Event]) -> bytes:
    """Events as a stream."""
    return "".join(f"event: {PREFIX}{event.kind}\ndata: {event.data}\n\n" for event in events).encode()


def call(name: str, arguments: str) -> str:
    """A tool call, for people."""
    return f"{name}({arguments})"


def answer_of(events: Iterable[Event]) -> str:
    """What the model said or called, whatever became of it: the deltas are always on the wire."""
    deltas = [event.body for event in events if event.kind.endswith(".delta")]
    said = "".join(str(delta.get("delta", "")) for delta in deltas)
    return call(str(deltas[0]["name"]), said) if "name" in deltas[0] else said


def chosen(request: Mapping[str, Any]) -> str:
    """The name of the stream that answers a request: by its model, or by a word in what its user said last.

    A request that brings the result of a tool gets the text of the same server, so that an agent ends its turn.
    """
    given = request.get("input")
    items = [item for item in given if isinstance(item, dict)] if isinstance(given, list) else []
    spoken = max((place for place, item in enumerate(items) if item.get("role") == "user"), default=0)
    said = given if isinstance(given, str) else json.dumps(items[spoken:][:1])
    words = f"{request.get('model')} {said}"
    name = next((name for name in STREAMS if name in words), "anthropic-tool" if "tool" in words else "anthropic-text")
    has_result = any(str(item.get("type")).endswith("_call_output") for item in items[spoken:])
    return name.replace("tool", "text") if has_result else name
