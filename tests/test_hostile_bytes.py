"""Input that nobody should send: the stream goes on, no byte of it is lost, and its cost stays linear."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from functools import cache

import pytest
import reader
from corpus import CONFORMANT, mend, mend_pieces

from respfix.stream import Ending, Limits, Mender, Observer, Options

BODIES = {stream.name: stream.body for stream in CONFORMANT}
CREATED = {
    "type": "response.created",
    "response": {"id": "r", "object": "response", "created_at": 1, "status": "in_progress", "model": "m", "output": []},
}
MESSAGE = {
    "type": "response.output_item.added",
    "output_index": 0,
    "item": {"id": "msg", "type": "message", "status": "in_progress", "role": "assistant", "content": []},
}
PART = {
    "type": "response.content_part.added",
    "item_id": "msg",
    "output_index": 0,
    "content_index": 0,
    "part": {"type": "output_text", "text": "", "annotations": []},
}


def frame(body: reader.Event) -> bytes:
    """Write one event."""
    return f"event: {body['type']}\ndata: {json.dumps(body, separators=(',', ':'))}\n\n".encode()


def delta(text: str) -> bytes:
    """Write a delta of the message."""
    return frame(
        {"type": "response.output_text.delta", "item_id": "msg", "output_index": 0, "content_index": 0, "delta": text}
    )


def plain(body: bytes) -> list[reader.Event]:
    """Give the events without their numbers."""
    return [{key: event[key] for key in event if key != "sequence_number"} for event in reader.events(body)]


OPENED = frame(CREATED) + frame(MESSAGE) + frame(PART)


def limited(body: bytes, **limits: int) -> tuple[bytes, str | None]:
    """Repair with narrow bounds; give what came out and why the repair stopped."""
    mended = mend(body, Options(seed="1", limits=Limits(**limits)))
    return mended.body, mended.report.stopped


# Beyond the bounds


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_a_frame_beyond_the_bound_flows_on(size: int) -> None:
    """A frame of any size reaches the client whole; what comes after it is repaired no more."""
    body = OPENED + delta("x" * 5000) + delta("y") + b"data: {}\n\n"
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    mended = mend_pieces(pieces, Options(limits=Limits(frame_bytes=3000)))

    assert body == mended.body
    assert mended.report.stopped == "frame-too-large"


def test_beyond_the_bound_nothing_is_held_back() -> None:
    """The first bytes beyond the bound come out with the read that brought them."""
    mender = Mender(Options(limits=Limits(frame_bytes=100)))
    half = b"data: " + b"x" * 200

    assert half == mender.feed(half)
    assert mender.feed(b"more") == b"more"
    assert mender.close(Ending.CUT) == b""


def test_too_many_items_flow_on() -> None:
    """Beyond the bound items pass as they came."""
    added = b"".join(frame(MESSAGE | {"output_index": n, "item": MESSAGE["item"] | {"id": f"m{n}"}}) for n in range(9))  # type: ignore[operator]
    body = frame(CREATED) + added
    out, stopped = limited(body, items=4)

    assert stopped == "too-many-items"
    assert out.endswith(added[len(added) // 2 :])
    assert [event["item"]["id"] for event in reader.events(out)[1:] if event["type"].endswith("item.added")] == [
        f"m{n}" for n in range(9)
    ]


def test_too_much_text_flows_on() -> None:
    """Beyond the bound text is remembered no more, and none of it is lost."""
    body = OPENED + b"".join(delta(f"word {n} ") for n in range(100))
    out, stopped = limited(body, text_bytes=300)

    assert stopped == "too-much-text"
    assert body == out


@pytest.mark.parametrize("key", ["logprobs", "annotation"])
def test_what_is_remembered_beside_the_text_is_bounded_too(key: str) -> None:
    """Probabilities and citations take more memory than the words they stand by."""
    more: dict[str, object] = {"logprobs": [{"token": "x" * 50, "logprob": -0.1}], "annotation": {"url": "x" * 50}}
    kind = {"logprobs": "response.output_text.delta", "annotation": "response.output_text.annotation.added"}[key]
    at = {"type": kind, "item_id": "msg", "output_index": 0, "content_index": 0, "delta": "x", key: more[key]}
    events = [at | {"annotation_index": n} if key == "annotation" else at for n in range(20)]
    body = OPENED + b"".join(map(frame, events))
    out, stopped = limited(body, text_bytes=1500)

    assert stopped == "too-much-text"
    assert body == out


def test_whole_items_are_remembered_within_the_bound() -> None:
    """Images and texts that come in one event, without deltas, count like those that are streamed."""
    image = {"type": "image_generation_call", "status": "completed", "result": "QUJD" * 50}
    images = [
        {"type": "response.output_item.done", "output_index": n, "item": {"id": f"ig_{n}", **image}} for n in range(20)
    ]
    body = frame(CREATED) + b"".join(map(frame, images))
    out, stopped = limited(body, text_bytes=1500)

    assert stopped == "too-much-text"
    assert out.endswith(body[-500:])


def test_too_many_waiting_frames_leave_in_order() -> None:
    """A call that nobody names waits within bounds only."""
    grows = [
        frame({"type": "response.function_call_arguments.delta", "item_id": "fc", "output_index": 0, "delta": str(n)})
        for n in range(20)
    ]
    body = frame(CREATED) + b"".join(grows)
    out, stopped = limited(body, held_frames=5)

    assert stopped == "too-much-held"
    assert plain(body) == plain(out)


def test_too_many_overlapping_frames_leave_in_order() -> None:
    """For Codex, what waits for a message to end waits within bounds only."""
    shell = {
        "id": "fc",
        "type": "function_call",
        "call_id": "c",
        "name": "shell",
        "arguments": "",
        "status": "in_progress",
    }
    call = frame(MESSAGE | {"output_index": 1, "item": shell})
    grows = [
        frame({"type": "response.function_call_arguments.delta", "item_id": "fc", "output_index": 1, "delta": str(n)})
        for n in range(20)
    ]
    body = OPENED + delta("Hi") + call + b"".join(grows)
    mended = mend(body, Options(seed="1", dialect="codex", limits=Limits(held_frames=5)))

    assert mended.report.stopped == "too-much-held"
    assert plain(body) == plain(mended.body)


# Bytes that are no event


GARBAGE = {
    "half-an-object": b'data: {"type":"response.output_text.delta","delta":"ha\n\n',
    "a-brace": b"data: {\n\n",
    "braces": b"data: }{\n\n",
    "nul-as-data": b"data: \x00\x00\n\n",
    "nul": b"\x00\n\n",
    "no-utf8": b"data: \xff\xfe\n\n",
    "no-utf8-in-json": b'data: {"type":"x","y":"\xff\xc3\x28"}\n\n',
    "brackets": b"data: [[[[\n\n",
    "true": b"data: true\n\n",
    "long-word": b"data" * 500 + b"\n\n",
    "nested": b'data: {"type":"x","y":' + b"[" * 500 + b"]" * 500 + b"}\n\n",
    "nested-too-deep": b'data: {"type":"x","y":' + b"[" * 200_000 + b"]" * 200_000 + b"}\n\n",
    "digits": b'data: {"type":"x","y":' + b"9" * 5000 + b"}\n\n",
    "infinite": b'data: {"type":"x","y":1e400}\n\n',
    "half-without-data": b'{"type":\n\n',
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_garbage_leaves_as_it_came_and_the_rest_is_healthy(garbage: bytes) -> None:
    """What nobody can read is none of our business."""
    body = BODIES["text-2026"]
    at = body.index(b"event: response.output_text.delta")
    mixed = body[:at] + garbage + body[at:]
    mended = mend(mixed)

    assert mended.report.stopped is None
    assert mixed == mended.body


def test_invalid_utf8_in_a_delta_is_kept() -> None:
    """A frame that needs a repair keeps the bytes that are no text."""
    broken = b'data: {"type":"response.output_text.delta","delta":"a\xff\xc3b"}\n\n'
    mended = mend(frame(CREATED) + broken)

    assert mended.report.stopped is None
    assert b'"delta":"a\xff\xc3b"' in mended.body


def test_half_characters_in_two_deltas_make_one_in_the_end() -> None:
    """A surrogate pair that is divided over two deltas is whole in the closing text."""
    halves = [delta("\ud83d"), delta("\ude42")]
    mended = mend(OPENED + b"".join(halves) + b"data: [DONE]\n\n")
    done = next(event for event in reader.events(mended.body) if event["type"] == "response.output_text.done")

    assert mended.report.stopped is None
    assert b"".join(halves) in mended.body
    assert done["text"] in {"\ud83d\ude42", "\U0001f642"}
    assert json.loads('"\U0001f642"') == json.loads(json.dumps(done["text"]))


def test_of_duplicate_keys_the_last_one_counts() -> None:
    """Strict readers skip such a frame, so it is written anew."""
    twice = delta("a").replace(b'"delta":"a"', b'"delta":"a","delta":"b"')
    mended = mend(OPENED + twice)

    assert mended.body.count(b'"delta"') == 1
    assert reader.said(reader.events(mended.body)) == {("msg", "response.output_text"): "b"}


# Values of the wrong kind, for every key of every event

WRONG = {
    "null": "null",
    "0": "0",
    "false": "false",
    "true": "true",
    "-1": "-1",
    "empty-text": '""',
    "text": '"x"',
    "number-as-text": '"0"',
    "empty-array": "[]",
    "array": "[null]",
    "empty-object": "{}",
    "object": '{"type":[],"id":{}}',
    "infinite": "1e400",
    "not-a-number": "NaN",
    "deep": "[" * 2000 + "]" * 2000,
    "digits": "9" * 5000,
    "half-a-character": '"\\ud83d"',
}
STREAMS = (
    "reasoning-summary",
    "calls-interleaved",
    "message-of-two-parts",
    "annotations",
    "custom-tool-call",
    "error-then-failed",
)
HOLE = "\u2603"


@cache
def each_type() -> list[tuple[bytes, reader.Event, bytes]]:
    """Give one event of each type, with what comes before and after it."""
    found: dict[str, tuple[bytes, reader.Event, bytes]] = {}
    for name in STREAMS:
        events = reader.events(BODIES[name])
        for at, event in enumerate(events):
            before, after = (b"".join(map(frame, part)) for part in (events[:at], events[at + 1 :]))
            found.setdefault(event["type"], (before, event, after))
    return list(found.values())


def holes(event: reader.Event, depth: int = 1) -> Iterator[reader.Event]:
    """Give the event with a hole where a value was, for every value down to a depth; and with every key left out."""
    for key, value in event.items():
        yield event | {key: HOLE}
        yield {other: kept for other, kept in event.items() if other != key}
        if isinstance(value, dict) and depth:
            yield from (event | {key: inner} for inner in holes(value, depth - 1))
        elif isinstance(value, list) and value and isinstance(value[0], dict) and depth:
            yield from (event | {key: [inner, *value[1:]]} for inner in holes(value[0], depth - 1))


@pytest.mark.parametrize("dialect", ["default", "codex"])
@pytest.mark.parametrize("wrong", WRONG)
def test_no_value_of_the_wrong_kind_stops_the_repair(wrong: str, dialect: str) -> None:
    """Every key of every event may be anything: no fault of ours, one terminal event, and the same bytes once more."""
    options = Options(seed="1", dialect=dialect)
    faults: list[tuple[str, str]] = []
    for before, event, after in each_type():
        for holed in holes(event):
            text = json.dumps(holed).replace(json.dumps(HOLE), WRONG[wrong])
            mended = mend(before + f"data: {text}\n\n".encode() + after, options)
            if mended.report.stopped or mended.report.terminal not in reader.TERMINALS:
                faults.append((mended.report.stopped or "no terminal", text[:200]))

    assert faults == []


# What it costs


def seconds(body: bytes, size: int) -> float:
    """Measure a repair in CPU time, which others on the machine cannot take; best of three."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]

    def once() -> float:
        begin = time.process_time()
        mend_pieces(pieces)
        return time.process_time() - begin

    return min(once() for _ in range(3))


def test_a_long_stream_costs_as_much_per_event_as_a_short_one() -> None:
    """The cost is linear in the number of deltas, also where every delta is changed and all must be remembered."""
    nameless = b'data: {"type":"response.output_text.delta","delta":"word "}\n\n'
    short = seconds(frame(CREATED) + nameless * 2_000, 65536)
    long = seconds(frame(CREATED) + nameless * 20_000, 65536)

    assert long < 10 * short * 3


def test_200_000_deltas_are_repaired() -> None:
    """A very long answer is repaired to its end."""
    body = OPENED + delta("word ") * 200_000 + b"data: [DONE]\n\n"
    mended = mend(body)

    assert mended.report.stopped is None
    assert mended.report.terminal == "response.completed"
    assert mended.body.count(b"event: response.output_text.delta") == 200_000


def test_a_message_of_many_parts_costs_what_its_parts_cost() -> None:
    """No part is looked at again for every new one."""
    part = {"type": "response.content_part.added", "item_id": "msg", "output_index": 0}
    bodies = [
        OPENED + b"".join(frame(part | {"content_index": n, "part": {"type": "output_text"}}) for n in range(count))
        for count in (500, 8_000)
    ]
    short, long = (seconds(body, 65536) for body in bodies)

    assert long < 16 * short * 2


def test_reasoning_that_is_resumed_a_thousand_times_is_repaired() -> None:
    """Each time it goes on where it ended, however often that was."""
    family = {"output_index": 0, "item_id": "rs", "summary_index": 0}
    words = [
        {"type": "response.reasoning_summary_text.delta", "delta": "Hm. "} | family,
        {"type": "response.output_item.done", "output_index": 0, "item": {"id": "rs", "type": "reasoning"}},
    ]
    mended = mend(frame(CREATED) + b"".join(map(frame, words)) * 1_020 + b"data: [DONE]\n\n")
    output = reader.terminal(reader.events(mended.body))["response"]["output"]

    assert mended.report.stopped is None
    assert ["Hm. "] * 1_020 == [item["summary"][0]["text"] for item in output]


def test_a_frame_that_comes_byte_by_byte_costs_what_its_bytes_cost() -> None:
    """No byte is searched again and again."""
    short = seconds(OPENED + delta("x" * 10_000), 1)
    long = seconds(OPENED + delta("x" * 80_000), 1)

    assert long < 8 * short * 3


@pytest.mark.parametrize("line", [b"data: 1\n", b"x\n", b": comment\n", b"data: {\n"])
def test_a_frame_of_many_lines_costs_what_its_bytes_cost(line: bytes) -> None:
    """A pretty-printed object, or a block that never ends, is looked at once."""
    short = seconds(line * 2_000, 64)
    long = seconds(line * 16_000, 64)

    assert long < 8 * short * 3


def test_an_observer_gives_back_hostile_bytes_as_they_came() -> None:
    """Observing changes nothing, whatever comes."""
    body = b"\xef\xbb\xbf" + OPENED.replace(b"\n", b"\r") + b'data: {"half'
    observer = Observer(Options(limits=Limits(frame_bytes=50)))

    assert body == observer.feed(body)
    assert observer.close(Ending.CUT) == b""
