"""A client that sends and reads bytes, and a respfix for it to talk to."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from upstream import Upstream, header_values

from respfix.app import running
from respfix.config import Address, Config, Listener, Timeouts, UnixSocket

WAIT = 5.0  # seconds; nothing here takes so long unless it hangs


def request(
    target: str = "/v1/responses", *headers: bytes | str, method: str = "POST", body: bytes | None = b"{}"
) -> bytes:
    """A request with its length, unless it has no body."""
    lines = [f"{method} {target} HTTP/1.1".encode(), b"Host: 127.0.0.1"]
    lines += [header.encode() if isinstance(header, str) else header for header in headers]
    if body is not None:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, b"", body or b""])


def config_for(upstream: Upstream | str, /, *, listen: str | Listener = "127.0.0.1", **changes: Any) -> Config:
    """A configuration whose patience is short enough for a test; `timeouts` may be given as a dict."""
    url = upstream if isinstance(upstream, str) else upstream.url
    listener = Address(listen, 0) if isinstance(listen, str) else listen
    timeouts = Timeouts(**{"drain": 0.2, "grace": 0.2, **changes.pop("timeouts", {})})
    changes.setdefault("connect_retries", 0)
    return Config(listen=(listener,), upstream=url, timeouts=timeouts, **changes)


@dataclass
class Client:
    """One connection to respfix."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> bytes:
        """The next answer's head."""
        return await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), WAIT)

    async def some(self) -> bytes:
        """What comes next, at least a byte; b"" at the end."""
        return await asyncio.wait_for(self.reader.read(65536), WAIT)

    async def chunk(self) -> bytes:
        """The next chunk of a chunked body; b"" is the last one. Raises IncompleteReadError if the body is cut."""
        size = int(await asyncio.wait_for(self.reader.readuntil(b"\r\n"), WAIT), 16)
        return (await asyncio.wait_for(self.reader.readexactly(size + 2), WAIT))[:-2]

    async def body(self, head: bytes) -> bytes:
        """The body that the head announces, whole; raises IncompleteReadError if it is cut."""
        if header_values(head, b"Transfer-Encoding") == [b"chunked"]:
            pieces = []
            while piece := await self.chunk():
                pieces.append(piece)
            return b"".join(pieces)
        if length := header_values(head, b"Content-Length"):
            return await asyncio.wait_for(self.reader.readexactly(int(length[0])), WAIT)
        return await asyncio.wait_for(self.reader.read(), WAIT)

    async def ask(self, data: bytes) -> tuple[bytes, bytes]:
        """Send a request and read its whole answer: head and body."""
        await self.send(data)
        head = await self.head()
        return head, await self.body(head)

    async def rest(self) -> bytes:
        """Everything until respfix closes the connection."""
        return await asyncio.wait_for(self.reader.read(), WAIT)

    def leave(self) -> None:
        """Go away as a killed process does."""
        connection = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def connected(listener: Listener, tls: ssl.SSLContext | None = None) -> AsyncIterator[Client]:
    """A connection for the time of a block."""
    if isinstance(listener, UnixSocket):
        client = Client(*await asyncio.open_unix_connection(listener.path, limit=2**22))
    else:
        client = Client(*await asyncio.open_connection(listener.host, listener.port, limit=2**22, ssl=tls))
    try:
        yield client
    finally:
        client.writer.close()
        with contextlib.suppress(ConnectionError):
            await client.writer.wait_closed()


@contextlib.asynccontextmanager
async def through(upstream: Upstream | str, **changes: Any) -> AsyncIterator[Client]:
    """One connection through a respfix of its own."""
    async with running(config_for(upstream, **changes)) as address, connected(address) as client:
        yield client


async def said(caplog: pytest.LogCaptureFixture, words: str) -> str:
    """The line of the log with these words, as soon as it is there."""
    async with asyncio.timeout(WAIT):
        while words not in caplog.text:  # noqa: ASYNC110 (the log rings no bell)
            await asyncio.sleep(0.01)
    return next(line for line in caplog.messages if words in line)
