"""What holds for every stream, whatever is wrong with it.

The streams are the corpus and random mutations of it. Two judges share nothing with the engine: `reader.complaints`,
which is written from the grammar of OpenAI's own streams, and the accumulator of openai-python.
"""

from __future__ import annotations

import copy
import json
import os
import string
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import Any

import corpus
import reader
from corpus import CONFORMANT, mend, mend_pieces
from hypothesis import HealthCheck, assume, given, settings, strategies as st
from openai import omit
from openai._models import construct_type
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import ResponseStreamEvent

from respfix.stream import Ending, Options

settings.register_profile(
    "respfix",
    derandomize=not os.environ.get("RESPFIX_RANDOM"),
    deadline=None,
    max_examples=int(os.environ.get("RESPFIX_EXAMPLES", "120")),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    database=None,
)
settings.load_profile("respfix")

EVERYTHING = [*CONFORMANT, *corpus.BROKEN, *corpus.RECORDED]
SMALL = [stream for stream in EVERYTHING if len(stream.body) < 20_000]
DIALECTS = st.sampled_from(("default", "codex"))
ENDINGS = st.sampled_from(list(Ending))

# Streams of brackets that the repair knows, all closed, of which text and calls are known.
WHOLE = [
    stream
    for stream in CONFORMANT
    if stream.name.startswith(("text", "refusal", "reasoning", "call", "function", "custom", "message", "phase"))
    and stream.name not in {"text-escaped", "text-numbers"}
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 9) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def encoded(events: list[reader.Event]) -> bytes:
    """Write events as OpenAI does."""
    lines = (
        f"event: {event.get('type')}\ndata: {json.dumps(event, ensure_ascii=False, separators=(',', ':'))}\n\n"
        for event in events
    )
    return "".join(lines).encode("utf-8", "surrogatepass")


@cache
def parsed(index: int) -> tuple[reader.Event, ...]:
    """Give the events of one of the whole streams."""
    return tuple(reader.events(WHOLE[index].body))


@dataclass
class Reading:
    """What a program gets from openai-python's `responses.stream()`."""

    status: str | None = None
    texts: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    summaries: list[str] = field(default_factory=list)
    calls: list[tuple[str, str, str]] = field(default_factory=list)


def accumulated(events: list[reader.Event]) -> Reading:
    """Let openai-python accumulate the events; it raises where they are not a correct stream."""
    state = ResponseStreamState[Any](input_tools=omit, text_format=omit)
    response: Any = None
    for body in events:
        if body["type"] == "keepalive":
            continue
        built: Any = construct_type(type_=ResponseStreamEvent, value=body)
        for seen in state.handle_event(built):
            if seen.type in reader.TERMINALS:
                response = getattr(seen, "response", None)
    reading = Reading(response.status)
    for item in response.output:
        if item.type == "message":
            reading.texts += [part.text for part in item.content if part.type == "output_text" and part.text]
            reading.refusals += [part.refusal for part in item.content if part.type == "refusal" and part.refusal]
        elif item.type == "reasoning":
            reading.summaries += [part.text for part in item.summary if part.text]
        elif item.type == "function_call":
            reading.calls.append((item.name, item.call_id, item.arguments))
        elif item.type == "custom_tool_call":
            reading.calls.append((item.name, item.call_id, item.input))
    reading.calls.sort()  # a call that is announced late comes after those it came before
    return reading


# How the bytes are cut


@given(st.sampled_from(SMALL), st.lists(st.integers(0, 20_000), max_size=12), DIALECTS)
def test_any_cut_of_the_input_gives_the_same_output(stream: corpus.Stream, cuts: list[int], dialect: str) -> None:
    """TCP cuts where it likes."""
    at = [0, *sorted(cut % (len(stream.body) + 1) for cut in cuts), len(stream.body)]
    pieces = [stream.body[begin:end] for begin, end in pairwise(at)]
    options = stream.options(dialect=dialect)
    whole, cut = mend(stream.body, options, stream.ending), mend_pieces(pieces, options, stream.ending)

    assert whole.body == cut.body
    assert whole.report == cut.report


# Mutations


@dataclass(frozen=True)
class Mutation:
    """One thing that is done to the events of a stream."""

    name: str
    change: Callable[[list[reader.Event], int], None]


def is_delta(body: reader.Event) -> bool:
    """Does this event carry what is said?"""
    return str(body["type"]).endswith(".delta")


def _delete(events: list[reader.Event], at: int) -> None:
    if not is_delta(events[at]):
        del events[at]


def _double(events: list[reader.Event], at: int) -> None:
    if not is_delta(events[at]):
        events.insert(at, events[at])


def _swap(events: list[reader.Event], at: int) -> None:
    if at + 1 < len(events) and not (is_delta(events[at]) and is_delta(events[at + 1])):
        events[at], events[at + 1] = events[at + 1], events[at]


STRUCTURAL = (Mutation("delete", _delete), Mutation("double", _double), Mutation("swap", _swap))

VALUES = ("text", "refusal", "arguments", "input", "summary", "content", "output")
NAMES = ("output_index", "content_index", "summary_index", "sequence_number", "annotations", "logprobs", "role")


def _forget(events: list[reader.Event], at: int) -> None:
    """Leave out what a value is at its end, as Go's omitempty does with empty buffers."""
    for body in _bodies(events[at]):
        for key in VALUES:
            if not (is_delta(events[at]) or key not in body):
                del body[key]


def _empty(events: list[reader.Event], at: int) -> None:
    """Empty what a value is at its end."""
    for body in _bodies(events[at]):
        for key in VALUES:
            if isinstance(body.get(key), str | list):
                body[key] = type(body[key])()


def _nameless(events: list[reader.Event], at: int) -> None:
    """Leave out the neutral keys of an event."""
    for body in _bodies(events[at]):
        for key in NAMES:
            if key in body and not (key == "output_index" and body[key]):
                del body[key]


def _bodies(body: reader.Event) -> list[reader.Event]:
    return [body, *(body[key] for key in ("item", "part", "response") if isinstance(body.get(key), dict))]


IN_PLACE = (*STRUCTURAL[:2], Mutation("forget", _forget), Mutation("empty", _empty), Mutation("nameless", _nameless))
ANY_MUTATION = (*IN_PLACE, STRUCTURAL[2])


def mutated(index: int, changes: list[tuple[Mutation, int]]) -> list[reader.Event]:
    """Give the events of a whole stream with these changes, one after the other."""
    events = copy.deepcopy(list(parsed(index)))
    for mutation, at in changes:
        if events:
            mutation.change(events, at % len(events))
    return events


STREAM = st.integers(0, len(WHOLE) - 1)


def mutations(of: tuple[Mutation, ...], most: int = 4) -> st.SearchStrategy[list[tuple[Mutation, int]]]:
    """Draw some changes."""
    return st.lists(st.tuples(st.sampled_from(of), st.integers(0, 40)), min_size=1, max_size=most)


@settings(max_examples=400)
@given(STREAM, mutations(STRUCTURAL), DIALECTS)
def test_a_stream_of_misplaced_frames_becomes_a_correct_one(
    index: int, changes: list[tuple[Mutation, int]], dialect: str
) -> None:
    """Frames that are no deltas may be lost, doubled or swapped: openai-python gets the same, or hears of a failure."""
    events = mutated(index, changes)
    mended = mend(encoded(events), Options(seed="1", dialect=dialect))
    out = reader.events(mended.body)
    before, after = accumulated(list(parsed(index))), accumulated(out)

    assert mended.report.stopped is None
    assert reader.complaints(out, is_strict=False) == []
    assert mended.report.terminal == "response.failed" or before == after
    assert spoken(index) == reader.said(out) | nameless(index, mended)


def spoken(index: int) -> dict[tuple[str, str], str]:
    """Give what one of the whole streams says."""
    return reader.said(parsed(index))


def nameless(index: int, mended: corpus.Mended) -> dict[tuple[str, str], str]:
    """Give the calls that may be missing in a failure: those that no event was left to name."""
    if mended.report.terminal != "response.failed":
        return {}
    return {whose: words for whose, words in spoken(index).items() if "call" in whose[1]}


@settings(max_examples=300)
@given(STREAM, mutations(ANY_MUTATION), DIALECTS, ENDINGS)
def test_repairing_twice_changes_nothing(
    index: int, changes: list[tuple[Mutation, int]], dialect: str, ending: Ending
) -> None:
    """What leaves the repair is healthy; only in a failure an overlap may be left, and is seen again."""
    options = Options(seed="1", dialect=dialect)
    once = mend(encoded(mutated(index, changes)), options, ending)
    again = mend(once.body, options)
    known = {"interrupted-message"} if once.report.terminal == "response.failed" else set()

    assert once.body == again.body
    assert set() == again.report.defects.keys() - known


@settings(max_examples=300)
@given(STREAM, mutations(IN_PLACE), DIALECTS)
def test_no_delta_is_lost_or_doubled(index: int, changes: list[tuple[Mutation, int]], dialect: str) -> None:
    """Whatever happens to the frames around them, each delta arrives once."""
    assume(WHOLE[index].name != "function-call-whole")  # without deltas, the done event is all that says anything
    mended = mend(encoded(mutated(index, changes)), Options(seed="1", dialect=dialect))

    assert mended.report.stopped is None
    assert spoken(index) == reader.said(reader.events(mended.body)) | nameless(index, mended)


# Garbage


GARBAGE = st.sampled_from(
    (
        ": a comment\n\n",
        ":\n\n",
        "\n",
        "data: not json\n\n",
        "data: [1,2]\n\n",
        'data: "text"\n\n',
        "data: 7\n\n",
        'data: {"half":\n\n',
        'event: response.tomorrow\ndata: {"type":"response.tomorrow"}\n\n',
        'data: {"type":"vendor:thing","output_index":7}\n\n',
        'data: {"type":"response.output_text.delta"}\n\n',
        'data: {"type":"response.output_item.added","item":null}\n\n',
        'data: {"type":"ping"}\n\n',
        "event: ping\ndata: {}\n\n",
        "event: ping\n\n",
        "data: null\n\n",
        "<html>\n\n",
        "id: 7\n\n",
        'data: {"object":"chat.completion.chunk","choices":[]}\n\n',
    )
)


@given(STREAM, st.lists(st.tuples(GARBAGE, st.integers(0, 40)), min_size=1, max_size=4), DIALECTS)
def test_garbage_between_the_frames_does_no_harm(index: int, garbage: list[tuple[str, int]], dialect: str) -> None:
    """What is no event of the protocol never changes what is said, nor who says it."""
    assume(WHOLE[index].name != "function-call-whole")  # in a stream with faults its arguments come as a delta, too
    frames = [encoded([event]) for event in parsed(index)]
    for text, at in garbage:
        frames.insert(1 + at % len(frames), text.encode())
    mended = mend(b"".join(frames), Options(seed="1", dialect=dialect))
    foreign = {"response.tomorrow", "vendor:thing", "keepalive", "response.in_progress"}
    out = [event for event in readable(mended.body) if event.get("type") not in foreign]

    assert mended.report.stopped is None
    assert spoken(index) == reader.said(out)
    assert [event["type"] for event in parsed(index) if event["type"] not in foreign] == [
        event["type"] for event in out
    ]


def readable(body: bytes) -> list[reader.Event]:
    """Give the events of a stream in which not every frame is one."""
    events: list[reader.Event] = []
    for block in reader.blocks(body):
        try:
            event = json.loads(block.data)
        except ValueError:
            continue
        events += [event] if isinstance(event, dict) else []
    return events


# Anything at all


@given(
    st.lists(
        st.binary(max_size=40)
        | st.sampled_from((b"data: {", b"\n\n", b"\r", b"\r\n", b"event:", b"}", b"\xef\xbb\xbf")),
        max_size=12,
    ),
    ENDINGS,
)
def test_no_bytes_stop_the_repair(pieces: list[bytes], ending: Ending) -> None:
    """Whatever comes, no fault of ours ends the repair, and no cut changes what leaves."""
    cut, whole = mend_pieces(pieces, None, ending), mend(b"".join(pieces), None, ending)

    assert cut.report.stopped is None
    assert whole.body == cut.body


@given(st.text(alphabet=string.ascii_letters + ' :,."[]é\n', max_size=200))
def test_what_is_no_event_leaves_as_it_came(text: str) -> None:
    """No byte is lost where nothing is recognised; the one thing that is added is that the stream failed."""
    body = (text.replace("data", "").replace("event", "").replace("id", "").replace("retry", "") + "\n\n").encode()
    mended = mend(body)

    assert mended.body.startswith(body)
    assert [] == reader.events(mended.body[: len(body)])
    assert "truncated-stream" in mended.report.defects


def _paths(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    keys: list[str | int] = []
    if isinstance(value, dict):
        keys = list(value)
    elif isinstance(value, list):
        keys = list(range(len(value)))
    return [path, *(found for key in keys for found in _paths(value[key], (*path, key)))]


def _replaced(value: Any, path: tuple[str | int, ...], new: Any) -> Any:
    if not path:
        return new
    target = value
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = new
    return value


@settings(max_examples=400)
@given(STREAM, st.lists(st.tuples(st.integers(0, 40), st.integers(0, 200), JSON), min_size=1, max_size=5), DIALECTS)
def test_wrong_values_never_stop_the_repair(index: int, wrong: list[tuple[int, int, Any]], dialect: str) -> None:
    """Any value of any event may be any JSON: the repair goes on, and ends the stream."""
    events = copy.deepcopy(list(parsed(index)))
    for at, which, value in wrong:
        event = events[at % len(events)]
        paths = _paths(event)[1:]
        if paths:
            _replaced(event, paths[which % len(paths)], value)
    mended = mend(encoded(events), Options(seed="1", dialect=dialect))

    assert mended.report.stopped is None
    assert mended.report.terminal in reader.TERMINALS


KEYS = (
    *("item_id", "output_index", "content_index", "summary_index", "delta", "text", "arguments", "input", "refusal"),
    *("part", "item", "response", "error", "sequence_number", "annotation", "call_id", "name", "id", "status", "usage"),
)
BODY = st.dictionaries(st.sampled_from(KEYS), JSON, max_size=5)
ITEM = st.fixed_dictionaries(
    {"type": st.sampled_from(("message", "reasoning", "function_call", "custom_tool_call", "mcp_list_tools", "x"))},
    optional={
        "id": st.sampled_from(("a", "b", "")) | JSON,
        "content": st.lists(st.fixed_dictionaries({"type": st.sampled_from(("output_text", "refusal", "x"))})) | JSON,
        "summary": JSON,
        "arguments": JSON,
        "input": JSON,
        "call_id": st.sampled_from(("c", "d")),
        "name": st.just("shell"),
        "role": st.just("assistant"),
        "encrypted_content": st.text(max_size=3),
    },
)
NAMED = st.fixed_dictionaries(
    {},
    optional={
        "item_id": st.sampled_from(("a", "b")),
        "output_index": st.integers(0, 2),
        "content_index": st.integers(0, 2),
        "summary_index": st.integers(0, 2),
        "sequence_number": st.integers(0, 20),
        "call_id": st.sampled_from(("c", "d")),
        "delta": st.text(max_size=3),
        "item": ITEM,
        "part": st.fixed_dictionaries({"type": st.sampled_from(("output_text", "refusal", "summary_text", "x"))}),
    },
)
TYPES = st.sampled_from(
    (
        *(f"{family}.{role}" for family in reader.VALUES for role in ("delta", "done")),
        *(f"{family}.{role}" for family in reader.PARTS for role in ("added", "done")),
        *("response.output_item.added", "response.output_item.done", "response.output_text.annotation.added"),
        *reader.LIFECYCLE,
        *reader.TERMINALS,
        *("error", "keepalive", "response.done", "response.unknown", "ping", ""),
    )
)


@settings(max_examples=600)
@given(st.lists(st.tuples(TYPES, BODY | NAMED), max_size=10), DIALECTS, ENDINGS)
def test_random_events_never_stop_the_repair(
    drawn: list[tuple[str, dict[str, Any]]], dialect: str, ending: Ending
) -> None:
    """Any events in any order: the repair goes on, tells how it ended, and what leaves is as it should be."""
    body = encoded([{"type": event_type} | fields for event_type, fields in drawn])
    options = Options(seed="1", dialect=dialect)
    once = mend(body, options, ending)

    assert once.report.stopped is None
    assert once.report.terminal in reader.TERMINALS
