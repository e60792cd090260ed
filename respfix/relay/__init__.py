"""One request's trip: to the upstream as it came, and back, mended where it is a Responses stream.

    client -> outward: check, send -> upstream
    client <- homeward: pipe, mend or tunnel <- upstream

What may go wrong is kept apart by side. Reading the upstream fails in `source`, which turns it into an `Ending`; a
`ConnectionError` anywhere else is the client's. Before the head has left, a failure is a `Refusal`; after that, the
only honest ones are a well-formed failure event from the mender, or a connection that visibly breaks.

This package and `respfix.app` are the only ones that know aiohttp. The numbers in the comments were measured with
aiohttp 3.14.5; `docs/relay.md` draws the tasks of a trip.
"""

from __future__ import annotations

import asyncio

from aiohttp import ClientSession, web

from respfix.config import Config
from respfix.journal import Entry, Journal, Kind
from respfix.relay.guard import HostGuard
from respfix.relay.homeward import Homeward
from respfix.relay.outward import Outward
from respfix.relay.patience import Patience
from respfix.relay.refusal import Refusal
from respfix.relay.trip import Trip
from respfix.relay.upstream import Upstream, is_responses
from respfix.stream import Ending


class Relay:
    """Sends every request on its trip, and knows who is on the way."""

    def __init__(self, config: Config, session: ClientSession, journal: Journal) -> None:
        self.config = config
        self.journal = journal
        self.session = session
        self.upstream = Upstream.parse(config.upstream)
        self.guard = HostGuard(config.listen.host, config.hosts)
        self.is_draining = False
        self._trips: set[Patience] = set()
        self._home = asyncio.Event()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; the handler of the server."""
        kind = Kind.RESPONSES if is_responses(request.method, request.raw_path) else Kind.OTHER
        entry = Entry.of(request.method, request.raw_path, kind, str(self.upstream))
        self.journal.begin(entry)
        patience = Patience()
        self._trips.add(patience)
        trip = Trip(
            self.config, self.upstream, self.guard, self.session, request, entry, patience, is_last=self.is_draining
        )
        try:
            return await _go(trip)
        except Refusal as refusal:
            entry.status = refusal.status
            entry.fail(refusal.code)
            return refuse(refusal, is_last=self.is_draining or refusal.is_last)
        except ConnectionError:
            entry.leave()
            return web.Response(status=499)  # nobody is there to read it
        except asyncio.CancelledError:
            if patience.ending is Ending.SHUTDOWN:
                entry.fail("shutdown")
            else:
                entry.leave()
            raise
        finally:
            patience.close()
            self._trips.discard(patience)
            if not self._trips:
                self._home.set()
            self.journal.end(entry)

    async def drain(self, seconds: float) -> None:
        """Take no more requests, let the running ones finish for so long, then end what is left."""
        self.is_draining = True
        if not await self._all_home(seconds):
            self.end_all()
            await self._all_home(self.config.timeouts.grace)

    def end_all(self) -> None:
        """End what is running, each in the way its client understands."""
        for patience in list(self._trips):
            patience.end(Ending.SHUTDOWN)

    async def _all_home(self, seconds: float) -> bool:
        self._home.clear()
        if self._trips:
            try:
                await asyncio.wait_for(self._home.wait(), seconds)
            except TimeoutError:
                return False
        return True


async def _go(trip: Trip) -> web.StreamResponse:
    """There and back."""
    outward = Outward(trip)
    outward.check()
    upstream = await outward.send()
    return await Homeward(trip, upstream).bring()


def refuse(refusal: Refusal, *, is_last: bool) -> web.Response:
    """The refusal as an answer."""
    headers = {"Server": "respfix"}
    answer = web.Response(status=refusal.status, body=refusal.body, content_type="application/json", headers=headers)
    if is_last:
        answer.force_close()
    return answer
