"""What the shell and the stream agree on: how a body ends, what the repair is told, and what it reports."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from respfix.stream.asked import Asked


class Ending(StrEnum):
    """How the upstream's body ended; the relay knows, the stream cannot."""

    COMPLETE = "complete"  # the last chunk or the whole Content-Length arrived: the framing proves it
    CLOSED = "closed"  # the connection was closed where only closing marks the end (HTTP/1.0 style)
    CUT = "cut"  # the connection broke, or the chunking did
    IDLE = "idle"  # respfix gave up waiting for the next byte
    SHUTDOWN = "shutdown"  # respfix itself is stopping
    OVER = "over"  # the relay ended it after `Mender.is_over` had been true for the grace time


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds; beyond one of them the repair stops and the bytes flow on."""

    frame_bytes: int = 32 * 2**20
    text_bytes: int = 64 * 2**20
    items: int = 1024
    held_frames: int = 4096
    held_bytes: int = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Options:
    """Everything the repair needs to be told; it reads no clock and draws no random number."""

    seed: str = "respfix"  # where a made-up response id comes from; unique for each request
    now: int = 0  # unix seconds; `created_at` where the upstream sends none
    dialect: str = "default"  # the name of a row of dialects.py
    off: frozenset[str] = frozenset()  # defects left alone, by slug or class
    on: frozenset[str] = frozenset()  # defects repaired although they are off by default, by slug or class
    limits: Limits = field(default_factory=Limits)
    asked: Asked = field(default_factory=Asked)  # what the request said, where that is known


@dataclass(frozen=True, slots=True)
class Sighting:
    """A defect where it was seen."""

    slug: str
    event: int  # the number of the event it was seen in, from 1; at the end of the body, the last one's
    offset: int  # where that event's frame began, in bytes as they came


@dataclass(slots=True)
class Report:
    """What was seen and done so far."""

    defects: Counter[str] = field(default_factory=Counter)  # slug -> how often it was repaired
    events_in: int = 0
    events_out: int = 0
    first_number: int | None = None  # the upstream's first sequence number
    inserted: int = 0
    rewritten: int = 0
    dropped: int = 0
    held: int = 0  # events that are waiting now for what they depend on
    terminal: str | None = None  # the terminal event that left, e.g. "response.completed"
    stopped: str | None = None  # why the repair stopped (a bound's slug, or "internal-fault"), if it did

    def add(self, other: Report) -> None:
        """Count what another one counted, too; how that one ended is how both did."""
        self.defects += other.defects
        self.events_in += other.events_in
        self.events_out += other.events_out
        self.inserted += other.inserted
        self.rewritten += other.rewritten
        self.dropped += other.dropped
        self.terminal = other.terminal
        self.stopped = other.stopped
