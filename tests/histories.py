"""Made-up days of a respfix, for the views to show."""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import Any

from respfix.journal import Entry, Journal, Kind
from respfix.stream import Ending, Report

UPSTREAM = "http://127.0.0.1:8080"

# What a text answer of Sub2API 0.1.133 for an Anthropic model gets, in one of three sizes.
SUB2API = {
    "incomplete-item": 2,
    "missing-part-added": 1,
    "missing-part-done": 1,
    "missing-response-in-progress": 1,
    "missing-value-done": 1,
    "empty-output": 1,
    "missing-item-id": 40,
    "missing-sequence-number": 48,
    "neutral-keys": 2,
}


def stream(ago: float, seconds: float, repairs: dict[str, int], upstream: str = UPSTREAM, **facts: Any) -> Entry:
    """One that took so long and ended so many seconds ago; `facts` are the entry's."""
    entry = Entry.of("POST", facts.pop("path", "/v1/responses"), Kind.RESPONSES, upstream)
    entry.at, entry.started = entry.at - ago - seconds, entry.started - ago - seconds
    entry.status, entry.dialect, entry.sent = 200, "codex", 14_220
    entry.first_in = min(seconds, 0.84)
    entry.first_out = entry.first_in + 0.00021
    entry.report = Report(Counter(repairs), 52, 52 + len(repairs), terminal="response.completed")
    for name, fact in facts.items():
        setattr(entry, name, fact)
    return entry


def running(ago: float, *, held: int = 0, events: int = 52) -> Entry:
    """One that began so many seconds ago and is not over."""
    entry = stream(ago, 0.0, {"incomplete-item": 1, "missing-part-added": 1})
    assert entry.report is not None
    entry.report.terminal, entry.report.held, entry.report.events_in = None, held, events
    return entry


def end(journal: Journal, entry: Entry, seconds: float) -> None:
    """Let it be over, after so long."""
    journal.begin(entry)
    journal.live.pop(entry)
    entry.ended = entry.started + seconds
    journal.tally.add(entry)
    if entry.kind is Kind.RESPONSES:
        journal.past.append(entry)


def empty() -> Journal:
    """Just started."""
    return Journal()


def healthy() -> Journal:
    """An upstream without a fault."""
    return _day(0.0, 0.0)


def broken() -> Journal:
    """An upstream like Sub2API 0.1.133: everything is wrong, everything is repaired."""
    journal = _day(1.0, 0.0)
    for ago in (1.4, 7.9, 31.0):
        journal.begin(running(ago))
    return journal


def failing() -> Journal:
    """An upstream that breaks off."""
    return _day(0.5, 0.4)


def crowded() -> Journal:
    """Long paths, long lists, huge numbers, two upstreams, and somebody who tries to get markup onto the page."""
    journal = _day(0.8, 0.1, upstreams=(UPSTREAM, "http://opencode.internal.example.com:4010/a/longer/path/than/usual"))
    for number in range(150, 0, -1):
        journal.begin(running(number * 7.0, held=number % 3, events=10 ** (number % 7)))
    path = "/<img src=x onerror=alert(1)>/" + "very-long-segment-" * 9
    report = Report(Counter({**SUB2API, "missing-usage": 10_000}), 1_234_567, 2_345_678, terminal="response.completed")
    end(journal, stream(0, 3_725.0, {}, path=path, report=report), 3_725.0)
    return journal


def _day(wrong: float, failed: float, upstreams: tuple[str, ...] = (UPSTREAM,)) -> Journal:
    """An hour of streams: this share of them has faults, this share of them brings no answer."""
    journal = Journal()
    journal.since = time.time() - 93_000
    chance = random.Random(5)  # noqa: S311 (no secret)
    streams = []
    for minute in range(59, -1, -1):
        for _ in range(chance.choice((0, 1, 2, 2, 3, 5, 8))):
            seconds = chance.choice((0.9, 2.4, 4.2, 11.7, 48.0, 130.0))
            repairs = _times(SUB2API, chance.choice((1, 1, 4))) if chance.random() < wrong else {}
            entry = stream(60.0 * minute + chance.random() * 50, seconds, repairs, chance.choice(upstreams))
            entry.dialect = chance.choice(("codex", "codex", "default"))
            _befall(entry, chance.random(), failed)
            streams.append((entry, seconds))
    for entry, seconds in sorted(streams, key=lambda each: each[0].at + each[1]):
        end(journal, entry, seconds)
    for status in (200, 200, 404):
        other = Entry.of("GET", "/v1/models", Kind.OTHER, upstreams[0])
        other.status = status
        end(journal, other, 0.01)
    return journal


def _times(repairs: dict[str, int], factor: int) -> dict[str, int]:
    return {slug: count * factor for slug, count in repairs.items()}


def _befall(entry: Entry, luck: float, failed: float) -> None:
    """What else may become of a stream."""
    assert entry.report is not None
    if luck < failed:
        entry.report.terminal = "response.failed"
        if luck < failed / 2:
            entry.end(Ending.IDLE, is_clean=False)
        else:
            entry.report.defects["truncated-stream"] += 1
    elif luck > 0.97:
        entry.report.terminal = None
        entry.leave()
    elif luck > 0.95:
        entry.status, entry.report = 429, None
