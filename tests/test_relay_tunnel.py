"""WebSockets: raw bytes both ways once the upstream has agreed, and its own answer where it has not."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import StreamWriter
from downstream import config_for, connected, request, through
from upstream import Exchange, answer, header_values, serving

from respfix.app import running
from respfix.relay.tunnel import Lane

UPGRADE = (
    b"GET /v1/realtime?x=%7e HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
    b"openai-beta: responses_websockets=2026-02-06\r\n\r\n"
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Protocol: p\r\n"
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
)


async def echo(exchange: Exchange) -> None:
    """Agree, and send back what comes."""
    await exchange.send(SWITCH)
    while data := await exchange.reader.read(65536):
        await exchange.send(data)
    exchange.is_last = True


async def test_both_handshakes_arrive_as_they_were() -> None:
    """Keys, extensions and subprotocols are between the client and the upstream."""
    async with serving(echo) as upstream, through(upstream) as client:
        await client.send(UPGRADE)
        head = await client.head()

        assert head == SWITCH
        assert upstream.last.target == b"/v1/realtime?x=%7e"
        for line in UPGRADE.split(b"\r\n")[4:-2]:
            assert line in upstream.last.head.split(b"\r\n")
        assert header_values(upstream.last.head, b"Connection") == [b"Upgrade"]
        assert header_values(upstream.last.head, b"Upgrade") == [b"websocket"]
        assert header_values(upstream.last.head, b"Accept-Encoding") == []


@pytest.mark.parametrize("data", [b"x", bytes(range(256)) * 4, bytes(3_000_000)])
async def test_bytes_flow_both_ways_as_they_are(data: bytes) -> None:
    """Frames, fragments and close codes need no understanding; images are larger than 4 MiB in base64."""
    async with serving(echo) as upstream, through(upstream) as client:
        await client.send(UPGRADE)
        await client.head()
        sending = asyncio.create_task(client.send(data))

        assert await asyncio.wait_for(client.reader.readexactly(len(data)), 10) == data
        await sending


async def test_bytes_that_come_with_the_handshake_are_not_lost() -> None:
    """Either side may speak at once."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(SWITCH + b"hello from the server")
        assert await exchange.reader.readexactly(5) == b"early"
        await exchange.send(b"!")
        await exchange.gone()

    async with serving(script) as upstream, through(upstream) as client:
        await client.send(UPGRADE + b"early")
        assert await client.head() == SWITCH
        assert await asyncio.wait_for(client.reader.readexactly(22), 2) == b"hello from the server!"


async def test_the_last_bytes_before_a_client_leaves_arrive() -> None:
    """A Close frame and the end of the connection may come in one read."""
    got = asyncio.get_running_loop().create_future()

    async def script(exchange: Exchange) -> None:
        await exchange.send(SWITCH)
        got.set_result(await exchange.reader.read())

    async with serving(script) as upstream, through(upstream) as client:
        await client.send(UPGRADE)
        await client.head()
        await client.send(b"one" * 1000)
        client.writer.close()

        assert await asyncio.wait_for(got, 2) == b"one" * 1000


async def test_the_last_bytes_before_an_upstream_leaves_arrive() -> None:
    """And then the client's connection ends too."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(SWITCH + bytes(500_000))
        exchange.is_last = True

    async with serving(script) as upstream, through(upstream) as client:
        await client.send(UPGRADE)
        await client.head()

        assert await client.rest() == bytes(500_000)


class Socket(asyncio.Transport):
    """One whose reading can be seen to be paused."""

    is_paused = False

    def write(self, data: object) -> None:
        """Nowhere."""

    def pause_reading(self) -> None:
        """From now on."""
        self.is_paused = True

    def resume_reading(self) -> None:
        """Again."""
        self.is_paused = False


async def test_a_full_read_lets_others_have_their_turn() -> None:
    """uvloop would take 32 of them from one connection first; empty frames held all others up for seven seconds."""
    loop = asyncio.get_running_loop()
    source, target = BaseProtocol(loop), BaseProtocol(loop)
    source.transport = socket = Socket()
    target.transport = Socket()
    lane = Lane(source, target, StreamWriter(target, loop).drain)
    flowing = asyncio.create_task(lane.flow())
    await asyncio.sleep(0)

    lane.feed_data(bytes(2**17 - 1))
    assert not socket.is_paused
    lane.feed_data(bytes(2**17))
    assert socket.is_paused
    await asyncio.sleep(0.01)
    assert not socket.is_paused
    flowing.cancel()


async def test_a_slow_side_slows_the_other() -> None:
    """A tunnel holds no more than a few buffers."""
    total = 0

    async def script(exchange: Exchange) -> None:
        nonlocal total
        await exchange.send(SWITCH)
        while True:
            await exchange.send(bytes(65_536))
            total += 65_536

    async with serving(script) as upstream, through(upstream) as client:
        await client.send(UPGRADE)
        await client.head()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined] # every transport here has it
        seen = -1
        while total > seen:
            seen = total
            await asyncio.sleep(0.2)
        assert total < 24 * 2**20
        client.writer.transport.resume_reading()  # type: ignore[attr-defined] # likewise
        for _ in range(200):
            await client.some()
        await asyncio.sleep(0.1)

        assert total > seen
        client.leave()


@pytest.mark.parametrize(
    "refusal",
    [
        answer(b"use POST", b"Sec-WebSocket-Version: 13", status=b"426 Upgrade Required"),
        answer(b"", status=b"404 Not Found"),
        answer(b'{"detail": "Method Not Allowed"}', b"Allow: POST", status=b"405 Method Not Allowed"),
        answer(b"ok"),
    ],
)
async def test_a_refused_upgrade_is_relayed_and_the_connection_stays_usable(refusal: bytes) -> None:
    """Codex falls back to POST at once on 426, on the same connection."""
    async with serving(refusal) as upstream, through(upstream) as client:
        head, body = await client.ask(UPGRADE)
        assert head + body == refusal
        head, body = await client.ask(request("/x"))
        assert head + body == refusal
        assert upstream.last.target == b"/x"


async def test_a_refused_upgrade_with_a_pipelined_request_loses_nothing() -> None:
    """What follows the handshake is HTTP again."""
    async with serving(answer(b"no", status=b"426 Upgrade Required")) as upstream, through(upstream) as client:
        await client.send(UPGRADE + request("/next"))
        await client.body(await client.head())
        await client.body(await client.head())

        assert upstream.last.target == b"/next"
        assert upstream.last.body == b"{}"


async def test_an_upgrade_to_something_else_is_an_ordinary_request() -> None:
    """Upgrade speaks about one connection, and h2c is not spoken here."""
    headers = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
    async with serving() as upstream, through(upstream) as client:
        head, _ = await client.ask(request("/x", *headers, method="GET", body=None))

        assert head.startswith(b"HTTP/1.1 200 ")
        assert b"pgrade" not in upstream.last.head
        assert b"HTTP2-Settings" not in upstream.last.head


async def test_a_quiet_tunnel_is_not_idle() -> None:
    """A WebSocket may rest between turns."""
    async with serving(echo) as upstream, through(upstream, timeouts={"idle": 0.1}) as client:
        await client.send(UPGRADE)
        await client.head()
        await asyncio.sleep(0.3)
        await client.send(b"still there")

        assert await client.some() == b"still there"


async def test_a_tunnel_ends_when_respfix_stops() -> None:
    """After the drain time."""
    async with serving(echo) as upstream:
        async with running(config_for(upstream)) as address, connected(address) as client:
            await client.send(UPGRADE)
            await client.head()
            stopped = asyncio.create_task(client.rest())
            await asyncio.sleep(0)
        assert await asyncio.wait_for(stopped, 2) == b""
