"""The client side of aiohttp."""

from __future__ import annotations

import asyncio
import ssl
from functools import partial
from typing import Any

from aiohttp import (
    BaseConnector,
    ClientPayloadError,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
    UnixConnector,
)
from aiohttp.client_proto import ResponseHandler

from respfix.config import Config
from respfix.relay.upstream import Upstream

HEADERS = 256


class Connection(ResponseHandler):
    """One connection to the upstream, which keeps a head whose body is broken: aiohttp's parsers forget it.

    They forget whatever else came in the read in which they find a fault, so a head is parsed by itself. Without that,
    a busy machine made a 502 of 1 in 30 streams whose chunks broke, and what they had said by then was lost.
    """

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        if self._payload is None or self._payload.is_eof():
            head, end, rest = data.partition(b"\r\n\r\n")
            if rest:
                super().data_received(head + end)
                data = rest
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Say so to who reads the body, who would wait for ever if its chunks broke: the C parser has forgotten it."""
        body = self._payload
        super().connection_lost(exc)
        if body is not None and not body.is_eof() and body.exception() is None:
            body.set_exception(ClientPayloadError("the body is not framed as it says"))

    def is_connected(self) -> bool:
        """Another request may be sent: nothing has come that nobody asked for, which that request would get for answer.

        aiohttp looks for that when an answer is complete, and before it has parsed the rest of the same read.
        """
        return super().is_connected() and not self.should_close


def session_for(config: Config, upstream: Upstream, tls: ssl.SSLContext | None) -> ClientSession:
    """As little as possible of what a client library adds, follows, remembers or limits."""
    timeouts = config.timeouts
    return ClientSession(
        connector=_connector(upstream, tls, timeouts.upstream_keepalive),
        timeout=ClientTimeout(total=None, connect=timeouts.connect or None, sock_read=None),
        cookie_jar=DummyCookieJar(),  # a shared jar gives one user's cookies to the next
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        max_line_size=config.admission.header_bytes,
        max_field_size=config.admission.header_bytes,
        max_headers=HEADERS,
    )


def _connector(upstream: Upstream, tls: ssl.SSLContext | None, keepalive: float) -> BaseConnector:
    options: dict[str, Any] = {"limit": 0}  # with the default of 100, the 101st stream hangs without an error
    # Below the 5 s after which Node and uvicorn close an idle connection; a POST that meets the close is lost.
    options |= {"keepalive_timeout": keepalive} if keepalive else {"force_close": True}
    connector: BaseConnector
    if upstream.socket:
        connector = UnixConnector(upstream.socket, **options)
    else:
        connector = TCPConnector(ssl=tls or True, **options)
    # There is no other way to have connections of one's own.
    connector._factory = partial(Connection, loop=asyncio.get_running_loop())  # type: ignore[assignment] # noqa: SLF001
    return connector
