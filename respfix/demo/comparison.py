"""Two readings of one answer, event by event: what was put in, what was changed, what was left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby
from typing import Any

from respfix.demo.streams import Event

# The keys that carry an answer, or that say to which answer something belongs; the others are bookkeeping.
TELLING = ("text", "arguments", "content", "output", "role", "name", "call_id", "item_id")
TIMES = "\u00d7"


@dataclass(frozen=True, slots=True)
class Run:
    """Events of one kind in a row."""

    kind: str
    events: tuple[Event, ...]

    def label(self) -> str:
        """Its name, and how often where that is more than once."""
        return f"{self.kind} {TIMES} {len(self.events)}" if len(self.events) > 1 else self.kind


@dataclass(frozen=True, slots=True)
class Row:
    """A run before and after the repair; one of the two may be missing."""

    before: Run | None
    after: Run | None

    @property
    def mark(self) -> str:
        """How the two differ: `+` put in, `-` left out, `~` changed, or not at all."""
        if self.before is None or self.after is None:
            return "+" if self.after else "-"
        return " " if self.before.events == self.after.events else "~"

    @property
    def filled(self) -> list[str]:
        """The telling keys that say something else now."""
        if self.before is None or self.after is None:
            return []
        return _changed(self.before.events[-1].body, self.after.events[-1].body)


def runs(events: Sequence[Event]) -> list[Run]:
    """Events with those of one kind gathered, as long as no other comes between."""
    return [Run(kind, tuple(group)) for kind, group in groupby(events, key=lambda event: event.kind)]


def rows(before: Sequence[Event], after: Sequence[Event]) -> list[Row]:
    """Both sides, with what belongs together in one row."""
    left, right = runs(before), runs(after)
    matcher = SequenceMatcher(a=[run.kind for run in left], b=[run.kind for run in right], autojunk=False)
    found: list[Row] = []
    for tag, left_from, left_to, right_from, right_to in matcher.get_opcodes():
        if tag == "equal":
            found += map(Row, left[left_from:left_to], right[right_from:right_to])
        else:
            found += [Row(run, None) for run in left[left_from:left_to]]
            found += [Row(None, run) for run in right[right_from:right_to]]
    return found


def _changed(before: Mapping[str, Any], after: Mapping[str, Any], inside: str = "") -> list[str]:
    keys = ("output",) if inside == "response" else TELLING
    found = [key for key in keys if key in after and before.get(key) != after[key]]
    found = [f"{inside}.{key}" if inside else key for key in found]
    for outer in ("item", "part", "response"):
        if not inside and isinstance(after.get(outer), dict):
            found += _changed(before.get(outer) or {}, after[outer], outer)
    return found
