"""The bench measures what it says: its streams are what servers send, and a stream that is not whole fails the run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from corpus import mend

from bench import budget, plots, report
from bench.checks import dechunked, wrongs
from bench.plan import Plan
from bench.results import Results, Spread
from bench.rounds import Bench, Scenario
from bench.streams import SHAPES, Shape

BROKEN = [shape for shape in SHAPES.values() if not shape.is_healthy]
HEALTHY = [shape for shape in SHAPES.values() if shape.is_healthy]


@pytest.mark.parametrize("shape", HEALTHY, ids=lambda shape: shape.name)
def test_a_healthy_stream_stays_healthy_when_it_is_grown(shape: Shape) -> None:
    """The repair has nothing to do in it."""
    body = shape.body(shape.texts(5))

    assert body == mend(body).body


@pytest.mark.parametrize("shape", BROKEN, ids=lambda shape: shape.name)
def test_a_broken_stream_is_told_from_its_repair(shape: Shape) -> None:
    """The check that is made of each stream sees what is missing, and that nothing is when it is repaired."""
    plan = Plan(shape.name, deltas=5)
    body = shape.body(shape.texts(5))

    assert [] != list(wrongs(plan, [body], "repaired"))
    assert [] == list(wrongs(plan, [mend(body).body], "repaired"))
    assert [] == list(wrongs(plan, [body], "same"))


@pytest.mark.parametrize("expect", ["same", "text", "repaired"])
def test_a_lost_word_fails_the_run(expect: str) -> None:
    """A fast proxy that loses text is not fast."""
    shape = SHAPES["healthy"]
    texts = shape.texts(5)
    body = shape.body(texts)
    short = body.replace(shape.event(2, texts[2]), b"")

    assert body != short
    assert [] != list(wrongs(Plan("healthy", deltas=5), [body, short], expect))


def test_a_changed_byte_fails_the_run() -> None:
    """Healthy streams are compared byte for byte."""
    shape = SHAPES["healthy"]
    body = shape.body(shape.texts(5))

    assert [] != list(wrongs(Plan("healthy", deltas=5), [body.replace(b'"output":[]', b'"output": []')], "repaired"))


def test_an_error_is_no_stream() -> None:
    """A contender that refuses the request does not count as quick."""
    with pytest.raises(SystemExit, match="status 200"):
        dechunked(b"HTTP/1.1 502 Bad Gateway\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")


def test_a_round_measures_two_relays_side_by_side(tmp_path: Path) -> None:
    """Origin, contenders and load are real processes, also here."""
    scenario = Scenario("paced/sub2api-an", Plan("sub2api-an", streams=2, deltas=20, rate=100, is_stamped=True), ())
    scenario = Scenario(scenario.name, scenario.plan, ("direct", "bare", "respfix"))
    bench = Bench(tmp_path, 1, lambda _: None)
    bench.run([scenario], list(scenario.contenders))
    (turn,) = bench.measured[scenario.name]

    assert {"direct", "bare", "respfix"} == turn.keys()
    assert 0 == turn["direct"]["cpu_ns"] < min(turn["bare"]["cpu_ns"], turn["respfix"]["cpu_ns"])
    assert {"p50", "p99", "p99.9"} == turn["respfix"]["latency"].keys()


def sample() -> dict[str, object]:
    """Results as a run writes them, of made-up numbers."""
    names = ("direct", "nginx", "bare", "litellm", "respfix")
    cost = {"nginx": 10_000, "bare": 20_000, "litellm": 300_000, "respfix": 21_000, "direct": 0}
    turn = {
        name: {
            "events": 1000,
            "cpu_ns": cost[name] * 1000,
            "seconds": 1.0,
            "latency": {"p50": 100.0, "p99": 200.0, "p99.9": 300.0},
            "streams": 1,
        }
        for name in names
    }
    machine = dict.fromkeys(
        ("cpu", "memory", "system", "python", "aiohttp", "uvloop", "litellm", "respfix", "load"), "1"
    )
    return {
        "began": "2026-01-01T00:00+00:00",
        "machine": machine,
        "rounds": 2,
        "skipped": {"haproxy": "it is not installed"},
        "starts": {"serve": [0.5, 0.3], "version": [0.05, 0.04]},
        "measured": {"paced/sub2api-an": [turn, turn]},
    }


def test_the_budget_is_judged_by_what_was_measured() -> None:
    """A promise is said to hold or not, and one without a measurement is not said at all."""
    lines = [(line.what, line.limit, line.found, line.holds) for line in budget.lines(Results(sample()))]

    assert [
        ("paced, Sub2API's stream", "1.15 × bare", "1.05 × bare", True),
        ("paced, Sub2API's stream", "2 × nginx", "2.1 × nginx", False),
        ("LiteLLM, paced", "at least 8 × cheaper", "14.3 × cheaper", True),
        ("added p99 latency, 4,000 events/s over 100 streams", "1000 µs", "0 µs", True),
        ("`respfix serve` accepts a connection", "400 ms", "300 ms", True),
        ("`respfix --version`", "100 ms", "40 ms", True),
    ] == lines


def test_the_report_says_where_respfix_is_slower_and_who_is_missing(tmp_path: Path) -> None:
    """A table that only flatters is no measurement."""
    report.write(sample(), tmp_path, "sample")
    page = (tmp_path / "sample.md").read_text()

    assert "2.10 × nginx, 1.05 × bare aiohttp + uvloop relay" in page
    assert "Not measured: HAProxy: it is not installed." in page
    assert "sample-paced.svg" in page
    assert (tmp_path / "sample-latency.svg").exists()


def test_a_plot_shows_every_number() -> None:
    """Also that of a bar which is broken off, because the others would be too small to read beside it."""
    near, next_to_it, far = Spread(10, 9, 12), Spread(12, 9, 13), Spread(999, 900, 1000)
    drawn = plots.chart("µs", [("near", near, True), ("next to it", next_to_it, False), ("far", far, False)])
    widths = [float(width) for width in re.findall(r'<rect x="\d+" y="\d+" width="([\d.]+)"', drawn)]

    assert ["near", "10", "next to it", "12", "far", "999"] == re.findall(r">([^<]+)</text>", drawn)[-6:]
    assert widths == sorted(widths)
    assert widths[2] < 2 * widths[0]


def test_the_page_is_made_of_the_results(root: Path) -> None:
    """Nobody writes numbers by hand."""
    results = root / "bench/results/results.json"
    if not results.exists():
        pytest.skip("nobody has measured yet: make bench")

    assert report.page(json.loads(results.read_text())) == (root / "docs/performance.md").read_text()
