"""Resumed streams: the rest of a repaired stream, from any instance and without anything remembered."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import reader
from clients.install import HERE, UnavailableError, installed, node
from corpus import STREAMS, mend
from downstream import config_for, request, through
from openai import OpenAI
from upstream import END, STREAM_HEAD, Exchange, Script, answer, chunk, serving

from respfix.app import running
from respfix.relay.resume import Resume
from respfix.stream import Ending, Limits, Options
from respfix.stream.remainder import Remainder

BROKEN = (STREAMS / "recorded" / "sub2api-0.1.132-an-text.sse").read_bytes()
HEALTHY = (STREAMS / "conformant" / "background-queued.sse").read_bytes()
ASK = "/v1/responses/resp_1?stream=true"


def replays(stream: bytes, seen: list[bytes] | None = None) -> Script:
    """An upstream that sends this stream, or the rest of it behind the number that is asked for."""

    async def script(exchange: Exchange) -> None:
        if seen is not None:
            seen.append(exchange.target)
        found = re.search(rb"starting_after=(\d+)", exchange.target)
        rest = stream if found is None else rest_of(stream, int(found[1]))
        await exchange.send(STREAM_HEAD + chunk(rest) + END)

    return script


def rest_of(stream: bytes, after: int) -> bytes:
    """What of a stream is numbered higher."""
    frames = [frame + b"\n\n" for frame in stream.split(b"\n\n") if b"data:" in frame]
    return b"".join(
        frame
        for frame in frames
        if int(frame.rpartition(b'"sequence_number":')[2].split(b"}")[0].split(b",")[0]) > after
    )


def get(target: str) -> bytes:
    """A request for a stream."""
    return request(target, method="GET", body=None)


def numbered(stream: bytes) -> Iterator[tuple[int, bytes]]:
    """Each number of a stream, and what of the stream comes behind it."""
    ends = [found.end() for found in re.finditer(rb"\n\n", stream)]
    for start, end in pairwise([0, *ends]):
        if found := re.search(rb'"sequence_number":(\d+)', stream[start:end]):
            yield int(found[1]), stream[end:]


def timeless(stream: bytes) -> bytes:
    """A stream without the time, which is the request's where the upstream says none."""
    return re.sub(rb'"created_at":\d+', b'"created_at":0', stream)


# Which requests


@pytest.mark.parametrize(
    ("target", "after", "whole"),
    [
        ("/v1/responses/r?stream=true", None, "/v1/responses/r?stream=true"),
        ("/responses/r/?stream=true&starting_after=7", 7, "/responses/r/?stream=true"),
        ("/v1/responses/r?starting_after=0&stream=true&x=%7e", 0, "/v1/responses/r?stream=true&x=%7e"),
        ("/v1/responses/r?stream=true&starting_after=-1&include[]=a", None, "/v1/responses/r?stream=true&include[]=a"),
    ],
)
def test_a_resume_is_known_by_its_request(target: str, after: int | None, whole: str) -> None:
    """And what asks for the whole stream is the same request without its number."""
    assert Resume("r", after, whole) == Resume.asked("GET", target)


@pytest.mark.parametrize(
    "line",
    [
        "POST /v1/responses/r?stream=true",
        "GET /v1/responses?stream=true",
        "GET /v1/responses/r",
        "GET /v1/responses/r?stream=false",
        "GET /v1/responses/r/input_items?stream=true",
        "GET /v1/conversations/r?stream=true",
        "GET /v1/responses/r?stream=true&starting_after=x",
        "DELETE /v1/responses/r?stream=true",
    ],
)
def test_any_other_request_is_none(line: str) -> None:
    """It passes as it is."""
    method, _, target = line.partition(" ")

    assert Resume.asked(method, target) is None


# What arrives


@pytest.mark.parametrize("name", ["broken", "healthy"])
async def test_a_stream_can_be_resumed_behind_every_event(name: str) -> None:
    """What the client has and what it gets are the whole repaired stream, whoever repaired the first."""
    stream = {"broken": BROKEN, "healthy": HEALTHY}[name]
    async with serving(replays(stream)) as upstream, through(upstream) as client:
        _, whole = await client.ask(get(ASK))
        for number, rest in numbered(whole):
            async with through(upstream) as other:  # another instance
                _, body = await other.ask(get(f"{ASK}&starting_after={number}"))
                assert timeless(rest) == timeless(body)

    assert [] == reader.complaints(reader.events(whole))


async def test_a_healthy_rest_is_what_the_upstream_would_send() -> None:
    """Byte for byte."""
    async with serving(replays(HEALTHY)) as upstream, through(upstream) as client:
        _, body = await client.ask(get(f"{ASK}&starting_after=3"))

        assert rest_of(HEALTHY, 3) == body


@pytest.mark.parametrize(
    ("first", "second", "after"),
    [
        ("openai-background-long", "openai-background-long-resume-starting-after-1", 1),
        ("openai-background-queued", "openai-background-resume-starting-after-0", 0),
    ],
)
async def test_openais_recorded_resumes_arrive(shared: Path, first: str, second: str, after: int) -> None:
    """The second is byte for byte what OpenAI sent, but for one event whose keys OpenAI sent in another order."""
    whole, rest = ((shared / "captures" / "openai" / f"{name}.sse").read_bytes() for name in (first, second))
    async with serving(replays(whole)) as upstream, through(upstream) as client:
        _, body = await client.ask(get(f"{ASK}&starting_after={after}"))

    came, expected = reader.frames(body), reader.frames(rest)
    differing = [place for place, pair in enumerate(zip(came, expected, strict=True)) if pair[0] != pair[1]]
    assert len(differing) <= 1
    assert reader.events(rest) == reader.events(body)


async def test_the_upstream_is_asked_for_the_whole_stream() -> None:
    """Everything else of the request passes as it came."""
    seen: list[bytes] = []
    async with serving(replays(HEALTHY, seen)) as upstream, through(upstream) as client:
        await client.ask(get("/v1/responses/resp_1?include[]=x&starting_after=3&stream=true&y=%7e"))

    assert [b"/v1/responses/resp_1?include[]=x&stream=true&y=%7e"] == seen


async def test_a_client_that_has_everything_gets_nothing_more() -> None:
    """A clean end."""
    async with serving(replays(BROKEN)) as upstream, through(upstream) as client:
        _, body = await client.ask(get(f"{ASK}&starting_after=999"))

        assert b"" == body


async def test_a_stream_that_cannot_be_read_is_not_gathered() -> None:
    """It would grow as long as it lasts, and the client would see nothing of it."""
    line = b"data: " + b"x" * 2000

    async def script(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD + chunk(line))
        await exchange.gone()

    async with serving(script) as upstream, through(upstream, limits=Limits(frame_bytes=1000)) as client:
        await client.send(get(f"{ASK}&starting_after=3"))

        assert (await client.head()).startswith(b"HTTP/1.1 200 ")
        assert line == await client.chunk()


def test_what_is_no_stream_any_more_passes_from_there_on() -> None:
    """A frame beyond the bound ends the search for where the client's stream broke off."""
    remainder = Remainder(5, bound=100)

    assert [b"", b"data: " + b"x" * 200, b"more"] == [
        remainder.feed(data)
        for data in (b'data: {"type":"a","sequence_number":0}\n\n', b"data: " + b"x" * 200, b"more")
    ]


async def test_the_first_stream_has_the_same_numbers() -> None:
    """A POST whose client knew the request, with signs of life in between, and its resume."""
    ping = b'data: {"type": "ping"}\n\n'
    frames = [frame + b"\n\n" for frame in BROKEN.split(b"\n\n") if frame]
    posted = frames[0] + ping.join([b"", *frames[1:]])

    async def script(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD + chunk(posted if exchange.head.startswith(b"POST") else BROKEN) + END)

    async with serving(script) as upstream, through(upstream) as client:
        asked = json.dumps({"model": "gpt-5.5", "stream": True, "tools": [{"type": "custom", "name": "x"}]}).encode()
        _, first = await client.ask(request(body=asked))
        for number, rest in numbered(first):
            _, body = await client.ask(get(f"{ASK}&starting_after={number}"))
            kinds = [(event["type"], event["sequence_number"]) for event in reader.events(rest)]
            assert kinds == [(event["type"], event["sequence_number"]) for event in reader.events(body)]


# What cannot be done


async def test_an_upstream_that_cannot_replay_is_said_to_be_one() -> None:
    """Before anything has left; a rest that is guessed would lose events, or say them twice."""
    async with serving(STREAM_HEAD + chunk(rest_of(HEALTHY, 4)) + END) as upstream, through(upstream) as client:
        head, body = await client.ask(get(f"{ASK}&starting_after=5"))

        assert head.startswith(b"HTTP/1.1 502 ")
        assert b"resume_impossible" in body
        assert b"only from its event 5 on" in body


async def test_a_late_stream_that_was_asked_for_from_its_start_passes() -> None:
    """As it came: nothing in front of it can be made up."""
    late = rest_of(HEALTHY, 4)
    async with serving(STREAM_HEAD + chunk(late) + END) as upstream, through(upstream) as client:
        _, body = await client.ask(get(ASK))

        assert late == body


@pytest.mark.parametrize("changes", [{"resume": False}, {"repair": "observe"}, {"repair": "off"}], ids=str)
async def test_it_can_be_switched_off(changes: dict[str, Any]) -> None:
    """Then both the request and the stream pass as they come."""
    seen: list[bytes] = []
    async with serving(replays(HEALTHY, seen)) as upstream, through(upstream, **changes) as client:
        _, body = await client.ask(get(f"{ASK}&starting_after=3"))

        assert rest_of(HEALTHY, 3) == body
        assert [f"{ASK}&starting_after=3".encode()] == seen


@pytest.mark.parametrize("status", [b"404 Not Found", b"400 Bad Request"])
async def test_a_refusal_is_relayed(status: bytes) -> None:
    """The upstream's own words."""
    data = answer(b'{"error":{"message":"gone"}}', status=status)
    async with serving(data) as upstream, through(upstream) as client:
        head, body = await client.ask(get(f"{ASK}&starting_after=3"))

        assert data == head + body


def test_a_background_stream_that_breaks_off_has_not_failed() -> None:
    """It goes on at the server, and the client may resume it: nothing is said in its name."""
    cut = HEALTHY[: HEALTHY.index(b"event: response.output_text.delta")]
    for ending in (Ending.CLOSED, Ending.CUT, Ending.IDLE, Ending.SHUTDOWN):
        mended = mend(cut, Options(), ending)

        assert (cut, None) == (mended.body, mended.report.terminal)
    assert "response.failed" == mend(cut, Options(), Ending.COMPLETE).report.terminal


async def test_the_client_sees_that_a_background_stream_broke_off() -> None:
    """As it would without respfix."""
    cut = HEALTHY[: HEALTHY.index(b"event: response.output_text.delta")]

    async def script(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD + chunk(cut))
        exchange.is_last = True

    async with serving(script) as upstream, through(upstream) as client:
        await client.send(request())
        head = await client.head()
        with pytest.raises((asyncio.IncompleteReadError, ValueError)):
            await client.body(head)


# A real client


async def test_openai_python_resumes_what_was_interrupted() -> None:
    """`responses.retrieve(stream=True, starting_after=…)` gets every event once."""
    async with serving(replays(BROKEN)) as upstream, running(config_for(upstream)) as address:

        def read() -> list[tuple[str, int]]:
            seen: list[tuple[str, int]] = []
            with OpenAI(base_url=f"http://{address}/v1", api_key="k", max_retries=0) as client:
                with client.responses.retrieve("resp_1", stream=True) as first:
                    for event in first:
                        seen.append((event.type, event.sequence_number))
                        if len(seen) == 7:
                            break
                with client.responses.retrieve("resp_1", stream=True, starting_after=seen[-1][1]) as second:
                    seen += [(event.type, event.sequence_number) for event in second]
            return seen

        seen = await asyncio.to_thread(read)

    assert [(event["type"], event["sequence_number"]) for event in reader.events(mend(BROKEN).body)] == seen


@pytest.mark.clients
@pytest.mark.timeout(300)
async def test_openai_node_resumes_what_was_interrupted() -> None:
    """Likewise, with openai-node."""
    try:
        program, folder = await asyncio.to_thread(lambda: (node(), installed("openai-node-7")))
    except UnavailableError as reason:
        pytest.skip(str(reason))
    script = HERE / "runners" / "openai_node_resume.mjs"
    async with serving(replays(BROKEN)) as upstream, running(config_for(upstream)) as address:
        process = await asyncio.create_subprocess_exec(
            program, script, folder, f"http://{address}/v1", stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        out, errors = await process.communicate()

    assert b"" == errors
    assert [[event["type"], event["sequence_number"]] for event in reader.events(mend(BROKEN).body)] == json.loads(out)
