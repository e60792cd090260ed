"""What is known of one request, and nothing else ever is.

An entry is an allow-list: method, path without its query, status, sizes, times, counts. No header, body, query or key
gets in. The log line, the metrics, the status page and what is written beside a capture are all made of entries, so
what is not here is nowhere.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from respfix.stream import Ending, Report

LONGEST_PATH, LONGEST_METHOD = 200, 20  # a header line may have 64 KiB, and a log line must stay one
CLIENT_ERROR, SERVER_ERROR = 400, 500  # HTTP's borders
QUIET = {"", Ending.COMPLETE}  # ends that need no words
FAILED = {"failed", "error", "cancelled"}  # terminal events that bring no answer, by their last word


class Kind(StrEnum):
    """What a request is, as far as respfix cares."""

    RESPONSES = "responses"  # may be answered by a stream to be repaired
    OTHER = "other"


class Outcome(StrEnum):
    """What became of a request that could bring a stream."""

    UNTOUCHED = "untouched"  # the answer was right and left as it came
    REPAIRED = "repaired"
    DEFECTIVE = "defective"  # wrong, and left so (`repair: observe`)
    FAILED = "failed"  # no whole answer: broken off, silent, an error, or nobody there
    REJECTED = "rejected"  # a status of 4xx: the request was at fault, says the server or respfix
    LEFT = "left"  # the client went before the end


@dataclass(slots=True, eq=False)
class Entry:
    """One request, from its first line to its end."""

    method: str
    path: str
    kind: Kind = Kind.OTHER
    upstream: str = ""  # without credentials; empty where none was chosen
    started: float = field(default_factory=time.monotonic)
    at: float = field(default_factory=time.time)  # the same moment for people
    ended: float | None = None
    status: int | None = None
    dialect: str | None = None
    sent: int = 0  # bytes of the answer's body that went to the client
    first_in: float | None = None  # seconds until the upstream's first byte of a stream
    first_out: float | None = None  # seconds until it, or what it became, was on its way to the client
    report: Report | None = None
    is_repaired: bool = True  # what the report counts was repaired, not only observed
    by: str = "upstream"  # who ended it: upstream, client or respfix
    why: str = ""  # in a word or two, each known beforehand
    is_failure: bool = False

    @classmethod
    def of(cls, method: str, target: str, kind: Kind = Kind.OTHER, upstream: str = "") -> Entry:
        """An entry for a request line; neither the query nor the credentials of an absolute target get in."""
        path = re.split(r"[?#]", target, maxsplit=1)[0] if target.startswith("/") else "-"
        return cls(_clipped(method, LONGEST_METHOD), _clipped(path, LONGEST_PATH), kind, upstream)

    @property
    def seconds(self) -> float:
        """How long it took, or has taken so far."""
        return (time.monotonic() if self.ended is None else self.ended) - self.started

    def fail(self, why: str) -> None:
        """It did not end as it should; respfix ended it, because of this."""
        self.by, self.why, self.is_failure = "respfix", why, True

    def leave(self, *, is_early: bool | None = None) -> None:
        """The client went; after the stream's terminal event that is how a turn ends, before it somebody gave up."""
        if is_early is None:
            is_early = self.status is None if self.report is None else not self.report.terminal
        self.by, self.why = "client", "early" if is_early else ""

    def end(self, ending: Ending, *, is_clean: bool) -> None:
        """The answer's body has ended like this."""
        self.by = "upstream" if ending in (Ending.COMPLETE, Ending.CLOSED, Ending.CUT) else "respfix"
        self.why = "" if ending is Ending.COMPLETE else str(ending)
        self.is_failure = not is_clean

    @property
    def ended_by(self) -> str:
        """Who ended it, and why if that is worth a word."""
        return f"{self.by} ({self.why})" if self.why else self.by

    @property
    def outcome(self) -> Outcome:
        """What became of it; final once it has ended."""
        status, report = self.status or SERVER_ERROR, self.report
        if self.by == "client" and self.why:
            return Outcome.LEFT
        if CLIENT_ERROR <= status < SERVER_ERROR:
            return Outcome.REJECTED
        if self.is_failure or status >= SERVER_ERROR or (report is not None and _has_failed(report)):
            return Outcome.FAILED
        if report is None or not report.defects:
            return Outcome.UNTOUCHED
        return Outcome.REPAIRED if self.is_repaired else Outcome.DEFECTIVE

    def facts(self) -> dict[str, Any]:
        """All of it as JSON has it; what is not known is left out."""
        report = self.report
        facts: dict[str, Any] = {
            "method": self.method,
            "path": _ascii(self.path),
            "status": self.status,
            "dialect": self.dialect,
            "upstream": self.upstream or None,
            "seconds": round(self.seconds, 3),
            "first_byte": None if self.first_in is None else round(self.first_in, 3),
            "bytes": self.sent,
        }
        if report is not None:
            facts |= {
                "events_in": report.events_in,
                "events_out": report.events_out,
                "repairs": dict(report.defects.most_common()),
                "terminal": report.terminal,
                "stopped": report.stopped,
            }
        if self.ended is not None:
            facts |= {"ended_by": self.by, "why": self.why or None}
            facts["outcome"] = str(self.outcome) if self.kind is not Kind.OTHER else None
        return {name: fact for name, fact in facts.items() if fact is not None}

    def __str__(self) -> str:
        """The entry as one line."""
        words = [self.method, _ascii(self.path), str(self.status or "-"), f"{self.seconds:.3f}s", f"{self.sent}B"]
        words += [f"dialect={self.dialect}"] if self.dialect else []
        words += [f"upstream={self.upstream}"] if self.upstream else []
        if self.report is not None:
            words.append(f"events={self.report.events_in}/{self.report.events_out}")
            words.append(f"terminal={self.report.terminal or '-'}")
            repairs = sorted(self.report.defects.items())
            words.append("repairs=" + (",".join(f"{slug}:{count}" for slug, count in repairs) or "-"))
            if self.report.stopped:
                words.append(f"stopped={self.report.stopped}")
        return " ".join([*words, f"ended by {self.ended_by}"])


def _has_failed(report: Report) -> bool:
    """The stream told of a failure, the upstream's or one that the repair found, or it never told how it ended."""
    return report.stopped is None and (report.terminal or "error").rpartition(".")[2] in FAILED


def _clipped(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[:longest] + "…"


def _ascii(text: str) -> str:
    """Without what a terminal or a parser of lines would obey."""
    return "".join(sign if sign.isprintable() else "?" for sign in text).encode("ascii", "backslashreplace").decode()
