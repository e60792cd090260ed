"""The log: a line for people or for machines, written by a thread of its own, without other people's secrets.

Foreign log records are not as careful as an `Entry` (aiohttp logs the header bytes that it could not parse, asyncio
prints the objects that an exception names), so theirs keep their template and the place, and lose the values.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import re
import sys
import threading
import traceback
from datetime import UTC, datetime
from typing import TextIO

from respfix.journal.entry import Entry, Outcome

log = logging.getLogger("respfix")

FOREIGN = ("aiohttp.access", "aiohttp.client", "aiohttp.internal", "aiohttp.server", "aiohttp.web", "asyncio")

# A second's worth of requests at full load; what a reader that hangs makes us remember is bounded by it.
WAITING_LINES = 4096
LAST_WORDS = 2.0  # seconds that a reader has, when the program ends, to take what is waiting


def tell(entry: Entry) -> None:
    """Write down a request that has ended."""
    log.log(logging.WARNING if entry.outcome is Outcome.FAILED else logging.INFO, "%s", entry)


class ForPeople(logging.Formatter):
    """`2026-11-20 14:00:00,123 INFO POST /v1/responses 200 …`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")


class ForMachines(logging.Formatter):
    """A JSON object to the line; a request's has its facts, everything else a message."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = {"time": time, "level": record.levelname.lower()}
        entry = record.args[0] if isinstance(record.args, tuple) and record.args else None
        line |= entry.facts() if isinstance(entry, Entry) else {"message": record.getMessage()}
        return json.dumps(line, separators=(",", ":"))


FORMATS: dict[str, type[logging.Formatter]] = {"human": ForPeople, "json": ForMachines}


class Scribe(logging.Handler):
    """Writes without making anybody wait: a terminal stopped with Ctrl-S must not stop the streams.

    Beyond a bound, lines are lost, and their number is said when the reader goes on.
    """

    def __init__(self, out: TextIO) -> None:
        super().__init__()
        self._out = out
        self._lines: queue.Queue[str | None] = queue.Queue(WAITING_LINES)
        self._lost = 0
        self._thread = threading.Thread(target=self._write, name="respfix-log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record."""
        try:
            self._lines.put_nowait(self.format(record))
        except queue.Full:
            self._lost += 1

    def close(self) -> None:
        """Write what is waiting, if it is taken soon; called by `logging` when the program ends."""
        with contextlib.suppress(queue.Full):
            self._lines.put(None, timeout=LAST_WORDS)
            self._thread.join(LAST_WORDS)
        super().close()

    def _write(self) -> None:
        line: str | None = ""
        while line is not None:
            line = self._lines.get()
            # Nobody is left to complain to when the log cannot be written, and a full disk must not end the service.
            with contextlib.suppress(OSError, ValueError):
                if line is not None:
                    self._out.write(line + "\n")
                if line is None or self._lines.empty():
                    self._confess()
                    self._out.flush()

    def _confess(self) -> None:
        if lost := self._lost:
            self._lost -= lost
            record = log.makeRecord(log.name, logging.WARNING, "", 0, "%d log lines are lost", (lost,), None)
            self._out.write(self.format(record) + "\n")


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


def write_to_stderr(form: str = "human") -> None:
    """Let everything that is logged be seen, a line each; doing it again only changes the form."""
    root = logging.getLogger()
    if not any(isinstance(handler, Scribe) for handler in root.handlers):
        root.addHandler(Scribe(sys.stderr))
    log.setLevel(logging.INFO)
    write_as(form)


def write_as(form: str) -> None:
    """Go on in this form, `human` or `json`, if the log is written at all."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, Scribe):
            handler.setFormatter(FORMATS[form]())


def hush_foreign_loggers() -> None:
    """Make the libraries' loggers discreet; doing it twice changes nothing."""
    for name in FOREIGN:
        logging.getLogger(name).addFilter(DISCREET)
