"""The short way of a read: the same bytes as the long one, whatever reads they come in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace
from typing import cast

import pytest
from aiohttp import ClientResponse, StreamReader, hdrs
from aiohttp.client_proto import ResponseHandler
from downstream import through
from hypothesis import given, settings, strategies as st
from upstream import END, STREAM_HEAD, Exchange, chunk, serving

from respfix.relay.patience import Patience
from respfix.relay.source import Source
from respfix.relay.spout import Spout, unframed


class Wire(asyncio.Transport):
    """A connection into which bytes are put by hand."""

    def __init__(self, protocol: asyncio.BaseProtocol) -> None:
        super().__init__()
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who is told."""
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Tell somebody else."""
        self._protocol = protocol

    def put(self, data: bytes) -> None:
        """Let bytes arrive."""
        assert isinstance(self._protocol, asyncio.Protocol)
        self._protocol.data_received(data)

    def get_extra_info(self, name: str, default: object = None) -> object:
        """Nothing."""
        del name
        return default

    def is_closing(self) -> bool:
        """It is open."""
        return False

    def close(self) -> None:
        """Nothing."""

    def pause_reading(self) -> None:
        """Nothing."""

    def resume_reading(self) -> None:
        """Nothing."""


class Aiohttp(ResponseHandler):
    """aiohttp's own protocol, which tells how much it was given to parse."""

    parsed = 0

    def data_received(self, data: bytes) -> None:
        """Parse."""
        self.parsed += len(data)
        super().data_received(data)


async def answering() -> tuple[Wire, Aiohttp, StreamReader]:
    """A connection on which the head of a chunked answer has come."""
    protocol = Aiohttp(asyncio.get_running_loop())
    wire = Wire(protocol)
    protocol.connection_made(wire)
    protocol.set_response_params(read_until_eof=True, auto_decompress=False)
    wire.put(STREAM_HEAD)
    message, content = await protocol.read()
    assert message.headers[hdrs.TRANSFER_ENCODING] == "chunked"
    return wire, protocol, content


def gathering(came: list[bytes]) -> Callable[[bytes], bool]:
    """A client that takes all that it is given."""

    def take(data: bytes) -> bool:
        came.append(data)
        return True

    return take


async def poured(reads: list[bytes]) -> tuple[bytes, bool, int]:
    """What comes out for these reads, whether the answer is over, and how many bytes aiohttp has parsed."""
    wire, protocol, content = await answering()
    came: list[bytes] = []
    spout = Spout(wire, content, gathering(came))
    protocol.parsed = 0
    for data in reads:
        wire.put(data)
    spout.close()
    return b"".join(came), content.is_eof(), protocol.parsed


# Texts that look like the chunks around them are the hard case.
PAYLOADS = st.one_of(
    st.binary(min_size=1, max_size=40),
    st.sampled_from([b"1\r\nx\r\n", b"\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n", b"data: {}\n\n"]),
)


@settings(max_examples=300, deadline=None)
@given(payloads=st.lists(PAYLOADS, min_size=1, max_size=12), cuts=st.lists(st.integers(0, 400), max_size=8))
def test_the_short_way_gives_what_the_long_one_gives(payloads: list[bytes], cuts: list[int]) -> None:
    """However a chunked body is cut into reads, its content comes out, and its end is seen."""
    body = b"".join(map(chunk, payloads)) + END
    places = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    reads = [body[begin:end] for begin, end in pairwise(places)]

    assert (b"".join(payloads), True) == asyncio.run(poured(reads))[:2]


@settings(max_examples=300, deadline=None)
@given(payloads=st.lists(PAYLOADS, min_size=1, max_size=12), shape=st.lists(st.integers(1, 4), max_size=12))
def test_reads_of_whole_chunks_are_no_exception(payloads: list[bytes], shape: list[int]) -> None:
    """The reads that take the short way are those that end where chunks do."""
    reads, rest = [], list(map(chunk, payloads))
    for count in shape:
        reads.append(b"".join(rest[:count]))
        rest = rest[count:]
    reads = [*filter(None, reads), *rest, END]

    assert (b"".join(payloads), True) == asyncio.run(poured(reads))[:2]


async def test_a_read_of_whole_chunks_is_parsed_once() -> None:
    """From the second on aiohttp sees none of them; the end is its own again."""
    event = chunk(b"data: {}\n\n")

    body, is_over, parsed = await poured([event, event, event + event, event, END])

    assert (b"data: {}\n\n" * 5, True, len(event) + len(END)) == (body, is_over, parsed)


async def test_a_text_that_looks_like_a_chunk_is_text() -> None:
    """Inside a larger chunk it is left to aiohttp, however often it comes."""
    lookalike = b"3\r\nabc\r\n"

    body, is_over, _ = await poured([b"40\r\n", *[lookalike] * 8, b"\r\n", END])

    assert (lookalike * 8, True) == (body, is_over)


async def test_what_aiohttp_had_put_off_is_not_left_behind() -> None:
    """It stops parsing beyond 512 KiB; what it parses when these are read would wait for the next that comes."""
    wire, protocol, content = await answering()
    texts = [b"%04d" % number * 4096 for number in range(44)]
    for start in range(0, 44, 15):  # reads of 240 KiB, and nobody takes them
        wire.put(b"".join(map(chunk, texts[start : start + 15])))
    upstream = SimpleNamespace(
        content=content, connection=SimpleNamespace(protocol=protocol), method="POST", status=200, headers={}
    )
    source = Source(cast("ClientResponse", upstream), Patience())
    came = [await source.read()]
    pouring = asyncio.create_task(source.pour(gathering(came)))
    await asyncio.sleep(0)
    pouring.cancel()

    assert b"".join(texts) == b"".join(came)


async def test_a_slow_client_ends_the_short_way() -> None:
    """What comes after that is kept by aiohttp, with its bounds."""
    wire, protocol, content = await answering()
    spout = Spout(wire, content, lambda _: False)

    wire.put(chunk(b"one"))
    wire.put(chunk(b"two"))

    assert spout.dried.done()
    assert protocol is wire.get_protocol()
    assert b"two" == content.read_nowait()


@pytest.mark.parametrize("between", [False, True], ids=["parsed", "unframed"])
async def test_a_full_read_lets_others_have_their_turn(*, between: bool) -> None:
    """uvloop would take 32 of them from one connection first, and mend them all."""
    wire, protocol, content = await answering()
    came: list[bytes] = []
    spout = Spout(wire, content, gathering(came))
    wire.put(chunk(b"small") if between else b"")
    assert not spout.dried.done()
    wire.put(chunk(bytes(2**17)))

    assert spout.dried.done()
    assert protocol is wire.get_protocol()
    assert bytes(2**17) == came[-1]


async def test_a_client_that_has_gone_is_told_to_the_task() -> None:
    """An error of the client's side is raised where the task waits, and not in the loop."""
    wire, protocol, content = await answering()

    def take(_: bytes) -> bool:
        raise ConnectionResetError("gone")

    spout = Spout(wire, content, take)
    wire.put(chunk(b"one"))

    with pytest.raises(ConnectionResetError, match="gone"):
        await spout.dried
    assert protocol is wire.get_protocol()


@pytest.mark.parametrize(
    ("data", "payload"),
    [
        (b"3\r\nabc\r\n", b"abc"),
        (b"3\r\nabc\r\n00A\r\n0123456789\r\n", b"abc0123456789"),
        (b"3\r\nabc\r\n2\r\nde", None),
        (b"3\r\nabcd\r\n", None),
        (b"3;name=value\r\nabc\r\n", None),
        (b"3\r\nabc\r\n0\r\n\r\n", None),
        (b"0\r\n\r\n", None),
        (b"+3\r\nabc\r\n", None),
        (b"00000003\r\nabc\r\n", None),
        (b"abc", None),
    ],
)
def test_only_plain_whole_chunks_are_unframed(data: bytes, payload: bytes | None) -> None:
    """Extensions, cut chunks, the last chunk and everything odd are aiohttp's."""
    assert payload == unframed(data)


async def test_a_connection_is_used_again_after_the_short_way() -> None:
    """What stood in front of aiohttp is gone when the answer is complete."""

    async def stream(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD)
        for number in range(3):
            await asyncio.sleep(0.01)
            await exchange.send(chunk(b": %d\n\n" % number))
        await asyncio.sleep(0.01)
        await exchange.send(END)

    async with serving(stream) as upstream, through(upstream, repair="off") as client:
        request = b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        answers = [(await client.ask(request))[1] for _ in range(3)]

        assert [b": 0\n\n: 1\n\n: 2\n\n"] * 3 == answers
        assert 1 == upstream.connections
