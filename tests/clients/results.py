"""What the matrix measured: ``results.json``, one letter for each cell (`verdicts.py`), and what it comes to.

Each client has two lines of letters, one for each way, in the order of the cases.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clients.cases import CASES, FAILED, FAILED_EARLY, INCOMPLETE, Case
from clients.measure import Measured
from clients.reasons import reason
from clients.table import CLIENTS, Client
from clients.verdicts import GOOD, HARM, Verdict, judge

FILE = Path(__file__).with_name("results.json")


@dataclass(frozen=True, slots=True)
class Cell:
    """One client on one stream, on both ways."""

    client: Client
    case: Case
    straight: Verdict
    relayed: Verdict

    @property
    def is_read(self) -> bool:
        """The client can do something with what the stream says."""
        return Verdict.UNREAD not in {self.straight, self.relayed}

    @property
    def is_repaired(self) -> bool:
        """Broken without respfix, right with it."""
        return self.is_read and self.straight not in GOOD and self.relayed in GOOD

    @property
    def is_broken(self) -> bool:
        """Not right through respfix."""
        return self.relayed not in GOOD

    @property
    def is_worse(self) -> bool:
        """Respfix does harm."""
        return HARM[self.relayed] > HARM[self.straight]


@dataclass(frozen=True, slots=True)
class Row:
    """What one client made of everything."""

    client: Client
    version: str
    measured: str  # the day
    respfix: str  # the commit
    again: str | None  # the commit at which the cells that were broken then were measured once more
    cells: tuple[Cell, ...]

    def reason(self, cell: Cell) -> str | None:
        """Say why no proxy can repair a cell; None if one could."""
        return reason(cell.case, cell.relayed, {one.case.name: one.straight for one in self.cells})


@dataclass(frozen=True, slots=True)
class Figures:
    """What some cells come to."""

    cells: int
    broken: int  # without respfix
    repaired: int
    left: int  # still broken
    worse: int

    @classmethod
    def of(cls, cells: list[Cell]) -> Figures:
        """Count."""
        read = [cell for cell in cells if cell.is_read]
        return cls(
            len(read),
            sum(cell.straight not in GOOD for cell in read),
            sum(cell.is_repaired for cell in read),
            sum(cell.is_broken for cell in read),
            sum(cell.is_worse for cell in read),
        )


def letters(measured: Measured) -> tuple[str, str]:
    """Write down a measurement, a letter for each case."""
    lines = []
    for way in (measured.straight, measured.relayed):
        verdicts = (
            judge(case, way[case.name], measured.straight) if case.name in way else Verdict.UNREAD
            for case in CASES.values()
        )
        lines.append("".join(verdicts))
    return lines[0], lines[1]


def corrected(row: dict[str, Any], measured: Measured) -> dict[str, Any]:
    """Put what was measured once more into a client's line."""
    changed = dict(row)
    for way, anew in zip(("straight", "relayed"), letters(measured), strict=True):
        both = zip(CASES, row[way], anew, strict=True)
        changed[way] = "".join(new if name in measured.straight else old for name, old, new in both)
    return changed


def needing(client: Client, names: Iterable[str]) -> list[str]:
    """Give these streams and those that they are judged by, as far as the client reads their bases or one of these."""
    names = list(names)
    bases = {*client.bases, *(CASES[name].base for name in names)}
    needed: dict[str, None] = {}
    for name in names:
        case = CASES[name]
        base = "text" if case.is_recorded else case.base
        healthy = (f"{base}.{kind}" for kind in (FAILED, FAILED_EARLY, INCOMPLETE))
        needed |= dict.fromkeys([name, case.like, *(one for one in healthy if one in CASES)])
    return [name for name in needed if CASES[name].is_recorded or CASES[name].base in bases]


def cells(client: Client, straight: str, relayed: str) -> tuple[Cell, ...]:
    """Read what `letters` wrote."""
    return tuple(
        Cell(client, case, Verdict(one), Verdict(other))
        for case, one, other in zip(CASES.values(), straight, relayed, strict=True)
    )


def load() -> dict[str, Any]:
    """Give the file's content, brought to the cases of today: one that is new is not measured."""
    if not FILE.exists():
        return {"cases": list(CASES), "clients": {}, "skipped": {}}
    content: dict[str, Any] = json.loads(FILE.read_text())
    places = {name: place for place, name in enumerate(content["cases"])}
    for row in content["clients"].values():
        for way in ("straight", "relayed"):
            old = row[way]
            row[way] = "".join(old[places[name]] if name in places else Verdict.UNREAD for name in CASES)
    return content | {"cases": list(CASES)}


def save(content: dict[str, Any]) -> None:
    """Write the file, rows in the order of the table, a line for each."""
    ordered = {name: content["clients"][name] for name in CLIENTS if name in content["clients"]}

    def lines(rows: dict[str, Any]) -> str:
        return ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items())

    whole = FILE.with_suffix(".new")
    whole.write_text(
        f'{{\n"cases": {json.dumps(content["cases"])},\n'
        f'"clients": {{\n{lines(ordered)}\n}},\n"skipped": {{\n{lines(content["skipped"])}\n}}\n}}\n'
    )
    whole.replace(FILE)  # readers find the old file or the new one


def rows() -> list[Row]:
    """Give all rows of the file whose client is still in the table."""
    return [
        Row(
            CLIENTS[name],
            one["version"],
            one["measured"],
            one["respfix"],
            one.get("again"),
            cells(CLIENTS[name], one["straight"], one["relayed"]),
        )
        for name, one in load()["clients"].items()
        if name in CLIENTS
    ]
