"""Changes to a stream that leave it one: events are lost, doubled and moved, and what stands in them is exchanged.

Bytes that are changed at random are hardly ever JSON any more, so a fuzzer alone stays in the framing.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from typing import Any

import reader

Event = dict[str, Any]

TYPES = (
    *(f"{family}.{role}" for family in reader.VALUES for role in ("delta", "done")),
    *(f"{family}.{role}" for family in reader.PARTS for role in ("added", "done")),
    *("response.output_item.added", "response.output_item.done", "response.output_text.annotation.added"),
    *sorted(reader.LIFECYCLE | reader.TERMINALS),
    *("error", "keepalive", "ping", "response.done", "response.unknown", "[DONE]", ""),
)
KEYS = (
    *("type", "item_id", "output_index", "content_index", "summary_index", "sequence_number", "delta", "text"),
    *("arguments", "input", "refusal", "item", "part", "response", "output", "content", "summary", "id", "call_id"),
    *("name", "role", "status", "phase", "usage", "error", "message", "annotations", "created_at", "encrypted_content"),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, 2, -1, 7, 1.0, 0.5, 2**70, "", "0", "1", "a", "{}", '{"a":1}', "\ud800", "[DONE]"),
    *([], [None], [[]], ["a"], [{}], {}, {"text": "a"}, {"type": "output_text", "text": "a"}, {"id": "a"}),
    *("message", "reasoning", "function_call", "custom_tool_call", "output_text", "refusal", "in_progress"),
    *("completed", "incomplete", "failed", "assistant", "commentary", "final_answer"),
)
ENDINGS = ("complete", "closed", "cut", "idle", "shutdown", "over")


def changed(body: bytes, seed: int) -> bytes:
    """Give the stream with a change or a few; the same seed gives the same ones."""
    chance = random.Random(seed)  # noqa: S311
    frames = [frame for frame in re.split(rb"(?<=\n\n)", body) if frame]
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        if frames:
            chance.choice(CHANGES)(frames, chance)
    return b"".join(frames)


def _lose(frames: list[bytes], chance: random.Random) -> None:
    at = chance.randrange(len(frames))
    del frames[at : at + chance.choice((1, 1, 1, 2, 8))]


def _double(frames: list[bytes], chance: random.Random) -> None:
    frames.insert(chance.randrange(len(frames) + 1), chance.choice(frames))


def _move(frames: list[bytes], chance: random.Random) -> None:
    frame = frames.pop(chance.randrange(len(frames)))
    frames.insert(chance.randrange(len(frames) + 1), frame)


def _invent(frames: list[bytes], chance: random.Random) -> None:
    keys = chance.sample(KEYS, chance.randrange(4))
    event = {"type": chance.choice(TYPES)} | {key: _value(frames, chance) for key in keys}
    frames.insert(chance.randrange(len(frames) + 1), b"data: %b\n\n" % _encoded(event))


def _end(frames: list[bytes], chance: random.Random) -> None:
    at = chance.randrange(len(frames))
    frames[at] = frames[at][: chance.randrange(len(frames[at]) + 1)]
    if chance.randrange(2):
        del frames[at + 1 :]


def _say_how(frames: list[bytes], chance: random.Random) -> None:
    size = sum(map(len, frames))
    how = f": {chance.randrange(size + 1)} {chance.choice(('default', 'codex'))} {chance.choice(ENDINGS)}\n"
    frames[0] = how.encode() + re.sub(rb"\A: \d+ [a-z]+ [a-z]+\n", b"", frames[0])


def _reframe(frames: list[bytes], chance: random.Random) -> None:
    old, new = chance.choice(
        (
            *((b"\n", b"\r\n"), (b"\n", b"\r"), (b"data: ", b"data:"), (b"data: ", b""), (b"\n\n", b"\n")),
            *((b"event: ", b"event:"), (b"event: ", b": "), (b"event: ", b"id: "), (b',"', b',\ndata: "')),
            *((b"\n\n", b"\n\n\n"), (b"data: ", b"data: data: "), (b'"', b'\\"'), (b"\n\n", b"\n\ndata: [DONE]\n\n")),
        )
    )
    at = chance.randrange(len(frames))
    if chance.randrange(3):
        frames[at] = frames[at].replace(old, new, 1)
    else:
        frames[at:] = [frame.replace(old, new) for frame in frames[at:]]


def _exchange(frames: list[bytes], chance: random.Random) -> None:
    """Put another value into an event, take a key out, or give it another one."""
    at = chance.randrange(len(frames))
    event = _event(frames[at])
    if event is None:
        return
    target, key = chance.choice(list(_places(event)))
    if (role := chance.randrange(6)) == 0:
        del target[key]
    elif role == 1 and isinstance(target, dict):
        target[chance.choice(KEYS)] = target.pop(key)
    elif role == 2 and isinstance(target, dict):
        target[chance.choice(KEYS)] = _value(frames, chance)
    elif isinstance(target[key], int) and chance.randrange(2):
        target[key] += chance.choice((-1, 1, 1, 2))
    else:
        target[key] = chance.choice(TYPES) if key == "type" and chance.randrange(2) else _value(frames, chance)
    frames[at] = re.sub(
        rb"(?s)data: .*",
        lambda _: b"data: %b\n\n" % _encoded(event),
        frames[at],
        count=1,
    )


CHANGES: tuple[Callable[[list[bytes], random.Random], None], ...] = (
    *(_lose, _double, _move, _invent, _end, _say_how, _reframe),
    *(_exchange,) * 6,
)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Give every place of a value, as what holds it and its key there."""
    keys: list[Any] = list(value) if isinstance(value, dict) else []
    keys += range(len(value)) if isinstance(value, list) else []
    return [place for key in keys for place in [(value, key), *_places(value[key])]]


def _event(frame: bytes) -> Event | None:
    """Read the event of a frame, where it has one with something in it."""
    match = re.search(rb"(?s)data: (.*)", frame)
    try:
        event = json.loads(match[1]) if match else None
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and event else None


def _value(frames: list[bytes], chance: random.Random) -> Any:
    """Give a value: one that is known to be odd, or one that stands elsewhere in the stream."""
    other = _event(chance.choice(frames))
    if other is None or chance.randrange(2):
        return chance.choice(VALUES)
    holder, key = chance.choice(_places(other))
    return holder[key]


def _encoded(event: Event) -> bytes:
    """Write an event as OpenAI does."""
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
