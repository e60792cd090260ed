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

from aiohttp import web

from respfix.capture import Capture
from respfix.config import Config, Listener
from respfix.journal import Entry, Journal, Kind
from respfix.relay.forwarded import client_of
from respfix.relay.guard import HostGuard
from respfix.relay.homeward import Homeward
from respfix.relay.outward import Outward
from respfix.relay.patience import Patience
from respfix.relay.refusal import Refusal
from respfix.relay.roll import Roll
from respfix.relay.trip import Trip
from respfix.relay.upstream import is_responses
from respfix.relay.ways import ways_of
from respfix.stream import Ending


class Relay:
    """Sends every request on its trip, by one configuration; a reload makes another relay."""

    def __init__(self, config: Config, roll: Roll, journal: Journal, capture: Capture) -> None:
        """Raises ConfigError for a file that cannot be used, and then opens nothing."""
        self.ways = ways_of(config)
        self._config = config
        self._guard = HostGuard(config.listeners, config.hosts)
        self._roll = roll
        self._journal = journal
        self._capture = capture
        self._under_way = 0
        self._is_retired = False

    async def answer(
        self, request: web.BaseRequest, listener: Listener, *, is_last: bool = False
    ) -> web.StreamResponse:
        """Answer one request that came in there; the last one of its connection, if so said."""
        way = next(way for way in self.ways if way.is_for(listener, request.raw_path))
        kind = Kind.RESPONSES if is_responses(request.method, request.raw_path) else Kind.OTHER
        entry = Entry.of(request.method, request.raw_path, kind, str(way.upstream))
        self._journal.begin(entry)
        patience = Patience()
        client = client_of(request, self._config.trusted_proxies)
        is_last = is_last or self._roll.is_draining
        trip = Trip(
            way, self._guard, self._roll, listener, client, request, entry, patience, self._capture, is_last=is_last
        )
        self._roll.enter(patience, client)
        self._under_way += 1
        try:
            return await _go(trip)
        except Refusal as refusal:
            entry.status = refusal.status
            entry.fail(refusal.code)
            return refuse(refusal, is_last=self._roll.is_draining or refusal.is_last)
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
            self._roll.leave(patience)
            self._under_way -= 1
            self._journal.end(entry)
            self._capture.end(entry, trip.credentials, request.raw_path)
            if self._is_retired and not self._under_way:
                await self.close()

    async def retire(self) -> None:
        """Take no more requests; when the running ones are over, let go of the upstreams."""
        self._is_retired = True
        if not self._under_way:
            await self.close()

    async def close(self) -> None:
        """Let go of the upstreams."""
        for way in self.ways:
            await way.session.close()


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
    if refusal.retry_after is not None:
        answer.headers["Retry-After"] = str(refusal.retry_after)
    if is_last:
        answer.force_close()
    return answer
