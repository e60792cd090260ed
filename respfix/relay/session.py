"""The client side of aiohttp."""

from __future__ import annotations

import ssl
from typing import Any

from aiohttp import BaseConnector, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, UnixConnector

from respfix.config import Config
from respfix.relay.upstream import Upstream

HEADERS = 256


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
    if upstream.socket:
        return UnixConnector(upstream.socket, **options)
    return TCPConnector(ssl=tls or True, **options)
