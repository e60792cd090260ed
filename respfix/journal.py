"""What is written down about a request when it is over, and what never is.

An entry is an allow-list: method, path without its query, status, sizes, times, counts. No header, body, query or key
ever gets in. Other people's log records are not that careful (aiohttp logs the header bytes that it could not parse,
asyncio prints the objects that an exception names), so theirs keep their template and the place, and lose the values.
"""

from __future__ import annotations

import logging
import re
import time
import traceback
from dataclasses import dataclass, field

from respfix.stream import Report

log = logging.getLogger("respfix")

FOREIGN = ("aiohttp.access", "aiohttp.client", "aiohttp.internal", "aiohttp.server", "aiohttp.web", "asyncio")


@dataclass(slots=True)
class Entry:
    """One request, from its first line to its end."""

    method: str
    path: str
    started: float = field(default_factory=time.monotonic)
    status: int | None = None
    dialect: str | None = None
    sent: int = 0  # bytes of the answer's body that went to the client
    report: Report | None = None
    ended_by: str = "upstream"
    is_failure: bool = False

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.monotonic() - self.started

    def fail(self, by: str) -> None:
        """It did not end as it should, because of this."""
        self.ended_by = by
        self.is_failure = True

    def leave(self) -> None:
        """The client went; after the stream's terminal event that is how a turn ends, before it somebody gave up."""
        self.ended_by = "client" if self.report is None or self.report.terminal else "client (early)"

    def line(self) -> str:
        """The entry as one line."""
        path = self.path.encode("ascii", "backslashreplace").decode()
        words = [self.method, path, str(self.status or "-"), f"{self.seconds:.3f}s", f"{self.sent}B"]
        if self.dialect:
            words.append(f"dialect={self.dialect}")
        if self.report:
            words.append(f"events={self.report.events_in}/{self.report.events_out}")
            words.append(f"terminal={self.report.terminal or '-'}")
            defects = sorted(self.report.defects.items())
            words.append("defects=" + (",".join(f"{slug}:{count}" for slug, count in defects) or "-"))
            if self.report.stopped:
                words.append(f"stopped={self.report.stopped}")
        return " ".join([*words, f"ended by {self.ended_by}"])

    def write(self) -> None:
        """Write it down; to be called once."""
        log.log(logging.WARNING if self.is_failure else logging.INFO, "%s", self.line())


class Discreet(logging.Filter):
    """Takes the values out of a foreign record and leaves what a maintainer needs: what failed, and where."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record; it always passes."""
        template = str(record.msg).partition("\n")[0]
        if record.args:
            template = re.sub(r"%[-#0+ .\d]*[a-zA-Z]", "…", template)
        template = re.sub(r"<.*>", "<…>", template)  # a repr
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        record.msg = f"{template} [{place(error)}]" if error else template
        record.args = ()
        record.exc_info = record.exc_text = record.stack_info = None
        return True


def place(error: BaseException) -> str:
    """Which kind of error, and where it was raised; its message may quote what was received."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return type(error).__name__ + where


DISCREET = Discreet()


def write_to_stderr() -> None:
    """Let everything that is logged be seen, a line each; doing it twice changes nothing."""
    if not log.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        log.addHandler(handler)
    log.setLevel(logging.INFO)


def hush_foreign_loggers() -> None:
    """Make the libraries' loggers discreet; doing it twice changes nothing."""
    for name in FOREIGN:
        logging.getLogger(name).addFilter(DISCREET)
