"""A server that follows a script to the byte, because a library would tidy up what a test is about."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def answer(body: bytes = b"{}", *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """A whole answer with its length."""
    lines = [b"HTTP/1.1 " + status, *headers, b"Content-Length: %d" % len(body), b"", body]
    return b"\r\n".join(lines)


def header_values(head: bytes, name: bytes) -> list[bytes]:
    """The values of one header, in order."""
    return re.findall(rb"(?mi)^%s: *([^\r]*)\r$" % re.escape(name), head)


@dataclass
class Exchange:
    """One request and the connection on which to answer it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    head: bytes = b""
    body: bytes = b""
    is_last: bool = False  # close the connection when the script returns

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Break the connection with a reset."""
        connection = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def gone(self) -> None:
        """Wait until the other side has left."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass

    async def read_body(self) -> bytes:
        """Read the rest of the request as its head frames it."""
        if length := header_values(self.head, b"Content-Length"):
            self.body = await self.reader.readexactly(int(length[0]))
        elif header_values(self.head, b"Transfer-Encoding"):
            while size := int((await self.reader.readuntil(b"\n")).split(b";")[0], 16):
                self.body += await self.reader.readexactly(size)
                await self.reader.readexactly(2)
            await self.reader.readexactly(2)
        return self.body

    @property
    def target(self) -> bytes:
        """The request target as it came."""
        return self.head.split(b" ")[1]


Script = Callable[[Exchange], Awaitable[None]]


def answers(data: bytes) -> Script:
    """A script that answers every request with these bytes."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(data)

    return script


@dataclass
class Upstream:
    """The server: runs the script once for each request, and remembers the requests."""

    script: Script
    reads_bodies: bool = True
    exchanges: list[Exchange] = field(default_factory=list)
    port: int = 0
    scheme: str = "http"
    path: str = ""  # of the unix socket, if it listens on one
    faults: list[BaseException] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"unix:{self.path}" if self.path else f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """How many connections brought requests; respfix's probe brings none."""
        return len({id(exchange.writer) for exchange in self.exchanges})

    @property
    def last(self) -> Exchange:
        """The newest request."""
        return self.exchanges[-1]

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._serve_one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        except BaseException as fault:  # noqa: BLE001 (a broken script must fail the test, not the server)
            self.faults.append(fault)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        exchange = Exchange(reader, writer, await reader.readuntil(b"\r\n\r\n"))
        self.exchanges.append(exchange)
        if self.reads_bodies:
            await exchange.read_body()
        await self.script(exchange)
        return not exchange.is_last and not writer.is_closing()

    async def stop(self) -> None:
        """Break what is still open."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def serving(
    script: Script | bytes = b"",
    *,
    host: str = "127.0.0.1",
    reads_bodies: bool = True,
    tls: ssl.SSLContext | None = None,
    path: Path | None = None,
) -> AsyncIterator[Upstream]:
    """A scripted upstream for the time of a block; bytes are the answer to every request."""
    upstream = Upstream(answers(script or answer()) if isinstance(script, bytes) else script, reads_bodies)
    if path is not None:
        upstream.path = str(path)
        server = await asyncio.start_unix_server(upstream.connected, path, limit=2**20)
    else:
        server = await asyncio.start_server(upstream.connected, host, 0, limit=2**20, ssl=tls)
        upstream.scheme = "https" if tls else "http"
        upstream.port = server.sockets[0].getsockname()[1]
    try:
        yield upstream
    finally:
        server.close()
        await upstream.stop()
    assert upstream.faults == []
