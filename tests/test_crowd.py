"""Many streams at once on one respfix: all finish, none stalls, and what each costs is known."""

from __future__ import annotations

import asyncio
import os
import random
import re
import socket
import statistics
from itertools import cycle
from pathlib import Path

import pytest
import reader
from conftest import Figures
from faults import crowd
from faults.crowd import REQUEST, Served
from faults.process import respfix

BROKEN = (Path(__file__).parent / "clients/streams/sub2api-0.1.132-an-thinking-text-tool.sse").read_bytes()
FRAMES = [frame + b"\n\n" for frame in BROKEN.removesuffix(b"\n\n").split(b"\n\n")]
CROWD = int(os.environ.get("TEST_CROWD", "500"))  # `make crowd` takes 2,000
ROUND = 60.0  # seconds that one event may take to reach all clients; one that takes longer has stalled
KIB, MIB = 2**10, 2**20


def undated(body: bytes) -> bytes:
    """Without the moment of the request and the id that is made for it."""
    return re.sub(rb'"created_at":\d+', b'"created_at":0', body)


@pytest.mark.timeout(600)
async def test_a_crowd_of_streams_goes_on_at_the_same_time(figures: Figures) -> None:
    """Each event goes out to all when all have got the one before, so a single stalled stream stops the test."""
    crowd.allow_files(4 * CROWD + 200)
    loop = asyncio.get_running_loop()
    async with crowd.upstream() as upstream, respfix(upstream.url) as served:
        before, files = served.memory, served.descriptors
        clients = await crowd.readers(CROWD, served.address.port)
        took: list[float] = []
        for number, frame in enumerate(FRAMES):
            await upstream.until(CROWD)
            started = loop.time()
            for stream in upstream.streams:
                stream.send(b": event %d\n\n" % number + frame)
            async with asyncio.timeout(ROUND):
                for client in clients:
                    await client.until(b": event %d\n\n" % number)
            took.append(loop.time() - started)
            if number == len(FRAMES) // 2:
                peak = served.memory
                assert served.descriptors - files == 2 * CROWD
        for stream in upstream.streams:
            stream.end()
        async with asyncio.timeout(ROUND):
            for client in clients:
                await client.until(b"0\r\n\r\n")
        bodies = {undated(client.body()) for client in clients}
        each = (peak - before) / CROWD
        for client in clients:
            assert client.transport is not None
            client.transport.close()

    figures(
        f"crowd: {CROWD} streams at once, {len(FRAMES)} events each, all whole; one event to all "
        f"{statistics.median(took) * 1000:.0f} ms (median), {max(took) * 1000:.0f} ms (worst); "
        f"{each / KIB:.0f} KiB of memory per stream"
    )
    assert len(bodies) == 1
    events = reader.events(bodies.pop())
    assert reader.complaints(events, is_strict=False) == []
    assert reader.terminal(events)["type"] == "response.completed"
    assert each < 256 * KIB


@pytest.mark.timeout(300)
async def test_an_abort_reaches_the_upstream_at_once(figures: Figures) -> None:
    """Each second of a turn that nobody reads is paid for. Half of the streams leave while the others flow."""
    loop = asyncio.get_running_loop()
    chance = random.Random(1)  # noqa: S311
    async with crowd.upstream() as upstream, respfix(upstream.url) as served:
        lost: asyncio.Queue[Served] = asyncio.Queue()
        upstream.on_lost = lost.put_nowait
        waits: list[float] = []
        others = await crowd.readers(50, served.address.port)
        await upstream.until(50)
        for number, frame in zip(range(100), cycle(FRAMES[:-1]), strict=False):
            (client,) = await crowd.readers(1, served.address.port)
            await upstream.until(51 + number)
            for stream in (*upstream.streams[:50], upstream.streams[-1]):
                stream.send(frame)
            await asyncio.sleep(chance.random() / 50)
            assert client.transport is not None
            left = loop.time()
            (client.transport.abort if number % 2 else client.transport.close)()
            gone = await asyncio.wait_for(lost.get(), 5)
            waits.append(gone.lost_at - left)

            assert gone is upstream.streams[-1]
        for other in others:
            assert other.transport is not None
            other.transport.abort()

    middle, worst = statistics.median(waits) * 1000, max(waits) * 1000
    figures(f"abort: reaches the upstream in {middle:.1f} ms (median of {len(waits)}), {worst:.1f} ms (worst)")
    assert middle < 100


async def sip(port: int) -> None:
    """Read an answer with 1 kB a second, for ever."""
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)  # noqa: FBT003 (its only argument)
        await loop.sock_connect(client, ("127.0.0.1", port))
        await loop.sock_sendall(client, REQUEST)
        while await loop.sock_recv(client, 1024):  # noqa: ASYNC110 (what a slow reader does)
            await asyncio.sleep(1)


@pytest.mark.timeout(300)
async def test_slow_readers_hold_back_their_upstreams_instead_of_growing_respfix(figures: Figures) -> None:
    """200 readers at 1 kB a second, and upstreams that never end: memory stands still once the buffers are full."""
    count, seconds = 200, 4.0
    event = b'data: {"type":"response.output_text.delta","item_id":"msg_1","delta":"%s"}\n\n' % (b"x" * 4000)

    async def pour(upstream: crowd.Upstream) -> None:
        while True:
            for stream in upstream.streams:
                if stream.may_write:
                    stream.send(event)
            await asyncio.sleep(0.01)

    async with crowd.upstream() as upstream, respfix(upstream.url) as served:
        before = served.memory
        tasks = [asyncio.create_task(pour(upstream))]
        tasks += [asyncio.create_task(sip(served.address.port)) for _ in range(count)]
        await upstream.until(count)
        held_back = 0.0
        while held_back < 2:  # seconds in which nothing more was taken but what the readers have read
            sent = upstream.sent
            await asyncio.sleep(0.5)
            held_back = held_back + 0.5 if upstream.sent < sent + count * KIB else 0
        full = served.memory
        await asyncio.sleep(seconds)
        end = served.memory
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    figures(
        f"slow readers: {count} at 1 kB/s on endless upstreams, which are held back after {sent / count / KIB:.0f} KiB "
        f"each; {(full - before) / count / KIB:.0f} KiB of memory per stream, {(end - full) / MIB:+.1f} MiB in "
        f"{seconds:.0f} s more"
    )
    assert end - before < count * 2 * MIB
    assert end - full < count * 64 * KIB
