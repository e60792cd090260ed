"""The rest of a stream that broke off: what a client has of it already is left out.

A client that resumes says the last number it saw. Numbers are those that left respfix, so nothing needs to be known of
the first connection: the same events, mended in the same way, have the same numbers.
"""

from __future__ import annotations

from respfix.stream.event import DONE, read
from respfix.stream.framer import Framer, FrameTooLargeError


class Remainder:
    """Cuts the beginning off a mended stream."""

    def __init__(self, after: int, bound: int) -> None:
        """Leave out all up to the event of number `after`; frames beyond `bound` bytes end the search."""
        self._after = after
        self._framer = Framer(bound)
        self._last = -1
        self._is_reached = False

    def feed(self, data: bytes) -> bytes:
        """Take bytes of the whole stream; give those that the client lacks."""
        if self._is_reached:
            return data
        try:
            self._framer.take(data)
            while (frame := self._framer.frame()) is not None:
                event = read(frame.data, frame) if frame.data is not None else None
                if event is None or event.type in ("", DONE):
                    continue  # a comment, or the sentinel of a stream that the client has whole
                number = event.body.get("sequence_number")
                self._last = number if type(number) is int else self._last + ("sequence_number" not in event.body)
                if self._last > self._after:
                    self._is_reached = True
                    return frame.raw + self._framer.drain()
        except FrameTooLargeError:
            self._is_reached = True
            return self._framer.drain()
        return b""
