"""Splits a body in two at every place, on every core: apart from the tests, so that a fresh process can import it."""

from __future__ import annotations

from itertools import pairwise

from respfix.stream import Ending, Mender

WHOLE = 16  # one split in so many is followed to the end of the body


def passed(*pieces: bytes) -> tuple[bytes, dict[str, int]]:
    """Feed these pieces to a Mender; give what left, and the defects."""
    mender = Mender()
    out = b"".join(map(mender.feed, pieces)) + mender.close(Ending.COMPLETE, 1.0)
    return out, dict(mender.report.defects)


def touched(body: bytes, places: list[int]) -> list[int]:
    """Give the places at which a split changes anything.

    A split is felt by the frame it falls into and the one that follows it. Once both have left, nothing of them is
    held, so most splits are followed only so far; the rest of the body is the same bytes for the same Mender.
    """
    ends = [at + 2 for at in range(len(body)) if body.startswith(b"\n\n", at)]
    horizon = dict(pairwise(ends))
    found: list[int] = []
    end = iter(ends)
    frame = next(end)
    for place in places:
        while frame <= place and frame != ends[-1]:
            frame = next(end)
        until = horizon.get(frame)
        if until is None or place % WHOLE == 0:
            is_right = passed(body[:place], body[place:]) == (body, {})
        else:
            mender = Mender()
            is_right = mender.feed(body[:place]) + mender.feed(body[place:until]) == body[:until]
            is_right = is_right and not mender.report.defects
        if not is_right:
            found.append(place)
    return found
