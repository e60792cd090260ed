"""Why a cell stays broken: what no proxy can repair, each by a rule that the measurement itself can refute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from clients.cases import FAILED, FAILED_LATE, STREAMS, Case
from clients.verdicts import GOOD, Verdict
from clients.wire import events

HEALTHY = "healthy"
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


def overlaps(body: bytes) -> bool:
    """Say whether an item of a stream begins while another is open, or speaks on after another has spoken."""
    opened: Any = None
    spoken: list[Any] = []
    for event in events(body):
        kind = str(event.get("type"))
        if kind == "response.output_item.added":
            if opened is not None:
                return True
            opened = event["item"]
        elif kind == "response.output_item.done":
            opened = None
        elif kind.endswith(".delta"):
            speaker = kind, event.get("item_id") or event.get("output_index")
            if speaker in spoken[:-1]:
                return True
            if speaker not in spoken:
                spoken.append(speaker)
    return False


def _says_no_usage(case: Case, relayed: Verdict, _: Straight) -> bool:
    return relayed is Verdict.USAGE and b'_tokens":null' in STREAMS[case.name]


def _mixes_up_overlaps(case: Case, _: Verdict, straight: Straight) -> bool:
    legal = ("calls.calls-interleaved", "calls.call-opens-inside-the-message")
    with suppress(ValueError):  # broken framing, which is another matter
        return any(straight[name] not in GOOD for name in legal) and overlaps(STREAMS[case.name])
    return False


def _carries_on(case: Case, relayed: Verdict, straight: Straight) -> bool:
    ends = b"response.output_item.done"
    is_whole = not case.is_recorded and STREAMS[case.name].count(ends) >= STREAMS[case.like].count(ends)
    return is_whole and relayed is Verdict.SILENT and straight[f"{case.base}.{FAILED_LATE}"] is Verdict.SILENT


RULES = (
    Rule("says-no-usage", "the upstream does not say how many tokens there were", _says_no_usage),
    Rule(
        HEALTHY,
        "OpenAI itself may send this stream, so respfix leaves it byte for byte; the client breaks on it",
        _is_healthy,
    ),
    Rule(
        "ignores-failures",
        "the upstream sent OpenAI's own `response.failed`, which stays as it is; the client ignores that event",
        _ignores_failures,
    ),
    Rule(
        "carries-on",
        "every item was whole before the failure, so the client asks for the next step by itself; after OpenAI's own "
        "`response.failed` at that place it does the same",
        _carries_on,
    ),
    Rule(
        "mixes-up-overlaps",
        "an item begins before the last is done, as OpenAI's may, and nobody knows when that will be; the client mixes "
        "up such items of OpenAI's, too",
        _mixes_up_overlaps,
    ),
)


def reason(case: Case, relayed: Verdict, straight: Straight) -> str | None:
    """Name the rule that explains a broken cell, if one does."""
    return next((rule.name for rule in RULES if rule.holds(case, relayed, straight)), None)
