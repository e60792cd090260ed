"""``docs/compatibility.md``, made from `results.json`: ``python -m clients.page > ../docs/compatibility.md``."""

from __future__ import annotations

from collections import Counter
from itertools import chain

from clients.cases import LIKE
from clients.reasons import RULES
from clients.results import Cell, Figures, Row, load, rows
from clients.variants import ROWS, VARIANTS
from clients.verdicts import GOOD, WORDS, Verdict

SERVERS = {
    "sub2api-0.1.132-an": "Sub2API 0.1.132, Anthropic",
    "sub2api-0.1.132-cc": "Sub2API 0.1.132, Chat Completions",
    "sub2api-0.1.179-an": "Sub2API 0.1.179, Anthropic",
    "sub2api-0.1.179-cc": "Sub2API 0.1.179, Chat Completions",
    "opencode-llm-proxy-1.6.1": "opencode-llm-proxy 1.6.1",
    "opencode-llm-proxy-1.10.0": "opencode-llm-proxy 1.10.0",
}
INTRODUCTION = """\
# Which client works with which server

What programs get that are built on these clients: straight from the server, and through respfix. The clients are
real, pinned, and driven from outside; {clients} of them read {streams} streams: what {servers} server versions sent,
and conformant streams with one fault put in. A cell is one client on one stream, and is measured by what the same
client makes of the stream in which OpenAI would have said the same: text as it was streamed, final text, tool calls
with their arguments, reasoning, usage, the error.

This page is made from `tests/clients/results.json`, which has every cell. Measured on {days}, with respfix at
{commits}.{again}
`make test-clients` measures all of it anew; one client, or what the file says about one:

```sh
cd tests && ../.venv/bin/python -m clients.matrix openai-python-stream
cd tests && ../.venv/bin/python -m clients.matrix --show openai-python-stream
```
"""

FAULTS = """\
## Faults

Each of {rows} faults, in up to seven conformant streams ({variants} streams in all). A client counts as broken if it is
wrong in one of them. `tests/clients/variants.py` says what each fault is.
"""


def table(head: list[str], lines: list[list[str]]) -> str:
    """Write a table."""
    rule = "|" + "---|" * len(head)
    rest = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([f"| {' | '.join(head)} |", rule, *rest]) + "\n"


def of_server(row: Row, server: str) -> list[Cell]:
    """Give a client's cells on what one server sent."""
    return [
        cell for cell in row.cells if cell.case.base == server and not cell.case.name.startswith(LIKE) and cell.is_read
    ]


def is_right(row: Row, server: str, way: str) -> bool:
    """Say whether a client reads everything that a server sent."""
    found = of_server(row, server)
    return bool(found) and all(getattr(cell, way) in GOOD for cell in found)


def summary() -> str:
    """Say for each server how many clients are right with all of its streams; the README has this."""
    measured = rows()
    lines = []
    for server, title in SERVERS.items():
        read = [row for row in measured if of_server(row, server)]
        right = [sum(is_right(row, server, way) for row in read) for way in ("straight", "relayed")]
        lines.append([title, *(f"{number} of {len(read)}" for number in right)])
    return table(["server and its upstream", "clients that get everything right", "through respfix"], lines)


def on_servers(measured: list[Row]) -> str:
    """Say for each client and server on how many of its streams the client is right."""
    lines = []
    for row in measured:
        line = [f"{row.client.title} ({row.version})"]
        for server in SERVERS:
            found = of_server(row, server)
            right = [sum(getattr(cell, way) in GOOD for cell in found) for way in ("straight", "relayed")]
            line.append(f"{right[0]} → {right[1]} of {len(found)}" if found else "not measured")
        lines.append(line)
    return table(["client", *SERVERS.values()], lines)


def totals(measured: list[Row]) -> str:
    """Say for each client what all of its cells come to."""
    lines = []
    for name, one in [
        *((row.client.title, list(row.cells)) for row in measured),
        ("**all**", list(chain(*(row.cells for row in measured)))),
    ]:
        figures = Figures.of(one)
        lines.append([name, *map(str, (figures.cells, figures.broken, figures.repaired, figures.left, figures.worse))])
    return table(
        ["client", "cells", "broken without respfix", "repaired", "still broken", "worse through respfix"], lines
    )


def harms(measured: list[Row]) -> str:
    """Count the verdicts."""
    read = [cell for row in measured for cell in row.cells if cell.is_read]
    straight, relayed = Counter(cell.straight for cell in read), Counter(cell.relayed for cell in read)
    lines = [
        [words, str(straight[verdict]), str(relayed[verdict])]
        for verdict, words in WORDS.items()
        if verdict is not Verdict.UNREAD
    ]
    return table(["what the program sees", "without respfix", "through respfix"], lines)


def left(measured: list[Row]) -> str:
    """List the cells that are still broken, with the reason."""
    texts = {rule.name: rule.text for rule in RULES}
    found: dict[tuple[str, str], list[str]] = {}
    for row in measured:
        for cell in row.cells:
            if cell.is_broken:
                key = row.reason(cell) or "", cell.case.row.name if cell.case.row else cell.case.name
                found.setdefault(key, []).append(row.client.title)
    lines = []
    for (why, stream), clients in sorted(found.items()):
        counted = Counter(clients)
        shown = ", ".join(f"{client} ({number})" if number > 1 else client for client, number in counted.items())
        lines.append([f"`{stream}`", shown, texts.get(why, "none: this is a fault of respfix")])
    return table(["stream or fault", "clients, and in how many streams", "why"], lines) if lines else "None.\n"


def faults(measured: list[Row]) -> str:
    """Say for each fault how many clients it breaks."""
    broken: dict[str, list[set[str]]] = {row.name: [set(), set(), set()] for row in ROWS}
    for row in measured:
        for cell in row.cells:
            if cell.case.row is not None and cell.is_read:
                read, straight, relayed = broken[cell.case.row.name]
                read.add(row.client.name)
                if cell.straight not in GOOD:
                    straight.add(row.client.name)
                if cell.relayed not in GOOD:
                    relayed.add(row.client.name)
    lines = [
        [f"`{name}`", str(len(read)), str(len(straight)), str(len(relayed))]
        for name, (read, straight, relayed) in broken.items()
    ]
    return table(["fault", "clients that read it", "broken without respfix", "broken through respfix"], lines)


def page() -> str:
    """Give the whole page."""
    measured, skipped = rows(), load()["skipped"]
    again = " and ".join(f"`{name}`" for name in sorted({row.again for row in measured if row.again}))
    introduction = INTRODUCTION.format(
        clients=len(measured),
        streams=len({cell.case.name for row in measured for cell in row.cells if cell.is_read}),
        servers=len(SERVERS) - 2,
        days=" and ".join(sorted({row.measured for row in measured})),
        again=f" What was broken through respfix then was measured again at {again}." if again else "",
        commits=" and ".join(f"`{name}`" for name in sorted({row.respfix for row in measured})),
    )
    parts = [
        introduction,
        "## Servers\n\nClients that are right with everything that the server was recorded to send, failures too.\n",
        summary(),
        "On how many of its recorded streams a client is right: without respfix → through it.\n",
        on_servers(measured),
        "## All cells\n",
        totals(measured),
        harms(measured),
        "## What is still broken\n",
        left(measured),
        FAULTS.format(rows=len(ROWS), variants=len(VARIANTS)),
        faults(measured),
    ]
    if skipped:
        lines = [[f"`{name}`", why] for name, why in skipped.items()]
        parts += ["## Not measured\n", table(["client", "why"], lines)]
    return "\n".join(parts)


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201
