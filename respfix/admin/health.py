"""Can requests be taken? Asked by load balancers and by the status page, as often as they like.

An upstream is asked by connecting to it and leaving again: that costs it nothing, starts no model and needs no key.
However often readiness is asked, an upstream hears of it once in a few seconds at most, and nobody waits long.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

FRESH = 5.0  # seconds for which an answer counts; a Kubernetes probe asks every ten
PATIENCE = 2.0  # seconds; a server that takes no connection in this time takes no request either

Checks = Mapping[str, Callable[[], Awaitable[str]]]
"""How each upstream is asked; the answer is why it cannot be reached, or an empty text."""


class Health:
    """Knows which upstreams can be reached."""

    def __init__(self, checks: Callable[[], Checks]) -> None:
        """`checks` gives those of the upstreams that are configured now."""
        self._checks = checks
        self._found: dict[str, str] = {}
        self._fresh_until = 0.0
        self._looking: asyncio.Task[None] | None = None

    async def troubles(self) -> dict[str, str]:
        """Every upstream, and why it cannot be reached; empty where it can. A few seconds old at most."""
        if time.monotonic() >= self._fresh_until:
            if self._looking is None:
                self._looking = asyncio.create_task(self._look())
            await asyncio.shield(self._looking)  # whoever asked first may leave, the others still want to know
        return self._found

    def known(self) -> dict[str, str]:
        """What was found when it was last looked at."""
        return self._found

    async def close(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _look(self) -> None:
        try:
            checks = self._checks()
            found = await asyncio.gather(*(_patiently(check()) for check in checks.values()))
            self._found = dict(zip(checks, found, strict=True))
            self._fresh_until = time.monotonic() + FRESH
        finally:
            self._looking = None


async def _patiently(check: Awaitable[str]) -> str:
    try:
        async with asyncio.timeout(PATIENCE):
            return await check
    except TimeoutError:
        return f"no connection within {PATIENCE:g} s"
