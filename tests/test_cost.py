"""What an event costs the repair, apart from the network: counted, so that a busy machine does not matter."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Callable

import pytest

from bench import cost
from bench.streams import SHAPES, Shape

SPOKEN = [shape for shape in SHAPES.values() if not shape.word]


@pytest.fixture(params=SPOKEN, ids=lambda shape: shape.name)
def shape(request: pytest.FixtureRequest) -> Shape:
    """A kind of stream that comes in many small events."""
    kind: Shape = request.param
    return kind


def test_nothing_costs_more_than_is_recorded() -> None:
    """What makes the repair more than 5 % dearer is a decision: `python -m bench.cost --record`."""
    recorded = cost.recorded()
    if recorded is None:
        pytest.skip(f"nothing is recorded for Python {cost.VERSION}: python -m bench.cost --record")
    now = cost.figures()

    assert [] == cost.excesses(now, recorded)
    assert recorded.keys() == now.keys()


def test_a_dearer_repair_is_noticed() -> None:
    """A gate that nothing can close is none."""
    recorded = {"healthy, 1 a read": 100.0}

    assert [] == cost.excesses({"healthy, 1 a read": 104.9}, recorded)
    assert ["healthy, 1 a read: 106 instructions, 6% more than the recorded 100"] == cost.excesses(
        {"healthy, 1 a read": 106.0}, recorded
    )


def test_the_same_work_counts_the_same() -> None:
    """The count depends on nothing but the code and the stream."""
    cost.per_event(SHAPES["sub2api-an"], 1)  # Python 3.13 counts a little less the first time

    assert cost.per_event(SHAPES["sub2api-an"], 1) == cost.per_event(SHAPES["sub2api-an"], 1) > 0


@pytest.mark.parametrize("burst", cost.BURSTS)
def test_a_late_event_costs_what_an_early_one_costs(shape: Shape, burst: int) -> None:
    """Nothing grows with what has come before."""
    early, late = cost.per_event(shape, burst), cost.per_event(shape, burst, warm=4000)

    assert late <= early * 1.1


def test_a_stream_takes_twice_its_text_at_most(shape: Shape) -> None:
    """Words are remembered, frames are not: 40 KiB for everything else, however long it is."""
    count = 5_000
    text = sum(map(len, shape.texts(count)))
    tracemalloc.start()
    try:
        mender = cost.begun(shape)
        for chunk in cost.reads(shape, 20, 1000):
            mender.feed(chunk)  # so that only what grows is counted
        tracemalloc.clear_traces()
        mender = cost.begun(shape)
        frames = (shape.event(place, word) for place, word in enumerate(shape.texts(count)))
        for frame in frames:
            mender.feed(frame)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert held <= 2 * text + 40 * 1024


def fastest(work: Callable[[], object], other: Callable[[], object], rounds: int = 100) -> tuple[float, float]:
    """Seconds of CPU of both, the least of many turns of about a millisecond, so that a busy machine hits both."""
    least = [float("inf"), float("inf")]
    for _ in range(rounds):
        for which, each in enumerate((work, other)):
            begin = time.process_time()
            each()
            least[which] = min(least[which], time.process_time() - begin)
    return least[0], least[1]


def test_an_event_costs_a_fraction_of_its_parsing(shape: Shape) -> None:
    """In bursts at most half of what json.loads and json.dumps of it cost; instructions inside C count here as well."""
    chunks = list(cost.reads(shape, 20, 4240))
    frames = [chunk.partition(b"data: ")[2].partition(b"\n")[0] for chunk in chunks[:20]]
    mender = cost.begun(shape)
    mender.feed(b"".join(chunks[:2]))
    rest = iter(chunks[2:])

    def mend() -> None:
        mender.feed(next(rest))

    def parse() -> None:
        for frame in frames:
            json.dumps(json.loads(frame))

    mended, parsed = fastest(mend, parse)

    assert mended <= parsed / 2
