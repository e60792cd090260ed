"""An upstream before anything is asked of it: is it respfix itself, and is anybody there?"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from typing import Any

from respfix.journal import log
from respfix.relay.upstream import Upstream


async def is_own_address(upstream: Upstream, bound: list[tuple[Any, ...]]) -> bool:
    """The upstream's name leads back to one of the sockets that are bound here: every request would loop for ever."""
    ports = {address[1] for address in bound}
    if upstream.port not in ports:
        return False
    try:
        found = await asyncio.get_running_loop().getaddrinfo(upstream.host, upstream.port, type=socket.SOCK_STREAM)
    except OSError:
        return False  # no such name yet; the probe will say so
    hosts = {address[0] for address in bound if address[1] == upstream.port}
    everywhere = bool(hosts & {"0.0.0.0", "::"})  # noqa: S104 (compared, not bound)
    return any(info[4][0] in hosts or (everywhere and _is_local(info[0], str(info[4][0]))) for info in found)


def _is_local(family: int, host: str) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as probe_socket:
        try:
            probe_socket.bind((host, 0))  # only an address of this machine can be bound
        except OSError:
            return False
    return True


async def probe(upstream: Upstream, tls: ssl.SSLContext | None, seconds: float) -> None:
    """Say whether anybody listens at the upstream; respfix works either way, as soon as somebody does."""
    try:
        async with asyncio.timeout(seconds or None):
            trouble = await trouble_at(upstream, tls)
    except TimeoutError:
        trouble = "no answer"
    if trouble:
        log.warning("upstream %s is not reachable (%s); requests get a 502 until it is", upstream, trouble)
    else:
        log.info("upstream %s is reachable", upstream)


async def trouble_at(upstream: Upstream, tls: ssl.SSLContext | None) -> str:
    """Connect to it and leave, which starts no model and needs no key; why that failed, or an empty text.

    With TLS its greeting is part of it: nobody who cannot be greeted can be asked, and a server logs who only connects.
    """
    try:
        if upstream.socket:
            _, writer = await asyncio.open_unix_connection(upstream.socket)
        else:
            _, writer = await asyncio.open_connection(upstream.host, upstream.port, ssl=tls)
    except socket.gaierror:
        return "its name cannot be resolved"
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is not trusted: {error.verify_message.rstrip('.')}; see upstream_tls.ca"
    except ssl.SSLError as error:
        return f"no TLS connection: {(error.reason or 'no reason known').replace('_', ' ').lower()}"
    except OSError as error:
        # asyncio's own words are `Connect call failed ('127.0.0.1', 8080)`
        return os.strerror(error.errno) if error.errno else "no answer"
    writer.transport.abort()  # nothing was said that could get lost, and a server may be slow to say goodbye
    return ""
