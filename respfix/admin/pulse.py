"""Does respfix keep up? One thread serves all streams, so what is late for one is late for all.

Twice a second it asks to be woken and looks how late that was. Where the lateness grows to tens of milliseconds, the
core is full: start a second instance.
"""

from __future__ import annotations

import asyncio
import contextlib

from respfix.journal.tally import Histogram

EVERY = 0.5  # seconds
LATE = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Pulse:
    """Measures how late the event loop is, while it runs."""

    def __init__(self) -> None:
        self.lateness = Histogram(LATE)
        self.last = 0.0  # seconds
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to measure."""
        self._task = asyncio.create_task(self._beat())

    async def stop(self) -> None:
        """Measure no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + EVERY
            await asyncio.sleep(EVERY)
            self.last = max(0.0, loop.time() - due)
            self.lateness.add(self.last)
