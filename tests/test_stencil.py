"""The short way for deltas changes no byte and no count, only the price."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import corpus
import pytest
from hypothesis import given, strategies as st

from respfix.stream import Ending, Limits, Mender, Options, Report
from respfix.stream.frames import Frame
from respfix.stream.stencil import Stencil, cut

STREAMS = {stream.name: stream for stream in (*corpus.CONFORMANT, *corpus.BROKEN, *corpus.RECORDED)}


class LongWay(Mender):
    """A mender that opens every event."""

    def _by_stencil(self, _: Stencil, _window: bytes) -> tuple[bytes, int]:
        return b"", 0


def delta(text: str, number: int | None, **more: object) -> bytes:
    """Write a delta as Sub2API 0.1.132 does, without index; `text` is JSON."""
    number_text = "" if number is None else f',"sequence_number":{number}'
    more_text = "".join(f',"{key}":{json.dumps(value)}' for key, value in more.items())
    return (
        f'data: {{"type":"response.output_text.delta","delta":{text},"item_id":"msg_1"{more_text}{number_text}}}\n\n'
    ).encode()


def reads(body: bytes, size: int) -> list[bytes]:
    """Cut a body into reads of so many bytes; 0 gives a read for each event, which is how a paced stream comes."""
    if size:
        return [body[at : at + size] for at in range(0, len(body), size)]
    return re.findall(rb".+?(?:\n\n|\r\n\r\n|\Z)", body, re.DOTALL)


def both_ways(body: bytes, options: Options | None = None, size: int = 0) -> tuple[tuple[bytes, Report], ...]:
    """Give what leaves the short way in these reads, and what leaves the long way in one."""
    ways = []
    for mender, chunks in ((Mender(options), reads(body, size)), (LongWay(options), [body])):
        out = b"".join(map(mender.feed, chunks))
        ways.append((out + mender.close(Ending.COMPLETE), mender.report))
    return tuple(ways)


@pytest.mark.parametrize("size", [0, 700, 10**9], ids=["by-event", "by-700-bytes", "whole"])
@pytest.mark.parametrize("dialect", ["default", "codex"])
@pytest.mark.parametrize("name", STREAMS)
def test_the_short_way_gives_what_the_long_way_gives(name: str, dialect: str, size: int) -> None:
    """Over the whole corpus, in both dialects and in all reads: bytes, counts and endings are the same."""
    short, long = both_ways(STREAMS[name].body, Options(seed="1", now=1, dialect=dialect), size)

    assert long == short


# What may stand in a run: the usual, the odd, and what is no delta at all.
TEXTS = st.sampled_from(
    ['"plain"', '""', '"\\n"', '"\\u00e9\\ud83d\\ude00"', '"half \\ud83d"', '"bad \\q"', '"%s %"', "null", '"é"']
)
STEPS = st.sampled_from([1, 1, 1, 1, 1, 1, 3, 0, -2])
ODD = st.sampled_from(
    [
        b"",
        b"",
        b"",
        b"",
        b": ping\n\n",
        b"\n",
        b'data: {"type":"response.output_text.delta","delta":"other","item_id":"msg_2"}\n\n',
        b'event: ping\ndata: {"type":"ping"}\n\n',
    ]
)


@given(
    rows=st.lists(st.tuples(TEXTS, STEPS, ODD), min_size=1, max_size=40),
    is_numbered=st.booleans(),
    size=st.sampled_from([0, 1, 90, 250, 1000, 10**9]),
    room=st.sampled_from([40, 10**6]),
)
def test_whatever_stands_between_the_deltas_both_ways_agree(
    rows: list[tuple[str, int, bytes]], *, is_numbered: bool, size: int, room: int
) -> None:
    """Texts with escapes, numbers that jump or fall, comments and other events, up to the bound and beyond."""
    body, number = b"", 0
    for text, step, odd in rows:
        number += step
        body += delta(text, number if is_numbered else None) + odd
    short, long = both_ways(body, Options(limits=Limits(text_bytes=room)), size)

    assert long == short


@pytest.mark.parametrize(
    "text",
    [
        '"plain"',
        '""',
        '"quoted \\" and \\\\"',
        '"\\u00e9\\ud83d\\ude00"',
        '"half \\ud83d"',
        '"bad \\q"',
        "null",
        '{"text":"x"}',
        '"é"',
        '"no JSON \\\\"],"',
    ],
)
@pytest.mark.parametrize("size", [0, 10**9], ids=["by-event", "whole"])
def test_a_delta_that_does_not_fit_goes_the_long_way(text: str, size: int) -> None:
    """Whatever stands in the place of the text, and whatever follows it."""
    run = [delta('"a"', 1), delta('"b"', 2), delta(text, 3), delta('"c"', 4), delta('"d"', 4), delta('"e"', 9)]
    odd = [delta('"f"', 10, logprobs=[{"token": "f"}]), delta('"g"', None), delta('"h"', 12)]
    short, long = both_ways(b"".join(run + odd) + b"data: [DONE]\n\n", size=size)

    assert long == short


@pytest.mark.parametrize("size", [0, 10**9], ids=["by-event", "whole"])
@pytest.mark.parametrize("padding", [b"", b"a b", b"a\\u0062", "é".encode(), b"no JSON \x01"])
def test_a_padding_of_another_kind_goes_the_long_way(padding: bytes, size: int) -> None:
    """OpenAI's is letters and digits; what else a JSON string may hold is not looked at."""
    usual = [delta('"a"', number, obfuscation="aB3") for number in range(3)]
    odd = delta('"b"', 3, obfuscation="aB3").replace(b"aB3", padding)
    short, long = both_ways(b"".join([*usual, odd, *usual]), size=size)

    assert long == short


@pytest.mark.parametrize("line_end", [b',\ndata: "item_id"', b'\ndata: ,"item_id"'], ids=["behind", "before"])
@pytest.mark.parametrize("name", ["text-2026", "sub2api-0.1.132-an-text"])
@pytest.mark.parametrize("size", [0, 10**9], ids=["by-event", "whole"])
def test_data_over_several_lines_goes_the_long_way(name: str, size: int, line_end: bytes) -> None:
    """Its JSON does not stand in the frame as it is, whether it leaves as it came or not."""
    frames = [frame.replace(b',"item_id"', line_end) for frame in reads(STREAMS[name].body, 0)]
    short, long = both_ways(b"".join(frames), size=size)

    assert long == short
    assert short[1].stopped is None


@pytest.mark.parametrize("size", [0, 10**9], ids=["by-event", "whole"])
@pytest.mark.parametrize(
    "numbers",
    [lambda number: 3 * number, lambda number: number - 2 * (number % 10 == 9), lambda number: number // 2],
    ids=["gaps", "falls", "twice"],
)
def test_numbers_with_gaps_are_what_the_long_way_makes_of_them(numbers: Callable[[int], int], size: int) -> None:
    """In a stream that is right to its last delta, so that every number counts; what is put in then follows them."""
    body = STREAMS["text-2026"].body
    delta_frame = next(frame for frame in reads(body, 0) if b"output_text.delta" in frame)
    before, _, rest = body.partition(delta_frame)
    many = [re.sub(rb'(?<="sequence_number":)\d+', b"4", delta_frame)] * 30
    parts = [before, *many, rest[rest.index(b"event: response.content_part.done") :]]
    count = iter(range(10**6))
    numbered = re.sub(rb'(?<="sequence_number":)\d+', lambda _: b"%d" % numbers(next(count)), b"".join(parts))
    short, long = both_ways(numbered, size=size)

    assert "missing-value-done" in short[1].defects
    assert long == short


def test_bytes_that_are_no_utf_8_stay_what_they_are() -> None:
    """Where every delta has the same of them."""
    usual = [delta('"word"', number, vendor="?").replace(b"}", b',"last":"?"}') for number in range(5)]
    frames = [frame.replace(b"?", b"\xff\xc3") for frame in usual]
    short, long = both_ways(b"".join(frames))

    assert long == short
    assert short[1].stopped is None
    assert 10 == short[0].count(b'":"\xff\xc3"')


def test_most_deltas_do_go_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise it would be a part that exists and is not used."""
    opened: list[Frame] = []
    long_way = Mender._mended

    def watched(self: Mender, frame: Frame) -> bytes:
        opened.append(frame)
        return long_way(self, frame)

    monkeypatch.setattr(Mender, "_mended", watched)
    mender = Mender()
    mender.feed(b"".join(delta(f'"word {number}"', number) for number in range(100)))

    assert len(opened) <= 3
    assert mender.report.events_in == 100


@pytest.fixture
def cuts(monkeypatch: pytest.MonkeyPatch) -> list[Frame]:
    """The frames that stencils were made of, as they are made."""
    frames: list[Frame] = []

    def watched(frame: Frame, *rest: Any) -> Stencil | None:
        frames.append(frame)
        return cut(frame, *rest)

    monkeypatch.setattr("respfix.stream.cut", watched)
    return frames


def test_what_fits_nothing_is_tried_ever_more_rarely(cuts: list[Frame]) -> None:
    """A server that puts a time into every delta does not pay for a pattern each time."""
    mender = Mender()
    for number in range(1000):
        mender.feed(delta('"word"', number, at=number))

    assert 20 == len(cuts)  # two, then one after 2, 6, 14, 30 and every 62 others


def test_what_begins_to_fit_is_found_out(cuts: list[Frame]) -> None:
    """After 63 deltas at most, and from then on as if it had always been so."""
    mender = Mender()
    mender.feed(b"".join(delta('"word"', number, at=number) for number in range(200)))
    mender.feed(b"".join(delta('"word"', 200 + number, at=0) for number in range(66)))
    assert mender._stencil is not None
    made = len(cuts)
    mender.feed(b"".join(delta('"word"', 300 + number, at=0) for number in range(200)))
    assert made == len(cuts)
    mender.feed(delta('"word"', 600, at=1) + delta('"word"', 601, at=1))

    assert mender._stencil is not None
    assert made + 1 == len(cuts)


@pytest.mark.parametrize(("size", "stencils"), [(3900, 1), (4100, 0)])
def test_a_long_frame_makes_no_stencil(size: int, stencils: int, cuts: list[Frame]) -> None:
    """Its pattern would hold everybody up: a second for a vendor's key of a megabyte."""
    mender = Mender()
    for number in range(5):
        mender.feed(delta('"word"', number, vendor="x" * size))

    assert cuts
    assert stencils == (mender._stencil is not None)


def test_a_long_text_does_make_one() -> None:
    """It may differ, so it is no part of the pattern."""
    mender = Mender()
    for number in range(5):
        mender.feed(delta(json.dumps("word " * 2000), number))

    assert mender._stencil is not None


def test_the_report_is_right_whenever_it_is_asked_for() -> None:
    """Also in the middle of a run, of which nothing is added up until then."""
    short, long = Mender(), LongWay()
    for number in range(20):
        for mender in (short, long):
            mender.feed(delta(f'"word {number}"', number))
        if number % 3 == 0:
            assert long.report == short.report

    assert short.report is short.report
    assert 20 == short.report.defects["missing-output-index"] == short.report.events_in


@pytest.mark.parametrize("size", [0, 10**9], ids=["by-event", "whole"])
@pytest.mark.parametrize("number", ["", '"sequence_number":7,'], ids=["not-numbered", "numbered"])
def test_signs_of_formatting_stay_what_they_are(size: int, number: str) -> None:
    """A percent sign before, between and behind what differs."""
    rest = '"type":"response.output_text.delta","delta":"%s %%d","b":"%%s","c":"100 %%"'
    frames = [f'data: {{"a":"5 %",{number}{rest % word}}}\n\n'.encode() for word in ("one", "two", "three")]
    short, long = both_ways(b"".join(frames), size=size)

    assert long == short
    assert 3 == long[0].count(b'"b":"%s","c":"100 %"')


def test_one_bad_text_among_many_sends_all_the_long_way() -> None:
    """Deltas that come in one read are read together; one that cannot be read must not take the others along."""
    words = ['"a"', '"b \\u0041"', '"bad \\q"', '"c"']
    short, long = both_ways(b"".join(delta(word, number) for number, word in enumerate(words, 1)), size=10**9)

    assert long == short
    assert b"bad \\q" in long[0]
