"""The matrix: ``python -m clients.matrix [CLIENT…]`` measures every client, or these, and writes `results.json`.

Exit code 1 if a client is worse off through respfix, or is left with a broken cell that no rule explains. A client that
cannot be had is skipped, with its reason.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from clients import results
from clients.install import UnavailableError
from clients.measure import measure
from clients.reasons import HEALTHY
from clients.results import Figures, Row
from clients.table import CLIENTS, Client

BROKE_DOWN = "broke down"  # a client that could be had, and no reason to skip it
AT_ONCE = 2  # clients; each keeps a core busy, with its upstream and its relay


def commit() -> str:
    """Give the commit that is measured; a plus stands for changes that are not committed."""
    run = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
    changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", "../respfix"], check=False).returncode
    return run.stdout.strip() + ("+" if changed else "")


def measured(client: Client, respfix: str) -> dict[str, Any]:
    """Measure a client; gives its line in the file. `UnavailableError` says why it cannot be had."""
    start = time.monotonic()
    seen = measure(client)
    straight, relayed = results.letters(seen)
    return {
        "version": seen.version, "measured": time.strftime("%Y-%m-%d", time.gmtime()), "respfix": respfix,
        "seconds": round(time.monotonic() - start), "straight": straight, "relayed": relayed,
    }  # fmt: skip


def measured_again(row: Row, line: dict[str, Any], respfix: str) -> dict[str, Any]:
    """Measure what was broken through respfix, and only that; what leaves untouched is broken in any case."""
    broken = [cell.case.name for cell in row.cells if cell.is_broken and row.reason(cell) != HEALTHY]
    if not broken:
        return line
    seen = measure(row.client, results.needing(row.client, broken))
    return results.corrected(line, seen) | {"again": respfix}


def line_of(client: Client, content: dict[str, Any], respfix: str, *, again: bool) -> dict[str, Any] | str:
    """Give a client's line in the file, or the reason why there is none."""
    try:
        if again and client.name in content["clients"]:
            [row] = (row for row in results.rows() if row.client is client)
            return measured_again(row, content["clients"][client.name], respfix)
        return measured(client, respfix)
    except UnavailableError as missing:
        return str(missing)
    except (RuntimeError, subprocess.TimeoutExpired) as failure:
        return f"{BROKE_DOWN}: {failure}"


def told(row: Row) -> tuple[list[str], bool]:
    """Say what came out for one client, and whether it is as it should be."""
    figures = Figures.of(list(row.cells))
    counted = (
        f"{figures.cells} cells, {figures.broken} broken direct, {figures.repaired} repaired, "
        f"{figures.left} still broken, {figures.worse} worse"
    )
    lines = [f"{row.client.name} {row.version}: {counted}"]
    good = True
    for cell in row.cells:
        if cell.is_broken:
            why = row.reason(cell)
            good = good and why is not None and not cell.is_worse
            mark = "WORSE" if cell.is_worse else why or "UNEXPLAINED"
            lines.append(
                f"  {cell.case.name}: {cell.straight.name} direct, {cell.relayed.name} through respfix: {mark}"
            )
    return lines, good


def main(words: list[str] | None = None) -> int:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m clients.matrix", description=__doc__)
    parser.add_argument("clients", nargs="*", choices=[[], *CLIENTS], metavar="CLIENT")
    parser.add_argument("--show", action="store_true", help="measure nothing, only show what the file says")
    parser.add_argument("--again", action="store_true", help="measure only what was broken through respfix")
    given = parser.parse_args(words)
    chosen = [CLIENTS[name] for name in given.clients] or list(CLIENTS.values())
    content = results.load()
    if not given.show:
        respfix = commit()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            tasks = {pool.submit(line_of, one, content, respfix, again=given.again): one.name for one in chosen}
            for task in as_completed(tasks):
                name, line = tasks[task], task.result()
                content["clients"].pop(name, None)
                content["skipped"].pop(name, None)
                content["skipped" if isinstance(line, str) else "clients"][name] = line
                results.save(content)
    good = True
    for row in results.rows():
        if row.client in chosen:
            lines, is_good = told(row)
            good = good and is_good
            print(*lines, sep="\n", flush=True)  # noqa: T201
    for name, why in content["skipped"].items():
        good = good and not why.startswith(BROKE_DOWN)
        print(f"{name}: skipped, {why}")  # noqa: T201
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
