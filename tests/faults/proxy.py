"""A network that misbehaves: a TCP proxy that passes every byte, and does its fault once so many have passed.

It knows nothing of HTTP. A fault is placed by a number of bytes in one direction, so whoever knows the bytes can put it
at every event's border, in the middle of an event, or inside a chunk's size.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: closing sends a reset
# Before the fault, so that it is a read of its own; in one read with the answer it is tested elsewhere.
APART = 0.03  # seconds


class LeftError(Exception):
    """The fault has ended the connection."""


@dataclass
class Leg:
    """One direction of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    back: asyncio.StreamWriter  # towards the sender
    gone: asyncio.Event  # the other direction has ended
    passed: int = 0
    slice: int = 65536
    delay: float = 0.0
    lost: int = 0  # so many of the next bytes never arrive

    async def write(self, data: bytes) -> None:
        """Pass bytes on, as slowly and in such pieces as the fault wants it."""
        lost, self.lost = data[: self.lost], max(0, self.lost - len(data))
        for at in range(len(lost), len(data), self.slice):
            if self.delay:
                await asyncio.sleep(self.delay)
            self.writer.write(data[at : at + self.slice])
            await self.writer.drain()
        self.passed += len(data)


Act = Callable[[Leg], Awaitable[None]]


@dataclass(frozen=True)
class Fault:
    """What happens, after how many bytes, in which direction."""

    act: Act
    at: int = 0
    is_upwards: bool = False  # in what the client sends, not in what the server answers


async def slices(leg: Leg) -> None:
    """From here on every byte travels alone."""
    leg.slice = 1


async def latency(leg: Leg) -> None:
    """From here on everything takes longer."""
    leg.delay = 0.01


async def stall(leg: Leg) -> None:
    """Nothing more comes, and nobody says so."""
    await leg.reader.read()
    await leg.gone.wait()
    raise LeftError


async def silence(leg: Leg) -> None:
    """Nothing is even read any more, as by a client that is suspended; the other side must bear it."""
    await leg.gone.wait()
    raise LeftError


async def close(leg: Leg) -> None:
    """Both connections end in an orderly way."""
    leg.writer.close()
    leg.back.close()
    raise LeftError


async def half_close(leg: Leg) -> None:
    """One direction ends; the other one stays open, and what else is sent this way is thrown away."""
    leg.writer.write_eof()
    await leg.reader.read()
    raise LeftError


async def reset(leg: Leg) -> None:
    """Both connections break, as when a process is killed or a firewall has forgotten them."""
    for writer in (leg.writer, leg.back):
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        writer.transport.abort()
    raise LeftError


def inserting(data: bytes) -> Act:
    """Bytes arrive that nobody sent; then it goes on."""

    async def insert(leg: Leg) -> None:
        leg.writer.write(data)

    return insert


def losing(size: int) -> Act:
    """So many bytes never arrive; then it goes on."""

    async def lose(leg: Leg) -> None:
        leg.lost = size

    return lose


@dataclass
class Network:
    """The proxy: each new connection gets what `fault` says at that moment."""

    host: str
    port: int
    fault: Fault | None = None
    address: tuple[str, int] = ("", 0)
    taken: asyncio.Event = field(default_factory=asyncio.Event)  # a connection has got the fault
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Where it listens."""
        return "http://{}:{}".format(*self.address)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until both its directions have ended."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        fault, there = self.fault, None
        self.taken.set()
        try:
            far, there = await asyncio.open_connection(self.host, self.port)
            up_ended, down_ended = asyncio.Event(), asyncio.Event()
            up, down = Leg(reader, there, writer, down_ended), Leg(far, writer, there, up_ended)
            async with asyncio.TaskGroup() as legs:
                legs.create_task(_carry(up, fault if fault and fault.is_upwards else None, up_ended))
                legs.create_task(_carry(down, None if fault and fault.is_upwards else fault, down_ended))
        except* (OSError, LeftError):
            pass
        finally:
            self._tasks.discard(task)
            for side in (writer, there):
                if side is not None:
                    side.close()

    async def stop(self) -> None:
        """Break what is still open."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _carry(leg: Leg, fault: Fault | None, ended: asyncio.Event) -> None:
    try:
        while data := await leg.reader.read(65536):
            if fault is not None and leg.passed + len(data) >= fault.at:
                before = fault.at - leg.passed
                await leg.write(data[:before])
                await asyncio.sleep(APART)
                act, fault = fault.act, None
                await act(leg)
                data = data[before:]
            await leg.write(data)
        if leg.writer.can_write_eof():
            leg.writer.write_eof()
    finally:
        ended.set()


@contextlib.asynccontextmanager
async def network(port: int, fault: Fault | None = None, *, host: str = "127.0.0.1") -> AsyncIterator[Network]:
    """A way to this port, for the time of a block."""
    proxy = Network(host, port, fault)
    server = await asyncio.start_server(proxy.connected, "127.0.0.1", 0)
    proxy.address = server.sockets[0].getsockname()[:2]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.stop()
