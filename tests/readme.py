"""The parts of the READMEs that are made from the program: `python tests/readme.py` brings them up to date.

A part stands between `<!-- made: NAME -->` and `<!-- end -->`. The Chinese README's tables are translated by hand: what
prose is there already is kept, by the name in its row, and only new rows arrive in English.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import yaml
from clients.page import summary

from bench.contenders import CONTENDERS
from bench.results import Results
from respfix.cli import SERVE_FLAGS
from respfix.config import SETTINGS
from respfix.demo.comparison import rows
from respfix.demo.screen import comparison
from respfix.demo.streams import STREAMS, Event
from respfix.stream import Mender
from respfix.stream.defects import DEFECTS

ROOT = Path(__file__).parent.parent
READMES = (ROOT / "README.md", ROOT / "README.zh-CN.md")
PART = re.compile(r"<!-- made: (\w+) -->\n(.*?)<!-- end -->", re.DOTALL)
SHOWN = "anthropic-text"
WIDTH = 110


def events_of(stream: bytes) -> list[Event]:
    """The events of a stream in the servers' own simple framing, up to the last that a client reads."""
    events: list[Event] = []
    for line in stream.decode().split("\n"):
        if line.startswith("data: ") and not (events and events[-1].is_last):
            events.append(Event(line.removeprefix("data: ")))
    return events


def events() -> str:
    """The demo's first screen: a broken answer before and after."""
    mender = Mender()
    after = mender.feed(STREAMS[SHOWN]) + mender.close()
    lines = comparison(rows(events_of(STREAMS[SHOWN]), events_of(after)), WIDTH)
    return "\n".join(["```text", *((left[2:] + right).rstrip() for _, left, right in lines), "```", ""])


def defects() -> str:
    """What is repaired, by name."""
    lines = ["| name | what is wrong | what is done |", "|---|---|---|"]
    for slug, row in DEFECTS.items():
        switch = "" if row.is_on else " (off by default)"
        lines.append(f"| `{slug}` | {_cell(row.wrong)} | {_cell(row.remedy)}{switch} |")
    return "\n".join([*lines, ""])


def settings() -> str:
    """What can be set: its name, its flag, its default and what it is for, as the example file says it."""
    text = (ROOT / "config.example.yaml").read_text(encoding="utf-8")
    given = yaml.safe_load(re.sub(r"(?m)^(repair): (\w+)", r"\1: '\2'", text))
    lines = ["| setting | flag | default | what it is |", "|---|---|---|---|"]
    for name in SETTINGS:
        section, _, key = name.rpartition(".")
        default = (given[section] if section else given)[key]
        shown = "none" if default in ([], "") else str(default).lower() if isinstance(default, bool) else default
        flag = f"`{SERVE_FLAGS[name][0]}`" if name in SERVE_FLAGS else ""
        lines.append(f"| `{name}` | {flag} | {shown} | {_cell(_reason(text, section, key))} |")
    return "\n".join([*lines, ""])


COSTS = ("paced/healthy", "paced/sub2api-an", "burst/healthy", "burst/sub2api-an")


def costs() -> str:
    """What an event costs the process in between, by the last `make bench`."""
    read = Results(json.loads((ROOT / "bench/results/results.json").read_text("utf-8")))
    head = ("", "healthy, one at a time", "Sub2API's, one at a time", "healthy, in bursts", "Sub2API's, in bursts")
    lines = [f"| {' | '.join(head)} |", "|---|---:|---:|---:|---:|"]
    for name in read.names(COSTS[0]):
        if name != "direct":
            cells = (f"{read.cost(scenario, name).median:.1f}" for scenario in COSTS)
            lines.append(f"| {CONTENDERS[name].title} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _reason(text: str, section: str, key: str) -> str:
    """The first sentence of the comment above a key; two keys may share one."""
    begin = text.index(f"\n{section}:\n") if section else 0
    found = re.compile(rf"((?:^ *#.*\n)+)(?:^ *\w+: .*\n)??^ *{key}:", re.MULTILINE).search(text, begin)
    assert found, f"config.example.yaml does not explain {key}"
    prose = " ".join(line.strip(" #") for line in found[1].splitlines())
    return re.split(r"(?<=[.]) ", prose, maxsplit=1)[0].rstrip(".")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


PARTS: dict[str, Callable[[], str]] = {
    "clients": summary,
    "costs": costs,
    "events": events,
    "defects": defects,
    "settings": settings,
}
# The cells that are translated.
PROSE: dict[str, set[int]] = {"clients": set(), "costs": set(), "defects": {2, 3}, "settings": {4}}


def table(part: str) -> dict[str, list[str]]:
    """A table's rows as cells, by what is in their first one."""
    lines = [re.split(r"(?<!\\)\|", line) for line in part.splitlines()[2:] if line.startswith("|")]
    return {cells[1].strip(): cells for cells in lines}


def current(readme: Path) -> str:
    """The README as it should be."""
    make = _translated if "zh" in readme.name else _made
    text = readme.read_text("utf-8")
    return PART.sub(lambda found: f"<!-- made: {found[1]} -->\n{make(found[1], found[2])}<!-- end -->", text)


def _made(name: str, _old: str) -> str:
    return PARTS[name]()


def _translated(name: str, old: str) -> str:
    new = PARTS[name]()
    if name not in PROSE:
        return new
    known = table(old)
    for key, cells in table(new).items():
        if key in known:
            both = zip(cells, known[key], strict=True)
            cells[:] = [theirs if place in PROSE[name] else ours for place, (ours, theirs) in enumerate(both)]
        known[key] = cells
    lines = ["|".join(known[key]) for key in table(new)]
    return "\n".join([*(old.splitlines()[:2] or new.splitlines()[:2]), *lines, ""])


def main() -> None:
    """Bring both up to date."""
    for readme in READMES:
        readme.write_text(current(readme), "utf-8")


if __name__ == "__main__":
    main()
