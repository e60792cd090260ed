"""Everything that the status page shows, as JSON; programs may read it too."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from respfix.admin.about import About
from respfix.admin.pulse import Pulse
from respfix.admin.verdict import how_it_ended, judge
from respfix.journal import Entry, Journal, Kind
from respfix.journal.tally import MINUTE, MINUTES, Tally
from respfix.stream.defects import DEFECTS, by_weight

LONGEST_LIST = 100  # of live streams; two thousand would be nobody's reading


def status(journal: Journal, about: About, troubles: Mapping[str, str], pulse: Pulse) -> dict[str, Any]:
    """What is going on, what happened, and what to think of it."""
    now = time.time()
    live = [entry for entry in journal.live if entry.kind is not Kind.OTHER]
    past = list(journal.past)
    upstreams = about.upstreams or tuple(troubles)
    return {
        "version": about.version,
        "now": round(now, 3),
        "since": round(journal.since, 3),
        "is_draining": about.is_draining,
        "repair": about.repair,
        "listen": about.listen,
        "verdicts": [
            {
                "upstream": verdict.upstream,
                "level": verdict.level,
                "title": verdict.title,
                "text": verdict.text,
                "is_reachable": None if verdict.upstream not in troubles else not troubles[verdict.upstream],
            }
            for verdict in (judge(each, troubles.get(each, ""), past, about.repair) for each in upstreams)
        ],
        "live_streams": len(live),
        "totals": _totals(journal.tally),
        "times": _times(past, pulse),
        "minutes": _minutes(journal.tally, now),
        "defects": _defects(journal.tally),
        "live": [_row(entry) for entry in live[:LONGEST_LIST]],
        "past": [_row(entry) for entry in reversed(past)],
    }


def _row(entry: Entry) -> dict[str, Any]:
    row = entry.facts() | {"at": round(entry.at, 3)}
    if entry.report is not None:
        row["held"] = entry.report.held
        row["repairs"] = {slug: entry.report.defects[slug] for slug in by_weight(entry.report.defects)}
    if entry.ended is not None:
        row["how"] = how_it_ended(entry)
    return row


def _totals(tally: Tally) -> dict[str, int]:
    outcomes: Counter[str] = Counter()
    for (_, _, outcome), count in tally.streams.items():
        outcomes[outcome] += count
    return {
        "requests": tally.requests.total(),
        "streams": outcomes.total(),
        **outcomes,
        "repairs": tally.repairs.total(),
        "sent_bytes": tally.sent.total(),
    }


def _times(past: Iterable[Entry], pulse: Pulse) -> dict[str, float | None]:
    """Medians of the last hundred, and how late the loop is; seconds."""
    began = [(entry.first_in, entry.first_out) for entry in past if entry.report is not None]
    first = [came for came, _ in began if came is not None]
    added = [left - came for came, left in began if came is not None and left is not None]
    return {
        "first_byte": round(statistics.median(first), 3) if first else None,
        "added": round(statistics.median(added), 6) if added else None,
        "late": round(pulse.last, 6),
    }


def _minutes(tally: Tally, now: float) -> list[dict[str, int]]:
    """The last hour, oldest first, a minute each; in most of them nothing happened."""
    this = int(now) // MINUTE * MINUTE
    kept = {minute.start: minute for minute in tally.minutes}
    starts = range(this - (MINUTES - 1) * MINUTE, this + MINUTE, MINUTE)
    return [
        {"start": start, **(kept[start].outcomes | {"repairs": kept[start].repairs} if start in kept else {})}
        for start in starts
    ]


def _defects(tally: Tally) -> list[dict[str, Any]]:
    """What was found since the start, what matters most first."""
    streams: Counter[str] = Counter()
    repairs: Counter[str] = Counter()
    for (_, slug), count in tally.repaired.items():
        streams[slug] += count
    for (_, slug), count in tally.repairs.items():
        repairs[slug] += count
    return [
        {
            "slug": slug,
            "streams": count,
            "repairs": repairs[slug],
            "wrong": DEFECTS[slug].wrong,
            "remedy": DEFECTS[slug].remedy,
            "breaks": sorted(DEFECTS[slug].breaks),
        }
        for slug, count in ((slug, streams[slug]) for slug in by_weight(streams))
    ]
