"""Who is on the way: counted, let finish, or ended. It outlives a reload, because trips do."""

from __future__ import annotations

import asyncio
from collections import Counter

from respfix.config import Admission
from respfix.relay.patience import Patience
from respfix.relay.refusal import Refusal
from respfix.stream import Ending


class Roll:
    """The trips that are under way, and whose they are."""

    def __init__(self) -> None:
        self.is_draining = False
        self._trips: dict[Patience, str] = {}
        self._by_client: Counter[str] = Counter()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._trips)

    def enter(self, patience: Patience, client: str) -> None:
        """A trip of this client begins."""
        self._trips[patience] = client
        self._by_client[client] += 1

    def leave(self, patience: Patience) -> None:
        """It is over."""
        client = self._trips.pop(patience)
        self._by_client[client] -= 1
        if not self._by_client[client]:
            del self._by_client[client]
        if not self._trips:
            self._changed.set()

    def check(self, client: str, admission: Admission) -> None:
        """Refuse the newest trip if it is one too many."""
        if admission.requests and len(self._trips) > admission.requests:
            count = f"{admission.requests} requests are running, as many as admission.requests allows"
            raise Refusal(503, "too_many_requests", f"{count}; nothing was sent, try again later", retry_after=1)
        if admission.requests_per_client and self._by_client[client] > admission.requests_per_client:
            count = f"{admission.requests_per_client} requests of yours are running, as many as this respfix allows"
            raise Refusal(
                429,
                "too_many_requests",
                f"{count} (admission.requests_per_client); nothing was sent, try again later",
                retry_after=1,
            )

    async def drain(self, seconds: float, grace: float) -> None:
        """Take no more requests, let the running ones finish for so long, then end what is left."""
        self.is_draining = True
        if not await self._all_home(seconds):
            self.end_all()
            await self._all_home(grace)

    def end_all(self) -> None:
        """End what is running, each in the way its client understands."""
        for patience in list(self._trips):
            patience.end(Ending.SHUTDOWN)

    async def _all_home(self, seconds: float) -> bool:
        self._changed.clear()
        if self._trips:
            try:
                await asyncio.wait_for(self._changed.wait(), seconds)
            except TimeoutError:
                return False
        return True
