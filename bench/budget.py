"""What respfix promises to cost, as rows, and whether it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.results import Results
from bench.streams import SHAPES

TEXT = len(b"".join(SHAPES["sub2api-an"].texts(200_000)))


@dataclass(frozen=True)
class Line:
    """One promise."""

    what: str
    limit: str
    found: str
    holds: bool


@dataclass(frozen=True)
class Promise:
    """A value that must not be above its limit (or below, if `is_least`)."""

    what: str
    limit: float
    unit: str
    needs: tuple[tuple[str, str], ...]  # scenario, contender
    value: Callable[[Results], float]
    is_least: bool = False


def _ratio(what: str, scenario: str, other: str, limit: float) -> Promise:
    needs = ((scenario, "respfix"), (scenario, other))
    return Promise(what, limit, f"× {other}", needs, lambda read: read.ratio(scenario, "respfix", other).median)


def _cheaper(what: str, scenario: str, limit: float) -> Promise:
    needs = ((scenario, "respfix"), (scenario, "litellm"))
    return Promise(
        what, limit, "× cheaper", needs, lambda read: read.ratio(scenario, "litellm", "respfix").median, is_least=True
    )


def _above(what: str, scenario: str, limit: float) -> Promise:
    needs = ((scenario, "respfix"), (scenario, "bare"))
    return Promise(
        what, limit, "loads + dumps", needs, lambda read: read.above(scenario, "respfix", "bare", "loads+dumps").median
    )


def _length(shape: str) -> Promise:
    short, long = f"length/{shape}/2000", f"length/{shape}/200000"
    needs = ((short, "respfix"), (long, "respfix"))
    what = f"200,000 deltas against 2,000, per event, {SHAPES[shape].title}"
    return Promise(what, 1.1, "×", needs, lambda read: read.across(long, short, "respfix").median)


PROMISES = (
    _ratio("paced, Sub2API's stream", "paced/sub2api-an", "bare", 1.15),
    _ratio("paced, healthy stream", "paced/healthy", "bare", 1.10),
    _ratio("paced, Sub2API's stream", "paced/sub2api-an", "nginx", 2.0),
    _above("bursts, healthy stream, above the bare relay", "burst/healthy", 0.2),
    _above("bursts, Sub2API's stream, above the bare relay", "burst/sub2api-an", 0.4),
    _cheaper("LiteLLM, paced", "paced/sub2api-an", 8),
    _cheaper("LiteLLM, bursts", "burst/sub2api-an", 50),
    Promise(
        "added p99 latency, 4,000 events/s over 100 streams",
        1000,
        "µs",
        (("paced/sub2api-an", "respfix"), ("paced/sub2api-an", "direct")),
        lambda read: read.added("paced/sub2api-an", "respfix", "p99").median,
    ),
    _length("healthy"),
    _length("sub2api-an"),
    Promise(
        "memory of a stream of 200,000 deltas (twice its text + 40 KiB)",
        (2 * TEXT + 40 * 1024) / 2**20,
        "MiB",
        (("busy", "respfix"),),
        lambda read: read.grown("busy", "respfix").median / 2**20,
    ),
    Promise(
        "2,000 idle streams, each",
        40,
        "KiB",
        (("idle", "respfix"),),
        lambda read: read.memory("idle", "respfix").median / 1024,
    ),
)


def lines(read: Results) -> Iterator[Line]:
    """The promises for which there is a measurement."""
    for promise in PROMISES:
        if all(scenario in read and name in read.names(scenario) for scenario, name in promise.needs):
            found = promise.value(read)
            holds = found >= promise.limit if promise.is_least else found <= promise.limit
            word = "at least " if promise.is_least else ""
            yield Line(promise.what, f"{word}{promise.limit:.4g} {promise.unit}", f"{found:.3g} {promise.unit}", holds)
    for name, what, limit in (
        ("serve", "`respfix serve` accepts a connection", 400),
        ("version", "`respfix --version`", 100),
    ):
        if times := read.starts.get(name):
            best = min(times) * 1000
            yield Line(what, f"{limit} ms", f"{best:.0f} ms", best <= limit)
