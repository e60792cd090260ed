"""The Open Responses compliance suite's checks: against a server directly, and through respfix in front of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import reader
from aiohttp import ClientSession, WSMsgType, web
from conftest import Figures
from corpus import CONFORMANT, RECORDED, STREAMS, Stream
from downstream import config_for
from open_responses import EVENTS, ITEM, RESPONSE, SUITE, Server, StreamReader, event_faults, verdict

from respfix.app import running

HEALTHY = "conformant"


@dataclass
class Replay:
    """A server that says what was recorded: in a stream, as JSON, and over a WebSocket.

    What a recorded server says without `stream` was not recorded; it is taken to be the response that ends its stream.
    What it does over a WebSocket, and whether it compacts, was not either: those are done as the specification wants.
    """

    text: bytes
    call: bytes

    def said_to(self, request: dict[str, Any]) -> bytes:
        """The recording for a request: a call where there are tools."""
        return self.call if request.get("tools") else self.text

    async def create(self, request: web.Request) -> web.StreamResponse:
        """`POST /v1/responses`."""
        body = await request.json()
        stream = self.said_to(body)
        if not body.get("stream"):
            ends = [event for event in reader.events(stream) if event["type"] in reader.TERMINALS]
            return web.json_response(ends[-1]["response"] if ends else {})
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        for frame in reader.frames(stream):
            await answer.write(frame.encode())
        return answer

    async def compact(self, request: web.Request) -> web.Response:
        """`POST /v1/responses/compact`."""
        if "model" not in await request.json():
            return web.json_response({"error": {"message": "there is no model"}}, status=400)
        return web.json_response(SMALL)

    async def converse(self, request: web.Request) -> web.WebSocketResponse:
        """`GET /v1/responses`; it knows the responses of this connection, until one cannot be continued."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        known: set[str] = set()
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            asked = json.loads(message.data)
            before = asked.get("previous_response_id")
            is_output = isinstance(asked["input"], list) and asked["input"][0]["type"] == "function_call_output"
            if before is not None and (before not in known or is_output):
                known.discard(before)
                await socket.send_json(NO_CALL if is_output else NOT_FOUND)
                continue
            for event in warm(self.text) if asked.get("generate") is False else data(self.said_to(asked)):
                await socket.send_str(event)
                known.add(json.loads(event).get("response", {}).get("id"))
        return socket


NOT_FOUND = {
    "type": "error",
    "status": 400,
    "error": {"type": "invalid_request_error", "code": "previous_response_not_found", "message": "none such"},
}
NO_CALL = {**NOT_FOUND, "error": {"type": "invalid_request_error", "code": "invalid_input", "message": "no such call"}}
SMALL = {
    "id": "resp_c",
    "object": "response.compaction",
    "created_at": 1763600000,
    "output": [{"type": "compaction", "id": "cmp_0", "encrypted_content": "gAAAA"}],
    "usage": reader.events((STREAMS / "conformant" / "text-2026.sse").read_bytes())[-1]["response"]["usage"],
}


def data(stream: bytes) -> list[str]:
    """A stream as messages."""
    return [block.data for block in reader.blocks(stream) if block.data != "[DONE]"]


def warm(stream: bytes) -> list[str]:
    """A response that only begins and ends."""
    events = reader.events(stream)
    ends = [event for event in events if event["type"] in {"response.created", "response.completed"}]
    return [json.dumps({**end, "response": {**end["response"], "output": []}}) for end in ends]


def recorded(name: str, call: str) -> Replay:
    """A recorded server by its text and its call."""
    return Replay((STREAMS / f"{name}.sse").read_bytes(), (STREAMS / f"{call}.sse").read_bytes())


UPSTREAMS = {
    HEALTHY: recorded("conformant/text-open-responses", "conformant/function-call-open-responses"),
    **{
        f"sub2api-{version}-{bridge}": recorded(
            f"recorded/sub2api-{version}-{bridge}-text", f"recorded/sub2api-{version}-{bridge}-tool-only"
        )
        for version in ("0.1.132", "0.1.179")
        for bridge in ("an", "cc")
    },
    "opencode-llm-proxy-1.6.1": recorded(  # it has no tools
        "recorded/opencode-llm-proxy-1.6.1-text", "recorded/opencode-llm-proxy-1.6.1-text"
    ),
    "opencode-llm-proxy-1.10.0": recorded(
        "recorded/opencode-llm-proxy-1.10.0-text", "recorded/opencode-llm-proxy-1.10.0-tool"
    ),
}


@contextlib.asynccontextmanager
async def both(replay: Replay) -> AsyncIterator[tuple[Server, Server]]:
    """A server, and respfix in front of it."""
    app = web.Application()
    app.router.add_post("/v1/responses", replay.create)
    app.router.add_post("/v1/responses/compact", replay.compact)
    app.router.add_get("/v1/responses", replay.converse)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        url = f"http://{host}:{port}"
        async with running(config_for(url)) as address, ClientSession() as session:
            yield Server(url, session), Server(f"http://{address}", session)
    finally:
        await runner.cleanup()


async def results(replay: Replay) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """What the whole suite says of both."""
    async with both(replay) as (direct, relayed):
        one, other = [{name: await verdict(name, server) for name in SUITE} for server in (direct, relayed)]
        return one, other


def passed(found: dict[str, list[str]]) -> set[str]:
    """The tests without a complaint."""
    return {name for name, faults in found.items() if not faults}


# The suite


@pytest.mark.parametrize("name", UPSTREAMS)
async def test_nothing_that_passes_directly_fails_through_respfix(name: str, figures: Figures) -> None:
    """Over HTTP and over a WebSocket, whatever is behind it."""
    direct, relayed = map(passed, await results(UPSTREAMS[name]))
    sockets = {test for test in SUITE if test.startswith("websocket")}
    counts = [f"{len(found - sockets)} + {len(found & sockets)}" for found in (direct, relayed)]
    figures(
        f"Open Responses, {name}: {counts[0]} tests pass directly, {counts[1]} through respfix, of "
        f"{len(SUITE.keys() - sockets)} over HTTP + {len(sockets)} over a WebSocket"
    )

    assert set() == direct - relayed


async def test_a_healthy_server_passes_everything() -> None:
    """Else the checks would be wrong, and equal results would mean nothing."""
    assert ({}, {}) == tuple(
        {name: faults for name, faults in found.items() if faults} for found in await results(UPSTREAMS[HEALTHY])
    )


@pytest.mark.parametrize("name", [name for name in UPSTREAMS if name.startswith("sub2api")])
async def test_what_a_server_streams_wrong_passes_through_respfix(name: str) -> None:
    """All that streams, a call too, and over a WebSocket; what is asked for as JSON is relayed as it is."""
    direct, relayed = map(passed, await results(UPSTREAMS[name]))
    streaming = {test for test in SUITE if "streaming" in test or test.startswith("websocket")}
    streaming -= {"websocket-generate-false"}  # nobody recorded a warm-up of it, and none is repaired

    assert {"websocket-previous-response-not-found"} == direct & streaming
    assert set() == streaming - relayed


def may_pass(stream: Stream) -> bool:
    """It is completed, for the suite lets nothing else pass, and all that it says is in the schema."""
    events = reader.events(stream.body)
    ends = [event["response"]["status"] for event in events if event["type"] == "response.completed"]
    return ends == ["completed"] and not any(
        event["type"] == "response.custom_tool_call_input.done" for event in events
    )


@pytest.mark.parametrize("stream", [each for each in RECORDED if each.name.startswith("sub2api")], ids=str)
async def test_each_recording_of_sub2api_fails_directly_and_passes_through_respfix(stream: Stream) -> None:
    """Unless it is one that no repair may let pass: failed, cut off by a limit, or with a tool outside the schema."""
    async with both(Replay(stream.body, stream.body)) as servers:
        direct, relayed = [await verdict("streaming-response", server) for server in servers]

    assert ([] != direct, may_pass(stream)) == (True, relayed == [])


@pytest.mark.parametrize("stream", CONFORMANT, ids=str)
async def test_each_conformant_stream_is_judged_as_before(stream: Stream) -> None:
    """Not a byte of it changes, and where its reads end does no harm."""
    async with both(Replay(stream.body, stream.body)) as servers:
        direct, relayed = [await verdict("streaming-response", server) for server in servers]

    assert direct == relayed


# The checks


def test_the_schema_refuses_what_it_should() -> None:
    """Each key of an event and of a response that may not be missing is missed, and none may be of another kind."""
    events = [event for replay in (UPSTREAMS[HEALTHY].text, UPSTREAMS[HEALTHY].call) for event in reader.events(replay)]
    for event in events:
        assert [] == event_faults(event)
        required = EVENTS[event["type"]].keys.keys() - {"type", "obfuscation", "logprobs"}
        for key in required:
            assert [] != event_faults({name: value for name, value in event.items() if name != key}), key
            assert [] != event_faults({**event, key: [[]]}), key
    response = events[-1]["response"]
    for key in RESPONSE.keys.keys() - {"metadata", "object"}:
        assert not RESPONSE({name: value for name, value in response.items() if name != key}), key
        assert not RESPONSE({**response, key: [[]]}), key
    assert not ITEM({**response["output"][0], "type": "web_search_call"})
    assert [] != event_faults({"type": "response.reasoning_text.delta", "sequence_number": 1})
    assert [] != event_faults("text")


def test_the_reader_forgets_what_a_read_cuts() -> None:
    """As the suite's does; a relay that splits an event would be found out."""
    event = b'event: x\ndata: {"type":"x"}\n'
    whole, cut = StreamReader(), StreamReader()
    whole.feed(event + b"\n")
    for piece in (event, b"\n"):
        cut.feed(piece)

    assert ([{"type": "x"}], []) == (whole.turn.events, cut.turn.events)


async def test_an_upstream_that_cuts_its_events_is_read_through_respfix() -> None:
    """A healthy stream of which the suite sees nothing directly, because each blank line comes by itself."""

    class Cutting(Replay):
        async def create(self, request: web.Request) -> web.StreamResponse:
            answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await answer.prepare(request)
            for frame in reader.frames(self.text):
                for piece in (frame[:-1], frame[-1:]):
                    await answer.write(piece.encode())
                    await asyncio.sleep(0.01)
            return answer

    async with both(Cutting(UPSTREAMS[HEALTHY].text, b"")) as servers:
        direct, relayed = [await verdict("streaming-response", server) for server in servers]

    assert "no events" in direct
    assert [] == relayed
