"""A bad network on either side of respfix, at every border of an event and in the middle of every event.

What the client sees is right (all that was received, then a clear failure), nothing hangs, nothing is left behind.
"""

from __future__ import annotations

import asyncio
import gc
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import pytest
import reader
from conftest import Figures
from downstream import config_for, connected, request
from faults import proxy
from faults.footprint import Footprint, resident
from faults.proxy import Act, Fault, Network, network
from upstream import END, STREAM_HEAD, Exchange, Script, chunk, serving

from respfix.app import running
from respfix.config import Address

TESTS = Path(__file__).parent
HEALTHY = (TESTS / "streams/conformant/phase-commentary-then-call.sse").read_bytes()
BROKEN = (TESTS / "clients/streams/sub2api-0.1.132-cc-reasoning-text-tool.sse").read_bytes()
MENDED, PIPED = "/v1/responses", "/v1/chat/completions"
IDLE = 0.5  # seconds; what waits for nothing else has ten times as long


def frames_of(body: bytes) -> list[bytes]:
    """A stream cut at its blank lines."""
    return [frame + b"\n\n" for frame in body.removesuffix(b"\n\n").split(b"\n\n")]


class Place(NamedTuple):
    """Where a fault happens."""

    at: int  # bytes of the answer, its head included
    arrived: bytes  # the whole events before it
    half: bytes = b""  # and so much of the next one


class Answer(NamedTuple):
    """An answer as it travels, and every place in it."""

    raw: bytes
    places: list[Place]

    @classmethod
    def framed(cls, body: bytes, framing: str) -> Answer:
        """The body in chunks of one event, with its length, or until the connection closes."""
        kind = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        head = {
            "chunked": STREAM_HEAD,
            "length": kind + b"Content-Length: %d\r\n\r\n" % len(body),
            "close": kind + b"Connection: close\r\n\r\n",
        }[framing]
        wrap = chunk if framing == "chunked" else bytes
        frames = frames_of(body)
        ends = list(accumulate((len(wrap(frame)) for frame in frames), initial=len(head)))
        places, arrived = [], b""
        for frame, begin in zip(frames, ends, strict=False):
            inside = wrap(frame).index(frame)
            middle = len(frame) // 2
            places += [Place(begin, arrived), Place(begin + inside + middle, arrived, frame[:middle])]
            arrived += frame
        places.append(Place(ends[-1], arrived))
        return cls(head + b"".join(map(wrap, frames)) + (END if framing == "chunked" else b""), places)


def scripted(answer: bytes, framing: str = "chunked") -> Script:
    """An upstream that gives this answer."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(answer)
        exchange.is_last = framing == "close"

    return script


class Received(NamedTuple):
    """An answer's body as the client got it."""

    status: int
    body: bytes
    is_whole: bool  # framed as whole


async def received(address: Address, target: str) -> Received:
    """Ask, and read until the answer or the connection ends, whichever comes first."""
    global answers  # noqa: PLW0603 (a figure)
    answers += 1
    async with connected(address) as client:
        await client.send(request(target))
        head = await client.head()
        if b"chunked" not in head:
            try:
                return Received(int(head.split()[1]), await client.body(head), is_whole=True)
            except asyncio.IncompleteReadError as cut:
                return Received(int(head.split()[1]), cut.partial, is_whole=False)
        pieces: list[bytes] = []
        try:
            while piece := await client.chunk():
                pieces.append(piece)
        except asyncio.IncompleteReadError as cut:
            return Received(int(head.split()[1]), b"".join([*pieces, cut.partial]), is_whole=False)
        except ConnectionResetError:
            return Received(int(head.split()[1]), b"".join(pieces), is_whole=False)
        return Received(int(head.split()[1]), b"".join(pieces), is_whole=True)


answers = 0  # that went through a fault


@pytest.fixture(scope="module", autouse=True)
def tally(figures: Figures) -> Iterator[None]:
    """Says what all of this file's faults have left in memory."""
    memory = resident()
    gc.freeze()  # what there is now is not looked through again for each footprint
    yield
    gc.unfreeze()
    grown = (resident() - memory) / 2**20
    figures(f"bad networks: {answers} answers; tasks, descriptors and objects as before, memory {grown:+.1f} MiB")

    assert grown < 32


@pytest.fixture
def unharmed() -> Iterator[list[Footprint]]:
    """Compares what is held before and after; the test fills it in."""
    held: list[Footprint] = []
    yield held
    before, after = held

    assert after == before


@asynccontextmanager
async def bad_upstream(
    answer: bytes, held: list[Footprint], framing: str = "chunked", idle: float = 5
) -> AsyncIterator[tuple[Network, Address]]:
    """A respfix whose upstream is behind a bad network."""
    async with serving(scripted(answer, framing)) as upstream, network(upstream.port) as net:
        timeouts = {"idle": idle, "first_byte": idle, "upstream_keepalive": 0}
        async with running(config_for(net.url, timeouts=timeouts)) as address:
            await received(address, MENDED)  # what is made only once, is made
            held.append(await Footprint.at_rest())
            yield net, address
            net.fault = None
            held.append(await Footprint.at_rest(held[0]))


async def everywhere(net: Network, address: Address, target: str, act: Act, places: list[int]) -> list[Received]:
    """One request for each place, each on a connection on which the fault happens there; all at once."""
    asked = []
    for at in places:
        net.fault = Fault(act, at)
        net.taken.clear()
        asked.append(asyncio.create_task(received(address, target)))
        await net.taken.wait()
    return await asyncio.gather(*asked)


CUTS = {
    "closed": proxy.close,
    "half-closed": proxy.half_close,
    "reset": proxy.reset,
    "stalled": proxy.stall,
}


def patience(fault: str) -> float:
    """How long to wait for the upstream: only a stall is waited for."""
    return IDLE if fault == "stalled" else 5


def is_terminal(frame: bytes) -> bool:
    """It ends a response."""
    return b"event: response.completed\n" in frame


def failure(events: list[reader.Event]) -> str:
    """The message of the one event that says that it failed, after which nothing comes."""
    assert [event["type"] for event in events if event["type"] in reader.TERMINALS] == ["response.failed"]
    assert events[-1]["type"] == "response.failed"
    message = events[-1]["error"]["message"]
    assert events[-1]["response"]["error"]["message"] == message
    return str(message)


FRAMED_CUTS = [*(("chunked", cut) for cut in CUTS), ("length", "closed"), ("close", "closed"), ("close", "reset")]


@pytest.mark.parametrize(("framing", "fault"), FRAMED_CUTS)
async def test_a_healthy_stream_that_is_cut_keeps_what_came_and_says_that_it_failed(
    framing: str, fault: str, unharmed: list[Footprint]
) -> None:
    """Byte for byte up to the last whole event, then response.failed, then a clean end; after its end nothing more."""
    answer = Answer.framed(HEALTHY, framing)
    async with bad_upstream(answer.raw, unharmed, framing, idle=patience(fault)) as (net, address):
        all_found = await everywhere(net, address, MENDED, CUTS[fault], [place.at for place in answer.places])
        for place, found in zip(answer.places, all_found, strict=True):
            assert (found.status, found.is_whole) == (200, True)
            assert found.body.startswith(place.arrived)
            rest = reader.events(found.body[len(place.arrived) :])
            if is_terminal(place.arrived):
                assert rest == []
            else:
                message = failure(rest)
                assert f"after {len(reader.events(place.arrived))} event" in message
                assert "upstream" in message


@pytest.mark.parametrize("fault", CUTS)
async def test_a_broken_stream_that_is_cut_is_mended_as_far_as_it_came(fault: str, unharmed: list[Footprint]) -> None:
    """All that was said before is in it, once; a strict reader has nothing to object to."""
    answer = Answer.framed(BROKEN, "chunked")
    async with bad_upstream(answer.raw, unharmed, idle=patience(fault)) as (net, address):
        all_found = await everywhere(net, address, MENDED, CUTS[fault], [place.at for place in answer.places])
        for place, found in zip(answer.places, all_found, strict=True):
            events = reader.events(found.body)

            assert (found.status, found.is_whole) == (200, True)
            assert reader.complaints(events, is_strict=False) == []
            assert sorted(reader.said(events).values()) == sorted(deltas(place.arrived).values())
            if is_terminal(place.arrived):
                assert reader.terminal(events)["type"] == "response.completed"
            else:
                failure(events)


def deltas(body: bytes) -> dict[str, str]:
    """What the broken upstream has said so far: it names no items, so by the kind of event and the tool's index."""
    texts: dict[str, str] = {}
    for event in reader.events(body):
        if event["type"].endswith(".delta") and event.get("delta"):
            whose = f"{event['type']} {event.get('output_index')}"
            texts[whose] = texts.get(whose, "") + event["delta"]
    return texts


@pytest.mark.parametrize(("framing", "fault"), FRAMED_CUTS)
async def test_a_body_that_nobody_mends_is_cut_at_the_very_byte(
    framing: str, fault: str, unharmed: list[Footprint]
) -> None:
    """What came is passed on, half events too, and then the connection breaks off; only a close can be its end."""
    answer = Answer.framed(HEALTHY, framing)
    async with bad_upstream(answer.raw, unharmed, framing, idle=patience(fault)) as (net, address):
        all_found = await everywhere(net, address, PIPED, CUTS[fault], [place.at for place in answer.places])
        for place, found in zip(answer.places, all_found, strict=True):
            assert found.body == place.arrived + place.half
            is_all = framing == "length" and found.body == HEALTHY
            is_end = framing == "close" and fault in {"closed", "half-closed"}
            assert found.is_whole == (is_all or is_end)


@pytest.mark.parametrize("target", [MENDED, PIPED])
@pytest.mark.parametrize("fault", CUTS)
async def test_an_answer_that_never_gets_through_its_head_is_a_gateway_error(
    fault: str, target: str, unharmed: list[Footprint]
) -> None:
    """502 for a connection that ends, 504 for one that falls silent; both in OpenAI's words."""
    answer = Answer.framed(HEALTHY, "chunked")
    is_ended = fault != "stalled"
    async with bad_upstream(answer.raw, unharmed, idle=patience(fault)) as (net, address):
        for found in await everywhere(net, address, target, CUTS[fault], list(range(0, len(STREAM_HEAD), 9))):
            error = json.loads(found.body)["error"]

            assert found.status == (502 if is_ended else 504)
            assert error["code"] == ("upstream_disconnected" if is_ended else "upstream_timeout")
            assert net.url in error["message"]


def undated(found: Received) -> Received:
    """Without the moment of the request, which the broken upstream leaves out."""
    return found._replace(body=re.sub(rb'"created_at":\d+', b"", found.body))


HINDRANCES: dict[str, Act] = {"slices of one byte": proxy.slices, "latency": proxy.latency}


@pytest.mark.parametrize("target", [MENDED, PIPED])
@pytest.mark.parametrize("hindrance", HINDRANCES)
async def test_a_slow_network_changes_nothing(hindrance: str, target: str, unharmed: list[Footprint]) -> None:
    """From whichever event it becomes slow; every byte resets the idle clock."""
    for body in (HEALTHY, BROKEN):
        held: list[Footprint] = []
        answer = Answer.framed(body, "chunked")
        async with bad_upstream(answer.raw, held) as (net, address):
            expected = undated(await received(address, target))
            places = [place.at for place in answer.places[:: 1 if hindrance == "latency" else 12]]
            all_found = await everywhere(net, address, target, HINDRANCES[hindrance], places)

            assert [undated(found) for found in all_found] == [expected] * len(places)
        unharmed[:] = held
        assert held[0] == held[1]


BREAKAGES = {
    "a size that is no number": proxy.inserting(b"zz\r\n"),
    "a negative size": proxy.inserting(b"-5\r\n"),
    "binary garbage": proxy.inserting(bytes(range(256))),
    "another answer": proxy.inserting(STREAM_HEAD),
    "a lost byte": proxy.losing(1),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
async def test_broken_chunks_end_a_stream_as_a_cut_does(breakage: str, unharmed: list[Footprint]) -> None:
    """The bytes behind them mean nothing any more; with aiohttp's C parser the reader would wait for ever."""
    answer = Answer.framed(HEALTHY, "chunked")
    async with bad_upstream(answer.raw, unharmed) as (net, address):
        places = answer.places[2::2]
        mended_all, piped_all = [
            await everywhere(net, address, target, BREAKAGES[breakage], [place.at for place in places])
            for target in (MENDED, PIPED)
        ]
        for place, mended, piped in zip(places, mended_all, piped_all, strict=True):
            assert (mended.status, mended.is_whole) == (200, True)
            assert mended.body.startswith(place.arrived)
            rest = reader.events(mended.body[len(place.arrived) :])
            if is_terminal(place.arrived):
                assert rest == []
            else:
                failure(rest)
            assert not piped.is_whole
            assert piped.body.startswith(place.arrived)


GARBAGE = {
    "bytes": chunk(b"\xff\xfe\x00\n\n"),
    "half an event": chunk(b"event: response.created\ndata: {\n\n"),
    "another protocol": chunk(b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[]}\n\n'),
}


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_garbage_between_two_events_costs_no_event(garbage: str, unharmed: list[Footprint]) -> None:
    """All events before and after it arrive as they were, and the stream ends well."""
    answer = Answer.framed(HEALTHY, "chunked")
    async with bad_upstream(answer.raw, unharmed) as (net, address):
        places = answer.places[::2]
        act = proxy.inserting(GARBAGE[garbage])
        all_found = await everywhere(net, address, MENDED, act, [place.at for place in places])
        for place, found in zip(places, all_found, strict=True):
            assert found.is_whole
            assert found.body.startswith(place.arrived)
            missing = [frame for frame in frames_of(HEALTHY) if frame not in found.body]
            assert missing == []


async def test_a_length_that_is_too_short_ends_the_body_there_and_taints_no_other_answer(
    unharmed: list[Footprint],
) -> None:
    """What is left over, mostly in one read with the head, must never be taken for the answer to the next request."""

    async def script(exchange: Exchange) -> None:
        shown = exchange.target.rpartition(b"=")[2]
        await exchange.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: " + shown + b"\r\n\r\n"
        )
        await exchange.send(b"right" if shown == b"5" else HEALTHY)

    places = Answer.framed(HEALTHY, "length").places
    timeouts = {"upstream_keepalive": 0.5}
    async with serving(script) as upstream, running(config_for(upstream, timeouts=timeouts)) as address:
        unharmed.append(await Footprint.at_rest())
        targets = [f"?shown={len(place.arrived + place.half)}" for place in places]
        for target in (MENDED, PIPED):
            all_found = await asyncio.gather(*(received(address, target + query) for query in targets))
            nexts = await asyncio.gather(*(received(address, PIPED + "?shown=5") for _ in places))

            assert nexts == [Received(200, b"right", is_whole=True)] * len(places)
            for place, found in zip(places, all_found, strict=True):
                assert found.is_whole
                if target == PIPED:
                    assert found.body == place.arrived + place.half
                    continue
                assert found.body.startswith(place.arrived)
                ends = [event["type"] for event in reader.events(found.body) if event["type"] in reader.TERMINALS]
                # The framing says that this was all, so only a turn of which every item is closed may count as whole.
                is_closed = (place.arrived.endswith(LAST_ITEM) and not place.half) or is_terminal(place.arrived)
                assert ends == ["response.completed" if is_closed else "response.failed"]
        unharmed.append(await Footprint.at_rest(unharmed[0]))


LAST_ITEM = [frame for frame in frames_of(HEALTHY) if b"event: response.output_item.done\n" in frame][-1]


async def test_a_length_that_is_too_long_cuts_the_body(unharmed: list[Footprint]) -> None:
    """A stream that had its end is whole all the same; anything else is cut."""
    raw = Answer.framed(HEALTHY, "length").raw.replace(b"Content-Length: ", b"Content-Length: 9")
    async with bad_upstream(raw, unharmed, "close") as (_, address):
        assert await received(address, MENDED) == Received(200, HEALTHY, is_whole=True)
        assert await received(address, PIPED) == Received(200, HEALTHY, is_whole=False)


# Between the client and respfix


@asynccontextmanager
async def bad_client(
    answer: bytes, held: list[Footprint]
) -> AsyncIterator[tuple[Network, Address, list[asyncio.Event]]]:
    """A respfix that is reached through a bad network, and for each request when the upstream was left."""
    left: list[asyncio.Event] = []

    async def script(exchange: Exchange) -> None:
        gone = asyncio.Event()
        left.append(gone)
        await exchange.send(answer)
        await exchange.gone()
        gone.set()

    timeouts = {"idle": 30, "client_keepalive": 0.5, "upstream_keepalive": 0}
    async with (
        serving(script) as upstream,
        running(config_for(upstream, timeouts=timeouts)) as address,
        network(address.port) as net,
    ):
        held.append(await Footprint.at_rest())
        yield net, Address(*net.address), left
        net.fault = None
        held.append(await Footprint.at_rest(held[0]))


@pytest.mark.parametrize("target", [MENDED, PIPED])
@pytest.mark.parametrize("fault", ["closed", "reset"])
async def test_a_client_that_is_lost_at_any_place_takes_its_upstream_with_it(
    fault: str, target: str, unharmed: list[Footprint]
) -> None:
    """The upstream here never ends by itself, so only being left can free what the request holds."""
    answer = Answer.framed(HEALTHY.removesuffix(frames_of(HEALTHY)[-1]), "chunked")
    async with bad_client(answer.raw.removesuffix(END), unharmed) as (net, address, left):
        places = answer.places[:-1]
        all_found = await everywhere(net, address, target, CUTS[fault], [place.at for place in places])
        await asyncio.wait_for(asyncio.gather(*(gone.wait() for gone in left)), 5)

        assert [found.is_whole for found in all_found] == [False] * len(places)
        assert all(HEALTHY.startswith(found.body) for found in all_found)
        assert len(left) == len(places)


@pytest.mark.parametrize("target", [MENDED, PIPED])
@pytest.mark.parametrize("hindrance", HINDRANCES)
async def test_a_slow_way_to_the_client_changes_nothing(hindrance: str, target: str, unharmed: list[Footprint]) -> None:
    """From whichever event it becomes slow."""
    answer = Answer.framed(HEALTHY, "chunked")
    async with bad_client(answer.raw, unharmed) as (net, address, _):
        places = [place.at for place in answer.places[:: 2 if hindrance == "latency" else 12]]
        expected = [Received(200, HEALTHY, is_whole=True)] * len(places)

        assert await everywhere(net, address, target, HINDRANCES[hindrance], places) == expected


async def test_a_request_in_slices_of_one_byte_arrives_as_it_was(unharmed: list[Footprint]) -> None:
    """Its line, its headers and its body, cut everywhere."""
    seen: list[Exchange] = []

    async def script(exchange: Exchange) -> None:
        seen.append(exchange)
        await exchange.send(STREAM_HEAD + chunk(HEALTHY) + END)

    body = b'{"stream": true, "input": "' + bytes(range(128, 256)) + b'"}'
    async with (
        serving(script) as upstream,
        running(config_for(upstream, timeouts={"upstream_keepalive": 0})) as address,
    ):
        async with network(address.port, Fault(proxy.slices, is_upwards=True)) as net:
            unharmed.append(await Footprint.at_rest())
            async with connected(Address(*net.address)) as client:
                _, found = await client.ask(request(MENDED, "X-Key: value", body=body))
            unharmed.append(await Footprint.at_rest(unharmed[0]))

        assert found == HEALTHY
        assert seen[0].body == body


@pytest.mark.parametrize("fault", ["closed", "half-closed", "reset"])
async def test_a_request_that_is_cut_anywhere_never_arrives_whole(fault: str, unharmed: list[Footprint]) -> None:
    """Half a prompt must not be worked on, and what was begun for it is given up."""
    whole: list[bytes] = []

    async def script(exchange: Exchange) -> None:
        await exchange.read_body()
        whole.append(exchange.body)

    sent = request(MENDED, body=b'{"stream": true, "input": "' + b"x" * 400 + b'"}')
    async with serving(script, reads_bodies=False) as upstream, running(config_for(upstream)) as address:
        async with network(address.port) as net:
            unharmed.append(await Footprint.at_rest())
            for at in range(1, len(sent) - 1, 17):
                net.fault = Fault(CUTS[fault], at, is_upwards=True)
                async with connected(Address(*net.address)) as client:
                    await client.send(sent)
                    try:
                        said = await client.rest()
                    except ConnectionResetError:
                        said = b""

                    assert b" 200 " not in said
            unharmed.append(await Footprint.at_rest(unharmed[0]))

        assert whole == []
