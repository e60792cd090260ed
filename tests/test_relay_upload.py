"""A request's body that stops in the middle, one that is slow, and whose patience counts meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time

import pytest
from downstream import Client, config_for, connected, request, through
from upstream import END, STREAM_HEAD, Exchange, answer, chunk, header_values, serving

from respfix.app import started

IDLE = {"idle": 0.3}
LENGTH = request(body=b"x" * 10)[:-5]
CHUNKED = b"POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"01234")


@pytest.mark.parametrize("sent", [LENGTH, LENGTH[:-5], CHUNKED, CHUNKED[:-4]], ids=str)
async def test_a_body_that_stops_is_given_up(sent: bytes) -> None:
    """A client that hangs would hold a connection here and one at the upstream, for as long as it likes."""
    is_whole = False

    async def script(exchange: Exchange) -> None:
        nonlocal is_whole
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await exchange.read_body()
            is_whole = True

    async with (
        serving(script, reads_bodies=False) as upstream,
        started(config_for(upstream, timeouts=IDLE)) as service,
        connected(service.address) as client,
    ):
        since = time.monotonic()
        head, body = await client.ask(sent)
        error = json.loads(body)["error"]

        assert head.startswith(b"HTTP/1.1 408 ")
        assert ("request_timeout", "invalid_request_error") == (error["code"], error["type"])
        assert error["message"].startswith(
            "respfix: the request's body stopped in the middle: no byte came for 0.3 s ("
        )
        assert time.monotonic() - since >= 0.3
        assert header_values(head, b"Connection") == [b"close"]
        await asyncio.wait_for(asyncio.gather(*upstream._tasks), 5)  # until its connections are closed
        assert not is_whole
        assert ["408"] == [status for _, _, status in service.journal.tally.requests]


async def _drip(client: Client, pieces: int) -> None:
    await client.send(request("/v1/responses", f"X-Length: {pieces}", body=bytes(pieces))[:-pieces])
    for _ in range(pieces):
        await asyncio.sleep(0.15)
        await client.send(b"x")


@pytest.mark.parametrize("timeouts", [{"idle": 0.7}, {"idle": 0.0}, {"idle": 0.0, "first_byte": 0.7}], ids=str)
async def test_a_body_that_is_slow_arrives(timeouts: dict[str, float]) -> None:
    """Every byte counts; and nobody waits for the answer to a request that is not there yet."""
    async with serving(answer()) as upstream, through(upstream, timeouts=timeouts) as client:
        await _drip(client, 6)
        head = await client.head()

        assert head.startswith(b"HTTP/1.1 200 ")
        assert upstream.last.body == b"x" * 6


async def test_the_answer_is_waited_for_once_the_request_is_there() -> None:
    """`timeouts.first_byte` begins with the end of a slow body, and is the upstream's fault."""

    async def script(exchange: Exchange) -> None:
        await exchange.gone()

    async with serving(script) as upstream, through(upstream, timeouts={"first_byte": 0.2}) as client:
        await _drip(client, 4)
        head, body = await client.ask(b"")

        assert head.startswith(b"HTTP/1.1 504 ")
        assert "upstream_timeout" == json.loads(body)["error"]["code"]


async def test_an_upstream_that_takes_a_body_slowly_is_not_the_clients_fault() -> None:
    """The client has sent all that there was room for."""

    async def script(exchange: Exchange) -> None:
        await asyncio.sleep(0.6)
        await exchange.read_body()
        await exchange.send(answer())

    async with serving(script, reads_bodies=False) as upstream, through(upstream, timeouts={"idle": 0.2}) as client:
        head, _ = await client.ask(request(body=bytes(20_000_000)))

        assert head.startswith(b"HTTP/1.1 200 ")


async def test_an_upstream_that_answers_before_the_end_of_a_body_decides() -> None:
    """It may not want the rest: what it says arrives, however long the client says nothing."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD)
        for _ in range(6):
            await exchange.send(chunk(b": still here\n\n"))
            await asyncio.sleep(0.1)
        await exchange.send(END)

    async with serving(script, reads_bodies=False) as upstream, through(upstream, timeouts=IDLE) as client:
        head, body = await client.ask(CHUNKED)

        assert head.startswith(b"HTTP/1.1 200 ")
        assert b": still here\n\n" * 6 == body
