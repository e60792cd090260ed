"""Why a cell stays broken: what no proxy can repair, each by a rule that the measurement itself can refute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from clients.cases import FAILED, Case
from clients.verdicts import GOOD, Verdict

Straight = Mapping[str, Verdict]  # what the client makes of each stream as it comes


@dataclass(frozen=True, slots=True)
class Rule:
    """One reason."""

    name: str
    text: str
    holds: Callable[[Case, Verdict, Straight], bool]


def _is_healthy(case: Case, _: Verdict, straight: Straight) -> bool:
    return case.row is not None and not case.row.changed and straight[case.name] not in GOOD


def _ignores_failures(case: Case, relayed: Verdict, straight: Straight) -> bool:
    base = "text" if case.is_recorded else case.base
    return case.fails and relayed is Verdict.SILENT and straight[f"{base}.{FAILED}"] is Verdict.SILENT


RULES = (
    Rule(
        "healthy",
        "OpenAI itself may send this stream, so respfix leaves it byte for byte; the client breaks on it",
        _is_healthy,
    ),
    Rule(
        "ignores-failures",
        "the upstream sent OpenAI's own `response.failed`, which stays as it is; the client ignores that event",
        _ignores_failures,
    ),
)


def reason(case: Case, relayed: Verdict, straight: Straight) -> str | None:
    """Name the rule that explains a broken cell, if one does."""
    return next((rule.name for rule in RULES if rule.holds(case, relayed, straight)), None)
