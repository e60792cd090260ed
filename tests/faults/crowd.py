"""Very many streams at once: an upstream and clients that cost next to nothing, so that respfix is what is measured."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from upstream import END, STREAM_HEAD, chunk

REQUEST = b"POST /v1/responses HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}"


def allow_files(count: int) -> None:
    """Raise the limit on open files, as far as it goes."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))


class Served(asyncio.Protocol):
    """One connection to the upstream: answers a request with the head of a stream, and then only when it is told."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.transport: asyncio.Transport | None = None
        self.seen = b""
        self.lost_at = 0.0
        self.sent = 0
        self.may_write = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Begin to answer."""
        self.seen += data
        if self.seen.endswith(b"\r\n\r\n{}") and self.transport is not None:
            self.seen = b""
            self.upstream.streams.append(self)
            self.upstream.grown.set()
            self.transport.write(STREAM_HEAD)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note when."""
        del exc
        self.lost_at = asyncio.get_running_loop().time()
        if self in self.upstream.streams:  # respfix only looked whether somebody is here
            self.upstream.on_lost(self)

    def pause_writing(self) -> None:
        """Respfix does not take more."""
        self.may_write = False

    def resume_writing(self) -> None:
        """Go on."""
        self.may_write = True

    def send(self, data: bytes) -> None:
        """Send one event, in a chunk."""
        if self.transport is not None:
            self.transport.write(chunk(data))
            self.sent += len(data)

    def end(self) -> None:
        """Send the last chunk."""
        if self.transport is not None:
            self.transport.write(END)


@dataclass
class Upstream:
    """The server, with the streams that it has begun."""

    url: str = ""
    streams: list[Served] = field(default_factory=list)
    on_lost: Callable[[Served], None] = lambda _: None
    grown: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def sent(self) -> int:
        """The bytes of all streams that went towards respfix, as far as is known here."""
        return sum(stream.sent for stream in self.streams)

    async def until(self, count: int) -> None:
        """Wait until so many streams have been begun."""
        while len(self.streams) < count:
            self.grown.clear()
            await self.grown.wait()


@contextlib.asynccontextmanager
async def upstream() -> AsyncIterator[Upstream]:
    """A server for the time of a block."""
    served = Upstream()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Served(served), "127.0.0.1", 0, backlog=4096)
    listening = server.sockets[0]
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)  # so that it feels soon that it is not read
    served.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    try:
        yield served
    finally:
        server.close()
        for stream in served.streams:
            if stream.transport is not None:
                stream.transport.abort()


class Reader(asyncio.Protocol):
    """One client: asks at once, and keeps all that it gets."""

    def __init__(self) -> None:
        self.got = bytearray()
        self.grown = asyncio.Event()
        self.transport: asyncio.Transport | None = None
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        """Keep it."""
        self.got += data
        self.grown.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note it."""
        del exc
        self.is_lost = True
        self.grown.set()

    async def until(self, mark: bytes) -> None:
        """Wait until these bytes have come."""
        while mark not in self.got and not self.is_lost:
            self.grown.clear()
            await self.grown.wait()

    def body(self) -> bytes:
        """The chunks' data."""
        rest, data = bytes(self.got).partition(b"\r\n\r\n")[2], []
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            data.append(rest[: int(size, 16)])
            rest = rest[int(size, 16) + 2 :]
        return b"".join(data)


async def readers(count: int, port: int, at_once: int = 200) -> list[Reader]:
    """So many clients that have asked."""
    loop = asyncio.get_running_loop()
    found: list[Reader] = []
    for begin in range(0, count, at_once):
        several = range(begin, min(begin + at_once, count))
        made = await asyncio.gather(*(loop.create_connection(Reader, "127.0.0.1", port) for _ in several))
        found += [reader for _, reader in made]
    return found
