"""The checks of the Open Responses compliance suite, done anew: what it sends, and what it makes of the answers.

Source: github.com/openresponses/openresponses, whose suite is in no package registry, so its facts were read and are
written here in words of our own: the checks of its revision with seven WebSocket tests, the schema 2026-04-24 of its
`openapi.json` at 3ce2fb23, the WebSocket's error at b7b9abac. Two checks that other revisions have come on top:
`tool-calling-streaming` (0cb939cc) and `websocket-generate-false` (3ce2fb23). Its habits are kept, too:

- an event is judged alone, by the schema; order, numbers, brackets and sentinels are not looked at;
- a constant (`type`, `object`) may be missing and then counts as said, but another one may not stand there;
- its reader of SSE knows only LF, and forgets an event whose blank line comes with the next read;
- over a WebSocket a turn ends with a terminal event, with an `error`, or with `[DONE]`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientSession
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

Body = dict[str, Any]
Kind = Callable[[Any], bool]
ABSENT = object()

# The schema


def text(value: object) -> bool:
    """A string."""
    return isinstance(value, str)


def number(value: object) -> bool:
    """A number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def whole(value: object) -> bool:
    """An integer, which JSON may write as 1.0."""
    return number(value) and float(str(value)).is_integer()


def flag(value: object) -> bool:
    """True or false."""
    return isinstance(value, bool)


def mapping(value: object) -> bool:
    """An object of any keys."""
    return isinstance(value, dict)


def anything(_: object) -> bool:
    """Whatever it is, also nothing."""
    return True


def null_or(kind: Kind) -> Kind:
    """Null, or that."""
    return lambda value: value is None or kind(value)


def each(kind: Kind) -> Kind:
    """A list of those."""
    return lambda value: isinstance(value, list) and all(map(kind, value))


def either(*kinds: Kind) -> Kind:
    """One of those."""
    return lambda value: any(kind(value) for kind in kinds)


def word(*words: str) -> Kind:
    """One of these words."""
    return lambda value: value in words


def constant(said: str) -> Kind:
    """No other word than this."""
    return lambda value: value is ABSENT or value == said


@dataclass(frozen=True)
class Shape:
    """An object of the schema: what its keys must be. Other keys may stand beside them."""

    keys: Mapping[str, Kind]
    optional: frozenset[str] = frozenset()

    def __call__(self, value: object) -> bool:
        """Does it fit?"""
        return isinstance(value, dict) and not self.faults(value)

    def faults(self, value: Body) -> list[str]:
        """Name the keys that do not fit, with the path to the innermost."""
        return [fault for key, kind in self.keys.items() for fault in self._faults(key, kind, value.get(key, ABSENT))]

    def _faults(self, key: str, kind: Kind, value: object) -> list[str]:
        if (value is ABSENT and key in self.optional) or kind(value):
            return []
        inner = kind.faults(value) if isinstance(kind, Shape) and isinstance(value, dict) else []
        return [f"{key}.{fault}" for fault in inner] or [f"{key} is {'missing' if value is ABSENT else value!r}"]


def shape(said: str | None = None, /, optional: Iterable[str] = (), **keys: Kind) -> Shape:
    """Give a shape, of this `type` if one is said."""
    return Shape({**({"type": constant(said)} if said else {}), **keys}, frozenset(optional))


TOP = shape(token=text, logprob=number, bytes=each(whole))
LOGPROBS = each(shape(token=text, logprob=number, bytes=each(whole), top_logprobs=each(TOP)))
ANNOTATION = shape("url_citation", url=text, start_index=whole, end_index=whole, title=text)
CONTENT = either(
    shape("input_text", text=text),
    shape("output_text", ["logprobs"], text=text, annotations=each(ANNOTATION), logprobs=LOGPROBS),
    shape("text", text=text),
    shape("summary_text", text=text),
    shape("reasoning_text", text=text),
    shape("refusal", refusal=text),
    shape("input_image", image_url=null_or(text), detail=word("low", "high", "auto")),
    shape("input_file", ["filename", "file_url"], filename=text, file_url=text),
    shape("input_video", video_url=text),
)
STATUS = word("in_progress", "completed", "incomplete")
ITEM = either(
    shape(
        "message",
        ["phase"],
        id=text,
        status=STATUS,
        role=word("user", "assistant", "system", "developer"),
        content=each(CONTENT),
        phase=null_or(word("commentary", "final_answer")),
    ),
    shape("function_call", id=text, call_id=text, name=text, arguments=text, status=STATUS),
    shape("function_call_output", id=text, call_id=text, output=either(text, each(CONTENT)), status=STATUS),
    shape(
        "reasoning",
        ["content", "encrypted_content"],
        id=text,
        summary=each(CONTENT),
        content=each(CONTENT),
        encrypted_content=text,
    ),
    shape("compaction", id=text, encrypted_content=text),
)
TOOL = shape("function", name=text, description=null_or(text), parameters=null_or(mapping), strict=null_or(flag))
CHOICE = word("none", "auto", "required")
FUNCTION_CHOICE = shape("function", ["name"], name=text)
FORMAT = either(
    shape("text"),
    shape("json_object"),
    shape("json_schema", name=text, description=null_or(text), schema=null_or(word()), strict=flag),
)
USAGE = shape(
    input_tokens=whole,
    output_tokens=whole,
    total_tokens=whole,
    input_tokens_details=shape(cached_tokens=whole),
    output_tokens_details=shape(reasoning_tokens=whole),
)
RESPONSE = shape(
    id=text,
    object=constant("response"),
    created_at=whole,
    completed_at=null_or(whole),
    status=text,
    incomplete_details=null_or(shape(reason=text)),
    model=text,
    previous_response_id=null_or(text),
    instructions=null_or(text),
    output=each(ITEM),
    error=null_or(shape(code=text, message=text)),
    tools=each(TOOL),
    tool_choice=either(FUNCTION_CHOICE, CHOICE, shape("allowed_tools", tools=each(FUNCTION_CHOICE), mode=CHOICE)),
    truncation=word("auto", "disabled"),
    parallel_tool_calls=flag,
    text=shape(None, ["verbosity"], format=FORMAT, verbosity=word("low", "medium", "high")),
    top_p=number,
    presence_penalty=number,
    frequency_penalty=number,
    top_logprobs=whole,
    temperature=number,
    reasoning=null_or(
        shape(
            effort=null_or(word("none", "low", "medium", "high", "xhigh")),
            summary=null_or(word("concise", "detailed", "auto")),
        )
    ),
    usage=null_or(USAGE),
    max_output_tokens=null_or(whole),
    max_tool_calls=null_or(whole),
    store=flag,
    background=flag,
    service_tier=text,
    metadata=anything,
    safety_identifier=null_or(text),
    prompt_cache_key=null_or(text),
)
COMPACTED = shape(id=text, object=constant("response.compaction"), output=each(ITEM), created_at=whole, usage=USAGE)
ITEM_AT: dict[str, Kind] = {"item_id": text, "output_index": whole}
PART_AT: dict[str, Kind] = {**ITEM_AT, "content_index": whole}
SUMMARY_AT: dict[str, Kind] = {**ITEM_AT, "summary_index": whole}
VALUES: dict[str, dict[str, Kind]] = {
    "response.created": {"response": RESPONSE},
    "response.queued": {"response": RESPONSE},
    "response.in_progress": {"response": RESPONSE},
    "response.completed": {"response": RESPONSE},
    "response.failed": {"response": RESPONSE},
    "response.incomplete": {"response": RESPONSE},
    "response.output_item.added": {"output_index": whole, "item": null_or(ITEM)},
    "response.output_item.done": {"output_index": whole, "item": null_or(ITEM)},
    "response.content_part.added": {**PART_AT, "part": CONTENT},
    "response.content_part.done": {**PART_AT, "part": CONTENT},
    "response.output_text.delta": {**PART_AT, "delta": text, "logprobs": LOGPROBS, "obfuscation": text},
    "response.output_text.done": {**PART_AT, "text": text, "logprobs": LOGPROBS},
    "response.output_text.annotation.added": {**PART_AT, "annotation_index": whole, "annotation": null_or(ANNOTATION)},
    "response.refusal.delta": {**PART_AT, "delta": text},
    "response.refusal.done": {**PART_AT, "refusal": text},
    "response.function_call_arguments.delta": {**ITEM_AT, "delta": text, "obfuscation": text},
    "response.function_call_arguments.done": {**ITEM_AT, "arguments": text},
    "response.reasoning_summary_part.added": {**SUMMARY_AT, "part": CONTENT},
    "response.reasoning_summary_part.done": {**SUMMARY_AT, "part": CONTENT},
    "response.reasoning_summary_text.delta": {**SUMMARY_AT, "delta": text, "obfuscation": text},
    "response.reasoning_summary_text.done": {**SUMMARY_AT, "text": text},
    "response.reasoning.delta": {**PART_AT, "delta": text, "obfuscation": text},
    "response.reasoning.done": {**PART_AT, "text": text},
    "error": {"error": shape(type=text, code=null_or(text), message=text, param=null_or(text))},
}
EVENTS = {
    said: shape(said, {"logprobs", "obfuscation"} & keys.keys(), sequence_number=whole, **keys)
    for said, keys in VALUES.items()
}
SOCKET_ERROR = shape(
    "error",
    status=whole,
    error=shape(None, ["type", "param"], type=text, code=text, message=text, param=null_or(text)),
)
TERMINALS = frozenset({"response.completed", "response.failed", "response.incomplete"})


def response_faults(body: object) -> list[str]:
    """Judge a response."""
    return RESPONSE.faults(body) if isinstance(body, dict) else ["there is no response"]


def event_faults(event: object, *extra: Kind) -> list[str]:
    """Judge one event; it has to fit one of the shapes."""
    kinds: list[Kind] = [*EVENTS.values(), *extra]
    if any(kind(event) for kind in kinds):
        return []
    said = str(event.get("type")) if isinstance(event, dict) else ""
    if not isinstance(event, dict) or said not in EVENTS:
        return [f"no event of the schema: {event!r}"]
    return [f"{said}: {fault}" for fault in EVENTS[said].faults(event)]


# Its readers


@dataclass
class Turn:
    """What came in answer to one request."""

    events: list[Body] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    response: Body | None = None  # of the last terminal event
    code: str | None = None  # of an error in its place
    failed: bool = False

    def take(self, data: str, *extra: Kind) -> Body:
        """Take one event in JSON."""
        try:
            event = json.loads(data)
        except ValueError:
            self.faults.append(f"no JSON: {data!r}")
            return {}
        self.faults += event_faults(event, *extra)
        if not isinstance(event, dict):
            return {}
        self.events.append(event)
        if event.get("type") in TERMINALS:
            self.response = event.get("response")
        return event

    @property
    def why(self) -> str | None:
        """How it failed, in the error's own word."""
        error = (self.response or {}).get("error") or {}
        return self.code or error.get("code")


class StreamReader:
    """Server-sent events as the suite reads them."""

    def __init__(self) -> None:
        self.turn = Turn()
        self._rest = ""

    def feed(self, data: bytes) -> None:
        """Take one read."""
        *lines, self._rest = (self._rest + data.decode()).split("\n")
        said = ""
        for line in lines:
            if line.startswith("data:"):
                said = line[5:].strip()
            elif line == "" and said:
                if said != "[DONE]":
                    self.turn.take(said)
                said = ""


class Server:
    """Where the suite is pointed: a base URL, and a session to ask it with."""

    def __init__(self, url: str, session: ClientSession) -> None:
        self.url = url
        self._session = session

    async def answer(self, body: Body, path: str = "/v1/responses") -> tuple[int, Any]:
        """Ask for JSON; gives status and body."""
        async with self._session.post(self.url + path, json=body, headers=HEADERS) as answer:
            is_json = "application/json" in answer.headers.get("Content-Type", "")
            return answer.status, await (answer.json() if is_json else answer.text())

    async def stream(self, body: Body) -> Turn:
        """Ask for a stream."""
        request = {**body, "stream": True}
        async with self._session.post(f"{self.url}/v1/responses", json=request, headers=HEADERS) as answer:
            reader = StreamReader()
            async for read in answer.content.iter_any():
                reader.feed(read)
            if answer.status != 200:
                reader.turn.faults.append(f"status {answer.status}")
            return reader.turn

    async def converse(self, *steps: Body | Callable[[list[Turn]], Body]) -> list[Turn]:
        """Ask over one WebSocket, one after the other; a step may depend on the turns before it."""
        turns: list[Turn] = []
        address = f"{self.url.replace('http', 'ws', 1)}/v1/responses"
        async with connect(address, additional_headers=HEADERS, max_size=None, proxy=None) as socket:
            for step in steps:
                turns.append(turn := Turn())
                await socket.send(json.dumps(step if isinstance(step, dict) else step(turns[:-1])))
                while turn.response is None and not turn.failed:
                    said = str(await asyncio.wait_for(socket.recv(), PATIENCE))
                    if said == "[DONE]":
                        turn.faults.append("[DONE] before a terminal event")
                        break
                    event = turn.take(said, SOCKET_ERROR)
                    error = event.get("error")
                    turn.code = error.get("code") if isinstance(error, dict) else None
                    turn.failed = event.get("type") == "error" or turn.code is not None
        return turns


HEADERS = {"Authorization": "Bearer k"}
PATIENCE = 30.0  # seconds for a turn

# Its tests

MODEL = "replay"
SEED = {"type": "response.create", "model": MODEL, "store": False, "input": "Mark the word granite. Say yes."}
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Tells the weather of a place",
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
}
PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


def said(role: str, content: object, **more: object) -> Body:
    """A message of a request."""
    return {"type": "message", "role": role, "content": content, **more}


def completed(response: object) -> list[str]:
    """A good end."""
    status = response.get("status") if isinstance(response, dict) else None
    return [] if status == "completed" else [f"the status is {status!r}"]


def outputs(response: object, kind: str = "") -> list[str]:
    """It has output, of a kind if one is said."""
    output = response.get("output") if isinstance(response, dict) else None
    items = output if isinstance(output, list) else []
    return [] if any(kind in ("", item.get("type")) for item in items) else [f"no output {kind}".strip()]


def streamed(turn: Turn) -> list[str]:
    """A turn of good events and a good end."""
    silence = [] if turn.events else ["no events"]
    return [*silence, *turn.faults, *response_faults(turn.response), *completed(turn.response)]


def answered(*messages: Body) -> Check:
    """A test that asks for JSON."""

    async def check(server: Server) -> list[str]:
        status, body = await server.answer({"model": MODEL, "input": list(messages)})
        return [*_succeeded(status), *response_faults(body), *outputs(body), *completed(body)]

    return check


def _succeeded(status: int) -> list[str]:
    return [] if status == 200 else [f"status {status}"]


async def phase_schema(_: Server) -> list[str]:
    """Nothing is sent: the schema knows the phases of messages."""
    messages = [{**MESSAGE, "phase": phase} for phase in ("commentary", "final_answer")]
    return [] if all(map(ITEM, messages)) and not ITEM({**MESSAGE, "phase": "other"}) else ["phases"]


MESSAGE = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": []}


async def streaming(server: Server) -> list[str]:
    """A stream, event by event."""
    return streamed(await server.stream({"model": MODEL, "input": [said("user", "Count to five.")]}))


async def tool_calling(server: Server) -> list[str]:
    """A function is called."""
    status, body = await server.answer({"model": MODEL, "input": [said("user", "Rain?")], "tools": [WEATHER]})
    return [*_succeeded(status), *response_faults(body), *outputs(body, "function_call")]


async def tool_calling_streaming(server: Server) -> list[str]:
    """A function is called in a stream, with all that announces, says and ends it."""
    turn = await server.stream({"model": MODEL, "input": [said("user", "Rain?")], "tools": [WEATHER]})
    seen = {(event.get("type"), (event.get("item") or {}).get("type")) for event in turn.events}
    wanted = {
        ("response.output_item.added", "function_call"),
        ("response.function_call_arguments.delta", None),
        ("response.function_call_arguments.done", None),
        ("response.output_item.done", "function_call"),
    }
    missing = [f"no {name}" for name, _ in sorted(wanted - seen, key=str)]
    return [*turn.faults, *response_faults(turn.response), *missing]


async def compacting(server: Server) -> list[str]:
    """A conversation is compacted."""
    body = {"model": MODEL, "prompt_cache_key": "a", "input": [said("user", "Tuesday."), said("assistant", "Yes.")]}
    status, compacted = await server.answer(body, "/v1/responses/compact")
    faults = COMPACTED.faults(compacted) if isinstance(compacted, dict) else ["no object"]
    return [*_succeeded(status), *faults, *outputs(compacted, "compaction")]


async def compacting_nothing(server: Server) -> list[str]:
    """Without a model, compacting is refused."""
    status, _ = await server.answer({"input": [said("user", "Compact.")]}, "/v1/responses/compact")
    return [] if status in (400, 422) else [f"status {status}"]


async def socket(server: Server) -> list[str]:
    """One response over a WebSocket."""
    (turn,) = await server.converse({"type": "response.create", "model": MODEL, "input": [said("user", "Count.")]})
    return streamed(turn)


async def socket_sequential(server: Server) -> list[str]:
    """Two, one after the other."""
    first, second = await server.converse({**SEED, "input": "Say one."}, {**SEED, "input": "Say two."})
    return streamed(first) + streamed(second)


def continuing(turns: list[Turn]) -> Body:
    """A request that goes on from the first turn."""
    return {**SEED, "previous_response_id": (turns[0].response or {}).get("id"), "input": "Which word?"}


def begun(turn: Turn) -> list[str]:
    """A first turn on which another can build."""
    return [*turn.faults, *response_faults(turn.response)]


def missed(turn: Turn) -> list[str]:
    """The response before it is not known."""
    return turn.faults + ([] if turn.why == "previous_response_not_found" else [f"the error is {turn.why!r}"])


async def socket_continuation(server: Server) -> list[str]:
    """A response that is not stored is continued on the same connection."""
    first, second = await server.converse(SEED, continuing)
    return begun(first) + streamed(second)


async def socket_warm(server: Server) -> list[str]:
    """A warm-up has an id and says nothing; the next turn goes on from it."""
    first, second = await server.converse({**SEED, "generate": False}, continuing)
    quiet = [] if not (first.response or {}).get("output") else ["a warm-up with output"]
    return [*begun(first), *quiet, *streamed(second)]


async def socket_reconnecting(server: Server) -> list[str]:
    """On another connection it cannot be continued, and a new response is answered."""
    (first,) = await server.converse(SEED)
    lost, recovered = await server.converse(continuing([first]), {**SEED, "input": "Start again."})
    return begun(first) + missed(lost) + streamed(recovered)


async def socket_not_found(server: Server) -> list[str]:
    """A response that never was cannot be continued."""
    (turn,) = await server.converse({**SEED, "previous_response_id": "resp_never_was"})
    return missed(turn)


async def socket_evicting(server: Server) -> list[str]:
    """A response whose continuation failed cannot be continued."""
    output = {"type": "function_call_output", "call_id": "call_never_was", "output": "none"}
    first, failed, again = await server.converse(
        SEED, lambda turns: {**continuing(turns), "input": [output]}, continuing
    )
    has_failed = failed.failed or failed.why is not None or (failed.response or {}).get("status") == "failed"
    return begun(first) + ([] if has_failed else ["it did not fail"]) + missed(again)


async def socket_compacted(server: Server) -> list[str]:
    """What was compacted is the input of a new response over a WebSocket."""
    status, compacted = await server.answer({"model": MODEL, "input": "Granite."}, "/v1/responses/compact")
    if status != 200:
        return _succeeded(status)
    (turn,) = await server.converse({**SEED, "input": [*compacted["output"], said("user", "Go on.")], "tools": []})
    return streamed(turn)


Check = Callable[[Server], Awaitable[list[str]]]
SUITE: dict[str, Check] = {
    "basic-response": answered(said("user", "Say hello.")),
    "assistant-phase": answered(
        said("assistant", "Let me see.", phase="commentary"),
        said("assistant", "Four.", phase="final_answer"),
        said("user", "Again."),
    ),
    "response-output-phase-schema": phase_schema,
    "streaming-response": streaming,
    "websocket-response": socket,
    "websocket-sequential-responses": socket_sequential,
    "websocket-continuation": socket_continuation,
    "websocket-reconnect-store-false-recovery": socket_reconnecting,
    "websocket-previous-response-not-found": socket_not_found,
    "websocket-failed-continuation-evicts-cache": socket_evicting,
    "websocket-compact-new-chain": socket_compacted,
    "system-prompt": answered(said("system", "Be a sailor."), said("user", "Say hello.")),
    "tool-calling": tool_calling,
    "image-input": answered(
        said("user", [{"type": "input_text", "text": "What is it?"}, {"type": "input_image", "image_url": PIXEL}])
    ),
    "multi-turn": answered(said("user", "I am Ann."), said("assistant", "Hello, Ann."), said("user", "Who am I?")),
    "compact-response": compacting,
    "compact-missing-model": compacting_nothing,
    "tool-calling-streaming": tool_calling_streaming,
    "websocket-generate-false": socket_warm,
}


async def verdict(name: str, server: Server) -> list[str]:
    """Do one test; gives what is wrong, and of a test that broke down, how."""
    try:
        return await SUITE[name](server)
    except (ConnectionClosed, InvalidStatus, OSError, TimeoutError, ValueError) as error:
        return [f"{type(error).__name__}: {error}"]
