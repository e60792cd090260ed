"""Real clients on every stream: what `clients/results.json` claims, and a part of it measured anew.

`make test-clients` measures all of it; the continuous check those clients that between them break on every fault.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import pytest
from clients import matrix, page, results
from clients.install import UnavailableError
from clients.measure import measure, wanted
from clients.results import Cell, Row
from clients.table import CLIENTS
from clients.variants import ROWS, Row as Fault
from clients.verdicts import GOOD, Verdict

MEASURED = {row.client.name: row for row in results.rows()}
EACH_CLIENT = pytest.mark.parametrize("row", MEASURED.values(), ids=list(MEASURED))


def is_broken_straight(cell: Cell) -> bool:
    """Say whether a cell needs respfix."""
    return cell.is_read and cell.straight not in GOOD


def everyones() -> set[Fault]:
    """Give every fault that breaks one of the clients."""
    cells = [cell for row in MEASURED.values() for cell in row.cells]
    return {cell.case.row for cell in cells if cell.case.row and is_broken_straight(cell)}


@cache
def daily() -> dict[str, list[str]]:
    """Give the clients that are measured every day and their streams.

    Those that are marked read all; those that alone break on a fault, this fault. `test_codex.py` reads all with Codex.
    """
    wholly = {name: wanted(client) for name, client in CLIENTS.items() if client.daily}
    broken = {
        name: {cell.case.row: cell.case.name for cell in row.cells if cell.case.row and is_broken_straight(cell)}
        for name, row in MEASURED.items()
    }
    left = everyones().difference(*(broken[name] for name in broken if name in wholly or name.startswith("codex")))
    partly: dict[str, list[str]] = {}
    while left:
        name = max(broken, key=lambda one: len(broken[one].keys() & left))
        partly[name] = [stream for fault, stream in broken[name].items() if fault in left]
        left -= broken[name].keys()
    return wholly | partly


# What the file claims


def test_every_client_was_measured_or_skipped_with_a_reason() -> None:
    """A client that could not be had is named, and counts as nothing."""
    skipped = results.load()["skipped"]

    assert set(CLIENTS) == MEASURED.keys() | skipped.keys()
    assert [] == [name for name, why in skipped.items() if not why or why.startswith(matrix.BROKE_DOWN)]


@EACH_CLIENT
def test_a_client_reads_what_openai_sends(row: Row) -> None:
    """Whoever could read nothing would never be broken."""
    verdicts = {cell.case.name: cell.straight for cell in row.cells}

    assert Verdict.SAME == verdicts["text"]
    assert sum(cell.is_read for cell in row.cells) > 100


@EACH_CLIENT
def test_no_client_is_worse_off_through_respfix(row: Row) -> None:
    """In no cell."""
    assert [] == [cell.case.name for cell in row.cells if cell.is_worse]


@EACH_CLIENT
def test_what_is_still_broken_is_explained(row: Row) -> None:
    """By a rule that the measurement could refute."""
    assert [] == [cell.case.name for cell in row.cells if cell.is_broken and row.reason(cell) is None]


def test_each_fault_that_breaks_a_client_is_read_every_day_by_one_that_breaks() -> None:
    """So that a repair that is lost shows at once."""
    read = {name: set(streams) for name, streams in daily().items()}
    shown = {
        cell.case.row
        for row in MEASURED.values()
        for cell in row.cells
        if cell.case.row and is_broken_straight(cell)
        if row.client.name.startswith("codex") or cell.case.name in read.get(row.client.name, ())
    }

    assert [] == [row.name for row in ROWS if row in everyones() and row not in shown]


def test_the_page_is_current(root: Path) -> None:
    """`cd tests && python -m clients.page > ../docs/compatibility.md` brings it up to date."""
    assert page.page() == (root / "docs" / "compatibility.md").read_text()


# Measured anew


@cache
def anew() -> dict[str, Row | str]:
    """Measure the daily clients, some at a time; a client that cannot be had gives its reason."""

    def one(name: str) -> Row | str:
        client = CLIENTS[name]
        try:
            seen = measure(client, results.needing(client, daily()[name]))
        except UnavailableError as reason:
            return str(reason)
        return Row(client, seen.version, "", "", None, results.cells(client, *results.letters(seen)))

    with ThreadPoolExecutor(matrix.AT_ONCE) as pool:
        return dict(zip(daily(), pool.map(one, daily()), strict=True))


@pytest.mark.clients
@pytest.mark.timeout(1500)  # the first test installs and measures them all
@pytest.mark.parametrize("name", daily())
def test_a_client_is_as_well_off_as_it_was(name: str) -> None:
    """Nothing is worse through respfix, nothing is broken that is not explained, and whoever broke still breaks."""
    row = anew()[name]
    if isinstance(row, str):
        pytest.skip(row)

    assert [] == wrong(row)
    assert any(cell.is_repaired for cell in row.cells)


def wrong(row: Row) -> list[str]:
    """Tell of every cell that is not as it should be."""
    return [told(cell) for cell in row.cells if cell.is_worse or (cell.is_broken and row.reason(cell) is None)]


def told(cell: Cell) -> str:
    """Tell of one cell."""
    return f"{cell.case.name}: {cell.straight.name} direct, {cell.relayed.name} through respfix"


def test_the_program_that_measures_all_names_its_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` says what it is for."""
    with pytest.raises(SystemExit):
        matrix.main(["--help"])

    assert "results.json" in capsys.readouterr().out
