"""How long one trip waits for its upstream.

`asyncio.timeout` around every read would arm and disarm a timer for each of a stream's events; a bare relay spends
about 20 µs on an event, so every microsecond shows. Here a wait notes the time, and one timer per trip looks at the
note when it rings. Only a wait for the upstream is ever interrupted, never a write to the client, and nothing that has
arrived is lost: the interrupted read has taken nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from respfix.stream import Ending

T = TypeVar("T")


class PatienceLostError(Exception):
    """The wait is over; `Patience.ending` says why."""


class Patience:
    """Waits for the upstream on behalf of the task that made it; must be closed."""

    __slots__ = ("_alarms", "_heard", "_is_waiting", "_limit", "_loop", "_since", "_task", "_watch", "ending")

    def __init__(self) -> None:
        self.ending: Ending | None = None
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._is_waiting = False
        self._since = 0.0
        self._heard: Callable[[], float] = lambda: 0.0
        self._limit = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self._alarms: list[asyncio.TimerHandle] = []

    async def wait(self, awaitable: Awaitable[T], heard: Callable[[], float] = lambda: 0.0) -> T:
        """What the awaitable gives, or PatienceLostError; what was `heard` meanwhile, by the loop's clock, counts."""
        if self.ending is not None:  # since a moment in which nobody waited, because the client was slower
            if asyncio.iscoroutine(awaitable):
                awaitable.close()
            raise PatienceLostError
        self._since = self._loop.time()
        self._heard = heard
        self._is_waiting = True
        try:
            return await awaitable
        except asyncio.CancelledError:
            # As in asyncio.timeout: if somebody else cancelled the task as well, theirs counts.
            if self.ending is None or self._task is None or self._task.uncancel() > 0:
                raise
            raise PatienceLostError from None
        finally:
            self._is_waiting = False

    def allow(self, seconds: float) -> None:
        """From now on one wait may last so long; 0 means for ever."""
        if self._watch is not None:
            self._watch.cancel()
        self._limit = seconds
        self._watch = self._loop.call_later(seconds, self._look) if seconds else None

    def end_within(self, seconds: float, ending: Ending) -> None:
        """Wait no longer than so many seconds altogether."""
        self._alarms.append(self._loop.call_later(seconds, self.end, ending))

    def end(self, ending: Ending) -> None:
        """Wait no longer. The first reason counts."""
        if self.ending is None:
            self.ending = ending
            if self._is_waiting and self._task is not None:
                self._task.cancel()

    def close(self) -> None:
        """Stop all timers."""
        for alarm in (self._watch, *self._alarms):
            if alarm is not None:
                alarm.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        due = max(self._since, self._heard()) + self._limit if self._is_waiting else now + self._limit
        if due <= now:
            self.end(Ending.IDLE)
        else:
            self._watch = self._loop.call_at(due, self._look)
