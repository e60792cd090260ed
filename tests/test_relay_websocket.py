"""Responses over a WebSocket: relayed frame by frame, mended where something is wrong, and honest at the end."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import pytest
import reader
from corpus import STREAMS
from downstream import config_for, request, through
from upstream import answer, serving as scripted
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from respfix.app import Service, running
from respfix.journal import Entry, Outcome
from respfix.relay.crossing import Crossing
from respfix.relay.wire import Wire, accept, agreed
from respfix.stream import Conversation, Ending, Limits, Options
from respfix.stream.engine import Engine
from respfix.stream.event import Event

HEALTHY = (STREAMS / "conformant" / "text-2025-05.sse").read_bytes()
BROKEN = (STREAMS / "recorded" / "sub2api-0.1.132-an-text.sse").read_bytes()
CREATE = json.dumps({"type": "response.create", "model": "gpt-5.5", "input": "Hello"})
Script = Callable[[ServerConnection], Awaitable[None]]


def messages(stream: bytes) -> list[str]:
    """The events of a stream, a message each."""
    return [data for _, data in reader.blocks(stream) if data and data != "[DONE]"]


@contextlib.asynccontextmanager
async def speaking(script: Script, **options: Any) -> AsyncIterator[str]:
    """A WebSocket upstream for the time of a block; gives its URL."""
    async with serve(script, "127.0.0.1", 0, **{"max_size": None, **options}) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"http://127.0.0.1:{port}"


@contextlib.asynccontextmanager
async def conversing(
    script: Script, changes: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[ClientConnection]:
    """A client whose WebSocket goes through respfix."""
    async with speaking(script) as url, running(config_for(url, **(changes or {}))) as address:
        options = {"max_size": None, "proxy": None, **options}
        async with connect(f"ws://{address}/v1/responses?x=%7e", **options) as client:
            yield client


def answering(*streams: list[str]) -> Script:
    """A script that answers each request with the next of these streams."""

    async def script(server: ServerConnection) -> None:
        for stream in streams:
            await server.recv()
            for message in stream:
                await server.send(message)
        await server.wait_closed()

    return script


async def received(client: ClientConnection) -> list[str]:
    """The messages up to the next terminal event."""
    out: list[str] = []
    while True:
        message = await asyncio.wait_for(client.recv(), 10)
        assert isinstance(message, str)
        out.append(message)
        if json.loads(message).get("type") in {"response.completed", "response.failed", "response.incomplete", "error"}:
            return out


async def echo(server: ServerConnection) -> None:
    """Say again what was said."""
    async for message in server:
        await server.send(message)


# What passes


@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_a_healthy_answer_leaves_as_it_came(compression: str | None) -> None:
    """Each message byte for byte, whether the client compresses or not."""
    expected = messages(HEALTHY)
    async with conversing(answering(expected, expected), compression=compression) as client:
        for _ in range(2):
            await client.send(CREATE)

            assert expected == await received(client)


async def test_a_broken_answer_is_mended() -> None:
    """In Sub2API's shape: without content, parts and output."""
    async with conversing(answering(messages(BROKEN))) as client:
        await client.send(CREATE)
        events = [json.loads(message) for message in await received(client)]

        assert [] == reader.complaints(events)
        assert reader.said(reader.events(BROKEN)) == reader.said(events)


async def test_the_request_is_repeated_where_the_server_does_not() -> None:
    """A WebSocket's request is overheard like any other."""
    bare = [
        '{"type":"response.created","response":{"id":"resp_1"}}',
        '{"type":"response.completed","response":{"id":"resp_1"}}',
    ]
    async with conversing(answering(bare)) as client:
        await client.send(CREATE)

        assert {"gpt-5.5"} == {json.loads(message)["response"]["model"] for message in await received(client)}


async def test_headers_and_subprotocols_pass_both_ways() -> None:
    """Only compression is agreed on with each side by itself."""
    seen: list[ServerConnection] = []

    async def script(server: ServerConnection) -> None:
        seen.append(server)
        await server.wait_closed()

    async with (
        speaking(script, subprotocols=["b", "a"], compression=None) as url,
        running(config_for(url)) as address,
        connect(
            f"ws://{address}/v1/responses?x=%7e",
            subprotocols=["a", "b"],  # type: ignore[list-item]
            additional_headers={"OpenAI-Beta": "responses_websockets=2026-02-06", "Authorization": "Bearer k"},
            proxy=None,
        ) as client,
    ):
        sent = seen[0].request
        assert sent is not None
        assert ("/v1/responses?x=%7e", "responses_websockets=2026-02-06", "Bearer k") == (
            sent.path,
            sent.headers["OpenAI-Beta"],
            sent.headers["Authorization"],
        )
        assert client.subprotocol == seen[0].subprotocol is not None
        assert [] == seen[0].protocol.extensions
        assert client.response is not None
        assert "permessage-deflate" in client.response.headers["Sec-WebSocket-Extensions"]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 70_000, 5_000_000])
async def test_messages_of_any_size_pass_both_ways(size: int) -> None:
    """Text and bytes, through respfix and back."""
    async with conversing(echo) as client:
        for message in ("x" * size, bytes(size)):
            await client.send(message)

            assert message == await asyncio.wait_for(client.recv(), 20)


async def test_fragments_pings_and_unknown_messages_pass() -> None:
    """A ping comes back as a pong although it stands between two fragments; what is no event is left alone."""
    async with conversing(echo) as client:
        for message in ("hello", '{"type":"ping"}', "[1]", "null", '{"type":"session.updated"}', "\u00e4\u2028"):
            await client.send(message)
            assert message == await client.recv()
        await client.send(iter(["one ", "two ", "three"]))
        assert "one two three" == await client.recv()
        await asyncio.wait_for(await client.ping(b"mine"), 5)


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "bye"), (3000, "mine"), (4001, "ende, \u00e4")])
async def test_close_codes_and_reasons_pass_both_ways(code: int, reason: str) -> None:
    """Whoever closes."""
    got: asyncio.Future[tuple[int | None, str | None]] = asyncio.get_running_loop().create_future()

    async def script(server: ServerConnection) -> None:
        if await server.recv() == "close":
            await server.close(code, reason)
            return
        await server.wait_closed()
        got.set_result((server.close_code, server.close_reason))

    async with conversing(script) as client:
        await client.send("close")
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert (code, reason) == (client.close_code, client.close_reason)
    async with conversing(script) as client:
        await client.send("wait")
        await client.close(code, reason)
        assert (code, reason) == await asyncio.wait_for(got, 5)


# Lanes


def in_lane(stream: list[str], lane: str) -> list[str]:
    """The same events for a lane."""
    return [json.dumps({**json.loads(message), "stream_id": lane}, separators=(",", ":")) for message in stream]


async def test_lanes_are_mended_apart() -> None:
    """Two answers interleave; one is broken, the other is not, and each event says its lane."""
    healthy, broken = in_lane(messages(HEALTHY), "a"), in_lane(messages(BROKEN), "b")
    both = [message for pair in zip(healthy, broken, strict=False) for message in pair]
    both += healthy[len(broken) :] + broken[len(healthy) :]

    async def script(server: ServerConnection) -> None:
        for _ in range(2):
            await server.recv()
        for message in both:
            await server.send(message)
        await server.close()

    async with conversing(script) as client:
        for lane in ("a", "b"):
            await client.send(json.dumps({**json.loads(CREATE), "stream_id": lane}))
        out = [str(message) async for message in client]
    lanes: dict[str, list[str]] = {"a": [], "b": []}
    for message in out:
        lanes[json.loads(message)["stream_id"]].append(message)

    assert healthy == lanes["a"]
    assert [] == reader.complaints([json.loads(message) for message in lanes["b"]])
    assert len(lanes["b"]) > len(broken)


async def test_a_lane_that_cannot_be_mended_does_not_disturb_another() -> None:
    """Beyond a bound its messages flow on as they come; the next answer is mended again."""
    long = json.dumps({"type": "response.output_text.delta", "delta": "x" * 2000})
    broken = messages(BROKEN)
    changes = {"limits": Limits(text_bytes=1000)}
    async with conversing(answering([*broken[:3], long, broken[-1]], broken), changes) as client:
        await client.send(CREATE)
        assert [long, broken[-1]] == (await received(client))[-2:]
        await client.send(CREATE)
        assert [] == reader.complaints([json.loads(message) for message in await received(client)])


def asking(model: str, lane: str = "", **more: object) -> bytes:
    """A request in a lane."""
    request = {"type": "response.create", "model": model, **({"stream_id": lane} if lane else {}), **more}
    return json.dumps(request).encode()


def answered_model(conversation: Conversation, lane: str) -> object:
    """The model that a bare response gets, which only its request says."""
    said: dict[str, Any] = {"type": "response.created", "response": {"id": f"resp_{lane}"}}
    (created, *_) = conversation.mend(json.dumps({**said, "stream_id": lane}).encode())
    return json.loads(created)["response"]["model"]


def test_requests_that_wait_are_bounded_in_all_lanes_together() -> None:
    """What is beyond a bound is answered all the same, as if nobody knew what was asked for."""
    few = Conversation(Options(limits=Limits(items=3)))
    for lane in ("a", "b", "b", "c"):
        few.hear(asking("m", lane), 0)
    small = Conversation(Options(limits=Limits(held_bytes=400)))
    small.hear(asking("m", "a", input="x" * 200), 0)
    small.hear(asking("m", "b", input="x" * 200), 0)

    assert ["m", ""] == [answered_model(few, lane) for lane in ("a", "c")]
    assert ["m", ""] == [answered_model(small, lane) for lane in ("a", "b")]
    small.hear(asking("m", "c", input="x" * 200), 0)
    assert "m" == answered_model(small, "c")


def test_what_is_no_request_is_not_waited_for() -> None:
    """Nor what is too large, or in a lane that is none."""
    conversation = Conversation(Options(limits=Limits(items=1)))
    for message in (b"no JSON", b"[]", b'{"type":"response.cancel"}', asking("m", lane=7)):  # type: ignore[arg-type]
        conversation.hear(message, 0)
    assert not conversation.is_waiting
    conversation.hear(asking("m", "a"), 0)
    assert conversation.is_waiting
    stray = b'{"type":"response.created","stream_id":"b","response":{"id":"resp_1"}}'
    assert [stray] == conversation.mend(stray)
    conversation.leave()
    assert not conversation.is_waiting


def test_a_request_that_is_too_large_is_not_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is relayed all the same."""
    monkeypatch.setattr("respfix.stream.messages.HEARD", 100)
    conversation = Conversation(Options())
    conversation.hear(asking("m", input="x" * 100), 0)

    assert not conversation.is_waiting


def test_a_warm_up_is_left_as_it_came() -> None:
    """It brings its two ends and nothing else, so nothing in it can be missed; the answer after it is mended."""
    conversation = Conversation(Options())
    ends = [
        b'{"type":"response.created","response":{"id":"resp_w"}}',
        b'{"type":"response.completed","response":{"id":"resp_w"}}',
    ]
    conversation.hear(asking("m", generate=False), 0)
    conversation.hear(asking("m"), 0)

    assert ends == [left for message in ends for left in conversation.mend(message)]
    assert ends[0].replace(b"_w", b"_1") != conversation.mend(ends[0].replace(b"_w", b"_1"))[0]


def test_an_answer_that_another_follows_is_ended_first() -> None:
    """Where the server forgot its end, and where the client asked for one only."""
    first, second = (
        [message.replace("resp_1", name).encode() for message in messages(HEALTHY)] for name in ("resp_1", "resp_2")
    )
    for repaired, conversation in enumerate((Conversation(Options(), changes=False), Conversation(Options()))):
        for _ in range(2):
            conversation.hear(asking("m"), 0)
        for message in first[:5]:
            conversation.mend(message)
        *owed, begun = conversation.mend(second[0])

        assert second[0] == begun
        assert ["response.failed"] * repaired == [json.loads(message)["type"] for message in owed]
        assert second[1:] == [left for message in second[1:] for left in conversation.mend(message)]
        conversation.leave()
        assert {"truncated-stream": 1} == conversation.report.defects


def test_a_fault_of_the_repair_stops_only_its_own_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its messages pass as they come, and those of the other lane are mended."""
    take = Engine.take

    def failing(self: Engine, event: Event) -> list[Event]:
        if event.body.get("stream_id") == "a" and event.type == "response.output_text.delta":
            raise RuntimeError("a fault")
        return take(self, event)

    monkeypatch.setattr(Engine, "take", failing)
    conversation = Conversation(Options())
    left: dict[str, list[bytes]] = {"a": [], "b": []}
    lanes = {lane: [message.encode() for message in in_lane(messages(BROKEN), lane)] for lane in left}
    for lane in lanes:
        conversation.hear(asking("m", lane), 0)
    for pair in zip(*lanes.values(), strict=True):
        for lane, message in zip(lanes, pair, strict=True):
            left[lane] += conversation.mend(message)
    at = next(place for place, message in enumerate(lanes["a"]) if b"output_text.delta" in message)

    assert lanes["a"][at:] == left["a"][-len(lanes["a"]) + at :]
    assert [] == reader.complaints([json.loads(message) for message in left["b"]])
    conversation.leave()
    assert not conversation.is_waiting


async def test_an_error_ends_an_answer_and_nothing_is_added() -> None:
    """No response.failed need follow (websocket mode), and the next request is answered as if nothing had been."""
    error = (
        '{"type":"error","status":400,"error":{"type":"invalid_request_error","code":"previous_response_not_found"}}'
    )
    async with conversing(answering([error], messages(HEALTHY))) as client:
        await client.send(CREATE)
        assert [error] == await received(client)
        await client.send(CREATE)
        assert messages(HEALTHY) == await received(client)


# Ends


async def test_an_upstream_that_breaks_off_is_told_of() -> None:
    """The answer that had begun ends as failed before the connection does."""

    async def script(server: ServerConnection) -> None:
        await server.recv()
        for message in messages(HEALTHY)[:6]:
            await server.send(message)
        await asyncio.sleep(0.05)
        server.transport.abort()

    async with conversing(script) as client:
        await client.send(CREATE)
        out = await received(client)
        with pytest.raises(ConnectionClosed):
            await client.recv()

    last = json.loads(out[-1])
    assert messages(HEALTHY)[:6] == out[:6]
    assert ("response.failed", "server_error") == (last["type"], last["error"]["code"])
    assert "the connection to the upstream broke" in last["error"]["message"]


async def test_an_upstream_that_closes_in_the_middle_is_told_of() -> None:
    """And its code and reason arrive behind that."""

    async def script(server: ServerConnection) -> None:
        await server.recv()
        await server.send(messages(HEALTHY)[0])
        await server.close(1011, "overloaded")

    async with conversing(script) as client:
        await client.send(CREATE)
        out = await received(client)
        with pytest.raises(ConnectionClosed):
            await client.recv()

    assert "response.failed" == json.loads(out[-1])["type"]
    assert (1011, "overloaded") == (client.close_code, client.close_reason)


async def test_an_upstream_that_falls_silent_is_given_up() -> None:
    """Only while it owes an answer: an open connection may be idle for an hour."""

    async def script(server: ServerConnection) -> None:
        await server.recv()
        await server.send(messages(HEALTHY)[0])
        await server.wait_closed()

    async with conversing(script, {"timeouts": {"idle": 0.4}}) as client:
        await asyncio.sleep(1)
        await client.send(CREATE)
        out = await received(client)
        with pytest.raises(ConnectionClosed):
            await client.recv()

    assert "fell silent" in json.loads(out[-1])["error"]["message"]
    assert 1001 == client.close_code


async def test_a_client_that_is_killed_takes_its_upstream_along() -> None:
    """Within a moment, and the process lives."""
    gone = asyncio.Event()

    async def script(server: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await server.send(messages(HEALTHY)[5])
                await asyncio.sleep(0.001)
        gone.set()

    async with conversing(script) as client:
        await client.recv()
        client.transport.abort()
        await asyncio.wait_for(gone.wait(), 5)


async def test_a_client_that_is_slow_holds_its_upstream_back() -> None:
    """Nothing piles up in respfix."""
    sent = 0

    async def script(server: ServerConnection) -> None:
        nonlocal sent
        with contextlib.suppress(ConnectionClosed):
            while True:
                await server.send(bytes(65_536))
                sent += 65_536

    async with conversing(script, max_queue=1, compression=None) as client:
        await asyncio.sleep(1)
        before = sent
        await asyncio.sleep(0.5)
        assert before == sent
        while sent == before:
            await asyncio.wait_for(client.recv(), 5)


def test_what_one_read_inflates_to_is_bounded() -> None:
    """Three frames of 30 MiB in 90 kB: each is allowed, and nobody could be held back between them."""
    told: dict[str, bytes] = {"client": b"", "upstream": b""}

    def tell(who: str, data: bytes) -> None:
        told[who] += data

    limits = Limits()
    extensions, answered = accept("permessage-deflate; client_no_context_takeover")
    there = Wire([], limits.frame_bytes, is_client=False)
    here = Wire(extensions, limits.frame_bytes, is_client=True)
    crossing = Crossing(
        here, there, Conversation(Options()), limits, (partial(tell, "client"), partial(tell, "upstream"))
    )
    client = Wire(agreed(answered), limits.frame_bytes, is_client=False)
    client_frame = Frame(Opcode.BINARY, bytes(30 * 2**20)).serialize(mask=True, extensions=client._extensions)

    assert len(client_frame) < 100_000
    assert len(crossing.up(client_frame)) > 30 * 2**20
    assert crossing.up(client_frame * 3) == b""
    assert crossing.is_over.is_set()
    crossing.end(Ending.CUT, "")
    assert b"inflate to more than" in told["client"]
    assert len(told["upstream"]) < 2 * 30 * 2**20 + 1000


@pytest.mark.parametrize(
    ("bytes_sent", "code"),
    [
        (b"\x83\x80\0\0\0\0", 1002),  # an opcode that is none
        (b"\xf1\x80\0\0\0\0", 1002),  # reserved bits
        (b"\x80\x80\0\0\0\0", 1002),  # a continuation of nothing
        (b"\x81\x00", 1002),  # not masked
        (b"\x81\xff" + (2**40).to_bytes(8, "big") + b"\0\0\0\0", 1009),
    ],
    ids=["opcode", "reserved", "continuation", "unmasked", "huge"],
)
async def test_a_client_that_breaks_the_protocol_is_told_so(bytes_sent: bytes, code: int) -> None:
    """And its upstream hears that it is over."""
    closed: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    async def script(server: ServerConnection) -> None:
        await server.wait_closed()
        closed.set_result(server.close_code)

    async with conversing(script, compression=None) as client:
        client.transport.write(bytes_sent)
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(client.recv(), 5)

        assert code == client.close_code
        assert 1001 == await asyncio.wait_for(closed, 5)


async def test_an_upstream_that_breaks_the_protocol_is_told_of() -> None:
    """Whoever waits for an answer hears that it failed."""

    async def script(server: ServerConnection) -> None:
        await server.recv()
        await server.send(messages(HEALTHY)[0])
        server.transport.write(b"\x83\x00")
        await server.wait_closed()

    async with conversing(script) as client:
        await client.send(CREATE)
        out = await received(client)
        with pytest.raises(ConnectionClosed):
            await client.recv()

    assert "response.failed" == json.loads(out[-1])["type"]
    assert 1001 == client.close_code


async def test_respfix_that_stops_says_so() -> None:
    """The answer that is running ends as failed, and the connection as going away."""

    async def script(server: ServerConnection) -> None:
        await server.recv()
        await server.send(messages(HEALTHY)[0])
        await server.wait_closed()

    async with speaking(script) as url, contextlib.AsyncExitStack() as stack:
        address = await stack.enter_async_context(running(config_for(url, timeouts={"drain": 0.1})))
        async with connect(f"ws://{address}/v1/responses", proxy=None) as client:
            await client.send(CREATE)
            await client.recv()
            stopping = asyncio.create_task(stack.aclose())
            out = await received(client)
            with pytest.raises(ConnectionClosed):
                await client.recv()
            await stopping

    assert "respfix was shut down" in json.loads(out[-1])["error"]["message"]
    assert 1001 == client.close_code


async def logged(script: Script, ends: Callable[[ClientConnection], Awaitable[None]]) -> Entry:
    """What the log says of a connection that the client used like this."""
    async with speaking(script) as url:
        service = Service(config_for(url))
        await service.start()
        try:
            async with connect(f"ws://{service.address}/v1/responses", proxy=None) as client:
                await ends(client)
        finally:
            await service.stop(2)
        return service.journal.past[-1]


async def test_a_client_that_leaves_in_the_middle_is_no_broken_stream() -> None:
    """What came until then is counted, and nothing is said to be missing."""

    async def script(server: ServerConnection) -> None:
        await server.recv()
        for message in messages(HEALTHY)[:5]:
            await server.send(message)
        await server.wait_closed()

    async def ends(client: ClientConnection) -> None:
        await client.send(CREATE)
        for _ in range(5):
            await client.recv()

    entry = await logged(script, ends)

    assert ("client (early)", Outcome.LEFT) == (entry.ended_by, entry.outcome)
    assert entry.report is not None
    assert (5, {}) == (entry.report.events_in, entry.report.defects)


async def test_a_client_that_closes_after_its_answer_has_ended_it() -> None:
    """As most do."""

    async def ends(client: ClientConnection) -> None:
        await client.send(CREATE)
        await received(client)

    entry = await logged(answering(messages(BROKEN)), ends)

    assert ("client", Outcome.REPAIRED) == (entry.ended_by, entry.outcome)


async def test_an_upstream_that_closes_has_ended_it() -> None:
    """Also where the client answers its close frame."""

    async def script(server: ServerConnection) -> None:
        await server.recv()
        for message in messages(HEALTHY):
            await server.send(message)

    async def ends(client: ClientConnection) -> None:
        await client.send(CREATE)
        await received(client)
        with pytest.raises(ConnectionClosed):
            await client.recv()

    assert "upstream" == (await logged(script, ends)).ended_by


async def test_an_event_after_the_end_is_counted() -> None:
    """It is taken out, and the log says so."""
    stray = json.dumps({**json.loads(messages(HEALTHY)[4]), "type": "response.output_text.delta"})

    async def ends(client: ClientConnection) -> None:
        await client.send(CREATE)
        await received(client)
        with pytest.raises(ConnectionClosed):
            await client.recv()

    async def script(server: ServerConnection) -> None:
        await server.recv()
        for message in [*messages(HEALTHY), stray]:
            await server.send(message)

    entry = await logged(script, ends)

    assert entry.report is not None
    assert {"event-after-terminal": 1} == entry.report.defects


# Signs of life


async def test_a_client_that_hears_nothing_is_pinged() -> None:
    """Its pong does not reach the upstream, which did not ask; other pongs do."""
    got: list[tuple[Opcode, bytes]] = []

    async def script(server: ServerConnection) -> None:
        process = server.protocol.recv_frame

        def heard(frame: Frame) -> None:
            got.append((frame.opcode, bytes(frame.data)))
            process(frame)

        server.protocol.recv_frame = heard  # type: ignore[method-assign]
        await server.wait_closed()

    pinged: list[bytes] = []
    async with conversing(script, {"keepalive": 0.2}, ping_interval=None) as client:
        process = client.protocol.recv_frame

        def seen(frame: Frame) -> None:
            if frame.opcode is Opcode.PING:
                pinged.append(bytes(frame.data))
            process(frame)

        client.protocol.recv_frame = seen  # type: ignore[method-assign]
        await asyncio.sleep(1)
        await client.pong(b"respfix")  # one that nothing asked for
        await client.pong(b"mine")
        await asyncio.sleep(0.05)

    assert 3 <= len(pinged) <= 10
    assert {b"respfix"} == set(pinged)
    assert (Opcode.PONG, b"mine") in got
    assert [] == [data for opcode, data in got if opcode is Opcode.PING]
    assert len([data for _, data in got if data == b"respfix"]) <= 1


async def test_a_client_is_pinged_only_if_that_is_asked_for() -> None:
    """And not while its answer flows."""

    async def script(server: ServerConnection) -> None:
        await server.recv()
        for message in messages(HEALTHY):
            await server.send(message)
            await asyncio.sleep(0.05)
        await server.close()

    for changes in ({}, {"keepalive": 0.4}):
        pinged: list[Frame] = []
        async with conversing(script, changes, ping_interval=None) as client:
            process = client.protocol.recv_frame

            def seen(frame: Frame, process: Callable[[Frame], None] = process, pinged: list[Frame] = pinged) -> None:
                pinged += [frame] if frame.opcode is Opcode.PING else []
                process(frame)

            client.protocol.recv_frame = seen  # type: ignore[method-assign]
            await client.send(CREATE)
            assert messages(HEALTHY) == await received(client)

        assert [] == pinged


# The loop that respfix runs on


@pytest.mark.parametrize(
    "test",
    [
        test_a_broken_answer_is_mended,
        test_an_upstream_that_breaks_off_is_told_of,
        test_an_upstream_that_closes_in_the_middle_is_told_of,
        test_an_upstream_that_falls_silent_is_given_up,
        test_a_client_that_is_killed_takes_its_upstream_along,
        test_an_upstream_that_breaks_the_protocol_is_told_of,
        test_respfix_that_stops_says_so,
        test_a_client_that_hears_nothing_is_pinged,
        partial(test_a_client_that_breaks_the_protocol_is_told_so, b"\xf1\x80\0\0\0\0", 1002),
    ],
    ids=lambda test: getattr(test, "__name__", "test_a_client_that_breaks_the_protocol_is_told_so"),
)
def test_the_same_holds_in_uvloop(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Its transports are other ones than asyncio's, in which the tests run."""
    uvloop = pytest.importorskip("uvloop")

    uvloop.run(test())


# Switches


async def test_observing_changes_nothing() -> None:
    """Every message as it came; what would be repaired is counted."""
    async with conversing(answering(messages(BROKEN)), {"repair": "observe"}) as client:
        await client.send(CREATE)

        assert messages(BROKEN) == await received(client)


UPGRADE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
)


@pytest.mark.parametrize("status", [b"404 Not Found", b"405 Method Not Allowed"])
async def test_an_upstream_without_a_websocket_is_said_to_be_one(status: bytes) -> None:
    """426, on which Codex uses HTTP at once; the connection can be used again."""
    data = answer(b"nothing", status=status)
    async with scripted(data) as upstream, through(upstream) as client:
        for _ in range(2):
            head, body = await client.ask(request("/v1/responses", *UPGRADE, method="GET", body=None))
            assert head.startswith(b"HTTP/1.1 426 ")
            assert b"no_websocket" in body


@pytest.mark.parametrize(
    ("target", "status", "changes"),
    [
        ("/v1/responses", b"404 Not Found", {"websocket_fallback": False}),
        ("/v1/responses", b"404 Not Found", {"repair": "off"}),
        ("/v1/responses", b"401 Unauthorized", {}),
        ("/v1/responses", b"426 Upgrade Required", {}),
        ("/v1/realtime", b"404 Not Found", {}),
    ],
)
async def test_any_other_refusal_is_relayed(target: str, status: bytes, changes: dict[str, Any]) -> None:
    """Head and body, as the upstream said it."""
    data = answer(b"no", status=status)
    async with scripted(data) as upstream, through(upstream, **changes) as client:
        head, body = await client.ask(request(target, *UPGRADE, method="GET", body=None))

        assert data == head + body


async def test_extensions_that_nobody_offered_are_refused() -> None:
    """The upstream is at fault, and the client is told before it is too late."""
    data = (
        b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
        b"Sec-WebSocket-Extensions: x-unknown\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )
    async with scripted(data) as upstream, through(upstream) as client:
        head, _ = await client.ask(request("/v1/responses", *UPGRADE, method="GET", body=None))

        assert head.startswith(b"HTTP/1.1 502 ")
