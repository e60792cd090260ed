"""A request's body on its way up, counted where there is a bound on it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from respfix.relay.refusal import Refusal


class Upload:
    """Lets a body pass, up to so many bytes; beyond them the request breaks off."""

    __slots__ = ("_left", "is_too_large")

    def __init__(self, bound: int) -> None:
        self.is_too_large = False
        self._left = bound

    async def passing(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Give the body as it comes; raises ValueError in the middle of one that is too large."""
        async for piece in pieces:
            self._left -= len(piece)
            if self._left < 0:
                self.is_too_large = True
                raise ValueError("the body is too large")
            yield piece


def too_large(bound: int) -> Refusal:
    """What the client is told."""
    what = f"the request's body has more than {bound} bytes (admission.body_bytes)"
    return Refusal(413, "body_too_large", what, is_last=True)
