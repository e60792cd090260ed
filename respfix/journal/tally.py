"""What has happened so far, in numbers: counters, histograms, and the last hour by the minute.

Taken once for each request, when it ends; a stream's events cost nothing here. The keys are bounded: upstreams come
from the configuration, everything else from lists in the program, so a hostile peer cannot make them grow.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeAlias

from respfix.journal.entry import Entry, Kind

MINUTE, MINUTES = 60, 60  # seconds; how many are kept

STATUSES = {int(status) for status in HTTPStatus}

# Models begin to answer within 0.2 s to some minutes; what respfix adds is less than a millisecond, unless it holds.
FIRST_BYTE = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
ADDED = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1)
DURATION = (0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)


Counts: TypeAlias = Counter[tuple[str, ...]]


class Histogram:
    """How many values fell below each bound."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)  # the last is for what is beyond all bounds
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


@dataclass(slots=True)
class Minute:
    """What ended in one minute."""

    start: int  # unix seconds
    outcomes: Counter[str] = field(default_factory=Counter)
    repairs: int = 0


@dataclass(slots=True)
class Tally:
    """Everything that is counted; each counter by the names of its labels."""

    requests: Counts = field(default_factory=Counter)  # upstream, kind, status
    streams: Counts = field(default_factory=Counter)  # upstream, dialect, outcome
    ends: Counts = field(default_factory=Counter)  # upstream, by, why
    repairs: Counts = field(default_factory=Counter)  # upstream, defect
    repaired: Counts = field(default_factory=Counter)  # upstream, defect: streams that had it
    stops: Counts = field(default_factory=Counter)  # upstream, which bound
    events: Counts = field(default_factory=Counter)  # upstream, in or out
    sent: Counts = field(default_factory=Counter)  # upstream
    captures: Counts = field(default_factory=Counter)  # what became of a stream worth keeping
    first_byte: dict[str, Histogram] = field(default_factory=dict)  # upstream
    added: dict[str, Histogram] = field(default_factory=dict)  # upstream
    duration: dict[str, Histogram] = field(default_factory=dict)  # upstream
    minutes: deque[Minute] = field(default_factory=lambda: deque(maxlen=MINUTES))

    def add(self, entry: Entry) -> None:
        """Count a request that has ended."""
        upstream = entry.upstream
        self.requests[upstream, entry.kind, _status(entry.status)] += 1
        self.sent[upstream,] += entry.sent
        if entry.kind is Kind.OTHER:
            return
        self.streams[upstream, entry.dialect or "default", entry.outcome] += 1
        self.ends[upstream, entry.by, entry.why or "complete"] += 1
        _note(self.duration, DURATION, upstream, entry.seconds)
        if entry.first_in is not None:
            _note(self.first_byte, FIRST_BYTE, upstream, entry.first_in)
            if entry.first_out is not None:
                _note(self.added, ADDED, upstream, entry.first_out - entry.first_in)
        minute = self._minute(entry.at + entry.seconds)
        minute.outcomes[entry.outcome] += 1
        if entry.report is not None:
            self.events[upstream, "in"] += entry.report.events_in
            self.events[upstream, "out"] += entry.report.events_out
            for slug, count in entry.report.defects.items():
                self.repairs[upstream, slug] += count
                self.repaired[upstream, slug] += 1
                minute.repairs += count
            if entry.report.stopped:
                self.stops[upstream, entry.report.stopped] += 1

    def _minute(self, now: float) -> Minute:
        start = int(now) // MINUTE * MINUTE
        if not self.minutes or self.minutes[-1].start != start:
            self.minutes.append(Minute(start))
        return self.minutes[-1]


def _note(histograms: dict[str, Histogram], bounds: Sequence[float], upstream: str, value: float) -> None:
    histograms.setdefault(upstream, Histogram(bounds)).add(value)


def _status(status: int | None) -> str:
    """A status that HTTP knows, or its class; an upstream may send any of 900."""
    if status is None:
        return "none"
    return str(status) if status in STATUSES else f"{status // 100}xx"
