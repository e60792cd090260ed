"""What a connection becomes after `101 Switching Protocols`: a tunnel, on which responses may be mended."""

from __future__ import annotations

import asyncio
import contextlib

from aiohttp import ClientResponse
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import StreamWriter

from respfix.journal import Kind
from respfix.relay.answer import Answer
from respfix.relay.crossing import Crossing
from respfix.relay.headers import EXTENSIONS, dialect_of, extensions_in, is_websocket
from respfix.relay.patience import PatienceLostError
from respfix.relay.refusal import Refusal
from respfix.relay.scribe import Scribe
from respfix.relay.trip import Trip
from respfix.relay.tunnel import Lane, tunnel
from respfix.relay.wire import Wire, accept, agreed
from respfix.stream import Conversation, Ending


class Switch:
    """One switched connection."""

    def __init__(self, trip: Trip, upstream: ClientResponse) -> None:
        protocol = upstream.connection.protocol if upstream.connection else None
        if protocol is None or not is_websocket(trip.request.method, trip.request.headers):
            raise Refusal(502, "upstream_invalid_answer", "the upstream switched protocols without being asked")
        self._trip = trip
        self._upstream = upstream
        self._there: ResponseHandler = protocol

    async def bring(self) -> Answer:
        """Carry both directions until one side is gone."""
        trip = self._trip
        trip.patience.allow(0)
        answer = Answer.relaying(self._upstream)
        if trip.may_converse:
            await self._converse(answer)
        else:
            await answer.begin(trip.request)
            await self._carry(*self._lanes())
        answer.force_close()
        return answer

    def _lanes(self, crossing: Crossing | None = None) -> tuple[Lane, Lane]:
        """Take the places of aiohttp's parsers."""
        here, there, request = self._trip.request.protocol, self._there, self._trip.request
        drain = StreamWriter(there, asyncio.get_running_loop()).drain
        up = Lane(here, there, drain, crossing.up if crossing else None)
        down = Lane(there, here, request.writer.drain, crossing.down if crossing else None)
        there.set_parser(down, None)
        here.set_parser(up)  # type: ignore[arg-type] # typed for aiohttp's WebSocketReader; two methods are used
        return up, down

    async def _carry(self, up: Lane, down: Lane) -> Ending | None:
        """Wait for the end; None if a side has gone."""
        try:
            await self._trip.patience.wait(tunnel(up, down))
        except PatienceLostError:
            self._trip.entry.fail("shutdown")
            return Ending.SHUTDOWN
        finally:
            self._trip.entry.sent = down.bytes
        return None

    async def _converse(self, answer: Answer) -> None:
        """Mend what the upstream says, frame by frame."""
        trip = self._trip
        crossing, conversation = self._crossing(answer)
        await answer.begin(trip.request)
        up, down = self._lanes(crossing)
        beside = [asyncio.create_task(self._watch(crossing, up)), asyncio.create_task(self._keep_awake(crossing))]
        try:
            ending = await self._carry(up, down)
            if ending is not None:
                crossing.end(ending, "respfix is shut down")
                await _wait_for(down, trip.config.timeouts.grace)
            elif down.ended.is_set():
                crossing.leave()
        finally:
            for task in beside:
                task.cancel()
            if not trip.entry.why and (crossing.was_left or not down.ended.is_set()):
                trip.entry.leave(is_early=conversation.is_waiting)
            conversation.leave()
            if conversation.report.events_in:
                trip.entry.kind, trip.entry.report = Kind.RESPONSES, conversation.report

    def _crossing(self, answer: Answer) -> tuple[Crossing, Conversation]:
        """Agree on compression with either side, by itself."""
        trip = self._trip
        try:
            there = agreed(extensions_in(self._upstream.headers))
        except ValueError:
            message = f"the upstream {trip.upstream} agreed to WebSocket extensions that were not offered"
            raise Refusal(502, "upstream_invalid_answer", message) from None
        here, accepted = accept(extensions_in(trip.request.headers))
        answer.headers.popall(EXTENSIONS, None)
        if accepted:
            answer.headers[EXTENSIONS] = accepted
        trip.entry.dialect = dialect_of(trip.request.headers, trip.config.dialect)
        trip.entry.is_repaired = trip.config.repair == "on"
        bound = trip.config.limits.frame_bytes
        conversation = Conversation(
            trip.options(), changes=trip.entry.is_repaired, witness=lambda report: Scribe.of(trip, report)
        )
        wires = Wire(here, bound, is_client=True), Wire(there, bound, is_client=False)
        return Crossing(*wires, conversation, trip.config.limits, (self._to_client, self._to_upstream)), conversation

    def _to_client(self, data: bytes) -> None:
        _write(self._trip.request.protocol.transport, data)

    def _to_upstream(self, data: bytes) -> None:
        _write(self._there.transport, data)

    async def _keep_awake(self, crossing: Crossing) -> None:
        """Ping a client that heard nothing for a while, so that nobody in between takes its connection for dead."""
        keepalive, client = self._trip.config.keepalive, self._trip.request.protocol
        while keepalive:
            before = crossing.written
            await asyncio.sleep(keepalive / 2)
            if crossing.written == before and not client.writing_paused:
                crossing.ping()

    async def _watch(self, crossing: Crossing, up: Lane) -> None:
        """End what is broken, or silent for too long; then it is over within the grace."""
        timeouts = self._trip.config.timeouts
        silence = asyncio.ensure_future(crossing.silence(timeouts.idle))
        broken = asyncio.ensure_future(crossing.is_over.wait())
        try:
            await asyncio.wait((silence, broken), return_when=asyncio.FIRST_COMPLETED)
            if silence.done():
                self._trip.entry.fail("idle")
                crossing.end(Ending.IDLE, "the upstream fell silent")
        finally:
            silence.cancel()
            broken.cancel()
        await asyncio.sleep(timeouts.grace)
        crossing.end(Ending.CUT, "")
        up.feed_eof()


def _write(transport: asyncio.Transport | None, data: bytes) -> None:
    # uvloop's transports are of none of asyncio's classes.
    if data and transport is not None and not transport.is_closing():
        transport.write(data)


async def _wait_for(lane: Lane, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await lane.ended.wait()
