"""The corpus: every stream in `streams/`, whole and cut, healthy and broken, with every switch.

A stream is added by dropping files there, not by writing Python; `corpus.py` says how.
"""

from __future__ import annotations

import random
from functools import cache

import pytest
import reader
from corpus import BROKEN, CONFORMANT, RECORDED, STREAMS, Mended, Stream, load, mend, mend_pieces, outcome

from respfix.stream import Ending, Observer
from respfix.stream.defects import DEFECTS

EVERY = [*CONFORMANT, *BROKEN, *RECORDED]
SMALL = 20_000  # bytes; of larger streams a sample of cuts is tried

# Where the repair cannot make a correct stream, and why.
ILL = {
    "unannounceable-call": "nobody knows the name of the function",
    "late-tail": "Codex shows a late delta, and ignores that its part is closed",
    "interrupted-message-agent-framework": "as the next",
    "value-done-after-others": "the agent framework puts a closing value that comes late beside what was said",
    "interrupted-message": "Codex hears nothing of reasoning that was interrupted but its done event",
}


def named(streams: list[Stream]) -> pytest.MarkDecorator:
    """Run a test once for each of these streams."""
    return pytest.mark.parametrize("stream", streams, ids=str)


@cache
def mended(stream: Stream, off: frozenset[str] = frozenset(), dialect: str | None = None) -> Mended:
    """Repair a stream as its header says."""
    return mend(stream.body, stream.options(off, dialect), stream.ending)


def readable(body: bytes) -> str:
    """Give a stream frame by frame, so that a difference can be read."""
    return "".join(reader.frames(body)).replace("\r", "\\r")


# Healthy streams


@named(CONFORMANT)
def test_a_healthy_stream_leaves_as_it_came(stream: Stream) -> None:
    """Byte for byte, and without a defect in the report."""
    assert readable(stream.body) == readable(mended(stream).body)
    assert stream.body == mended(stream).body
    assert not mended(stream).report.defects


@named([stream for stream in CONFORMANT if stream.name != "overlapping-items"])
def test_a_healthy_stream_tells_codex_the_same(stream: Stream) -> None:
    """Items that do not overlap reach Codex as they came; a comment may overtake an announcement that waits."""
    assert list(reader.blocks(stream.body)) == list(reader.blocks(mended(stream, dialect="codex").body))
    assert not mended(stream, dialect="codex").report.defects


@named(CONFORMANT)
def test_a_healthy_stream_is_one(stream: Stream) -> None:
    """An independent checker finds nothing wrong with what we call healthy."""
    assert [] == reader.complaints(reader.events(stream.body))


@named(CONFORMANT)
def test_a_healthy_stream_with_other_line_ends_leaves_as_it_came(stream: Stream) -> None:
    """CR LF is as good as LF."""
    body = stream.body.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")

    assert body == mend(body).body


# Broken streams


@named(BROKEN)
def test_a_broken_stream_leaves_as_its_pair_says(stream: Stream) -> None:
    """The pair is the specification of the repair."""
    assert readable(outcome(stream).read_bytes()) == readable(mended(stream).body)
    assert outcome(stream).read_bytes() == mended(stream).body


@named(BROKEN)
def test_the_report_names_what_was_wrong(stream: Stream) -> None:
    """No more and no less than the header of the file says."""
    assert stream.defects == tuple(sorted(mended(stream).report.defects))


@named(BROKEN)
def test_a_pair_is_named_after_its_defect(stream: Stream) -> None:
    """The slug that the file is named after is among its defects."""
    assert any(stream.name == slug or stream.name.startswith(f"{slug}-") for slug in stream.defects)


@named([*BROKEN, *RECORDED])
def test_what_was_repaired_is_correct(stream: Stream) -> None:
    """An independent checker finds nothing wrong with it."""
    found = reader.complaints(reader.events(mended(stream).body), is_strict=False)

    assert (stream.name in ILL) == bool(found), found


@named([*BROKEN, *RECORDED])
def test_repairing_twice_changes_nothing(stream: Stream) -> None:
    """What leaves is healthy, and nothing is seen in it that would be repaired again."""
    once = mended(stream)
    again = mend(once.body, stream.options())

    assert once.body == again.body
    assert (stream.name in {"unannounceable-call", "interrupted-message"}) == bool(again.report.defects)


@named(RECORDED)
def test_a_recording_is_repaired_to_its_end(stream: Stream) -> None:
    """Whatever these servers sent, no fault of ours ended the repair, and one terminal event left."""
    assert mended(stream).report.stopped is None
    assert mended(stream).report.terminal == reader.terminal(reader.events(mended(stream).body))["type"]


@pytest.mark.parametrize("dialect", ["default", "codex"])
@named([stream for stream in RECORDED if reader.said(reader.events(stream.body))])
def test_a_recording_says_what_was_said(stream: Stream, dialect: str) -> None:
    """Every word of the server reaches the client once; Codex may hear interrupted reasoning as a whole."""
    out = reader.events(mended(stream, dialect=dialect).body)
    before, after = (spoken(events) for events in (reader.events(stream.body), out))
    thoughts = {family for family in before if "reasoning" in family} if dialect == "codex" else set()

    assert [(family, before[family]) for family in before if family not in thoughts] == [
        (family, after[family]) for family in before if family not in thoughts
    ]


def spoken(events: list[reader.Event]) -> dict[str, str]:
    """Join all that was said by deltas of one family."""
    texts: dict[str, str] = {}
    for event in events:
        family, _, role = str(event.get("type")).rpartition(".")
        if role == "delta" and event.get("delta"):
            texts[family] = texts.get(family, "") + event["delta"]
    return {family: text.replace("{}", "") for family, text in texts.items()}  # for calls without arguments


# Reads


def cuts(stream: Stream) -> range | list[int]:
    """Give the places to cut a stream at; of a large one a sample, always the same."""
    size = len(stream.body)
    return range(1, size) if size < SMALL else sorted(random.Random(size).sample(range(1, size), 300))  # noqa: S311


@pytest.mark.parametrize("size", [1, 2, 3, 64])
@named(EVERY)
def test_small_reads_give_the_same_stream(stream: Stream, size: int) -> None:
    """A byte at a time, and other sizes that fall between the lines."""
    pieces = [stream.body[at : at + size] for at in range(0, len(stream.body), size)]

    assert mended(stream).body == mend_pieces(pieces, stream.options(), stream.ending).body


@named(BROKEN)
def test_two_reads_give_the_same_stream(stream: Stream) -> None:
    """Wherever the cut falls; every place is tried where a frame is unusual, else the ends of lines and some more."""
    options, expected = stream.options(), mended(stream).body
    ends = {at for end, _ in enumerate(stream.body) if stream.body[end] in b"\r\n" for at in (end, end + 1, end + 2)}
    places = sorted(ends.intersection(cuts(stream)) | set(random.Random(1).sample(range(len(stream.body)), 30)))  # noqa: S311
    differing = [
        at
        for at in places
        if mend_pieces([stream.body[:at], stream.body[at:]], options, stream.ending).body != expected
    ]

    assert differing == []


@named([stream for stream in BROKEN if stream.name.split("-")[0] in {"byte", "cr", "cut", "raw", "unterminated"}])
def test_every_cut_of_unusual_framing_gives_the_same_stream(stream: Stream) -> None:
    """Where lines end in an unusual way, every single cut is tried."""
    options, expected = stream.options(), mended(stream).body
    differing = [
        at
        for at in cuts(stream)
        if mend_pieces([stream.body[:at], stream.body[at:]], options, stream.ending).body != expected
    ]

    assert differing == []


# Ends


@pytest.mark.parametrize("ending", [Ending.CUT, Ending.COMPLETE, Ending.IDLE], ids=str)
@named([stream for stream in CONFORMANT if stream.name != "background-queued"])  # that one can be resumed
def test_a_stream_that_is_cut_anywhere_ends_as_it_should(stream: Stream, ending: Ending) -> None:
    """One terminal event and a correct stream; and a failure, unless the framing or the terminal event proves more."""
    last = stream.body.rindex(b"response.completed" if b'"response.completed"' in stream.body else b"data:")
    faults: list[tuple[int, object]] = []
    step = max(1, len(stream.body) // 60)
    for at in [*range(0, len(stream.body), step), len(stream.body)]:
        cut = mend(stream.body[:at], stream.options(), ending)
        found: object = reader.complaints(reader.events(cut.body), is_strict=False)
        is_early = at <= last and ending is not Ending.COMPLETE and "error" not in stream.name
        if found or (is_early and cut.report.terminal != "response.failed"):
            faults.append((at, found or cut.report.terminal))

    assert faults == []


def test_a_stream_that_is_cut_before_anything_has_failed() -> None:
    """An empty body says that it failed, in the form that every client notices."""
    events = reader.events(mend(b"", None, Ending.CUT).body)

    assert ["response.created", "response.in_progress", "response.failed"] == [event["type"] for event in events]
    assert events[-1]["error"]["message"] == events[-1]["response"]["error"]["message"]


# Switches


@pytest.mark.parametrize("slug", sorted(DEFECTS))
def test_a_defect_that_is_switched_off_is_left_alone(slug: str) -> None:
    """It is not counted, nothing breaks, and the stream still ends."""
    wrong = [
        (stream.name, report.stopped or report.terminal)
        for stream in BROKEN
        if slug in stream.defects
        for report in [mended(stream, frozenset({slug})).report]
        if slug in report.defects or report.stopped
    ]

    assert wrong == []


@named(BROKEN)
def test_with_its_defects_switched_off_a_stream_leaves_as_it_came(stream: Stream) -> None:
    """Switches that are off give back the very bytes, unless what they leave alone is another defect.

    For Codex a message still waits for its first word, and what is of no item overtakes it: the frames are the same.
    """
    left = mended(stream, frozenset(stream.defects))
    order = sorted if stream.dialect == "codex" else list

    assert left.report.stopped is None
    assert left.report.defects or order(stream.body.split(b"\n\n")) == order(left.body.split(b"\n\n"))


@named(EVERY)
def test_with_everything_switched_off_a_stream_leaves_as_it_came(stream: Stream) -> None:
    """All switches off make a pipe."""
    assert readable(stream.body) == readable(mended(stream, frozenset(DEFECTS)).body)


@named(EVERY)
def test_observing_changes_nothing_and_sees_the_same(stream: Stream) -> None:
    """`repair: observe` gives back the very input, and reports what a repair would have reported."""
    observer = Observer(stream.options())
    out = observer.feed(stream.body) + observer.close(stream.ending, 1.0)

    assert stream.body == out
    assert mended(stream).report.defects == observer.report.defects


# The corpus itself


def test_every_defect_has_a_pair() -> None:
    """A repair that nobody can see in a file is not one, unless there is a reason."""
    shown = {slug for stream in BROKEN for slug in stream.defects}

    assert DEFECTS.keys() == shown | {"json-for-stream", "error-for-stream"}  # these are JSON; see unfolded/


def test_every_pair_is_one() -> None:
    """No input without its outcome, no outcome without its input."""
    files = {path.name.rpartition(".")[0] for path in (STREAMS / "broken").iterdir()}

    assert {f"{stream.name}.{end}" for stream in BROKEN for end in ("in", "out")} == files


@named([*CONFORMANT, *BROKEN])
def test_every_stream_tells_its_story(stream: Stream) -> None:
    """The first line says what it is about."""
    first = stream.body.removeprefix(b"\xef\xbb\xbf").splitlines()[0].decode()

    assert first.startswith(": ")
    assert first.endswith((".", "?"))


def test_a_header_is_read() -> None:
    """The story tells how a stream ends, for whom it is repaired, and which switch is turned on for it."""
    renamed, cut, codex = (
        load(STREAMS / "broken" / f"{name}.in.sse")
        for name in ("incomplete-as-completed", "truncated-stream", "codex-phase")
    )

    assert frozenset({"incomplete-as-completed"}) == renamed.enable
    assert Ending.CUT == cut.ending
    assert ("codex", ("codex-phase",)) == (codex.dialect, codex.defects)
