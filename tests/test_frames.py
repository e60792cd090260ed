"""Framing: what is a frame, in whatever reads and with whatever line ends it comes."""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest

from respfix.stream.defects import DEFECTS
from respfix.stream.framer import BOM, Framer, FrameTooLargeError
from respfix.stream.frames import Frame, Style, is_whole_object

ONE = b'event: a\ndata: {"x":1}\n\n'
TWO = b'data: {"x":2}\n\n'


def framed(*chunks: bytes, off: frozenset[str] = frozenset()) -> list[Frame]:
    """Cut bytes into frames, as a whole body; what is left of a frame that was cut is the last one."""
    framer = Framer(off=off)
    frames = [frame for chunk in chunks for frame in feed(framer, chunk)]
    cut = framer.close()
    return frames + feed(framer) + ([Frame(cut, faults=("cut",))] if cut else [])


def feed(framer: Framer, chunk: bytes = b"") -> list[Frame]:
    """Give the frames that are whole with these bytes."""
    framer.take(chunk)
    return list(iter(framer.frame, None))


def read(*chunks: bytes) -> list[tuple[str | None, bytes | None]]:
    """Give the event names and the data of the frames that have any."""
    return [(frame.event, frame.data) for frame in framed(*chunks) if frame.data is not None]


def test_a_frame_leaves_with_the_read_that_completed_it() -> None:
    """Nothing waits."""
    framer = Framer()

    assert [] == feed(framer, ONE[:-1])
    assert not framer.is_between_frames
    assert [ONE] == [frame.raw for frame in feed(framer, ONE[-1:])]
    assert framer.is_between_frames


def test_a_frame_is_the_bytes_that_came() -> None:
    """Comments, other fields and blank lines too many are frames, or parts of them."""
    body = b": hello\n\n" + ONE + b"\n\n" + b"id: 7\n: inside\nretry: 1\ndata: {}\n\n" + TWO

    assert body == b"".join(frame.raw for frame in framed(body))
    assert [("a", b'{"x":1}'), (None, b"{}"), (None, b'{"x":2}')] == read(body)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_all_line_ends_are_read(end: bytes, size: int) -> None:
    """In whatever reads they come."""
    body = (ONE + TWO).replace(b"\n", end)
    pieces = [body[at : at + size] for at in range(0, len(body), size)]

    assert [("a", b'{"x":1}'), (None, b'{"x":2}')] == read(*pieces)


def test_lines_that_end_in_cr_alone_are_written_anew() -> None:
    """Codex sees nothing of them."""
    frames = framed((ONE + TWO).replace(b"\n", b"\r"))

    assert ONE + TWO == b"".join(frame.raw for frame in frames)
    assert {("cr-line-ends",)} == {frame.faults for frame in frames}


def test_half_a_line_end_at_the_end_of_a_read_is_no_blank_line_of_its_own() -> None:
    """After CR CR an event is whole; if LF comes then, it belongs to the second CR."""
    assert [b"data: {}\n\n", TWO] == [frame.raw for frame in framed(b"data: {}\r\r", b"\n" + TWO)]


@pytest.mark.parametrize("cut", range(4))
def test_a_byte_order_mark_is_taken_off(cut: int) -> None:
    """Wherever the first read ends; with its switch off it stays."""
    body = BOM + ONE
    (frame,) = framed(body[:cut], body[cut:])
    kept = framed(body[:cut], body[cut:], off=frozenset({"byte-order-mark"}))

    assert (ONE, ("byte-order-mark",)) == (frame.raw, frame.faults)
    assert body == b"".join(each.raw for each in kept)


@pytest.mark.parametrize(
    ("spelling", "data"),
    [
        (b"data:{}\n\n", b"{}"),
        (b"data: {}\n\n", b"{}"),
        (b"data:  {}\n\n", b" {}"),
        (b"data: {\ndata: }\n\n", b"{\n}"),
        (b"data\n\n", b""),
        (b"data: {}\nevent: a\n\n", b"{}"),
    ],
)
def test_data_is_read_by_the_book(spelling: bytes, data: bytes) -> None:
    """One blank after the colon is none of the value; several lines are joined."""
    (frame,) = framed(spelling)

    assert (spelling, data) == (frame.raw, frame.data)


def test_events_that_are_divided_by_one_newline_are_divided_by_two() -> None:
    """An event ends only when the next line has come."""
    body = b'event: a\ndata: {"x":1}\nevent: b\ndata: {"x":2}\ndata: {"x":3}\n\n'
    framer = Framer()
    first = feed(framer, body[:24])
    rest = feed(framer, body[24:])

    assert [] == first
    assert [("a", b'{"x":1}'), ("b", b'{"x":2}'), (None, b'{"x":3}')] == [(frame.event, frame.data) for frame in rest]
    assert all(frame.raw.endswith(b"\n\n") for frame in rest)
    assert [("missing-blank-line",), ("missing-blank-line",), ()] == [frame.faults for frame in rest]


def test_one_object_over_several_lines_is_one_event() -> None:
    """A new event begins only after a whole object."""
    body = b'data: {"a":\ndata: 1}\n\n'

    assert [(None, b'{"a":\n1}')] == read(body)


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_last_event_without_its_blank_line_gets_one(end: bytes) -> None:
    """21 of 25 client set-ups lose it otherwise."""
    (frame,) = framed(b"data: {}" + end)

    assert b"data: {}\n\n" == frame.raw
    assert frame.faults


@pytest.mark.parametrize("half", [b'data: {"a":', b'data: {\ndata: "a":\n', b"event: a\n", b"event: a\nda", b"id: 7"])
def test_what_is_left_of_an_event_that_was_cut_is_no_frame(half: bytes) -> None:
    """Half a frame would swallow what follows it, and no reader would have seen it."""
    framer = Framer()
    whole = feed(framer, ONE + half)

    assert [ONE] == [frame.raw for frame in whole]
    assert half == framer.close()
    assert [] == feed(framer)


def test_json_without_a_field_becomes_data() -> None:
    """Also where the stream begins on the same line."""
    glued = b'{"error":{"message":"x"}}event: a\ndata: {}\n\n'

    assert [(None, b'{"error":{}}')] == read(b'{"error":{}}\n\n')
    assert [(None, b'{"error":{"message":"x"}}'), ("a", b"{}")] == read(glued)


@pytest.mark.parametrize("line", [b'{"half":\n\n', b"{x}\n\n", b"word\n\n"])
def test_what_is_no_whole_object_does_not_become_data(line: bytes) -> None:
    """It leaves as it came."""
    assert line == b"".join(frame.raw for frame in framed(line))


def test_a_frame_beyond_the_bound_is_given_up_with_all_its_bytes() -> None:
    """What was finished before it is still a frame."""
    framer = Framer(bound=30)
    half = b"data: " + b"x" * 40
    framer.take(TWO + half)
    whole = framer.frame()
    with pytest.raises(FrameTooLargeError):
        framer.frame()

    assert whole is not None
    assert whole.raw == TWO
    assert half == framer.drain()


BODIES = [ONE * 3 + TWO, b'event: a\ndata: {"x":1}\nevent: b\ndata: {"x":2}\n', b"data: {}\r\n\r\nx"]


@pytest.mark.parametrize("body", BODIES)
def test_every_two_cuts_give_the_same_frames(body: bytes) -> None:
    """Also between CR and LF, and between the newlines."""
    whole = [(frame.raw, frame.event, frame.data) for frame in framed(body)]
    for one, two in combinations(range(len(body)), 2):
        pieces = [body[begin:end] for begin, end in pairwise([0, one, two, len(body)])]

        assert whole == [(frame.raw, frame.event, frame.data) for frame in framed(*pieces)]


def test_all_switches_off_change_no_byte() -> None:
    """Whatever is wrong with the framing."""
    body = BOM + b'data: {"x":1}\ndata: {"x":2}\n\n{"raw":1}\n\ndata: {}\r\rdata: {'

    assert body == b"".join(frame.raw for frame in framed(body, off=frozenset(DEFECTS)))


def test_a_frame_carries_other_data_in_its_own_spelling() -> None:
    """Comments, other fields, line ends and blanks stay as they were."""
    (frame,) = framed(b": c\r\nid: 7\r\nevent:a\r\ndata:{}\r\n\r\n")

    assert b': c\r\nid: 7\r\nevent:a\r\ndata:{"x":1}\r\n\r\n' == frame.carrying("a", b'{"x":1}')
    assert b"event: b\r\n" in frame.carrying("b", b"{}")


def test_several_data_lines_become_one_when_they_change() -> None:
    """The data is one line then."""
    (frame,) = framed(b"event: a\ndata: {\ndata: }\n\n")

    assert b'event: a\ndata: {"x":1}\n\n' == frame.carrying("a", b'{"x":1}')


@pytest.mark.parametrize(
    ("frame", "inserted"),
    [
        (ONE, b"event: n\ndata: {}\n\n"),
        (TWO, b"data: {}\n\n"),
        (b"event:a\ndata:{}\n\n", b"event:n\ndata:{}\n\n"),
        (b"event: a\r\ndata: {}\r\n\r\n", b"event: n\r\ndata: {}\r\n\r\n"),
    ],
)
def test_what_is_inserted_looks_native(frame: bytes, inserted: bytes) -> None:
    """Event lines, blanks and line ends are those of the stream."""
    (seen,) = framed(frame)

    assert inserted == Style.of(seen).frame("n", b"{}")
    assert Style.of(seen).comment("x").startswith(b": x")


def test_a_whole_object_is_told_from_half_a_one() -> None:
    """The sentinel counts as whole."""
    assert [True, True, False, False, False] == [
        is_whole_object(data) for data in (b"{}", b" [DONE]", b"{", b"[]", b"\xff")
    ]
