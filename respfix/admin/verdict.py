"""Is the upstream broken, and what does respfix do about it? In a title and a sentence.

Judged by the newest streams only, so that a server which was repaired an hour ago is not called broken, and by those
that the upstream is answerable for: a wrong key and a client that left say nothing about it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from respfix.journal import Entry, Outcome
from respfix.stream.defects import by_weight

NEWEST = 20
FAILING = 0.25  # the share of streams without a whole answer from which on this is what matters
JUDGED = {Outcome.UNTOUCHED, Outcome.REPAIRED, Outcome.DEFECTIVE, Outcome.FAILED}


class Level(StrEnum):
    """How it is, from best to worst; the page has a colour for each."""

    QUIET = "quiet"
    HEALTHY = "healthy"
    REPAIRED = "repaired"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Verdict:
    """About one upstream."""

    upstream: str
    level: Level
    title: str
    text: str


def judge(upstream: str, trouble: str, past: Iterable[Entry], repair: str) -> Verdict:
    """By why it cannot be reached (or an empty text), and the streams that ended, oldest first."""
    newest = [entry for entry in past if entry.upstream == upstream and entry.outcome in JUDGED][-NEWEST:]
    if trouble:
        text = f"{_sentence(trouble)} Requests get a 502 until it does; respfix goes on as soon as it is back."
        return Verdict(upstream, Level.BROKEN, "The upstream does not answer", text)
    if not newest:
        return Verdict(upstream, Level.QUIET, "Waiting for a stream", _what_will_be(repair))
    return Verdict(upstream, *_of(newest, repair))


def _of(newest: Sequence[Entry], repair: str) -> tuple[Level, str, str]:
    """What the newest streams say."""
    counts = Counter(entry.outcome for entry in newest)
    failed, wrong = counts[Outcome.FAILED], counts[Outcome.REPAIRED] + counts[Outcome.DEFECTIVE]
    if failed >= FAILING * len(newest):
        text = f"{_share(failed, newest)} brought no whole answer; {_ends(newest)}.{_also(wrong)}"
        return Level.BROKEN, "The upstream is failing", text
    rest = f" {_count(failed)} brought no whole answer." if failed else ""
    if counts[Outcome.DEFECTIVE]:
        text = f"{_share(wrong, newest)} {_were(wrong)} wrong and left so (repair: observe); {_most(newest)}.{rest}"
        return Level.BROKEN, "The upstream is broken, and respfix only watches", text
    if wrong:
        text = f"{_share(wrong, newest)} {_were(wrong)} repaired; {_most(newest)}.{rest}"
        return Level.REPAIRED, "The upstream is broken; respfix repairs it", text
    if repair == "off":
        return Level.QUIET, "respfix only relays", _what_will_be(repair) + rest
    text = f"{_nothing(newest)} left byte for byte as {'it' if len(newest) == 1 else 'they'} came.{rest}"
    return Level.HEALTHY, "The upstream is healthy", text


def _what_will_be(repair: str) -> str:
    return {
        "on": "What comes through respfix is judged and shown here.",
        "observe": "What is wrong will be counted and left as it is (repair: observe).",
        "off": "Streams pass without being looked at (repair: off).",
    }[repair]


def _share(number: int, newest: Sequence[Entry]) -> str:
    if len(newest) == 1:
        return "The only stream so far"
    return (
        f"All of the last {len(newest)} streams"
        if number == len(newest)
        else f"{number} of the last {len(newest)} streams"
    )


def _nothing(newest: Sequence[Entry]) -> str:
    return "The only stream so far" if len(newest) == 1 else f"The last {len(newest)} streams"


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def _count(number: int) -> str:
    return "One" if number == 1 else str(number)


def _most(newest: Sequence[Entry]) -> str:
    """The defect that matters most."""
    wrong = [entry.report for entry in newest if entry.report and entry.outcome is not Outcome.FAILED]
    defects = Counter(slug for report in wrong for slug in report.defects)
    return f"{'first of all' if len(defects) > 1 else 'always'} {by_weight(defects)[0]}"


def _ends(newest: Sequence[Entry]) -> str:
    """How the last one that failed ended."""
    last = next(entry for entry in reversed(newest) if entry.outcome is Outcome.FAILED)
    return f"the last: {how_it_ended(last)}"


def _also(wrong: int) -> str:
    return f" {_count(wrong)} {_were(wrong)} repaired." if wrong else ""


def _sentence(trouble: str) -> str:
    return f"{trouble[:1].upper()}{trouble[1:]}."


ENDS = {
    # (who, why): in words
    ("upstream", ""): "complete",
    ("upstream", "closed"): "complete, then closed",
    ("upstream", "cut"): "the connection to the upstream broke",
    ("client", ""): "complete",
    ("client", "early"): "the client left early",
    ("respfix", "idle"): "the upstream fell silent",
    ("respfix", "over"): "complete; the upstream did not close",
    ("respfix", "shutdown"): "respfix was stopped",
}


def how_it_ended(entry: Entry) -> str:
    """How a request ended, for people."""
    report, by_upstream = entry.report, entry.by == "upstream"
    if report is not None and "truncated-stream" in report.defects and by_upstream:
        return "the upstream broke off"
    if by_upstream and entry.status is not None and entry.status >= 400:  # noqa: PLR2004 (HTTP's border)
        return f"the upstream answered {entry.status}"
    if report is not None and by_upstream and not entry.why and (report.terminal or "").endswith(".incomplete"):
        return "incomplete, as the upstream said"
    if entry.outcome is Outcome.FAILED and by_upstream and not entry.why:
        return "the upstream said that it failed"
    return ENDS.get((entry.by, entry.why), f"respfix answered {entry.status} ({entry.why})")
