"""Did every stream arrive whole, and repaired where it should be? A fast proxy that loses a word is not fast.

Three things may be expected of a body: `same` as it was sent, byte for byte; every `text` in it, whatever its spelling;
`repaired`, so that a strict client has all that it needs. The last is judged here anew and not by respfix's own code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from bench.plan import Plan
from bench.streams import SHAPES, STAMP, Shape, events

EXPECTED = ("same", "text", "repaired")

_CHUNK = re.compile(rb"([0-9a-fA-F]+)(?:;[^\r\n]*)?\r\n")
_HEAD = b"\r\n\r\n"

TEXT = "response.output_text"
CALL = "response.function_call_arguments"
OPTIONAL = "response.in_progress"  # no client needs it
# What a repaired answer is made of, in this order, `delta` as often as it came.
REPAIRED = {
    TEXT: (
        *("response.created", "response.output_item.added", "response.content_part.added"),
        *("response.output_text.delta", "response.output_text.done", "response.content_part.done"),
        *("response.output_item.done", "response.completed"),
    ),
    CALL: (
        *("response.created", "response.output_item.added", f"{CALL}.delta", f"{CALL}.done"),
        *("response.output_item.done", "response.completed"),
    ),
}


def dechunked(answer: bytes) -> bytes:
    """The body of a chunked answer."""
    head, _, rest = answer.partition(_HEAD)
    if not re.match(rb"HTTP/1\.1 200 ", head) or b"chunked" not in head.lower():
        raise SystemExit(f"bench: not a chunked answer with status 200: {answer[:400]!r}")
    pieces, at = [], 0
    while (size := _CHUNK.match(rest, at)) and (length := int(size[1], 16)):
        pieces.append(rest[size.end() : size.end() + length])
        at = size.end() + length + 2
    return b"".join(pieces)


def wrongs(plan: Plan, bodies: list[bytes], expect: str) -> Iterator[str]:
    """What is wrong with the bodies; nothing if all is well."""
    shape = SHAPES[plan.shape]
    right: set[bytes] = set()
    for body in bodies:
        if body in right:
            continue  # the same bytes were looked at already
        texts = _texts(shape, body) if shape.slot == "delta" else shape.texts(plan.deltas)
        if not _are_whole(plan, shape, texts):
            yield f"texts are missing, or not the ones that were sent: {len(texts)} of {plan.deltas}"
        elif expect == "same" or (expect == "repaired" and shape.is_healthy):
            if body != shape.body(texts):
                yield "the body is not the one that was sent, byte for byte"
        elif expect == "repaired":
            yield from _unrepaired(shape, body, texts)
        elif b'"response.completed"' not in body[-len(b"".join(texts)) - 8000 :]:
            yield "the last event is missing"
        if not plan.is_stamped:
            right.add(body)


def _texts(shape: Shape, body: bytes) -> list[bytes]:
    delta = re.compile(rb'"%b": ?"((?:[^"\\]|\\.)*)"' % shape.slot.encode())
    return [text for text in delta.findall(body) if text]


def _are_whole(plan: Plan, shape: Shape, texts: list[bytes]) -> bool:
    if not plan.is_stamped:
        return texts == shape.texts(plan.deltas)
    if len(texts) != plan.deltas:
        return False
    before, after = shape.wrap
    words = [texts[0][len(before) :], *texts[1:]]
    words[-1] = words[-1][: len(words[-1]) - len(after)]
    return all(len(word) == STAMP and word.isdigit() for word in words) and words == sorted(words)


def _unrepaired(shape: Shape, body: bytes, texts: list[bytes]) -> Iterator[str]:
    """What a strict client misses."""
    came: list[dict[str, Any]] = list(events(body))
    family = shape.grows.removesuffix(".delta")
    expected = [kind for kind in REPAIRED[family] for _ in range(len(texts) if kind == shape.grows else 1)]
    kinds = [event["type"] for event in came]
    if [kind for kind in kinds if kind != OPTIONAL] != expected:
        yield f"the events are {[kind for kind in kinds if kind != shape.grows]}"
        return
    whole = json.loads(b'"' + b"".join(texts) + b'"')
    item = came[kinds.index("response.output_item.added")]["item"]
    for event in came:
        inside = {"item_id": item["id"], "output_index": 0, "content_index": 0}
        for key in inside.keys() & event.keys():
            if event[key] != inside[key]:
                yield f"{event['type']} has {key} {event[key]!r}"
        if event["type"] == shape.grows and not {"item_id", "output_index"} <= event.keys():
            yield "a delta says not whose it is"
    # Events that came before anything was wrong may have none; from then on they are the number of the event.
    numbers = [event["sequence_number"] for event in came if "sequence_number" in event]
    if numbers != list(range(len(came)))[len(came) - len(numbers) :]:
        yield "the sequence numbers have gaps"
    last = (came[-1]["response"].get("output") or [{}])[-1]
    if family == TEXT:
        said = [came[-4].get("text"), came[-3]["part"].get("text")]
        said += [part.get("text") for item in (came[-2]["item"], last) for part in item.get("content") or [{}]]
    else:
        said = [body.get("arguments") for body in (came[-3], came[-2]["item"], last)]
    if any(text != whole for text in said):
        yield "a closing event has not the whole text"
