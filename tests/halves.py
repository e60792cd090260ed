"""Splits a body in two at every place, on every core: apart from the tests, so that a fresh process can import it."""

from __future__ import annotations

from respfix.stream import Ending, Mender


def passed(*pieces: bytes) -> tuple[bytes, dict[str, int]]:
    """Feed these pieces to a Mender; give what left, and the defects."""
    mender = Mender()
    out = b"".join(map(mender.feed, pieces)) + mender.close(Ending.COMPLETE, 1.0)
    return out, dict(mender.report.defects)


def touched(body: bytes, places: list[int]) -> list[int]:
    """Give the places at which a split changes anything."""
    return [at for at in places if passed(body[:at], body[at:]) != (body, {})]
