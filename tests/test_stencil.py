"""The short way for deltas changes no byte and no count, only the price."""

from __future__ import annotations

import json

import corpus
import pytest

from respfix.stream import Ending, Mender, Options, Report
from respfix.stream.frames import Frame

STREAMS = {stream.name: stream for stream in (*corpus.CONFORMANT, *corpus.BROKEN, *corpus.RECORDED)}


class LongWay(Mender):
    """A mender that opens every event."""

    def _by_stencil(self, _: Frame) -> bytes:
        return b""


def delta(text: str, number: int | None, **more: object) -> bytes:
    """Write a delta as Sub2API 0.1.132 does, without index; `text` is JSON."""
    number_text = "" if number is None else f',"sequence_number":{number}'
    more_text = "".join(f',"{key}":{json.dumps(value)}' for key, value in more.items())
    return (
        f'data: {{"type":"response.output_text.delta","delta":{text},"item_id":"msg_1"{more_text}{number_text}}}\n\n'
    ).encode()


def both_ways(body: bytes, options: Options | None = None) -> tuple[tuple[bytes, Report], tuple[bytes, Report]]:
    """Give what leaves the short way and the long way, frame by frame."""
    ways = []
    for mender in (Mender(options), LongWay(options)):
        out = b"".join(mender.feed(block + b"\n\n") for block in body.split(b"\n\n")[:-1])
        ways.append((out + mender.close(Ending.COMPLETE), mender.report))
    return ways[0], ways[1]


@pytest.mark.parametrize("dialect", ["default", "codex"])
@pytest.mark.parametrize("name", STREAMS)
def test_the_short_way_gives_what_the_long_way_gives(name: str, dialect: str) -> None:
    """Over the whole corpus, in both dialects: bytes, counts and endings are the same."""
    short, long = both_ways(STREAMS[name].body, Options(seed="1", now=1, dialect=dialect))

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
    ],
)
def test_a_delta_that_does_not_fit_goes_the_long_way(text: str) -> None:
    """Whatever stands in the place of the text, and whatever follows it."""
    run = [delta('"a"', 1), delta('"b"', 2), delta(text, 3), delta('"c"', 4), delta('"d"', 4), delta('"e"', 9)]
    odd = [delta('"f"', 10, logprobs=[{"token": "f"}]), delta('"g"', None), delta('"h"', 12)]
    short, long = both_ways(b"".join(run + odd) + b"data: [DONE]\n\n")

    assert long == short


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
