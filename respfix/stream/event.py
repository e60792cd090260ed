"""One event: its type, its body, and the text it came as. The only file that opens JSON bodies.

An event may come in an SSE frame or as a WebSocket text message; the repair sees no difference. An event that nobody
changed keeps its frame, and the frame leaves as the very object that arrived.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from respfix.stream.splice import dump, parse, respell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from respfix.stream.frames import Frame

Body = dict[str, Any]

DONE = "[DONE]"  # the sentinel of Chat Completions, which many servers send after the terminal event
COMMENT = ":"  # what a foreign frame becomes: every reader skips it
REMOVED: Any = object()  # as the value of a change: the key goes


@dataclass(frozen=True, slots=True)
class Event:
    """An event as it came, or as it should leave."""

    type: str
    body: Body
    text: str = ""  # the JSON text of the body as it came; empty for an event that respfix made
    frame: Frame | None = None  # the frame it came in
    name: str | None = None  # what the frame's event: line says
    faults: frozenset[str] = frozenset()  # of its spelling
    is_as_it_came: bool = False

    @property
    def is_made(self) -> bool:
        """Upstream did not send this event."""
        return not self.text

    @classmethod
    def made(cls, event_type: str, **body: Any) -> Event:
        """Make an event that upstream did not send, its keys in OpenAI's order: the type, then the alphabet."""
        return cls(event_type, {"type": event_type, **dict(sorted(body.items()))})

    @classmethod
    def comment(cls, text: str) -> Event:
        """Make a comment."""
        return cls(COMMENT, {}, text)

    def changed(self, changes: Mapping[str, Any], event_type: str | None = None) -> Event:
        """Give this event with some keys changed, added or (REMOVED) taken away."""
        body = {key: value for key, value in {**self.body, **changes}.items() if value is not REMOVED}
        if event_type is not None:
            body = {"type": event_type} | body | {"type": event_type}
        text = respell(self.text, self.body, body) if self.text else ""
        return Event(event_type or self.type, body, text, self.frame, event_type or self.name)

    def respelled(self) -> Event:
        """Give this event written anew, because strict readers refuse its spelling."""
        return Event(self.type, self.body, dump(self.body), self.frame, self.name)

    def data(self) -> bytes:
        """Give the body's JSON text in UTF-8."""
        return (self.text or dump(self.body)).encode("utf-8", "surrogateescape")


def read(data: bytes, frame: Frame | None = None) -> Event | None:
    """Read an event from JSON text, or None where it is neither an object nor the sentinel: then it passes as it is."""
    name = frame.event if frame else None
    if data.strip() == DONE.encode():
        return Event(DONE, {}, DONE, frame, name, is_as_it_came=True)
    text = data.decode("utf-8", "surrogateescape")
    try:
        body, faults = parse(text)
    except ValueError:
        return None
    if body is None:
        body = {}  # data: null, which the OpenAI SDKs trip over as over an empty object
    if not isinstance(body, dict):
        return None
    kind = body.get("type")
    event_type = kind if isinstance(kind, str) else ""
    return Event(event_type, body, text, frame, name, frozenset(faults), is_as_it_came=True)
