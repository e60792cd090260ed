"""Keeps the responses of a WebSocket for a bug report, each like a stream of its own.

What is known of one is what is known of its connection, with its own times and its own report.
"""

from __future__ import annotations

import time
from dataclasses import replace

from respfix.capture.recording import Pair
from respfix.journal import Entry, Kind
from respfix.relay.trip import Trip
from respfix.stream import Report


class Scribe:
    """Takes down one response."""

    def __init__(self, trip: Trip, entry: Entry, pair: Pair) -> None:
        self._trip, self._entry, self._pair = trip, entry, pair

    @classmethod
    def of(cls, trip: Trip, report: Report) -> Scribe | None:
        """Begin to take down the response that this is the report of; None, if nothing is kept."""
        entry = replace(trip.entry, kind=Kind.RESPONSES, report=report, sent=0)
        entry.started, entry.at = time.monotonic(), time.time()
        pair = trip.capture.begin(entry)
        return cls(trip, entry, pair) if pair is not None else None

    def see(self, came: bytes, left: list[bytes]) -> None:
        """A message came, and these left for it."""
        self._entry.sent += sum(map(len, left))
        self._pair.see(came, left)

    def end(self) -> None:
        """The response is over, and so is its connection if that has ended already."""
        whole, entry = self._trip.entry, self._entry
        entry.by, entry.why, entry.is_failure, entry.ended = whole.by, whole.why, whole.is_failure, time.monotonic()
        self._trip.capture.end(entry, self._trip.credentials, self._trip.request.raw_path)
