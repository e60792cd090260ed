"""What the relay overhears of a request, and JSON where a stream was asked for."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable

import brotli
import pytest
import reader
import zstandard
from corpus import STREAMS
from downstream import request, through
from upstream import END, STREAM_HEAD, answer, chunk, serving

from respfix.stream import Limits

ASKED = json.dumps({"model": "gpt-5.5", "stream": True, "instructions": "Be brief.", "input": "x" * 5000}).encode()
BARE = b'data: {"type":"response.created","response":{"id":"resp_1"}}\n\n'
JSON = (STREAMS / "unfolded" / "text.json").read_bytes()
UNFOLDED = (STREAMS / "unfolded" / "text.sse").read_bytes()
IS_JSON = b"Content-Type: application/json; charset=utf-8"


async def told(body: bytes, *headers: str) -> tuple[str, str | None, bytes]:
    """The model and the instructions that a bare response is given, and what the upstream got."""
    async with serving(STREAM_HEAD + chunk(BARE) + END) as upstream, through(upstream) as client:
        _, stream = await client.ask(request("/v1/responses", *headers, body=body))
        response = reader.events(stream)[0]["response"]
        return response["model"], response["instructions"], upstream.last.body


@pytest.mark.parametrize(
    ("coding", "code"),
    [("identity", bytes), ("gzip", gzip.compress), ("deflate", zlib.compress), ("zstd", zstandard.compress)],
)
async def test_a_request_is_overheard_in_every_coding(coding: str, code: Callable[[bytes], bytes]) -> None:
    """And arrives as it was sent, byte for byte."""
    body = code(ASKED)

    assert ("gpt-5.5", "Be brief.", body) == await told(body, f"Content-Encoding: {coding}")


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (b"no JSON", "identity"),
        (ASKED, "gzip"),
        (ASKED, "rot13"),
        (gzip.compress(ASKED)[:-9], "gzip"),
        (gzip.compress(bytes(80_000_000)), "gzip"),
        (zstandard.compress(bytes(80_000_000)), "zstd"),
        (brotli.compress(bytes(80_000_000), quality=5), "br"),
        (ASKED[:-1] + b'," ":"' + bytes(17_000_000) + b'"}', "identity"),
    ],
    ids=["no JSON", "not gzip", "unknown coding", "cut gzip", "gzip bomb", "zstd bomb", "brotli bomb", "too large"],
)
async def test_what_cannot_be_read_is_relayed_all_the_same(body: bytes, coding: str) -> None:
    """The answer is then repaired with neutral values, as that of a stranger."""
    assert ("", None, body) == await told(body, f"Content-Encoding: {coding}")


async def test_a_whole_response_becomes_the_stream_that_was_asked_for() -> None:
    """Codex and every SDK wait for events."""
    async with serving(answer(JSON, IS_JSON, b"X-Request-Id: 7")) as upstream, through(upstream) as client:
        head, body = await client.ask(request(body=ASKED))

        assert UNFOLDED == body
        assert b"Content-Type: text/event-stream\r\n" in head
        assert b"X-Request-Id: 7\r\n" in head
        assert b"Content-Length" not in head


async def test_a_compressed_response_is_unfolded_too() -> None:
    """A server that compresses although it was asked not to."""
    data = answer(gzip.compress(JSON), IS_JSON, b"Content-Encoding: gzip")
    async with serving(data) as upstream, through(upstream) as client:
        _, body = await client.ask(request(body=ASKED))

        assert UNFOLDED == body


@pytest.mark.parametrize("asked", [b"{}", b'{"stream":false}', b'{"stream":"true"}', b"no JSON"])
async def test_who_asked_for_no_stream_gets_what_came(asked: bytes) -> None:
    """Head and body, byte for byte: that is the promise."""
    data = answer(JSON, IS_JSON)
    async with serving(data) as upstream, through(upstream) as client:
        head, body = await client.ask(request(body=asked))

        assert data == head + body


@pytest.mark.parametrize(
    "body",
    [b'{"message":"no"}', b"{}", b"", b'{"object":"response","status":"queued"}', JSON[:-5], b"x" * 3000],
)
async def test_json_that_is_no_whole_response_passes(body: bytes) -> None:
    """Whoever asked for it."""
    data = answer(body, IS_JSON)
    async with serving(data) as upstream, through(upstream) as client:
        head, found = await client.ask(request(body=ASKED))

        assert data == head + found


@pytest.mark.parametrize(
    "changes",
    [{"disable": ("json-for-stream",)}, {"repair": "off"}, {"repair": "observe"}],
    ids=str,
)
async def test_it_can_be_switched_off(changes: dict[str, object]) -> None:
    """Then the JSON passes."""
    data = answer(JSON, IS_JSON)
    async with serving(data) as upstream, through(upstream, **changes) as client:
        head, body = await client.ask(request(body=ASKED))

        assert data == head + body


async def test_a_response_beyond_the_bound_passes() -> None:
    """Nothing of it is lost."""
    data = answer(JSON, IS_JSON)
    async with serving(data) as upstream, through(upstream, limits=Limits(frame_bytes=300)) as client:
        head, body = await client.ask(request(body=ASKED))

        assert data == head + body
