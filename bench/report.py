"""What came out, for people: ratios, because machines differ; medians of the rounds, with the least and the most."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from bench import budget, plots
from bench.contenders import CONTENDERS, ROOT
from bench.results import Results, Spread
from bench.streams import SHAPES

PAGE = ROOT / "docs" / "performance.md"

INTRODUCTION = """\
# What it costs

People put respfix in front of every token they stream. This page says what a streamed event costs there, beside the
same event through nginx, HAProxy, LiteLLM and the least that a relay in Python can do. It is made by `make bench`
(about 25 minutes; `make bench-quick` takes two), which starts all of them on your machine and writes this page anew;
a run in which a stream did not arrive whole, or not repaired, fails and writes nothing.

**Read the ratios.** Microseconds belong to one machine; ratios are taken within one round, in which every contender had
its turn, and are the median of the rounds, with the least and the most in brackets.

"""

METHOD = """\
## How it is measured

An origin (`bench/origin.py`) sends streams, a load generator (`bench/load.py`) asks for them, and one contender stands
in between; each is a process of its own. The contender has a core to itself, the other two share another. Streams are
grown from the recordings in `tests/streams`, with one event per model token. *Paced*: 100 streams, 4,000 events a
second together, one event per write, as models really speak. *Bursts*: 20 events in one write, 50 streams, 40,000
events a second. *As fast as it goes*: the origin writes whenever it may. LiteLLM cannot keep up with these and gets an
eighth (paced) or a sixteenth of the rate.

CPU time is what the kernel has counted for the contender's process and its children (`/proc/PID/task/*/schedstat`,
nanoseconds), user and system, from shortly before the first delta to the end of the first stream, divided by the events
that arrived meanwhile. Setting connections up is not in it. Latency is the time from the writing of a delta to its
arrival at the load generator: the delta's text is the time it was written. What is *added* is the contender's latency
less that of the direct way in the same round, at the same quantile. Memory is the proportional set size
(`smaps_rollup`).

Every stream is checked: a healthy one must arrive byte for byte through nginx, HAProxy, the bare relay and respfix; a
broken one must arrive repaired through respfix (all events, one item id, dense sequence numbers, the whole text in
each closing event); the others must deliver every text.

nginx: `proxy_buffering off`, one worker. HAProxy: `option http-no-delay`, one thread. The bare relay
(`bench/relays.py`): aiohttp and uvloop, `async for chunk in content.iter_any(): await answer.write(chunk)`. The relay
that parses and dumps is the same with `json.loads` and `json.dumps` of each event. LiteLLM: its proxy with one worker,
`/v1/responses` to an OpenAI-compatible server.
"""


def write(results: dict[str, Any], folder: Path, name: str = "results") -> int:
    """Write tables and plots; a whole run writes the documentation's page, too."""
    read = Results(results)
    folder.mkdir(parents=True, exist_ok=True)
    drawn = plots.draw(read)
    for file, (_, plot) in drawn.items():
        (folder / f"{name}-{file}").write_text(plot)
    (folder / f"{name}.md").write_text(_embedded(drawn, f"{name}-") + tables(read))
    if name == "results":
        PAGE.write_text(page(results))
    sys.stdout.write(tables(read))
    return 0


def tables(read: Results) -> str:
    """Everything for which there are numbers."""
    return "\n".join(section for section in (make(read) for make in SECTIONS) if section)


def page(results: dict[str, Any]) -> str:
    """The page of the documentation."""
    read = Results(results)
    return INTRODUCTION + _embedded(plots.draw(read), "../bench/results/results-") + tables(read) + "\n" + METHOD


def _embedded(drawn: plots.Plots, where: str) -> str:
    return "".join(f"![{title}]({where}{file})\n\n" for file, (title, _) in drawn.items())


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; its first column is text, the others are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines) + "\n"


def _title(name: str) -> str:
    return CONTENDERS[name].title if name in CONTENDERS else "`json.loads` + `json.dumps`"


def the_machine(read: Results) -> str:
    """Where, when, with what."""
    machine = read.machine
    skipped = "".join(f"\nNot measured: {_title(name)}: {why}.\n" for name, why in read.skipped.items())
    return (
        "## The machine\n\n"
        f"{machine['cpu']}, {machine['memory']}, {machine['system']}; Python {machine['python']}, "
        f"aiohttp {machine['aiohttp']}, uvloop {machine['uvloop']}, LiteLLM {machine['litellm']}, respfix "
        f"{machine['respfix']}. Measured {read.began.replace('T', ' ').removesuffix('+00:00')} UTC, "
        f"{read.rounds} rounds; load average before the run {machine['load']}.\n{skipped}"
    )


def the_budget(read: Results) -> str:
    """What was promised, and what came of it."""
    rows = [[line.what, line.limit, line.found, "yes" if line.holds else "**no**"] for line in budget.lines(read)]
    return "## The budget\n\n" + table(["what", "at most", "measured", "holds"], rows) if rows else ""


def one_by_one(read: Results) -> str:
    """One event per read."""
    return _costs(read, "paced", "## One event at a time\n\nCPU time of the proxy for one event, paced.\n\n")


def in_bursts(read: Results) -> str:
    """Twenty events per read."""
    return _costs(read, "burst", "## Bursts of 20 events\n\nCPU time of the proxy for one event.\n\n")


def _costs(read: Results, kind: str, head: str) -> str:
    shapes = [shape for shape in ("healthy", "sub2api-an") if f"{kind}/{shape}" in read]
    if not shapes:
        return ""
    out = head
    for shape in shapes:
        scenario = f"{kind}/{shape}"
        rows = [
            [
                _title(name),
                f"{read.cost(scenario, name).median:.2f}",
                *(_times(read, scenario, name, other) for other in ("nginx", "bare")),
            ]
            for name in read.names(scenario)
            if name != "direct"
        ]
        out += f"{SHAPES[shape].title[0].upper()}{SHAPES[shape].title[1:]}:\n\n"
        out += table(["", "µs per event", "× nginx", "× bare relay"], rows)
    return out


def _times(read: Results, scenario: str, name: str, other: str) -> str:
    return read.ratio(scenario, name, other).spread() if other in read.names(scenario) else "–"


def every_stream(read: Results) -> str:
    """What each kind of stream costs."""
    rows = []
    for shape in SHAPES:
        cells = []
        for kind in ("paced", "burst"):
            scenario = f"{kind}/{shape}"
            if scenario in read and {"bare", "respfix"} <= set(read.names(scenario)):
                cost = read.cost(scenario, "respfix").median
                cells += [f"{cost:.2f}", read.ratio(scenario, "respfix", "bare").spread()]
        if len(cells) == 4:  # noqa: PLR2004 (two kinds, two cells)
            rows.append([SHAPES[shape].title, *cells])
    head = ["", "paced, µs", "× bare relay", "bursts, µs", "× bare relay"]
    return "## Each kind of stream through respfix\n\n" + table(head, rows) if rows else ""


def latency(read: Results) -> str:
    """How much later an event arrives."""
    out = ""
    for shape in ("healthy", "sub2api-an"):
        scenario = f"paced/{shape}"
        if scenario not in read or "direct" not in read.names(scenario):
            continue
        rows = [
            [_title(name), *(f"{read.added(scenario, name, at).median:,.0f}" for at in ("p50", "p99", "p99.9"))]
            for name in read.names(scenario)
            if name != "direct"
        ]
        direct = ", ".join(
            f"{at} {read.latency(scenario, 'direct', at).median:,.0f} µs" for at in ("p50", "p99", "p99.9")
        )
        out += f"{SHAPES[shape].title[0].upper()}{SHAPES[shape].title[1:]} (the direct way itself: {direct}):\n\n"
        out += table(["added, µs", "p50", "p99", "p99.9"], rows)
    return "## Added latency\n\n100 streams, 4,000 events a second.\n\n" + out if out else ""


def throughput(read: Results) -> str:
    """As fast as it goes."""
    out = ""
    if "most" in read:
        rows = [
            [_title(name), f"{read.rate('most', name).median:,.0f}", read.rate_ratio("most", name, "bare").spread()]
            for name in read.names("most")
        ]
        head = ["Sub2API's stream, 20 at once", "events per second", "× bare relay"]
        out += "## As fast as it goes\n\nOne core for the proxy.\n\n" + table(head, rows)
    if "instances" in read and "two" in read.names("instances"):
        one, two = (read.rate("instances", name).median for name in ("one", "two"))
        ratio = read.rate_ratio("instances", "two", "one").spread()
        out += (
            f"Two instances on one port (`reuse_port: true`), no core reserved for anybody: {two:,.0f} events per "
            f"second against {one:,.0f} with one instance: {ratio} times as many. Origin and load generator take their "
            "share of the same cores.\n"
        )
    return out


def growth(read: Results) -> str:
    """Longer streams, and more of them."""
    out = ""
    rows = []
    for shape in ("healthy", "sub2api-an"):
        short, long = f"length/{shape}/2000", f"length/{shape}/200000"
        if short in read and long in read:
            rows += [
                [
                    f"{SHAPES[shape].title}, {_title(name)}",
                    f"{read.cost(short, name).median:.2f}",
                    f"{read.cost(long, name).median:.2f}",
                    read.across(long, short, name).spread(),
                ]
                for name in read.names(short)
            ]
    if rows:
        out += "## Long streams\n\n" + table(["µs per event", "2,000 deltas", "200,000 deltas", "ratio"], rows)
    counts = [count for count in (1, 10, 100, 1000) if f"streams/{count}" in read]
    if counts:
        rows = [
            [_title(name), *(f"{read.cost(f'streams/{count}', name).median:.2f}" for count in counts)]
            for name in read.names(f"streams/{counts[0]}")
        ]
        head = ["µs per event", *(f"{count:,} stream{'s' * (count > 1)}" for count in counts)]
        out += "## Many streams\n\n4,000 events a second over all of them, paced.\n\n" + table(head, rows)
    if "large" in read:
        rows = [
            [_title(name), f"{read.cost('large', name).median / 1000:.2f}", _times(read, "large", name, "bare")]
            for name in read.names("large")
        ]
        out += "## Events of 1 MiB\n\n" + table(["", "ms per event", "× bare relay"], rows)
    return out


def memory(read: Results) -> str:
    """What a stream holds."""
    out = ""
    if "idle" in read:
        rows = [
            [_title(name), f"{read.memory('idle', name).median / 1024:.1f}", f"{read.streams('idle', name):,}"]
            for name in read.names("idle")
        ]
        out += table(["idle streams", "KiB each", "streams"], rows)
    if "busy" in read:
        rows = [
            [
                _title(name),
                *(f"{read.grown('busy', name, when).median / 2**20:.2f}" for when in ("grown", "peak")),
                f"{budget.TEXT / 2**20:.2f}",
            ]
            for name in read.names("busy")
        ]
        out += table(
            ["200,000 deltas", "MiB per stream", "at most, while its closing events leave", "MiB of text"], rows
        )
    return "## Memory\n\n" + out if out else ""


def start_up(read: Results) -> str:
    """Until it is there."""
    if not read.starts:
        return ""
    titles = {
        "python": "`python -c ''`",
        "version": "`respfix --version`",
        "serve": "`respfix serve` accepts a connection",
    }
    rows = [
        [titles[name], f"{min(times) * 1000:.0f}", f"{statistics.median(times) * 1000:.0f}"]
        for name, times in read.starts.items()
    ]
    return "## Start\n\n" + table(["ms", "best", "median"], rows)


def slower(read: Results) -> str:
    """Where it is slower, said plainly."""
    lines = []
    for scenario in ("paced/healthy", "paced/sub2api-an", "burst/healthy", "burst/sub2api-an", "large"):
        if scenario not in read or "respfix" not in read.names(scenario):
            continue
        kind, _, shape = scenario.partition("/")
        what = {"paced": "one event at a time", "burst": "in bursts", "large": "events of 1 MiB"}[kind]
        stream = f", {SHAPES[shape].title}" if shape else ""
        worse = []
        for name in read.names(scenario):
            if name in ("direct", "respfix", "off", "loads+dumps"):
                continue
            ratio: Spread = read.ratio(scenario, "respfix", name)
            if ratio.median > 1:
                worse.append(f"{ratio.median:.2f} × {_title(name)}")
        lines.append(f"- {what}{stream}: {', '.join(worse) or 'than nothing measured here'}")
    return (
        "## Where respfix is slower\n\nCPU per event, more than others:\n\n" + "\n".join(lines) + "\n" if lines else ""
    )


SECTIONS: tuple[Callable[[Results], str], ...] = (
    the_machine,
    the_budget,
    slower,
    one_by_one,
    in_bursts,
    every_stream,
    latency,
    throughput,
    growth,
    memory,
    start_up,
)
