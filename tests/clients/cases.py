"""What is read in the matrix: conformant streams, each fault in them, and what real servers sent."""

from __future__ import annotations

from dataclasses import dataclass

from clients.replay import AFTER_TOOL
from clients.variants import CONFORMANT, VARIANTS, Row, encoded, message, stream

CALLING = ("call", "calls", "custom", "all")
AFTER = encoded(stream(message(0, ("All ", "done."))))  # what the model says when a tool has answered


@dataclass(frozen=True, slots=True)
class Case:
    """One stream, and what it must read like."""

    name: str
    like: str  # the name of the conformant stream that says the same
    base: str  # the conformant stream that it was made from, or the server that sent it
    row: Row | None = None  # the fault in it
    fails: bool = False  # it tells of a failure, or breaks off
    is_cut: bool = False  # the connection breaks at its end
    is_recorded: bool = False


def _cases() -> dict[str, Case]:
    conformant = [Case(base, base, base) for base in CONFORMANT]
    faults = [
        Case(name, one.base, one.base, one.row, one.row.status == "failed", one.row.cut)
        for name, one in VARIANTS.items()
    ]
    return {case.name: case for case in (*conformant, *faults)}


CASES = _cases()
STREAMS = CONFORMANT | {name: one.body for name, one in VARIANTS.items()}
STREAMS |= {case.name + AFTER_TOOL: AFTER for case in CASES.values() if case.base in CALLING}
