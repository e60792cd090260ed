"""A request's body on its way up: counted where there is a bound on it, and not waited for without end.

The client is waited for only until the answer begins. From there on it is the upstream's business whether it wants the
rest: some servers refuse a body, or begin to answer it, before they have all of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from respfix.relay.refusal import Refusal


class Upload:
    """Lets a body pass, up to so many bytes (0: any number); beyond them the request breaks off. Must be closed."""

    __slots__ = (
        "_at",
        "_bound",
        "_is_waiting",
        "_left",
        "_on_stall",
        "_patience",
        "_watch",
        "is_stalled",
        "is_too_large",
    )

    def __init__(self, bound: int, patience: float, on_stall: Callable[[], None]) -> None:
        """`on_stall` is called when the client has sent nothing for so many seconds although more is to come."""
        self.is_too_large = False
        self.is_stalled = False
        self._bound = self._left = bound
        self._patience = patience
        self._on_stall = on_stall
        self._is_waiting = False  # for the client; not while the upstream takes slowly what is there
        self._at = 0.0  # when that changed, by the loop's clock
        self._watch: asyncio.TimerHandle | None = None

    async def passing(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Give the body as it comes; raises ValueError in the middle of one that is too large."""
        loop = asyncio.get_running_loop()
        if self._patience:
            # One timer for all pieces, as in `Patience`.
            self._watch = loop.call_later(self._patience, self._look)
        self._is_waiting, self._at = True, loop.time()
        async for piece in pieces:
            self._is_waiting, self._at = False, loop.time()
            self._left -= len(piece)
            if self._bound and self._left < 0:
                self.is_too_large = True
                raise ValueError("the body is too large")
            yield piece
            self._is_waiting, self._at = True, loop.time()
        self._is_waiting, self._at = False, loop.time()
        self.close()

    @property
    def sent_at(self) -> float:
        """When the upstream got its last piece; as long as the client keeps it waiting, now."""
        return asyncio.get_running_loop().time() if self._is_waiting else self._at

    def close(self) -> None:
        """Let the client take its time from here on."""
        if self._watch is not None:
            self._watch.cancel()

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        due = (self._at if self._is_waiting else now) + self._patience
        if due <= now:
            self.is_stalled = True
            self._on_stall()
        else:
            self._watch = loop.call_at(due, self._look)

    def refusal(self) -> Refusal | None:
        """What the client is told if the body is at fault."""
        if self.is_too_large:
            return too_large(self._bound)
        if self.is_stalled:
            what = f"the request's body stopped in the middle: no byte came for {self._patience:g} s (timeouts.idle)"
            return Refusal(
                408, "request_timeout", f"{what}; look at the client, and at what is on its way here", is_last=True
            )
        return None


def too_large(bound: int) -> Refusal:
    """What the client is told."""
    what = f"the request's body has more than {bound} bytes (admission.body_bytes)"
    return Refusal(413, "body_too_large", what, is_last=True)
