"""One stream while it passes: what came and what left, remembered up to a bound."""

from __future__ import annotations

import re
import threading
from typing import Protocol

from respfix.stream import Ending, Report

# For all streams together; a thousand long ones at once must not cost more than this, whatever is configured.
MEMORY = 128 * 2**20  # bytes
LINE_ENDS = re.compile(rb"\r\n|\n|\r")  # in JSON they are blanks


class Mending(Protocol):
    """What mends, or watches, one stream; `Mender` does, and what records one."""

    @property
    def report(self) -> Report:
        """What was seen and done so far."""

    @property
    def is_over(self) -> bool:
        """The body should end within the grace time."""

    def feed(self, chunk: bytes) -> bytes:
        """Take bytes as they came; give back the bytes that should have come."""

    def close(self, ending: Ending = Ending.COMPLETE, seconds: float = 0.0) -> bytes:
        """The body has ended; give back what is still owed."""

    def keepalive(self) -> bytes:
        """Give bytes that show the client a living stream."""


class Memory:
    """What all recordings together may still remember; they take it in the event loop, and a thread gives it back."""

    __slots__ = ("_lock", "left")

    def __init__(self, size: int = MEMORY) -> None:
        self.left = size
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Take so many bytes, if they are left."""
        with self._lock:
            is_there = size <= self.left
            self.left -= size if is_there else 0
            return is_there

    def give(self, size: int) -> None:
        """Give so many bytes back."""
        with self._lock:
            self.left += size


class Side:
    """The bytes of one side, from the beginning; whole, or as far as there was room."""

    __slots__ = ("_memory", "_room", "_taken", "chunks", "is_whole")

    def __init__(self, room: int, memory: Memory) -> None:
        self.chunks: list[bytes] = []
        self.is_whole = True
        self._room = room
        self._memory = memory
        self._taken = 0

    def add(self, chunk: bytes) -> None:
        """Remember more, unless something is missing already."""
        if self.is_whole and chunk:
            size = len(chunk)
            self.is_whole = self._taken + size <= self._room and self._memory.take(size)
            if self.is_whole:
                self._taken += size
                self.chunks.append(chunk)

    def forget(self) -> None:
        """Give back the room."""
        self._memory.give(self._taken)
        self._taken = 0


class Pair:
    """One stream on both sides."""

    __slots__ = ("came", "left")

    def __init__(self, room: int, memory: Memory) -> None:
        self.came, self.left = Side(room, memory), Side(room, memory)

    def see(self, came: bytes, left: list[bytes]) -> None:
        """Remember a message of a WebSocket and what left for it, as the events of a stream."""
        self.came.add(framed(came))
        self.left.add(b"".join(map(framed, left)))

    def forget(self) -> None:
        """Give back the room of both sides."""
        self.came.forget()
        self.left.forget()


def framed(message: bytes) -> bytes:
    """Give a message as an event of a stream; nothing for none."""
    return b"".join(b"data: %b\n" % line for line in LINE_ENDS.split(message)) + b"\n" if message else b""


class Recording(Pair):
    """Stands in the place of a mender and remembers what passes it."""

    __slots__ = ("_mender",)

    def __init__(self, mender: Mending, room: int, memory: Memory) -> None:
        super().__init__(room, memory)
        self._mender = mender

    @property
    def report(self) -> Report:
        """As the mender."""
        return self._mender.report

    @property
    def is_over(self) -> bool:
        """As the mender."""
        return self._mender.is_over

    def feed(self, chunk: bytes) -> bytes:
        """As the mender."""
        mended = self._mender.feed(chunk)
        self.came.add(chunk)
        self.left.add(mended)
        return mended

    def close(self, ending: Ending = Ending.COMPLETE, seconds: float = 0.0) -> bytes:
        """As the mender."""
        tail = self._mender.close(ending, seconds)
        self.left.add(tail)
        return tail

    def keepalive(self) -> bytes:
        """As the mender."""
        sign = self._mender.keepalive()
        self.left.add(sign)
        return sign
