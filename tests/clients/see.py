"""See it for oneself: ``python -m clients.see CLIENT STREAM…`` and ``python -m clients.see --fault FAULT…``.

The first lets one client read streams, straight and through respfix, and says what its user gets. The second says which
clients a fault breaks, as far as `results.json` knows.
"""

from __future__ import annotations

import argparse
import sys

from clients.cases import CASES
from clients.measure import Measured, Seen, measure
from clients.results import needing, rows
from clients.table import CLIENTS
from clients.verdicts import GOOD, WORDS, judge

CUT = 100  # characters of an error or a text


def shown(seen: Seen) -> str:
    """Say in a line what the user gets."""
    reading = seen.reading
    parts = [f"{seen.requests} requests"] if seen.requests != 1 else []
    parts += [f"call {name}({arguments})" for name, _, arguments in reading.calls]
    parts += [f"text {reading.text!r}"] if reading.text else []
    if reading.streamed_text != reading.text:
        parts.append(f"streamed {reading.streamed_text!r}")
    parts += [f"error {reading.error.splitlines()[0][:CUT]}"] if reading.error else []
    return "; ".join(parts) or "nothing"


def lines(measured: Measured, client: str, names: list[str]) -> list[str]:
    """Say what came of each stream, on both ways."""
    said = []
    for name in names:
        said.append(f"{client} {measured.version}, {name}")
        for way, seen in (("straight", measured.straight[name]), ("respfix", measured.relayed[name])):
            verdict = judge(CASES[name], seen, measured.straight)
            told = CASES[name].fails and verdict in GOOD
            said.append(f"  {way:8}  {'failure told' if told else WORDS[verdict]}: {shown(seen)}")
    return said


def broken_by(fault: str) -> list[str]:
    """Say which clients a fault breaks, without respfix and through it."""
    read, straight, relayed = set(), set(), set()
    for row in rows():
        for cell in row.cells:
            if cell.case.row is not None and cell.case.row.name == fault and cell.is_read:
                read.add(row.client.name)
                straight |= {row.client.name} if cell.straight not in GOOD else set()
                relayed |= {row.client.name} if cell.relayed not in GOOD else set()
    names = ", ".join(sorted(straight)) or "none"
    return [f"{fault}: {len(straight)} of {len(read)} clients straight, {len(relayed)} through respfix", f"  {names}"]


def main(words: list[str] | None = None) -> None:
    """Say what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m clients.see", description=__doc__)
    parser.add_argument("--fault", nargs="+", metavar="FAULT", help="say which clients these faults break")
    parser.add_argument("client", nargs="?", choices=CLIENTS, metavar="CLIENT")
    parser.add_argument("streams", nargs="*", choices=[[], *CASES], metavar="STREAM")
    given = parser.parse_args(words)
    if given.fault:
        said = [line for fault in given.fault for line in broken_by(fault)]
    else:
        client = CLIENTS[given.client]
        said = lines(measure(client, needing(client, given.streams)), given.client, given.streams)
    sys.stdout.write("\n".join(said) + "\n")


if __name__ == "__main__":
    main()
