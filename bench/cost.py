"""The cost gate: what an event costs the pure engine, counted instead of timed, and so the same on every machine.

    python -m bench.cost            compare with what is recorded
    python -m bench.cost --record   these are the figures from now on

Counted are Python's own instructions, per event in the middle of a stream and for the brackets around it. They differ
between Python versions, so each has figures of its own. What happens inside C functions is not counted;
`tests/test_cost.py` times it, roughly.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from bench.streams import SHAPES, Shape
from respfix.stream import Mender, Options

RECORD = Path(__file__).with_name("cost.json")
VERSION = "{}.{}".format(*sys.version_info)
BURSTS = (1, 20)  # events per read: what a model speaks, and what a buffer in between makes of it
WARM, COUNTED = 40, 200  # events that make a stream known, and those that are counted
TOLERANCE = 1.05


def reads(shape: Shape, burst: int, count: int) -> Iterator[bytes]:
    """The repeated events of a stream as reads of so many."""
    frames = [shape.event(place, text) for place, text in enumerate(shape.texts(count))]
    for at in range(0, count, burst):
        yield b"".join(frames[at : at + burst])


def begun(shape: Shape) -> Mender:
    """A mender that has seen the beginning of the stream."""
    mender = Mender(Options(seed="made-up", now=1763600000))
    mender.feed(shape.head)
    return mender


def instructions(work: Callable[[], object]) -> int:
    """How many instructions Python executes for this."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        if event == "call":
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        elif event == "opcode":
            count += 1
        return trace

    before = sys.gettrace()
    try:
        for each in (lambda: None, work):  # Python 3.12 tells of instructions only from the second time on
            count = 0
            sys.settrace(trace)
            each()
            sys.settrace(None)
    finally:
        sys.settrace(before)
    return count


def per_event(shape: Shape, burst: int, warm: int = WARM) -> float:
    """Instructions for one event of this stream, come in reads of so many."""
    mender = begun(shape)
    chunks = list(reads(shape, burst, warm + COUNTED))
    for chunk in chunks[: warm // burst]:
        mender.feed(chunk)

    def work() -> None:
        for chunk in chunks[warm // burst :]:
            mender.feed(chunk)

    return instructions(work) / COUNTED


def opening_and_end(shape: Shape) -> int:
    """Instructions for a whole stream of one word, most of which is brackets."""
    body = shape.body(shape.texts(1))
    return instructions(lambda: Mender(Options(seed="made-up", now=1763600000)).feed(body))


def figures() -> dict[str, float]:
    """What each kind of stream costs."""
    found: dict[str, float] = {}
    for shape in SHAPES.values():
        if not shape.word:
            found |= {f"{shape.name}, {burst} a read": round(per_event(shape, burst), 1) for burst in BURSTS}
            opening_and_end(shape)  # once, because modules remember what they have derived from their tables
            found[f"{shape.name}, opening and end"] = opening_and_end(shape)
    return found


def recorded() -> dict[str, float] | None:
    """What it may cost with this Python; None if nobody has said."""
    found: dict[str, dict[str, float]] = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    return found.get(VERSION)


def record(now: dict[str, float]) -> None:
    """Say what it may cost from now on."""
    found = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    RECORD.write_text(json.dumps({**found, VERSION: now}, indent=2, sort_keys=True) + "\n")


def excesses(now: dict[str, float], before: dict[str, float]) -> list[str]:
    """What costs more than it may."""
    return [
        f"{name}: {cost:g} instructions, {cost / before[name] - 1:.0%} more than the recorded {before[name]:g}"
        for name, cost in now.items()
        if name in before and cost > before[name] * TOLERANCE
    ]


def main() -> int:
    """Compare, or record."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.cost", description="What an event costs the engine, counted."
    )
    parser.add_argument("--record", action="store_true", help="these are the figures from now on")
    args = parser.parse_args()
    now, before = figures(), recorded() or {}
    for name, cost in now.items():
        print(f"{name:28} {cost:8g} {cost / before[name] - 1 if name in before else 0:+7.1%}")
    if args.record:
        record(now)
        return 0
    for line in excesses(now, before):
        print(f"bench.cost: {line}", file=sys.stderr)
    return bool(excesses(now, before))


if __name__ == "__main__":
    sys.exit(main())
