"""The rest of a stream that broke off: what the client has is left out, however the stream comes."""

from __future__ import annotations

from itertools import pairwise

import pytest
import reader
from corpus import STREAMS, mend

from respfix.stream import Ending, Limits, Options, Resumed

OPTIONS = Options(seed="made-up", now=1763600000)
HEALTHY = (STREAMS / "conformant" / "text-2025-05.sse").read_bytes()
BROKEN = (STREAMS / "recorded" / "sub2api-0.1.132-an-text.sse").read_bytes()
UNNUMBERED = (STREAMS / "conformant" / "text-2025-03.sse").read_bytes()


def rest(stream: bytes, after: int, size: int = 0, options: Options = OPTIONS) -> bytes:
    """What a client gets that has all up to this number; the stream comes in reads of this size."""
    resumed = Resumed(options, after)
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)] if size else [stream]
    return b"".join(map(resumed.feed, pieces)) + resumed.close(Ending.COMPLETE, 1.0)


def behind(stream: bytes, after: int) -> bytes:
    """What stands behind the event of this number, where each event counts as one."""
    frames = [frame + b"\n\n" for frame in stream.split(b"\n\n")[:-1]]
    events = [place for place, frame in enumerate(frames) if b"data: {" in frame]
    return b"".join(frames[events[after + 1] :]) if after + 1 < len(events) else b""


@pytest.mark.parametrize("size", [0, 1, 7])
@pytest.mark.parametrize("stream", [HEALTHY, BROKEN, UNNUMBERED], ids=["healthy", "broken", "unnumbered"])
def test_what_a_client_has_is_left_out(stream: bytes, size: int) -> None:
    """Behind every event, and of the repaired stream; events without numbers are counted."""
    whole = mend(stream, OPTIONS).body
    count = len(reader.events(whole))

    for after in range(-1, count):
        assert behind(whole, after) == rest(stream, after, size)


def test_the_rests_are_one_stream() -> None:
    """Each is the end of the one before."""
    rests = [rest(BROKEN, after) for after in range(-1, 12)]

    assert all(longer.endswith(shorter) and longer != shorter for longer, shorter in pairwise(rests))


def test_what_is_owed_at_the_end_is_part_of_the_rest() -> None:
    """A stream that breaks off again says so to who has resumed it."""
    cut = HEALTHY[: HEALTHY.index(b"event: response.output_text.done")]
    last = reader.events(cut)[-1]["sequence_number"]
    resumed = Resumed(OPTIONS, last)

    assert b"" == resumed.feed(cut)
    assert b'"type":"response.failed"' in resumed.close(Ending.COMPLETE, 1.0)


def test_an_event_that_cannot_be_read_has_no_number() -> None:
    """Nor has a comment, or the sentinel of a stream that the client has whole."""
    stream = b": hello\n\ndata: nonsense\n\n" + HEALTHY + b"data: [DONE]\n\n"
    last = reader.events(HEALTHY)[-1]["sequence_number"]

    assert behind(HEALTHY, 3) + b"data: [DONE]\n\n" == rest(stream, 3)
    assert b"" == rest(stream, last)


def test_beyond_the_bound_for_frames_all_that_follows_is_the_rest() -> None:
    """Too much is better than too little: who resumes knows what it has."""
    options = Options(seed="made-up", now=1763600000, limits=Limits(frame_bytes=2000))
    large = b'data: {"type":"x","pad":"' + b"x" * 3000

    assert rest(HEALTHY[: HEALTHY.index(b"event: response.output_text.done")] + large, 10**6, 0, options).endswith(
        large
    )
