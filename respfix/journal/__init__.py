"""What happens, written down: who is on the way, who came last, and the numbers of all.

One source and several views of it: the log line, the metrics, the status page. The relay says when a request begins
and when it ends; what happens in between it writes into the request's `Entry`.
"""

from __future__ import annotations

import time
from collections import deque

from respfix.journal.entry import Entry, Kind, Outcome
from respfix.journal.lines import hush_foreign_loggers, log, place, tell, write_as, write_to_stderr
from respfix.journal.tally import Tally

__all__ = ["Entry", "Journal", "Kind", "Outcome", "hush_foreign_loggers", "log", "place", "write_as", "write_to_stderr"]

KEPT = 100


class Journal:
    """Everything that the views show; lives as long as the process, whatever is reloaded."""

    def __init__(self) -> None:
        self.since = time.time()
        self.live: dict[Entry, None] = {}  # in the order of their beginning
        self.past: deque[Entry] = deque(maxlen=KEPT)  # of those that could bring a stream
        self.tally = Tally()

    def begin(self, entry: Entry) -> None:
        """A request is on its way."""
        self.live[entry] = None

    def end(self, entry: Entry) -> None:
        """It has ended, in whatever way; to be called once."""
        entry.ended = time.monotonic()
        self.live.pop(entry, None)
        self.tally.add(entry)
        if entry.kind is not Kind.OTHER:
            self.past.append(entry)
        tell(entry)
