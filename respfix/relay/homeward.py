"""The way back: the answer as it is, or mended, or a tunnel."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
from functools import cached_property

from aiohttp import ClientResponse, web

from respfix.capture.recording import Mending
from respfix.journal import log
from respfix.relay.answer import Answer
from respfix.relay.codings import decoder_for, is_identity
from respfix.relay.headers import dialect_of, is_event_stream, is_json, is_plainly_framed
from respfix.relay.refusal import Refusal
from respfix.relay.resume import Resume
from respfix.relay.sniff import Sniffer
from respfix.relay.source import Decoded, Source, Tap
from respfix.relay.switch import Switch
from respfix.relay.trip import Trip
from respfix.stream import Ending, Mender, Observer, Options, Resumed, unfolded

FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # RFC 9110 5.5; aiohttp's lenient response parser lets some pass
NO_WEBSOCKET = (404, 405)
CLEAN = frozenset({Ending.COMPLETE, Ending.CLOSED, Ending.OVER})


class Homeward:
    """Brings one upstream's answer to the client."""

    def __init__(self, trip: Trip, upstream: ClientResponse) -> None:
        self._trip = trip
        self._upstream = upstream
        self._answer: Answer | None = None

    async def bring(self) -> web.StreamResponse:
        """The answer, sent as far as the client wanted it."""
        entry = self._trip.entry
        entry.status = self._upstream.status
        try:
            return await self._bring()
        except ConnectionError:
            entry.leave()
            return self._answer or web.Response(status=499)  # nobody is there to read it
        finally:
            # Cancels the upstream, unless its answer has been read to the end.
            self._upstream.close()

    async def _bring(self) -> Answer:
        trip, upstream = self._trip, self._upstream
        words = (upstream.reason or "", *upstream.headers.values())
        if not is_plainly_framed(upstream.headers) or any(map(FORBIDDEN.search, words)):
            message = f"the upstream {trip.upstream} sent a head that cannot be relayed"
            raise Refusal(502, "upstream_invalid_answer", message)
        if upstream.status == 101:  # noqa: PLR2004 (Switching Protocols)
            self._answer = answer = await Switch(trip, upstream).bring()
            return answer
        if trip.may_converse and trip.config.websocket_fallback and upstream.status in NO_WEBSOCKET:
            message = f"the upstream has no WebSocket here (it answered {upstream.status}); use POST"
            raise Refusal(426, "no_websocket", message)
        trip.patience.allow(trip.config.timeouts.idle)
        source = Source(upstream, trip.patience)
        if trip.may_mend and 200 <= upstream.status < 300:  # noqa: PLR2004 (success)
            return await self._look(source)
        return await self._pipe(source)

    async def _look(self, source: Source) -> Answer:
        """Take an answer that is to be mended, or observed, if it is a stream."""
        trip, headers = self._trip, self._upstream.headers
        coding = ",".join(headers.getall("Content-Encoding", ()))
        decoder = None if is_identity(coding) else decoder_for(coding)
        if decoder is None and not is_identity(coding):
            log.warning("the upstream's Content-Encoding is none that can be decoded; the answer passes as it is")
            return await self._pipe(source)
        trip.entry.dialect = dialect_of(trip.request.headers, trip.config.dialect)
        if trip.config.repair == "observe":
            observer = trip.capture.record(trip.entry, Observer(self._options))
            trip.entry.report, trip.entry.is_repaired = observer.report, False
            try:
                return await self._pipe(source, tap=Tap(observer, decoder, is_stream=is_event_stream(headers)))
            finally:
                trip.entry.report = observer.report  # brings it up to now
        plain = Decoded(source, decoder) if decoder else source
        if trip.resume is not None and is_event_stream(headers):
            return await self._replay(source, plain, trip.resume)
        if is_event_stream(headers):
            return await self._mend(plain)
        if self._options.asked.stream and is_json(headers):
            return await self._unfold(source, plain)
        return await self._sniff(source, plain)

    async def _replay(self, source: Source, plain: Source | Decoded, resume: Resume) -> Answer:
        """Mend a stream that is sent again; the first event tells whether it is sent from its start."""
        source.kept = []
        probe, start = Mender(self._options), b""
        while not (probe.report.events_in or probe.report.stopped) and (piece := await plain.read()):
            start += piece
            probe.feed(piece)
        raw, source.kept = b"".join(source.kept), None
        first = probe.report.first_number or 0
        if first <= 1:  # some servers count from one
            return await self._mend(plain, start)
        if resume.after is None:
            return await self._pipe(source, raw)
        message = (
            f"the upstream {self._trip.upstream} replays this response only from its event {first} on, so where the"
            " client's stream broke off cannot be found in it; ask without starting_after, or set `resume: false`"
        )
        raise Refusal(502, "resume_impossible", message)

    async def _sniff(self, source: Source, plain: Source | Decoded) -> Answer:
        """Decide by how the body begins; until then its head waits, because the Content-Type may be wrong."""
        source.kept = []
        sniffer = Sniffer()
        start = b""
        while sniffer.is_stream is None and (piece := await plain.read()):
            start += piece
            sniffer.feed(piece)
        raw, source.kept = b"".join(source.kept), None
        return await (self._mend(plain, start) if sniffer.is_stream else self._pipe(source, raw))

    async def _unfold(self, source: Source, plain: Source | Decoded) -> Answer:
        """A whole response instead of the stream that was asked for; any other JSON passes as it came."""
        source.kept = []
        body = bytearray()
        while len(body) <= self._trip.config.limits.frame_bytes and (piece := await plain.read()):
            body += piece
        raw, source.kept = b"".join(source.kept), None
        stream = unfolded(bytes(body), self._options) if plain.ending in CLEAN else None
        if stream is None:
            return await self._pipe(source, raw)
        data, self._trip.entry.report = stream
        answer = await self._begin(is_rewritten=True)
        self._send(answer, data)
        return await self._end(answer, Ending.COMPLETE)

    @cached_property
    def _options(self) -> Options:
        coding = ",".join(self._trip.request.headers.getall("Content-Encoding", ()))
        return self._trip.options(self._trip.hearing.asked(coding))

    async def _begin(self, *, is_rewritten: bool = False) -> Answer:
        """Send the head."""
        self._answer = answer = Answer.relaying(self._upstream, is_rewritten=is_rewritten)
        if self._trip.is_last:
            answer.force_close()
        await answer.begin(self._trip.request)
        return answer

    def _send(self, answer: Answer, data: bytes) -> bool:
        """Send more of the body; False if the client should be waited for."""
        entry = self._trip.entry
        if not entry.sent:
            entry.first_out = entry.seconds
        entry.sent += len(data)
        return answer.send(data)

    async def _pipe(self, source: Source, first: bytes = b"", *, tap: Tap | None = None) -> Answer:
        answer = await self._begin()

        def take(chunk: bytes) -> bool:
            is_taken = self._send(answer, chunk)
            if tap:
                tap.feed(chunk)
            return is_taken

        ending = await self._flow(source, answer, take, first)
        if tap:
            tap.close(ending, self._trip.entry.seconds)
        return await self._end(answer, ending)

    async def _mend(self, source: Source | Decoded, first: bytes = b"") -> Answer:
        trip = self._trip
        after = trip.resume.after if trip.resume else None
        mender = trip.capture.record(
            trip.entry, Mender(self._options) if after is None else Resumed(self._options, after)
        )
        trip.entry.report = mender.report
        answer = await self._begin(is_rewritten=True)
        awake = self._keep_awake(answer, mender)
        is_over = False

        def take(chunk: bytes) -> bool:
            nonlocal is_over
            mended = mender.feed(chunk)
            is_taken = self._send(answer, mended) if mended else True
            if not is_over and mender.is_over:
                is_over = True
                trip.patience.end_within(trip.config.timeouts.grace, Ending.OVER)
            return is_taken

        try:
            ending = await self._flow(source, answer, take, first)
        finally:
            if awake:
                awake.cancel()
            trip.entry.report = mender.report  # brings it up to now, also where the client has gone
        if tail := mender.close(ending, trip.entry.seconds):
            self._send(answer, tail)
        return await self._end(answer, ending, is_told=mender.report.terminal is not None)

    async def _flow(
        self, source: Source | Decoded, answer: Answer, take: Callable[[bytes], bool], chunk: bytes
    ) -> Ending:
        """One read, at most one write; nothing waits for more."""
        chunk = chunk or await source.read()
        self._trip.entry.first_in = self._trip.entry.seconds
        while chunk:
            if take(chunk):
                await source.pour(take)
            await answer.drain()
            chunk = await source.read()
        return source.ending or Ending.CUT

    def _keep_awake(self, answer: Answer, mender: Mending) -> asyncio.Task[None] | None:
        """Break the silence of a slow upstream, for proxies and clients that take it for a dead one."""
        trip = self._trip

        async def tick() -> None:
            with contextlib.suppress(ConnectionError):  # whoever reads the upstream will hear of it
                while True:
                    before = trip.entry.sent
                    # Silent for half of the time, and with the next half the silence would be too long.
                    await asyncio.sleep(trip.config.keepalive / 2)
                    is_silent = trip.entry.sent == before and not trip.request.protocol.writing_paused
                    if is_silent and (sign := mender.keepalive()):
                        self._send(answer, sign)

        return asyncio.create_task(tick()) if trip.config.keepalive else None

    async def _end(self, answer: Answer, ending: Ending, *, is_told: bool = False) -> Answer:
        """End the body cleanly where it is whole, or where the stream itself has told what became of it."""
        entry = self._trip.entry
        entry.end(ending, is_clean=ending in CLEAN)
        if ending in CLEAN or is_told:
            await answer.write_eof()
        else:
            answer.break_off(self._trip.request, self._trip.config.timeouts.grace)
        return answer
