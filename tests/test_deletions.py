"""Every event around the deltas, lost, doubled or out of place: the SDKs read what they would have read.

The other properties draw at random; here nothing is left to chance. Of each whole stream of the corpus, every event
that is no delta is lost, doubled, and swapped with each of its neighbours, and every two of them are lost together.
Deltas are never lost: without them the truth is not on the wire. The judges are the accumulators of openai-python and
openai-node, which know nothing of respfix; each is asked about every stream that left.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from itertools import combinations
from typing import Any, NamedTuple

import pytest
import reader
from clients.sdks import NODE, PYTHON, missing, read
from corpus import CONFORMANT, Stream, mend
from test_properties import accumulated

FRAMING = {
    "crlf": "text-2025-10 with other line ends",
    "data-before-event": "text-2025-10 with its lines the other way round",
    "data-over-several-lines": "text-2025-10 with line ends inside its JSON",
    "ids-and-comments": "text-2025-10 with fields that nobody uses",
    "no-space": "text-2025-10 without a space after the colon",
}
WHOLE = [stream for stream in CONFORMANT if stream.name not in FRAMING]
EACH = pytest.mark.parametrize("stream", WHOLE, ids=str)
EITHER_SDK = pytest.mark.parametrize("sdk", [PYTHON, pytest.param(NODE, marks=pytest.mark.clients)], ids=str)
LONG = pytest.mark.timeout(700)  # the first test of an SDK installs it and reads every stream

COUNTED = ("texts", "refusals", "summaries", "reasonings", "calls", "status")  # usage is lost with the terminal event

Seen = dict[str, Any]  # what a program got: COUNTED, and the error that was raised, if one was


class Known(NamedTuple):
    """Changes that a judge may see, and why nothing better is made of them."""

    sdks: tuple[str, ...]
    stream: str
    change: str  # a pattern
    shown: frozenset[str]  # what may differ; nothing else may
    why: str

    def covers(self, sdk: str, stream: Stream, change: str) -> bool:
        """Is this row about what was done here?"""
        is_here = sdk in self.sdks and re.fullmatch(self.stream, stream.name)
        return bool(is_here and re.fullmatch(self.change, change))


REFUSED = frozenset({"error", *COUNTED})  # who raises has read nothing
KNOWN = (
    Known(
        (PYTHON,),
        "error-then-failed",
        r"lost response.created\.1, response.in_progress\.2",
        REFUSED,
        "the stream begins with its error, which leaves as it came; openai-python refuses what precedes a response",
    ),
    Known(
        (NODE,),
        "unknown-items-and-events",
        ".*",
        frozenset(),
        "openai-node refuses an event that it does not know, in the untouched stream as well",
    ),
)


class Change(NamedTuple):
    """One thing that is done to the events around the deltas, and what leaves then."""

    name: str
    body: bytes
    told: str  # the terminal event that leaves
    stopped: str | None

    @property
    def kind(self) -> str:
        """What was done: lost one, lost two, doubled, swapped."""
        verb, _, places = self.name.partition(" ")
        return f"lost {1 + places.count(', ')}" if verb == "lost" else verb

    @property
    def lost_the_end(self) -> bool:
        """Is the terminal event among what was lost?"""
        return self.kind.startswith("lost") and any(terminal in self.name for terminal in reader.TERMINALS)


def changed(stream: Stream) -> Iterator[tuple[str, list[str]]]:
    """Do everything to a stream: what was done, and the frames that there are then."""
    frames = reader.frames(stream.body)
    types = {at: event["type"] for at, frame in enumerate(frames) for event in reader.events(frame.encode())}
    around = [at for at in types if not types[at].endswith(".delta")]

    def named(*places: int) -> str:
        return ", ".join(f"{types[at]}.{at}" for at in places)

    for at in around:
        yield f"lost {named(at)}", frames[:at] + frames[at + 1 :]
        yield f"doubled {named(at)}", frames[: at + 1] + frames[at:]
    for first, second in combinations(around, 2):
        rest = [frame for at, frame in enumerate(frames) if at not in (first, second)]
        yield f"lost {named(first, second)}", rest
    for at in types:
        if at + 1 in types and (at in around or at + 1 in around):
            yield f"swapped {named(at, at + 1)}", [*frames[:at], frames[at + 1], frames[at], *frames[at + 2 :]]


@cache
def changes(stream: Stream) -> tuple[Change, ...]:
    """Repair a stream after each of its changes."""
    every = []
    for name, frames in changed(stream):
        mended = mend("".join(frames).encode(), stream.options(), stream.ending)
        every.append(Change(name, mended.body, str(mended.report.terminal), mended.report.stopped))
    return tuple(every)


@cache
def read_by_python(body: bytes) -> Seen:
    """Let openai-python accumulate one stream."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Pydantic serializer warnings")  # for items that it does not know
            return asdict(accumulated(reader.events(body))) | {"error": None}
    except Exception as error:  # noqa: BLE001 (whatever the SDK raises is what the program gets)
        return {"error": f"{type(error).__name__}: {error}"}


@cache
def all_read_by_node() -> dict[bytes, Seen]:
    """Let openai-node read every stream that leaves, and every one that was not touched, in one process."""
    left = {stream.body for stream in WHOLE} | {change.body for stream in WHOLE for change in changes(stream)}
    named = {f"stream-{number}": body for number, body in enumerate(sorted(left))}
    readings = read(NODE, named)
    return {body: readings[name].as_json() for name, body in named.items()}


def read_by_node(body: bytes) -> Seen:
    """Give what openai-node made of one stream."""
    seen = all_read_by_node()[body]
    # A call that is announced late comes after those it came before.
    return {key: seen[key] for key in COUNTED} | {"error": seen["error"], "calls": sorted(seen["calls"])}


def faults(sdk: str, stream: Stream) -> dict[str, dict[str, tuple[Any, Any]]]:
    """Give the changes that an SDK shows: what is due and what there is. A failure that is told is no fault."""
    if reason := missing(sdk):
        pytest.skip(reason)
    judge = read_by_python if sdk == PYTHON else read_by_node
    due = judge(stream.body)
    found: dict[str, dict[str, tuple[Any, Any]]] = {}
    for change in changes(stream):
        got = judge(change.body)
        is_raised = sdk == NODE and str(got["error"]).startswith("APIError: ")  # how it tells a failure
        is_told = change.told == "response.failed" and (got.get("status") == "failed" or is_raised)
        if not is_told and (got != due or got["error"]):
            keys = due.keys() | got.keys()
            found[change.name] = {key: (due.get(key), got.get(key)) for key in keys if due.get(key) != got.get(key)}
    return found


def unknown(sdk: str, stream: Stream) -> dict[str, dict[str, tuple[Any, Any]]]:
    """Give the changes that an SDK shows without a reason."""
    return {
        name: shown
        for name, shown in faults(sdk, stream).items()
        if not any(row.covers(sdk, stream, name) and row.shown.issuperset(shown) for row in KNOWN)
    }


@EITHER_SDK
@LONG
@EACH
def test_the_sdk_reads_the_same(sdk: str, stream: Stream) -> None:
    """Texts, refusals, thoughts, calls and status are those of the untouched stream, or the failure is told."""
    assert {} == unknown(sdk, stream)


@EITHER_SDK
@LONG
@pytest.mark.parametrize("row", KNOWN, ids=lambda row: row.stream)
def test_what_is_known_is_still_seen(sdk: str, row: Known) -> None:
    """A reason that no change needs any more is taken away."""
    named = [stream for stream in WHOLE if re.fullmatch(row.stream, stream.name)]
    seen = [name for stream in named for name in faults(sdk, stream) if row.covers(sdk, stream, name)]

    assert (sdk in row.sdks) == bool(seen)


@EACH
def test_only_a_lost_end_is_a_failure(stream: Stream) -> None:
    """A failure is no way out: it is told where it was told before, or where the terminal event is gone."""
    due = reader.terminal(reader.events(mend(stream.body).body))["type"]
    told = [change.name for change in changes(stream) if change.told != due and not change.lost_the_end]

    assert [] == told
    assert [] == [change.name for change in changes(stream) if change.stopped]


def test_every_change_is_made() -> None:
    """Nothing is left out: n events around the deltas are lost n ways alone, and n * (n - 1) / 2 ways together."""
    counts = Counter(change.kind for stream in WHOLE for change in changes(stream))
    around = [sum(change.kind == "lost 1" for change in changes(stream)) for stream in WHOLE]
    distinct = len({change.body for stream in WHOLE for change in changes(stream)})
    failed = sum(change.told == "response.failed" for stream in WHOLE for change in changes(stream))
    print(f"\n{len(WHOLE)} streams, {counts.total()} changes ({dict(counts)}), {failed} told as failures;")  # noqa: T201
    print(f"{distinct} distinct streams left; each SDK reads all of them")  # noqa: T201

    assert (sum(around), sum(around)) == (counts["lost 1"], counts["doubled"])
    assert sum(n * (n - 1) // 2 for n in around) == counts["lost 2"]
    assert counts["swapped"] >= sum(around) - 2 * len(WHOLE)
    assert counts.total() > 3000 > distinct > 500
    assert 0 < failed < counts.total() // 10
