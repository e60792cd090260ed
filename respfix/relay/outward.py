"""The way to the upstream: what is let through, and how it is sent unchanged."""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import AsyncIterator

from aiohttp import ClientConnectorError, ClientError, ClientResponse
from aiohttp.http import HttpVersion11
from yarl import URL

from respfix.config import Address
from respfix.relay.failures import refusal_for
from respfix.relay.forwarded import tell
from respfix.relay.headers import EXTENSIONS, is_plainly_framed, is_websocket, onward, spelled, unencodable
from respfix.relay.patience import PatienceLostError
from respfix.relay.refusal import Refusal
from respfix.relay.trip import Trip
from respfix.relay.upload import Upload, too_large
from respfix.relay.wire import offer
from respfix.stream import Ending

RETRY_SPAN = 2.0  # seconds over which connecting is tried again: what a restart of a small server takes


class Outward:
    """Takes one request to the upstream."""

    __slots__ = ("_trip", "_upload")

    def __init__(self, trip: Trip) -> None:
        self._trip = trip
        config = trip.config
        self._upload = Upload(
            config.admission.body_bytes, config.timeouts.idle, functools.partial(trip.patience.end, Ending.IDLE)
        )

    def check(self) -> None:
        """Refuse what must not or cannot be relayed as it is."""
        trip, request = self._trip, self._trip.request
        if trip.roll.is_draining:
            raise Refusal(503, "shutting_down", "shutting down; nothing was sent, try again")
        # Before the name: who takes respfix for a proxy asks by the name of another server.
        if not request.raw_path.startswith("/") or request.method == "CONNECT":
            raise Refusal(400, "bad_target", "this is not an open proxy; ask for a path such as /v1/responses")
        # No web page reaches a unix socket, and a proxy in front of one may say any name.
        if isinstance(trip.listener, Address) and not trip.guard.admits(request.headers.get("Host")):
            advice = "add the name to `hosts` in its configuration if it is yours"
            raise Refusal(403, "host_not_allowed", f"this Host header is not a name that respfix has; {advice}")
        if any("\ud800" <= char <= "\udfff" for char in request.raw_path):
            raise Refusal(400, "bad_target", "the path holds bytes that are not UTF-8 and cannot be relayed unchanged")
        if name := unencodable(request.headers):
            raise Refusal(400, "bad_header", f"the header {name!a} is not UTF-8 and cannot be relayed unchanged")
        if not is_plainly_framed(request.headers):
            raise Refusal(501, "bad_framing", "only the transfer coding chunked is relayed", is_last=True)
        bound = trip.config.admission.body_bytes
        if bound and (request.content_length or 0) > bound:
            raise too_large(bound)
        trip.roll.check(trip.client, trip.config.admission)

    async def send(self) -> ClientResponse:
        """The upstream's answer, as far as its head."""
        trip = self._trip
        await self._invite_body()
        trip.patience.allow(trip.config.timeouts.first_byte)
        try:
            # An upstream that has not got the whole request yet is not the one who is late.
            return await trip.patience.wait(self._connect_and_send(), lambda: self._upload.sent_at)
        except PatienceLostError:
            if trip.patience.ending is Ending.SHUTDOWN:
                raise Refusal(503, "shutting_down", "shutting down before the upstream answered") from None
            if stalled := self._upload.refusal():
                raise stalled from None
            waited = f"within {trip.config.timeouts.first_byte:g} s (timeouts.first_byte)"
            raise Refusal(504, "upstream_timeout", f"the upstream {trip.upstream} sent no answer {waited}") from None
        except (ClientError, OSError) as error:
            raise self._refusal(error) from None
        finally:
            self._upload.close()

    async def _invite_body(self) -> None:
        # Here and not upstream: aiohttp's client would wait for an upstream's 100 that may never come.
        request = self._trip.request
        if request.headers.get("Expect", "").lower() == "100-continue" and request.version >= HttpVersion11:
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    async def _connect_and_send(self) -> ClientResponse:
        retries = self._trip.config.connect_retries
        for attempt in range(retries):
            try:
                return await self._once()
            except ClientConnectorError as error:
                # Nothing was sent, so it can be tried again; after everything else a POST may have arrived.
                if isinstance(error, ssl.SSLError | ssl.CertificateError):
                    raise
            await asyncio.sleep(RETRY_SPAN * 2.0 ** (attempt - retries) / (1 - 2.0**-retries))  # each twice the last
        return await self._once()

    async def _once(self) -> ClientResponse:
        trip, request, upstream = self._trip, self._trip.request, self._trip.upstream
        # The whole target in the place of the path leaves it byte for byte as it is, `?`, `#` and all.
        target = trip.way.target(trip.resume.target if trip.resume else request.raw_path)
        url = URL.build(scheme=upstream.scheme, host=upstream.host, port=upstream.port, path=target, encoded=True)
        asks_identity = trip.may_mend and trip.config.repair == "on"
        headers = onward(
            spelled(request.raw_headers),
            {*(() if trip.config.pass_host else ("host",)), *(("accept-encoding",) if asks_identity else ())},
        )
        if asks_identity:
            headers["Accept-Encoding"] = "identity"
        if is_websocket(request.method, request.headers):
            headers["Connection"] = "Upgrade"
            headers["Upgrade"] = request.headers["Upgrade"]
            if trip.may_converse and EXTENSIONS in headers:
                headers[EXTENSIONS] = offer()  # what is read on the way is compressed for each side anew
        if upstream.authorization and "Authorization" not in headers:
            headers["Authorization"] = upstream.authorization
        if trip.config.forwarded:
            tell(headers, request, trip.listener, trip.config.trusted_proxies)
        body = self._body() if request.body_exists else None
        return await trip.way.session.request(request.method, url, headers=headers, data=body, allow_redirects=False)

    def _body(self) -> AsyncIterator[bytes]:
        trip, content = self._trip, self._trip.request.content
        return self._upload.passing(trip.hearing.passing(content) if trip.may_mend else content.iter_any())

    def _refusal(self, error: ClientError | OSError) -> Refusal:
        trip = self._trip
        if refused := self._upload.refusal():
            return refused
        if trip.request.content.exception() is not None:
            return Refusal(400, "bad_request_body", "the request's body is not framed as it says", is_last=True)
        return refusal_for(error, trip.upstream, trip.config)
