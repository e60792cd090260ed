"""How an answer ends: whole, cut, idle, abandoned, over, or refused before it begins."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import reader
from aiohttp import ClientPayloadError, ClientResponse, StreamReader
from aiohttp.client_proto import ResponseHandler
from downstream import Client, config_for, connected, request, through
from upstream import END, STREAM_HEAD, Exchange, Script, Upstream, answer, chunk, serving

from respfix.app import running
from respfix.relay.patience import Patience, PatienceLostError
from respfix.relay.source import Source
from respfix.stream import Ending, Options, Report

EVENT = b'data: {"type":"x"}\n\n'
LAST = b'data: {"type":"terminal"}\n\n'


class FakeMender:
    """Passes everything, takes LAST for the terminal event, and tells at the end how it was ended."""

    knows_failures = True

    def __init__(self, options: Options) -> None:
        self.options = options
        self.report = Report()

    @property
    def is_over(self) -> bool:
        """LAST has been seen."""
        return self.report.terminal == "completed"

    def feed(self, data: bytes) -> bytes:
        """Pass, and look for LAST."""
        if LAST in data:
            self.report.terminal = "completed"
        return data

    def close(self, ending: Ending, seconds: float) -> bytes:
        """Say how it ended, as a failure event would."""
        assert seconds >= 0
        if self.knows_failures:
            self.report.terminal = self.report.terminal or "failed"
        return f"[{ending}]".encode()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeMender]:
    """Mends with the fake instead."""
    monkeypatch.setattr("respfix.relay.homeward.Mender", FakeMender)
    monkeypatch.setattr(FakeMender, "knows_failures", True)
    return FakeMender


async def whole(exchange: Exchange) -> None:
    """The last chunk."""
    await exchange.send(STREAM_HEAD + chunk(EVENT) + END)


async def whole_length(exchange: Exchange) -> None:
    """All that Content-Length promised."""
    await exchange.send(answer(EVENT, b"Content-Type: text/event-stream"))


async def closed(exchange: Exchange) -> None:
    """No framing: the end of the connection is the end."""
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + EVENT)
    exchange.is_last = True


async def cut_chunked(exchange: Exchange) -> None:
    """The connection ends without the last chunk."""
    await exchange.send(STREAM_HEAD + chunk(EVENT))
    exchange.is_last = True


async def cut_in_chunk(exchange: Exchange) -> None:
    """The connection ends inside a chunk."""
    await exchange.send(STREAM_HEAD + b"ff\r\n" + EVENT)
    exchange.is_last = True


async def cut_length(exchange: Exchange) -> None:
    """The connection ends before all that Content-Length promised."""
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 999\r\n\r\n" + EVENT)
    exchange.is_last = True


async def reset_chunked(exchange: Exchange) -> None:
    """The process behind was killed."""
    await exchange.send(STREAM_HEAD + chunk(EVENT))
    await asyncio.sleep(0.02)
    exchange.reset()


async def reset_unframed(exchange: Exchange) -> None:
    """Without framing a reset looks like the end, to aiohttp."""
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + EVENT)
    await asyncio.sleep(0.02)
    exchange.reset()


async def broken_chunking(exchange: Exchange) -> None:
    """With aiohttp's C parser the reader of such a body would wait for ever."""
    await exchange.send(STREAM_HEAD + chunk(EVENT))
    await asyncio.sleep(0.02)
    await exchange.send(b"zz\r\n")
    await exchange.gone()


async def broken_chunking_at_once(exchange: Exchange) -> None:
    """In the same read as the event."""
    await exchange.send(STREAM_HEAD)
    await asyncio.sleep(0.02)
    await exchange.send(chunk(EVENT) + b"zz\r\n")
    await exchange.gone()


async def broken_chunking_with_the_head(exchange: Exchange) -> None:
    """In the same read as everything; aiohttp's parsers would forget the head."""
    await exchange.send(STREAM_HEAD + chunk(EVENT) + b"zz\r\n")
    await exchange.gone()


async def cut_gzip(exchange: Exchange) -> None:
    """The framing is whole, the compressed body is not."""
    body = gzip.compress(EVENT)[:-4]
    await exchange.send(answer(body, b"Content-Type: text/event-stream", b"Content-Encoding: gzip"))


async def broken_gzip(exchange: Exchange) -> None:
    """A good member, then no gzip."""
    body = gzip.compress(EVENT) + b"no gzip"
    await exchange.send(answer(body, b"Content-Type: text/event-stream", b"Content-Encoding: gzip"))


async def idle(exchange: Exchange) -> None:
    """Nothing more comes."""
    await exchange.send(STREAM_HEAD + chunk(EVENT))
    await exchange.gone()


ENDINGS = [
    (whole, Ending.COMPLETE),
    (whole_length, Ending.COMPLETE),
    (closed, Ending.CLOSED),
    (cut_chunked, Ending.CUT),
    (cut_in_chunk, Ending.CUT),
    (cut_length, Ending.CUT),
    (reset_chunked, Ending.CUT),
    (reset_unframed, Ending.CUT),
    (broken_chunking, Ending.CUT),
    (broken_chunking_at_once, Ending.CUT),
    (broken_chunking_with_the_head, Ending.CUT),
    (cut_gzip, Ending.CUT),
    (broken_gzip, Ending.CUT),
    (idle, Ending.IDLE),
]


@pytest.mark.parametrize(("script", "ending"), ENDINGS)
@pytest.mark.usefixtures("fake")
async def test_the_mender_hears_how_the_body_ended_and_loses_nothing(script: Script, ending: Ending) -> None:
    """It says so in the stream, and then the body ends cleanly, whatever the upstream did."""
    async with serving(script) as upstream, through(upstream, timeouts={"idle": 0.15}) as client:
        _, body = await client.ask(request())

        assert body == EVENT + f"[{ending}]".encode()


@pytest.mark.parametrize(("script", "ending"), [row for row in ENDINGS if "gzip" not in row[0].__name__])
@pytest.mark.parametrize("target", ["/v1/responses", "/x"])
async def test_a_body_that_nobody_mends_is_cut_where_the_upstream_cut_it(
    script: Script, ending: Ending, target: str
) -> None:
    """A last chunk would make a truncated answer look whole."""
    repair = "observe" if target == "/v1/responses" else "on"
    async with serving(script) as upstream, through(upstream, repair=repair, timeouts={"idle": 0.15}) as client:
        await client.send(request(target))
        head = await client.head()
        if ending in (Ending.COMPLETE, Ending.CLOSED):
            assert await client.body(head) == EVENT
        elif script is cut_length:
            assert await client.rest() == EVENT
        else:
            assert await client.rest() == chunk(EVENT)


@pytest.mark.parametrize(("script", "ending"), ENDINGS)
async def test_a_mender_that_has_given_up_leaves_a_cut_body_cut(
    script: Script, ending: Ending, fake: type[FakeMender], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond a bound it is a pipe, and a pipe must not make the end clean."""
    monkeypatch.setattr(fake, "knows_failures", False)
    async with serving(script) as upstream, through(upstream, timeouts={"idle": 0.15}) as client:
        await client.send(request())
        await client.head()
        rest = await client.rest() if ending in (Ending.CUT, Ending.IDLE) else await until_end(client)

        assert rest.endswith(END) == (ending in (Ending.COMPLETE, Ending.CLOSED))
        assert rest.startswith(chunk(EVENT))


async def until_end(client: Client) -> bytes:
    """Everything up to the last chunk, as it came."""
    return await asyncio.wait_for(client.reader.readuntil(END), 5)


async def test_chunks_that_break_while_what_came_before_is_decoded_are_a_cut() -> None:
    """The connection is gone in the turn in which the next bytes of it are asked for."""
    text = b"data: " + b"x" * 300_000  # two steps of the decoder, and nothing yet for the client

    async def script(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD[:-2] + b"Content-Encoding: gzip\r\n\r\n")
        await asyncio.sleep(0.02)
        await exchange.send(chunk(gzip.compress(text)) + b"zz\r\n")
        await exchange.gone()

    async with serving(script) as upstream, through(upstream) as client:
        _, body = await client.ask(request())

        assert "response.failed" == reader.events(body)[-1]["type"]


@pytest.mark.parametrize("script", [cut_chunked, reset_chunked, broken_chunking])
async def test_an_http10_client_sees_a_cut_as_a_reset(script: Script) -> None:
    """It takes every orderly close for the end of the body."""
    async with serving(script) as upstream, through(upstream) as client:
        await client.send(b"GET /x HTTP/1.0\r\n\r\n")
        await client.head()
        with pytest.raises(ConnectionResetError):
            await client.rest()


@pytest.mark.parametrize("size", [1, 100_000, 3_000_000])
async def test_what_arrived_before_a_reset_reaches_the_client(size: int) -> None:
    """It may be the answer's last line, or the error that explains the reset."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD + chunk(bytes(size)))
        await asyncio.sleep(0.1)
        exchange.reset()

    async with serving(script) as upstream, through(upstream) as client:
        await client.send(request("/x"))
        await client.head()
        await asyncio.sleep(0.2)
        received = await client.rest()

        assert len(received) >= size


@pytest.mark.usefixtures("fake")
async def test_the_body_ends_shortly_after_the_terminal_event_and_the_upstream_is_left() -> None:
    """Some upstreams keep the connection open, and clients that wait for the end hang."""
    gone = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD + chunk(EVENT) + chunk(LAST))
        await asyncio.sleep(0.1)
        await exchange.send(chunk(b": late\n\n"))
        await exchange.gone()
        gone.set()

    async with serving(script) as upstream, through(upstream, timeouts={"grace": 0.3}) as client:
        started = asyncio.get_running_loop().time()
        _, body = await client.ask(request())
        took = asyncio.get_running_loop().time() - started

        assert body == EVENT + LAST + b": late\n\n[over]"
        assert 0.25 < took < 0.6
        await asyncio.wait_for(gone.wait(), 1)


@pytest.mark.usefixtures("fake")
async def test_an_upstream_that_ends_after_its_terminal_event_is_not_waited_for() -> None:
    """The grace is the most, not the least."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD + chunk(LAST) + END)

    async with serving(script) as upstream, through(upstream, timeouts={"grace": 5}) as client:
        async with asyncio.timeout(1):
            _, body = await client.ask(request())

        assert body == LAST + b"[complete]"


@pytest.mark.usefixtures("fake")
async def test_an_upstream_that_never_stops_talking_is_left_all_the_same() -> None:
    """Pings after the end must not keep it open."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD + chunk(LAST))
        while True:
            await exchange.send(chunk(b": ping\n\n"))
            await asyncio.sleep(0.01)

    async with serving(script) as upstream, through(upstream) as client:
        async with asyncio.timeout(2):
            _, body = await client.ask(request())

        assert body.endswith(b"[over]")


@pytest.mark.usefixtures("fake")
async def test_any_byte_resets_the_idle_clock() -> None:
    """Comments and pings are signs of life."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD)
        for _ in range(8):
            await asyncio.sleep(0.1)
            await exchange.send(chunk(b":\n\n"))
        await exchange.send(END)

    async with serving(script) as upstream, through(upstream, timeouts={"idle": 0.3}) as client:
        _, body = await client.ask(request())

        assert body == b":\n\n" * 8 + b"[complete]"


async def test_what_ends_a_wait_counts_also_if_nobody_waited_in_that_moment() -> None:
    """The grace may be over while a slow client is being written to: the next wait would last for ever."""
    patience = Patience()
    patience.end_within(0, Ending.OVER)
    await asyncio.sleep(0.01)

    async def never() -> None:
        await asyncio.Event().wait()

    for awaitable in (never(), asyncio.get_running_loop().create_future()):
        with pytest.raises(PatienceLostError):
            await asyncio.wait_for(patience.wait(awaitable), 1)
    assert patience.ending is Ending.OVER


async def test_a_body_that_broke_while_its_end_was_decided_gives_what_came() -> None:
    """Both may happen while a slow client is written to; neither may be lost, nor raised where nobody answers."""
    content = StreamReader(ResponseHandler(asyncio.get_running_loop()), 2**16, loop=asyncio.get_running_loop())
    content.feed_data(b"came")
    content.set_exception(ClientPayloadError("broke"))
    patience = Patience()
    patience.end(Ending.OVER)
    answer_of = SimpleNamespace(content=content, connection=None, method="POST", status=200, headers={})
    source = Source(cast("ClientResponse", answer_of), patience)

    assert [b"came", b""] == [await source.read(), await source.read()]
    assert source.ending is Ending.OVER


async def test_a_slow_client_is_not_taken_for_an_idle_upstream() -> None:
    """The clock stands still while respfix waits for the client."""
    size = 30_000_000

    async def script(exchange: Exchange) -> None:
        await exchange.send(answer(bytes(size)))

    async with serving(script) as upstream, through(upstream, timeouts={"idle": 0.2}) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined] # every transport here has it
        await client.send(request("/x"))
        await asyncio.sleep(0.7)
        client.writer.transport.resume_reading()  # type: ignore[attr-defined] # likewise
        head = await client.head()

        assert len(await client.body(head)) == size


@asynccontextmanager
async def watched(script: Script) -> AsyncIterator[tuple[Upstream, asyncio.Event]]:
    """An upstream that tells when its client has left."""
    left = asyncio.Event()

    async def watching(exchange: Exchange) -> None:
        await script(exchange)
        await exchange.gone()
        left.set()

    async with serving(watching, reads_bodies=False) as upstream:
        yield upstream, left


async def nothing(exchange: Exchange) -> None:
    """Think for ever."""


async def head_only(exchange: Exchange) -> None:
    """Promise a stream."""
    await exchange.send(STREAM_HEAD)


async def head_and_event(exchange: Exchange) -> None:
    """Begin a stream."""
    await exchange.send(STREAM_HEAD + chunk(EVENT))


@pytest.mark.parametrize("target", ["/v1/responses", "/x"])
@pytest.mark.parametrize("script", [nothing, head_only, head_and_event])
@pytest.mark.parametrize("way", ["reset", "close"])
async def test_a_client_that_leaves_takes_the_upstream_with_it_at_once(target: str, script: Script, way: str) -> None:
    """Each second costs tokens; without handler cancellation it is noticed at the next write, if there is one."""
    async with watched(script) as (upstream, left), through(upstream) as client:
        await client.send(request(target))
        await asyncio.sleep(0.05)
        started = asyncio.get_running_loop().time()
        if way == "reset":
            client.leave()
        else:
            client.writer.close()
        await asyncio.wait_for(left.wait(), 2)

        assert asyncio.get_running_loop().time() - started < 0.1


async def test_a_client_that_leaves_during_its_upload_takes_the_upstream_with_it() -> None:
    """Half a request must not be worked on."""
    async with watched(nothing) as (upstream, left), through(upstream) as client:
        await client.send(request("/x", "Content-Length: 1000000", body=None) + b"x")
        await asyncio.sleep(0.05)
        client.leave()
        await asyncio.wait_for(left.wait(), 0.5)


@pytest.mark.usefixtures("fake")
async def test_a_client_that_leaves_after_the_terminal_event_is_a_success(caplog: pytest.LogCaptureFixture) -> None:
    """Clients close as soon as they have what they wanted."""
    caplog.set_level("INFO", "respfix")

    async def script(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD + chunk(LAST))

    async with watched(script) as (upstream, left), through(upstream) as client:
        await client.send(request())
        await client.head()
        await client.chunk()
        client.leave()
        await asyncio.wait_for(left.wait(), 2)
        await asyncio.sleep(0.02)

    (record,) = (record for record in caplog.records if "POST" in record.getMessage())
    assert record.levelname == "INFO"
    assert record.getMessage().endswith("terminal=completed repairs=- ended by client")


@pytest.mark.usefixtures("fake")
async def test_a_client_that_leaves_early_is_said_to(caplog: pytest.LogCaptureFixture) -> None:
    """It tells a cancelled turn from a finished one."""
    caplog.set_level("INFO", "respfix")
    async with watched(head_and_event) as (upstream, left), through(upstream) as client:
        await client.send(request())
        await client.head()
        await client.chunk()
        client.leave()
        await asyncio.wait_for(left.wait(), 2)
        await asyncio.sleep(0.02)

    assert "ended by client (early)" in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("repair", ["on", "observe"])
async def test_what_was_repaired_before_a_client_left_is_counted(caplog: pytest.LogCaptureFixture, repair: str) -> None:
    """All of it, to the last delta."""
    caplog.set_level("INFO", "respfix")

    async def script(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD)
        for number in range(20):
            await exchange.send(chunk(b'data: {"type":"response.output_text.delta","delta":"%d"}\n\n' % number))
            await asyncio.sleep(0.002)
        await exchange.gone()

    async with watched(script) as (upstream, left), through(upstream, repair=repair) as client:
        await client.send(request())
        await client.head()
        while b'"19"' not in await client.chunk():
            pass
        client.leave()
        await asyncio.wait_for(left.wait(), 2)
        await asyncio.sleep(0.02)

    assert re.search(r"events=20/.*missing-item-id:20,.* ended by client \(early\)", caplog.text)


async def test_many_clients_that_leave_at_once_leave_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """A load test that stops used to leave dozens."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD)
        while True:
            await exchange.send(chunk(EVENT * 50))

    async with serving(script) as upstream, running(config_for(upstream)) as address:
        for _ in range(20):
            async with connected(address) as client:
                await client.send(request("/x"))
                await client.head()
                client.leave()
        await asyncio.sleep(0.2)

    assert "Traceback" not in caplog.text
    assert "answered 500" not in caplog.text


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port: int = reserved.getsockname()[1]
        return port


async def refused(client: Client, status: int, code: str) -> str:
    """The message of a refusal in the shape of OpenAI's errors."""
    head, body = await client.ask(request("/v1/responses?key=sk-secret"))
    error = json.loads(body)["error"]
    assert int(head.split()[1]) == status
    assert (error["type"], error["param"], error["code"]) == ("server_error", None, code)
    assert error["message"].startswith("respfix: ")
    assert "sk-secret" not in error["message"]
    return str(error["message"])


async def test_a_missing_upstream_is_named_with_what_to_check() -> None:
    """It is the first thing that goes wrong; the URL's credentials are nobody's business."""
    port = free_port()
    async with through(f"http://bob:pass@127.0.0.1:{port}/v1", repair="off") as client:
        message = await refused(client, 502, "upstream_unreachable")

        assert f"http://127.0.0.1:{port}/v1" in message
        assert "--upstream" in message
        assert "pass" not in message


async def test_a_name_that_does_not_resolve_is_named() -> None:
    """The second thing that goes wrong, in containers."""
    async with through("http://no-such-host.invalid:8080") as client:
        assert "no-such-host.invalid" in await refused(client, 502, "upstream_name_unknown")


async def test_connecting_is_given_up_after_the_retries() -> None:
    """Within about two seconds."""
    async with through(f"http://127.0.0.1:{free_port()}", connect_retries=2) as client:
        started = asyncio.get_running_loop().time()
        await refused(client, 502, "upstream_unreachable")

        assert 1.8 < asyncio.get_running_loop().time() - started < 5


async def test_any_number_of_retries_takes_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each waits twice as long as the one before, however many there are."""
    monkeypatch.setattr("respfix.relay.outward.RETRY_SPAN", 0.2)
    async with through(f"http://127.0.0.1:{free_port()}", connect_retries=2000) as client:
        await refused(client, 502, "upstream_unreachable")


async def test_an_upstream_that_closes_without_an_answer_is_named() -> None:
    """The request may have been worked on, so it is not sent again."""

    async def script(exchange: Exchange) -> None:
        exchange.is_last = True

    async with serving(script) as upstream, through(upstream) as client:
        assert upstream.url in await refused(client, 502, "upstream_disconnected")
        assert len(upstream.exchanges) == 1


async def test_an_upstream_that_resets_without_an_answer_is_named() -> None:
    """Likewise."""

    async def script(exchange: Exchange) -> None:
        exchange.reset()

    async with serving(script) as upstream, through(upstream) as client:
        await refused(client, 502, "upstream_disconnected")


@pytest.mark.parametrize(
    "sent",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n12",
        b"HTTP/1.1 200 OK\r\nX-Bad: a\x01b\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 70_000 + b"\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
async def test_an_answer_that_cannot_be_relayed_is_refused(sent: bytes) -> None:
    """A hostile or confused upstream gets no byte of its head through."""
    async with serving(sent) as upstream, through(upstream) as client:
        await refused(client, 502, "upstream_invalid_answer")


async def test_an_answer_that_never_begins_is_given_up_where_that_is_wanted() -> None:
    """Off by default: a model may think for minutes."""
    async with watched(nothing) as (upstream, left), through(upstream, timeouts={"first_byte": 0.1}) as client:
        assert "timeouts.first_byte" in await refused(client, 504, "upstream_timeout")
        await asyncio.wait_for(left.wait(), 1)


async def test_waiting_for_the_head_is_not_idling() -> None:
    """The idle clock belongs to the body."""

    async def script(exchange: Exchange) -> None:
        await asyncio.sleep(0.3)
        await exchange.send(answer())

    async with serving(script) as upstream, through(upstream, timeouts={"idle": 0.1}) as client:
        head, _ = await client.ask(request())

        assert head.startswith(b"HTTP/1.1 200 ")


async def test_an_upstream_that_accepts_no_connection_is_given_up() -> None:
    """A full backlog, a firewall that drops: the connection attempt hangs."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port = listening.getsockname()[1]
        fillers = []
        for _ in range(3):  # fill the backlog
            filler = socket.socket()
            filler.settimeout(0)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        async with through(f"http://127.0.0.1:{port}", timeouts={"connect": 0.2}) as client:
            assert "timeouts.connect" in await refused(client, 504, "upstream_connect_timeout")
        for filler in fillers:
            filler.close()


async def test_an_upstream_that_answers_no_greeting_may_speak_plain_http() -> None:
    """It waits for a request that TLS never sends, and the client for a greeting."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with through(url, timeouts={"connect": 0.3}) as client:
            message = await refused(client, 504, "upstream_connect_timeout")

    assert message.endswith("if it runs, it may speak plain HTTP: http:// in --upstream")


async def test_a_refusal_leaves_the_connection_usable() -> None:
    """The client may go on when the upstream is back."""
    async with serving() as upstream, through(upstream) as client:

        async def script(exchange: Exchange) -> None:
            exchange.is_last = True

        whole_script, upstream.script = upstream.script, script
        await refused(client, 502, "upstream_disconnected")
        upstream.script = whole_script
        head, _ = await client.ask(request())

        assert head.startswith(b"HTTP/1.1 200 ")


def test_every_code_of_an_error_is_explained(root: Path) -> None:
    """`docs/relay.md` says of each whose fault it is."""
    told = set(
        re.findall(r"`(\w+)`", (root / "docs/relay.md").read_text().partition("## Whose fault")[2].split("## ")[0])
    )
    source = "".join(path.read_text() for path in (root / "respfix").rglob("*.py"))
    codes = set(re.findall(r'Refusal\(\s*(?:\d+|status), "(\w+)"', source))

    assert {"upstream_untrusted", "body_too_large", "too_many_requests", "internal_error"} <= codes
    assert codes <= told
