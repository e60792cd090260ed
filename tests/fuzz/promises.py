"""What every body is promised, whatever is in it: the judge of the fuzzer, and of what it once found.

A body may say in its first line how it is cut, for whom it is repaired and how it ends: `: 17 codex cut`. It is a
comment, so a body is still a stream that `respfix repair` reads.
"""

from __future__ import annotations

import json
import re

import reader
from corpus import Mended, mend, mend_pieces

from respfix.stream import Ending, Observer, Options

SAYS_HOW = re.compile(rb"\A: (\d{1,6}) (default|codex) (complete|closed|cut|idle|shutdown|over)\n")

# Where two items claim the same words the repair decides; in what leaves, it may decide once more (1 of 1,200 bodies).
# A call that nobody can name leaves as it came, so under an index that another item may have.
UNSURE = {"changed-item-id", "wrong-output-index", "unannounceable-call"}


class BrokenPromiseError(AssertionError):
    """A body was not given what it was promised."""


def expect(truth: object, promise: str) -> None:
    """Raise where a promise is not kept."""
    if not truth:
        raise BrokenPromiseError(promise)


def keep(body: bytes) -> Mended:
    """Repair a body in every way, and raise where a promise is not kept."""
    how = SAYS_HOW.match(body)
    place, dialect, ending = (how[1], how[2].decode(), how[3].decode()) if how else (b"", "default", "complete")
    cut = int(place or len(body) // 2) % (len(body) + 1)
    options = Options(seed="fuzz", now=1763600000, dialect=dialect)
    once = mend(body, options, Ending(ending))
    pieces = mend_pieces([body[:cut], body[cut:]], options, Ending(ending))
    observer = Observer(options)
    expect(once.report.stopped != "internal-fault", "no fault of ours stops the repair")
    expect(once.body == pieces.body and once.report == pieces.report, "no cut changes what leaves")
    expect(body == observer.feed(body) + observer.close(Ending(ending), 1.0), "who looks on changes nothing")
    if once.report.stopped is None:
        expect(terminals(once.body) <= 1, "one terminal event leaves")
        if dialect == "codex":
            return once
        expect(once.report.defects or once.body == body, "what is healthy leaves as it came")
        if once.report.terminal is not None and not once.report.defects.keys() & UNSURE:
            expect(once.body == mend(once.body, options).body, "what was repaired is left alone")
    return once


def terminals(body: bytes) -> int:
    """Count the terminal events that a lenient reader finds."""
    found = 0
    for block in reader.blocks(body.decode("utf-8", "replace").encode()):
        try:
            event = json.loads(block.data)
        except (ValueError, RecursionError):
            continue
        found += isinstance(event, dict) and event.get("type") in [*reader.TERMINALS]
    return found
