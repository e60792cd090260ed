"""What the client sees of an answer: exactly what the upstream sent, unless it is a stream to mend."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import importlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import brotli
import pytest
import zstandard
from downstream import config_for, connected, request, through
from multidict import CIMultiDict
from upstream import END, STREAM_HEAD, Exchange, Upstream, answer, answers, chunk, header_values, serving

from respfix.app import running
from respfix.relay.codings import DecodingError, decoder_for
from respfix.relay.headers import dialect_of, is_event_stream
from respfix.relay.sniff import Sniffer
from respfix.relay.source import Decoded, Source
from respfix.stream import Ending

EVENTS = b'event: x\ndata: {"type":"x"}\n\n: a comment\n\n'


def get(target: str = "/x", *headers: str, method: str = "GET") -> bytes:
    """A request without a body, to a path that nobody mends."""
    return request(target, *headers, method=method, body=None)


async def test_an_answer_arrives_as_it_was() -> None:
    """Status, reason, headers with their duplicates and order, and body: nothing made up, nothing lost."""
    sent = answer(
        b'{"ok": 1}',
        b"x-request-id: 1",
        b"Set-Cookie: a=1",
        b"Set-Cookie: b=2",
        b"x-codex-turn-state: s",
        b"X-Utf8: caf\xc3\xa9",
        b"X-Latin1: caf\xe9",
        status=b"429 Slow Down Please",
    )
    async with serving(sent) as upstream, through(upstream) as client:
        head, body = await client.ask(get())

        assert head + body == sent


async def test_an_unusual_status_and_an_empty_reason_arrive_as_they_were() -> None:
    """Both are legal."""
    async with serving(answer(status=b"299 ")) as upstream, through(upstream) as client:
        head, _ = await client.ask(get())

        assert head.startswith(b"HTTP/1.1 299 \r\n")


async def test_hop_by_hop_headers_of_an_answer_end_here() -> None:
    """Alt-Svc too: it would send the client around respfix."""
    hops = (
        b"Connection: close, X-Secret",
        b"X-Secret: 1",
        b"Keep-Alive: timeout=5",
        b"Trailer: X-Sum",
        b"Upgrade: h2c",
        b"Proxy-Authenticate: Basic",
        b'Alt-Svc: h3=":443"',
        b"X-Kept: 1",
    )
    async with serving(answer(b"{}", *hops)) as upstream, through(upstream) as client:
        head, _ = await client.ask(get())
        names = [line.split(b":")[0] for line in head.split(b"\r\n")[1:-2]]

        assert names == [b"X-Kept", b"Content-Length"]


async def test_a_redirect_is_relayed_and_not_followed() -> None:
    """Followed, it would carry body and key to another host."""
    sent = answer(b"", b"Location: http://127.0.0.1:1/x", status=b"307 Temporary Redirect")
    async with serving(sent) as upstream, through(upstream) as client:
        head, _ = await client.ask(request())

        assert head == sent
        assert len(upstream.exchanges) == 1


@pytest.mark.parametrize(
    ("method", "sent"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nETag: x\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n"),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ],
)
async def test_an_answer_without_a_body_keeps_its_head_and_the_connection(method: str, sent: bytes) -> None:
    """The length of a HEAD's answer is that of the GET's; nothing follows it."""
    async with serving(sent) as upstream, through(upstream) as client:
        await client.send(get(method=method))
        assert await client.head() == sent
        await client.send(get(method=method))
        assert await client.head() == sent


async def test_informational_answers_end_here_and_the_final_one_arrives() -> None:
    """The aiohttp client has no way to see a 103; a client can always do without."""
    sent = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + answer()
    async with serving(sent) as upstream, through(upstream) as client:
        head, body = await client.ask(request())

        assert head + body == answer()


async def test_trailers_end_here_and_the_body_is_whole() -> None:
    """No Trailer header promises them."""
    sent = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"
    async with serving(sent) as upstream, through(upstream) as client:
        head, body = await client.ask(get())
        assert (header_values(head, b"Trailer"), body) == ([], b"hello")
        head, body = await client.ask(get())
        assert body == b"hello"


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_a_large_binary_body_arrives_whole(framing: str) -> None:
    """Whatever its framing; the length is kept."""
    body = bytes(range(256)) * 20_000

    async def script(exchange: Exchange) -> None:
        if framing == "length":
            await exchange.send(answer(body))
        elif framing == "chunked":
            await exchange.send(STREAM_HEAD)
            for start in range(0, len(body), 100_000):
                await exchange.send(chunk(body[start : start + 100_000]))
            await exchange.send(END)
        else:
            await exchange.send(b"HTTP/1.1 200 OK\r\n\r\n" + body)
            exchange.is_last = True

    async with serving(script) as upstream, through(upstream) as client:
        head, received = await client.ask(get())

        assert received == body
        assert header_values(head, b"Content-Length") == ([b"%d" % len(body)] if framing == "length" else [])


@pytest.mark.parametrize("target", ["/v1/files", "/v1/responses"])
async def test_a_compressed_answer_that_is_no_stream_is_left_alone(target: str) -> None:
    """The aiohttp client inflates it by default and leaves Content-Encoding and length standing."""
    body = gzip.compress(b'{"object": "list"}')
    sent = answer(body, b"Content-Encoding: gzip", b"Content-Type: application/json")
    async with serving(sent) as upstream, through(upstream) as client:
        head, received = await client.ask(request(target))

        assert head + received == sent


async def test_an_http10_client_gets_the_body_until_the_connection_closes() -> None:
    """It knows no chunks."""
    sent = STREAM_HEAD + chunk(EVENTS) + END
    async with serving(sent) as upstream, through(upstream) as client:
        await client.send(b"POST /v1/responses HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}")
        head = await client.head()

        assert head.startswith(b"HTTP/1.0 200 OK\r\n")
        assert header_values(head, b"Transfer-Encoding") == []
        assert (await client.rest()).startswith(EVENTS)


async def test_the_head_of_a_stream_arrives_before_its_body() -> None:
    """Clients show that the connection stands, and their header timeouts stop."""
    go = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD)
        await go.wait()
        await exchange.send(chunk(EVENTS) + END)

    async with serving(script) as upstream, through(upstream) as client:
        await client.send(request())
        head = await client.head()
        assert header_values(head, b"Content-Type") == [b"text/event-stream"]
        go.set()
        assert (await client.body(head)).startswith(EVENTS)


@pytest.mark.parametrize("target", ["/v1/responses", "/v1/chat/completions"])
async def test_every_event_arrives_before_the_next_one_is_sent(target: str) -> None:
    """Nothing waits for more: the upstream here sends an event only when the client has the one before."""
    received = asyncio.Semaphore(1)
    count = 50

    async def script(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD)
        for number in range(count):
            await asyncio.wait_for(received.acquire(), 2)
            await exchange.send(chunk(b'data: {"type":"x","n":%d}\n\n' % number))
        await exchange.send(END)

    async with serving(script) as upstream, through(upstream) as client:
        await client.send(request(target))
        await client.head()
        for number in range(count):
            assert await client.chunk() == b'data: {"type":"x","n":%d}\n\n' % number
            received.release()


async def test_a_stream_in_pieces_of_one_byte_arrives_whole() -> None:
    """However the network cuts it, inside chunk sizes, lines and characters."""
    sent = STREAM_HEAD + b"".join(chunk(EVENTS[at : at + 1]) for at in range(len(EVENTS))) + END

    async def script(exchange: Exchange) -> None:
        for at in range(len(sent)):
            exchange.writer.write(sent[at : at + 1])
            if at % 7 == 0:
                await asyncio.sleep(0)

    async with serving(script) as upstream, through(upstream, repair="observe") as client:
        _, body = await client.ask(request())

        assert body == EVENTS


async def test_what_belongs_to_the_bytes_is_dropped_when_they_may_change() -> None:
    """The head leaves first, and nobody knows yet what will be repaired."""
    gone = [b"ETag: x", b"Digest: x", b"Content-Digest: x", b"Repr-Digest: x", b"Content-MD5: x"]
    kept = [b"Cache-Control: no-cache", b"x-request-id: 1", b"openai-model: m", b"Server: s", b"Date: d"]
    sent = answer(EVENTS, b"Content-Type: Text/Event-Stream; charset=utf-8", *gone, *kept)
    async with serving(sent) as upstream, through(upstream) as client:
        head, _ = await client.ask(request())

        type_ = b"Content-Type: Text/Event-Stream; charset=utf-8"
        assert head.split(b"\r\n")[1:-2] == [type_, *kept, b"Transfer-Encoding: chunked"]


@pytest.mark.parametrize(
    "sent",
    [
        answer(EVENTS, b"Content-Type: text/event-stream", b"ETag: x", status=b"500 Oops"),
        answer(b'{"id": "resp_1"}', b"Content-Type: application/json", b"ETag: x"),
        answer(b'\r\n {"id": "resp_1"}', b"Content-Type: text/event-stream-like"),
        answer(b"<!doctype html><p>data: not here", b"Content-Type: text/html"),
        answer(b"data as plain text", b"Content-Type: text/plain"),
        answer(b"eventually", b"X-A: 1"),
        answer(b"", b"Content-Type: application/json"),
        answer(b"\n\n\n", b"Content-Type: application/json"),
        answer(b"dat", b"Content-Type: application/json"),
    ],
)
async def test_an_answer_that_is_no_stream_passes_byte_for_byte(sent: bytes) -> None:
    """Errors, JSON, and the HTML of a firewall; their length and type stay."""
    async with serving(sent) as upstream, through(upstream) as client:
        head, body = await client.ask(request())

        assert head + body == sent


@pytest.mark.parametrize(
    "begins", [b"data: ", b"event: x\n", b"\r\nid: 1\n", b"retry: 1\n", b": hi\n\n", b"\xef\xbb\xbfdata:"]
)
@pytest.mark.parametrize("type_", [b"", b"application/json", b"text/plain; charset=utf-8", b"application/octet-stream"])
async def test_a_stream_under_a_wrong_type_is_recognised_and_named(begins: bytes, type_: bytes) -> None:
    """Clients refuse a stream that is not called one."""
    headers = [b"Content-Type: " + type_] if type_ else []
    async with serving(answer(begins + b"\n\n", *headers)) as upstream, through(upstream) as client:
        head, _ = await client.ask(request())

        assert header_values(head, b"Content-Type") == [b"text/event-stream"]
        assert header_values(head, b"Content-Length") == []


async def test_a_stream_under_a_wrong_type_is_not_held_until_more_comes() -> None:
    """The first bytes decide."""
    go = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD.replace(b"text/event-stream", b"text/plain"))
        await exchange.send(chunk(b'data: {"type":"x"}\n\n'))
        await go.wait()
        await exchange.send(END)

    async with serving(script) as upstream, through(upstream) as client:
        await client.send(request())
        await client.head()
        assert await client.chunk() == b'data: {"type":"x"}\n\n'
        go.set()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"data: x", True),
        (b"data:x", True),
        (b":", True),
        (b"\n\r\n  event: x", True),
        (b"data", None),
        (b"d", None),
        (b"", None),
        (b"\n\n", None),
        (b"\xef\xbb", None),
        (b"data x", False),
        (b"date: x", False),
        (b"{", False),
        (b"<", False),
        (b"\xef\xbb\xbf{", False),
        (b" " * 70_000, False),
    ],
)
def test_the_first_line_decides_as_soon_as_it_can(body: bytes, *, expected: bool | None) -> None:
    """Whole or byte by byte."""
    whole, split = Sniffer(), Sniffer()
    whole.feed(body)
    for at in range(len(body)):
        split.feed(body[at : at + 1])

    assert (whole.is_stream, split.is_stream) == (expected, expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("text/event-stream", True),
        ("Text/Event-Stream ; charset=utf-8", True),
        ("text/event-streams", False),
        ("application/json; x=text/event-stream", False),
        ("", False),
    ],
)
def test_lookalike_types_are_no_event_streams(value: str, *, expected: bool) -> None:
    """Parameters are allowed."""
    assert is_event_stream(CIMultiDict({"Content-Type": value})) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("x-codex-turn-metadata", "{}")], "codex"),
        ([("X-Codex-Window-Id", "1")], "codex"),
        ([("originator", "codex_cli_rs")], "codex"),
        ([("User-Agent", "Codex_exec/0.135.0")], "codex"),
        ([("User-Agent", "openai-python"), ("User-Agent", "codex")], "codex"),
        ([("originator", "my-editor"), ("x-codex-window-id", "1")], "codex"),
        ([("User-Agent", "openai-python/3.51"), ("X-Title", "codex")], "default"),
        ([("User-Agent", "agent-framework-python/1.23.0 AsyncOpenAI/Python 3.51.0")], "agent-framework"),
        ([], "default"),
    ],
)
def test_a_client_with_habits_is_recognised_by_its_headers(headers: list[tuple[str, str]], expected: str) -> None:
    """Codex's app-server sends the embedding program's name, but its headers start with x-codex-."""
    assert dialect_of(CIMultiDict(headers), "auto") == expected
    assert dialect_of(CIMultiDict(headers), "default") == "default"
    assert dialect_of(CIMultiDict(headers), "codex") == "codex"


def coded(coding: str, body: bytes) -> bytes:
    """The body in a content coding, flushed after every event as a server would."""
    if coding in {"gzip", "x-gzip", "GZIP"}:
        return gzip.compress(body)
    if coding == "deflate":
        return zlib.compress(body)
    if coding == "br":
        return bytes(brotli.compress(body))
    return bytes(zstandard.compress(body))


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZIP", "deflate", "br", "zstd"])
@pytest.mark.parametrize("type_", [b"text/event-stream", b"text/plain"])
async def test_a_compressed_stream_is_decoded(coding: str, type_: bytes) -> None:
    """Asked for identity, some servers compress all the same, and Codex cannot read that."""
    body = coded(coding, EVENTS)
    headers = (b"Content-Type: " + type_, b"Content-Encoding: " + coding.encode(), b"X-Kept: 1")
    async with serving(answer(body, *headers)) as upstream, through(upstream) as client:
        head, received = await client.ask(request())

        assert received.startswith(EVENTS)
        assert header_values(head, b"Content-Encoding") == []
        assert header_values(head, b"Content-Type") == [b"text/event-stream"]


async def test_a_compressed_stream_is_decoded_while_it_flows() -> None:
    """What the server has flushed leaves at once."""
    coder = zlib.compressobj(wbits=31)
    go = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n"))
        await exchange.send(chunk(coder.compress(b'data: {"type":"x"}\n\n') + coder.flush(zlib.Z_SYNC_FLUSH)))
        await go.wait()
        await exchange.send(chunk(coder.flush()) + END)

    async with serving(script) as upstream, through(upstream) as client:
        await client.send(request())
        await client.head()
        assert await client.chunk() == b'data: {"type":"x"}\n\n'
        go.set()


@pytest.mark.parametrize("coding", ["snappy", "gzip, gzip", "br2"])
async def test_an_unknown_coding_passes_untouched(coding: str, caplog: pytest.LogCaptureFixture) -> None:
    """And the log says why nothing is repaired."""
    sent = answer(EVENTS, b"Content-Type: text/event-stream", b"Content-Encoding: " + coding.encode())
    async with serving(sent) as upstream, through(upstream) as client:
        head, body = await client.ask(request())

    assert head + body == sent
    assert "none that can be decoded" in caplog.text


def test_a_missing_library_leaves_its_coding_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only br and zstd need one."""

    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", missing)

    assert [decoder_for(coding) is None for coding in ("gzip", "deflate", "br", "zstd")] == [False, False, True, True]


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(EVENTS) + gzip.compress(EVENTS) + bytes(9)),
        ("deflate", zlib.compress(EVENTS + EVENTS)),
        ("deflate", zlib.compress(EVENTS + EVENTS)[2:-4]),
        ("zstd", zstandard.compress(EVENTS) + zstandard.compress(EVENTS)),
        ("br", brotli.compress(EVENTS + EVENTS)),
    ],
)
def test_members_padding_and_headerless_deflate_are_read(coding: str, body: bytes) -> None:
    """Whole and byte by byte."""
    for step in (len(body), 1):
        decoder = decoder_for(coding)
        assert decoder is not None
        pieces = [piece for at in range(0, len(body), step) for piece in decoder.feed(body[at : at + step])]
        decoder.close()

        assert b"".join(pieces) == EVENTS + EVENTS


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_broken_and_unfinished_codings_are_noticed(coding: str) -> None:
    """Half a body must not end like a whole one."""
    body = coded(coding, EVENTS * 100)
    unfinished, broken = decoder_for(coding), decoder_for(coding)
    assert unfinished is not None
    assert broken is not None
    list(unfinished.feed(body[:-5]))
    with pytest.raises(DecodingError):
        unfinished.close()
    with pytest.raises(DecodingError):
        list(broken.feed(b"\xff\xfe not compressed at all" * 10))


@pytest.mark.parametrize(("coding", "largest"), [("gzip", 2**18), ("deflate", 2**18), ("br", 2**19), ("zstd", 2**21)])
def test_a_decompression_bomb_comes_in_bounded_pieces(coding: str, largest: int) -> None:
    """A kilobyte may be a gigabyte, and is all in one read."""
    decoder = decoder_for(coding)
    assert decoder is not None
    pieces = list(decoder.feed(coded(coding, bytes(10_000_000))))
    decoder.close()

    assert sum(map(len, pieces)) == 10_000_000
    assert max(map(len, pieces)) <= largest


def test_a_brotli_that_cannot_be_bounded_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions before 1.2 inflate all that they are given."""

    class Old:
        process = brotli.Decompressor.process

    monkeypatch.setattr(brotli, "Decompressor", Old)

    assert decoder_for("br") is None


def test_a_window_that_http_does_not_allow_is_refused() -> None:
    """It would be remembered, 128 MiB of it; 8 MiB are what RFC 9659 allows."""
    for log, is_allowed in ((23, True), (24, False)):
        parameters = zstandard.ZstdCompressionParameters(window_log=log, compression_level=3)
        coder = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        body, decoder = coder.compress(EVENTS) + coder.flush(), decoder_for("zstd")
        assert decoder is not None
        with contextlib.nullcontext() if is_allowed else pytest.raises(DecodingError):
            assert [EVENTS] == list(decoder.feed(body))


@dataclass
class OneRead:
    """A source that brings everything at once."""

    body: bytes
    ending: Ending | None = None
    lost: Ending | None = None

    async def read(self) -> bytes:
        """The body, and then its end."""
        chunk, self.body = self.body, b""
        self.ending = None if chunk else Ending.COMPLETE
        return chunk


def decoded(source: OneRead) -> Decoded:
    """The gzip in it, read."""
    decoder = decoder_for("gzip")
    assert decoder is not None
    return Decoded(cast("Source", source), decoder)


async def test_others_have_their_turn_while_a_bomb_goes_off() -> None:
    """What it inflates to may be dropped, so nothing is written that could make its reader wait."""
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task, body, pieces = asyncio.create_task(others()), decoded(OneRead(gzip.compress(bytes(10_000_000)))), 0
    while await body.read():
        pieces += 1
    task.cancel()

    assert body.ending is Ending.COMPLETE
    assert turns >= pieces - 1 > 30


async def test_a_bomb_that_nobody_waits_for_any_more_is_left() -> None:
    """Its stream is over, or respfix is stopping; the rest of a read could last for minutes."""
    source = OneRead(gzip.compress(bytes(10_000_000)))
    body = decoded(source)
    assert await body.read()
    source.lost = Ending.OVER

    assert b"" == await body.read()
    assert body.ending is Ending.OVER


@pytest.mark.parametrize("headers", [[b"Content-Type: text/event-stream"], [b"Content-Type: text/plain"], []])
@pytest.mark.parametrize("packing", [bytes, gzip.compress])
async def test_observing_changes_nothing_and_counts(
    headers: list[bytes], packing: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    """Bytes, length and coding stay; the log says what would have been repaired."""
    caplog.set_level("INFO")
    sse = b'event: response.created\ndata: {"type":"response.created","response":{"id":"r"}}\n\n'
    coding = [b"Content-Encoding: gzip"] if packing is gzip.compress else []
    sent = answer(packing(sse), *headers, *coding, b"ETag: x")
    async with serving(sent) as upstream, through(upstream, repair="observe") as client:
        head, body = await client.ask(request())

    assert head + body == sent
    assert "dialect=default " in caplog.text
    assert " events=1/" in caplog.text


async def test_without_repair_a_stream_passes_byte_for_byte() -> None:
    """The switch that takes respfix out of the picture."""
    sent = answer(EVENTS, b"Content-Type: text/event-stream", b"ETag: x")
    async with serving(sent) as upstream, through(upstream, repair="off") as client:
        head, body = await client.ask(request())

        assert head + body == sent


@pytest.mark.parametrize("target", ["/v1/responses", "/x"])
async def test_a_slow_client_slows_the_upstream(target: str) -> None:
    """Else the answer to a client that does not read piles up here."""
    total = 0

    async def script(exchange: Exchange) -> None:
        nonlocal total
        await exchange.send(STREAM_HEAD)
        piece = chunk(b": " + b"x" * 65_000 + b"\n\n")
        while True:
            await exchange.send(piece)
            total += len(piece)

    async with serving(script) as upstream, through(upstream) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined] # every transport here has it
        await client.send(request(target))
        seen = -1
        while total > seen:
            seen = total
            await asyncio.sleep(0.2)

        assert total < 24 * 2**20  # the kernel's buffers, and some hundreds of kilobytes here
        client.leave()


async def test_a_slow_upstream_slows_the_client() -> None:
    """A large upload does not pile up here either."""
    stop = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        exchange.writer.transport.pause_reading()  # type: ignore[attr-defined] # every transport here has it
        await stop.wait()

    async with serving(script, reads_bodies=False) as upstream, through(upstream) as client:
        await client.send(request("/x", f"Content-Length: {2**40}", body=None))
        sent = 0
        try:
            while True:
                async with asyncio.timeout(0.5):
                    await client.send(bytes(65_536))
                sent += 65_536
                assert sent < 24 * 2**20
        except TimeoutError:
            stop.set()
        client.leave()


async def test_hundreds_of_streams_flow_at_once() -> None:
    """The default pool of 100 lets the others hang without an error."""
    count = 320
    waiting = 0
    all_there = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        nonlocal waiting
        await exchange.send(STREAM_HEAD + chunk(b'data: {"type":"x"}\n\n'))
        waiting += 1
        if waiting == count:
            all_there.set()
        await asyncio.wait_for(all_there.wait(), 20)
        await exchange.send(chunk(b'data: {"type":"y"}\n\n') + END)

    async def one(upstream: Upstream, address: object) -> bytes:
        del upstream
        async with connected(address) as client:  # type: ignore[arg-type]
            return (await client.ask(request()))[1]

    async with serving(script) as upstream, running(config_for(upstream)) as address:
        bodies = await asyncio.gather(*(one(upstream, address) for _ in range(count)))

    assert all(body.startswith(b'data: {"type":"x"}\n\ndata: {"type":"y"}\n\n') for body in bodies)


async def test_keepalive_signs_break_a_silence(caplog: pytest.LogCaptureFixture) -> None:
    """Only while nothing else is sent, and never inside an event."""
    del caplog

    async def script(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD + chunk(b'data: {"type":"x"}\n\ndata: {"ty'))
        await asyncio.sleep(0.3)
        await exchange.send(chunk(b'pe":"y"}\n\n'))
        await asyncio.sleep(0.3)
        await exchange.send(END)

    async with serving(script) as upstream, through(upstream, keepalive=0.1) as client:
        _, body = await client.ask(request())

        assert body.startswith(b'data: {"type":"x"}\n\ndata: {"type":"y"}\n\n: keepalive\n\n')


async def test_no_sign_is_sent_by_default() -> None:
    """Nothing is added unless it is asked for."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD + chunk(b": hello\n\n"))
        await asyncio.sleep(0.2)
        await exchange.send(END)

    async with serving(script) as upstream, through(upstream) as client:
        _, body = await client.ask(request())

        assert b"keepalive" not in body


def test_the_scripted_answer_is_what_it_says() -> None:
    """The tests lean on it."""
    assert answers(b"x") is not None
    assert answer(b"ab", b"X: 1") == b"HTTP/1.1 200 OK\r\nX: 1\r\nContent-Length: 2\r\n\r\nab"
