"""Bytes both ways after `101 Switching Protocols`.

A WebSocket that carries no responses is relayed as raw bytes, so that frames, extensions, fragmentation and close codes
stay exactly what they were. aiohttp hands everything that arrives after the switch to a parser object; a `Lane` takes
that parser's place and writes straight to the other side, because a client's last frame and its disconnect may come in
one read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from respfix.relay.spout import FULL


class Side(Protocol):
    """What a tunnel needs of a connection, client's or upstream's; aiohttp's protocols have it."""

    transport: asyncio.Transport | None

    @property
    def writing_paused(self) -> bool:
        """The peer is slower than what is written to it."""


class Lane:
    """One direction."""

    __slots__ = ("_drain", "_is_full", "_source", "_target", "_through", "bytes", "ended")

    def __init__(
        self,
        source: Side,
        target: Side,
        drain: Callable[[], Awaitable[None]],
        through: Callable[[bytes], bytes] | None = None,
    ) -> None:
        """`through` gives what leaves for what came; without it that is the same."""
        self.bytes = 0
        self._through = through
        self.ended = asyncio.Event()
        self._source = source
        self._target = target
        self._drain = drain
        self._is_full = asyncio.Event()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Called by aiohttp with what arrived; the answer says: not at the end, nothing left over."""
        # One with nothing but empty frames takes 0.3 s, and their sender held all others up for as long as it liked.
        is_full = len(data) >= FULL
        if self._through is not None:
            data = self._through(data)
        self.bytes += len(data)
        if self._target.transport is not None:
            self._target.transport.write(data)
        if (is_full or self._target.writing_paused) and self._source.transport is not None:
            self._source.transport.pause_reading()
            self._is_full.set()
        return False, b""

    def feed_eof(self) -> None:
        """Called by aiohttp when the source's connection is gone."""
        self.ended.set()

    async def flow(self) -> None:
        """Let the source go on whenever the target has caught up; for ever."""
        while True:
            await self._is_full.wait()
            self._is_full.clear()
            await self._drain()
            if self._source.transport is not None:
                self._source.transport.resume_reading()


async def tunnel(up: Lane, down: Lane) -> None:
    """Keep both directions flowing until one side is gone."""
    tasks = [asyncio.ensure_future(lane.flow()) for lane in (up, down)]
    tasks += [asyncio.ensure_future(lane.ended.wait()) for lane in (up, down)]  # type: ignore[arg-type]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
