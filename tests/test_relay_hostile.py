"""Requests made to smuggle, and secrets that must not get out; for both of aiohttp's parsers."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys

import pytest
from downstream import Client, config_for, connected, through
from upstream import Exchange, serving

from respfix.app import running
from respfix.edge.connection import Connection
from respfix.journal import place
from respfix.journal.lines import Discreet

CANARY = "sk-canary-5f1c"
POST = b"POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\n"

SMUGGLING = {
    "length and chunks": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
    "two equal lengths": POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "a list of lengths": POST + b"Content-Length: 2, 2\r\n\r\n{}",
    "a length with a sign": POST + b"Content-Length: +2\r\n\r\n{}",
    "a negative length": POST + b"Content-Length: -2\r\n\r\n{}",
    "a length in hex": POST + b"Content-Length: 0x2\r\n\r\n{}",
    "an unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked is not last": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked after gzip": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "a space before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a folded header": POST + b"X-A: 1\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a line feed alone": b"POST /x HTTP/1.1\nHost: 127.0.0.1\nContent-Length: 2\n\n{}",
    "a carriage return in a value": POST + b"X-A: a\rContent-Length: 2\r\n\r\n",
    "a NUL in a value": POST + b"X-A: a\x00b\r\n\r\n",
    "a NUL in a name": POST + b"X-\x00A: b\r\n\r\n",
    "no colon": POST + b"X-A\r\n\r\n",
    "no Host": b"POST /x HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
    "two Hosts": POST + b"Host: evil\r\n\r\n",
    "a broken version": b"POST /x HTTP/1.x\r\nHost: 127.0.0.1\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a control character in the target": b"POST /x\x01 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "a space in the target": b"POST /x y HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40) + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", SMUGGLING)
async def test_an_ambiguous_request_is_refused_and_nothing_is_sent_on(name: str) -> None:
    """What two parsers could read differently must not reach the second one."""
    async with serving() as upstream, through(upstream) as client:
        await client.send(SMUGGLING[name])
        head = await client.head()

        assert int(head.split()[1]) in {400, 403, 501}
        assert upstream.exchanges == []
        await client.rest()


@pytest.mark.parametrize(
    "body", [b"5\nhello\n0\n\n", b"5\r\nhelloX\r\n0\r\n\r\n", b"-1\r\n\r\n", b"5 \r\nhello\r\n0\r\n\r\n"]
)
async def test_a_body_with_ambiguous_chunks_never_looks_whole_upstream(body: bytes) -> None:
    """The request may be on its way already; then its body must stay unfinished."""
    whole: list[Exchange] = []

    async def script(exchange: Exchange) -> None:
        await exchange.read_body()
        whole.append(exchange)

    async with serving(script, reads_bodies=False) as upstream, through(upstream) as client:
        await client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n" + body)

        assert (await client.rest()).split()[1] == b"400"
        assert whole == []


BROKEN_HEADS = {
    "a space before the length's colon": b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\n{}HTTP/1.1 200 OK\r\n\r\nevil",
    "a tab before the coding's colon": b"HTTP/1.1 200 OK\r\nTransfer-Encoding\t: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a NUL in the reason": b"HTTP/1.1 200 O\x00K\r\nContent-Length: 2\r\n\r\n{}",
    "an escape in the reason": b"HTTP/1.1 200 \x1b[2JOK\r\nContent-Length: 2\r\n\r\n{}",
    "an escape in a value": b"HTTP/1.1 200 OK\r\nX-A: \x1b[2J\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("name", BROKEN_HEADS)
async def test_a_head_that_is_read_in_two_ways_is_not_passed_on(name: str) -> None:
    """aiohttp reads answers leniently; what it overlooks could be the framing for who reads them next."""
    async with serving(BROKEN_HEADS[name]) as upstream, through(upstream) as client:
        head, body = await client.ask(POST + b"Content-Length: 2\r\n\r\n{}")

        assert head.startswith(b"HTTP/1.1 502 ")
        assert b'"upstream_invalid_answer"' in body


async def test_a_space_before_a_harmless_colon_is_taken_out() -> None:
    """As RFC 9112 5.1 wants it of a proxy. aiohttp's Python parser refuses it."""
    data = b"HTTP/1.1 200 OK\r\nX-A : 1\r\nContent-Length: 2\r\n\r\n{}"
    async with serving(data) as upstream, through(upstream) as client:
        head, body = await client.ask(POST + b"Content-Length: 2\r\n\r\n{}")

        assert (data.replace(b"X-A :", b"X-A:") == head + body) or head.startswith(b"HTTP/1.1 502 ")


async def test_a_smuggled_request_is_not_executed_from_a_body() -> None:
    """A body stays a body on a reused connection."""
    inner = b"POST /evil HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    async with serving() as upstream, through(upstream) as client:
        await client.ask(POST + b"Content-Length: %d\r\n\r\n" % len(inner) + inner)
        await client.ask(POST + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(inner), inner))

        assert [exchange.target for exchange in upstream.exchanges] == [b"/x", b"/x"]
        assert [exchange.body for exchange in upstream.exchanges] == [inner, inner]


LEAKS = {
    "a header beyond the limit": b"GET /x HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s"
    + b"k" * 70_000
    + b"\r\n\r\n",
    "a name beyond the limit": b"GET /x HTTP/1.1\r\nHost: 127.0.0.1\r\n%s" + b"k" * 70_000 + b": 1\r\n\r\n",
    "a target beyond the limit": b"GET /x?key=%s" + b"k" * 70_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "too many headers": b"GET /x HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X-Key: %s\r\n" * 300 + b"\r\n",
    "a header that does not parse": b"GET /x HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization Bearer %s\r\n\r\n",
    "a value that does not parse": b"GET /x HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: %s\x00\r\n\r\n",
    "a request line that does not parse": b"GET /x?key=%s HTTP/1.1 x\r\nHost: 127.0.0.1\r\n\r\n",
    "a method that does not parse": b"%s@ /x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "a header that is not UTF-8": b"GET /x HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: %s\xe9\r\n\r\n",
    "another Host": b"GET /x?key=%s HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\n\r\n",
    "an absolute target": b"GET http://bob:%s@h/?key=%s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: %s\r\n\r\n",
    "a broken chunk": POST + b"Transfer-Encoding: chunked\r\nAuthorization: %s\r\n\r\n%s\r\n",
    "an upstream that breaks": b"GET /x?key=%s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: %s\r\n\r\n",
    "a mended stream": b"POST /responses?key=%s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: %s\r\n"
    b"Content-Length: 14\r\n\r\n%s",
}


@pytest.mark.parametrize("name", LEAKS)
async def test_a_secret_is_never_echoed_or_logged(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """The aiohttp server repeats what it could not parse, to the client and to the log with a traceback."""
    caplog.set_level(logging.DEBUG)

    async def script(exchange: Exchange) -> None:
        if exchange.target.startswith(b"/responses"):
            await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {}\n\n")
        exchange.is_last = True

    async with serving(script) as upstream, through(upstream) as client:
        await client.send(LEAKS[name].replace(b"%s", CANARY.encode()))
        said = await client.some()
        await asyncio.sleep(0.02)

    assert said != b""
    assert CANARY not in said.decode("latin-1")
    assert CANARY not in caplog.text
    assert caplog.records != []
    assert all(record.exc_info is None for record in caplog.records)


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 200 OK\r\nX: " + CANARY.encode() + b"\x01\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX " + CANARY.encode() + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + CANARY.encode() * 9000 + b"\r\n\r\n",
        CANARY.encode() + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + CANARY.encode() + b"\r\n",
    ],
)
async def test_a_secret_in_a_broken_answer_is_never_logged(sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Servers answer with session cookies and echoed keys."""
    caplog.set_level(logging.DEBUG)
    async with serving(sent) as upstream, through(upstream) as client:
        await client.send(POST + b"Content-Length: 0\r\n\r\n")
        said = await client.some()

    assert said != b""
    assert CANARY not in caplog.text + said.decode()


def test_foreign_log_records_lose_their_values_and_keep_the_place(caplog: pytest.LogCaptureFixture) -> None:
    """Tracebacks and reprs quote what was received; where it happened is enough to find it."""
    logger = logging.getLogger("test.foreign")
    logger.addFilter(Discreet())
    try:
        int(CANARY)
    except ValueError as error:
        where = place(error)
        logger.exception("Error handling request from %s at %5.2f %%", CANARY, 1.0)
    logger.error("Task exception was never retrieved <Task %s>\nfuture: %s", CANARY, CANARY)
    logger.error(f"100% of <{CANARY}>\n{CANARY}")  # noqa: G004 (as asyncio does)

    assert CANARY not in caplog.text
    assert where.startswith("ValueError at ")
    assert [record.getMessage() for record in caplog.records] == [
        f"Error handling request from … at … %% [{where}]",
        "Task exception was never retrieved <…>",
        "100% of <…>",
    ]


async def test_malformed_requests_do_not_fill_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scanner sends thousands."""
    monkeypatch.setattr(Connection, "_second", 0)
    async with serving() as upstream, running(config_for(upstream)) as address:
        for _ in range(60):
            async with connected(address) as client:
                await client.send(b"nonsense\r\n\r\n")
                await client.rest()

    assert 1 <= caplog.text.count("answered 400") <= 30  # at most ten a second


async def test_a_silent_connection_is_closed() -> None:
    """Without a limit a few hundred of them hold all sockets."""
    async with serving() as upstream, through(upstream, timeouts={"client_keepalive": 0.2}) as client:
        assert await client.rest() == b""


async def test_a_connection_with_half_a_request_is_closed() -> None:
    """The slow header attack."""
    async with serving() as upstream, through(upstream, timeouts={"client_keepalive": 0.2}) as client:
        await client.send(b"GET /x HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ")

        assert await client.rest() == b""


async def test_a_pipelining_flood_is_answered_in_order_or_not_at_all() -> None:
    """A thousand requests in one write are neither lost nor all held at once."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(exchange.target) + exchange.target)

    async def read_all(client: Client) -> list[bytes]:
        return [await client.body(await client.head()) for _ in range(500)]

    async with serving(script) as upstream, through(upstream) as client:
        sent = b"".join(b"GET /%d HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % number for number in range(500))
        reading = asyncio.create_task(read_all(client))
        await client.send(sent)

        assert await asyncio.wait_for(reading, 20) == [b"/%d" % number for number in range(500)]


@pytest.mark.skipif("AIOHTTP_NO_EXTENSIONS" in os.environ, reason="is the run inside")
def test_the_pure_python_parser_is_as_strict(request: pytest.FixtureRequest) -> None:
    """It is used where aiohttp comes without its extension, and its faults are others."""
    environment = os.environ | {"AIOHTTP_NO_EXTENSIONS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(request.path)]
    done = subprocess.run(
        command, env=environment, cwd=request.config.rootpath, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout[-3000:]
