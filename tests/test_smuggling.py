"""A differential against h11: two readers of the same bytes must find the same requests in them.

Every framing of a request that could be read in two ways, good or bad, is sent through respfix to an upstream that
reads with h11. What arrives there must be what h11 finds in the client's own bytes, or less: respfix may refuse, but
never send on what another server would read differently. For both of aiohttp's parsers.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import product

import h11
import pytest
from conftest import Figures
from downstream import config_for, connected

from respfix.app import running
from respfix.config import Address

Request = tuple[bytes, bytes, bytes]  # method, target, body

CODINGS = [
    b"",
    *(b"Transfer-Encoding:" + value + b"\r\n" for value in (
        b" chunked", b"chunked", b" Chunked", b"\tchunked\t", b" xchunked", b" chunked, identity",
        b" identity, chunked", b" chunked\r\nTransfer-Encoding: chunked",
        b"\r\n chunked", b" \x0bchunked", b' "chunked"', b" chunked;q=1",
    )),
    b"Transfer-Encoding : chunked\r\n", b"Transfer_Encoding: chunked\r\n", b"X: y\nTransfer-Encoding: chunked\r\n",
    b"X: y\rTransfer-Encoding: chunked\r\n",
]  # fmt: skip
LENGTHS = [
    b"",
    *(b"Content-Length:" + value + b"\r\n" for value in (
        b" 5", b" 0", b" 05", b" +5", b" -5", b" 5, 5", b" 5\r\nContent-Length: 5", b" 5\r\nContent-Length: 0",
        b" 0x5", b" 5 ", b" 1_0", b" \xc2\xb2", b" ",
    )),
    b"Content-Length : 5\r\n", b"X: y\nContent-Length: 5\r\n",
]  # fmt: skip
BODIES = [
    b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"5;x=y\r\nhello\r\n0\r\n\r\n", b"5 \r\nhello\r\n0\r\n\r\n",
    b"5\nhello\n0\n\n", b"0\r\n\r\n", b"0x5\r\nhello\r\n0\r\n\r\n", b"+5\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhello\r\n0\r\nX-Trailer: y\r\n\r\n", b"5\r\nhelloXX0\r\n\r\n",
    b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
]  # fmt: skip
VERSIONS = [b"1.1", b"1.0"]
END = b"GET /end HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
AT_ONCE = 64


def payloads() -> Iterator[bytes]:
    """Every oddity of one header with the plain forms of the other, each followed by an honest request."""
    for version, coding, length, body in product(VERSIONS, CODINGS, LENGTHS, BODIES):
        plain = (coding in CODINGS[:2]) + (length in LENGTHS[:3])
        if plain == 2 or (plain == 1 and version == b"1.1"):
            yield b"POST /x HTTP/" + version + b"\r\nHost: 127.0.0.1\r\n" + coding + length + b"\r\n" + body + END


class Reader:
    """A server's reading of bytes, by h11."""

    def __init__(self) -> None:
        self._connection = h11.Connection(h11.SERVER)
        self._request: h11.Request | None = None
        self._body = b""
        self.is_broken = False

    def feed(self, data: bytes) -> Iterator[Request]:
        """The requests that these bytes complete."""
        self._connection.receive_data(data)
        while True:
            try:
                event = self._connection.next_event()
            except h11.RemoteProtocolError:
                self.is_broken = True
                return
            if isinstance(event, h11.Request):
                self._request, self._body = event, b""
            elif isinstance(event, h11.Data):
                self._body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                assert self._request is not None
                # The case of the method is not relayed; docs/relay.md says so.
                yield bytes(self._request.method).upper(), bytes(self._request.target), self._body
                self._connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
                self._connection.send(h11.EndOfMessage())
                if self._connection.our_state is not h11.DONE:
                    return
                self._connection.start_next_cycle()
            else:
                return


class Upstream:
    """Reads with h11 what respfix sends, and answers."""

    def __init__(self) -> None:
        self.seen: dict[bytes, list[Request]] = {}  # by the payload's mark
        self.broken = 0

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection; respfix uses each for one request here."""
        server = Reader()
        try:
            while data := await reader.read(65536):
                for request in server.feed(data):
                    mark, _, target = request[1].removeprefix(b"/").partition(b"/")
                    self.seen.setdefault(mark, []).append((request[0], b"/" + target, request[2]))
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                self.broken += server.is_broken
        except ConnectionError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def h11_upstream() -> AsyncIterator[tuple[Upstream, str]]:
    """The upstream for the time of a block."""
    upstream = Upstream()
    server = await asyncio.start_server(upstream.connected, "127.0.0.1", 0)
    try:
        yield upstream, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def play(address: Address, payload: bytes) -> None:
    """Send the bytes, and give respfix time for whatever it makes of them."""
    async with connected(address) as client:
        await client.send(payload)
        try:
            async with asyncio.timeout(0.5):
                await client.reader.read()
        except (TimeoutError, ConnectionError):
            pass


@pytest.mark.timeout(300)
async def test_no_framing_is_read_differently_behind_respfix(figures: Figures) -> None:
    """Neither more requests than h11 finds, nor others, nor with other bodies."""
    everything = list(payloads())
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, payload: bytes, address: Address) -> None:
        marked = payload.replace(b" /", b" /%d/" % number)
        async with limit:
            await play(address, marked)

    async with (
        h11_upstream() as (upstream, url),
        running(config_for(url, timeouts={"upstream_keepalive": 0, "grace": 0.1})) as address,
    ):
        await asyncio.gather(*(one(number, payload, address) for number, payload in enumerate(everything)))
    assert upstream.broken == 0
    wrong, passed = [], 0
    for number, payload in enumerate(everything):
        got = upstream.seen.get(b"%d" % number, [])
        expected = list(Reader().feed(payload))
        passed += got == expected
        if got != expected[: len(got)]:
            wrong.append((payload, got, expected))
    parser = "Python" if "AIOHTTP_NO_EXTENSIONS" in os.environ else "C"
    figures(
        f"smuggling: {len(everything)} framings through aiohttp's {parser} parser, {passed} arrive as h11 reads them, "
        f"{len(everything) - passed} are refused, {len(wrong)} arrive otherwise"
    )
    assert wrong == []


@pytest.mark.skipif("AIOHTTP_NO_EXTENSIONS" in os.environ, reason="is the run inside")
@pytest.mark.timeout(300)
def test_the_pure_python_parser_agrees_too(request: pytest.FixtureRequest, figures: Figures) -> None:
    """It is used where aiohttp comes without its extension, and its faults are others."""
    environment = os.environ | {"AIOHTTP_NO_EXTENSIONS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(request.path)]
    done = subprocess.run(
        command, env=environment, cwd=request.config.rootpath, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout[-3000:]
    figures(next(line for line in done.stdout.splitlines() if line.startswith("smuggling:")))
