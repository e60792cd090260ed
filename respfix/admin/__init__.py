"""For those who look after respfix: is it alive, can it take requests, what does it count, what does it do.

A listener of its own, so that no path is taken from the upstream and nothing of this is seen by clients. It reads the
journal and answers; it changes nothing, and no key, header, query or body is ever in what it reads.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from aiohttp import web

from respfix.admin.about import About
from respfix.admin.health import Checks, Health
from respfix.admin.metrics import Exposition, Numbers
from respfix.admin.page import PAGE, POLICY
from respfix.admin.pulse import Pulse
from respfix.admin.status import status
from respfix.journal import Journal

__all__ = ["About", "Checks", "Desk"]

ALWAYS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "respfix",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Desk:
    """Answers every request that the admin listener gets."""

    def __init__(
        self,
        journal: Journal,
        admits: Callable[[str | None], bool],
        about: Callable[[], About],
        checks: Callable[[], Checks],
    ) -> None:
        """`admits` decides by the Host header. All are asked each time, because a reload changes what they tell."""
        self._journal = journal
        self._admits = admits
        self._about = about
        self._health = Health(checks)
        self._pulse = Pulse()
        self._exposition = Exposition(Numbers(journal, self._pulse, about, self._health.known))
        self._routes: dict[str, Callable[[web.BaseRequest], Awaitable[web.Response]]] = {
            "/": self._page,
            "/healthz": self._alive,
            "/metrics": self._metrics,
            "/readyz": self._ready,
            "/status.json": self._status,
        }

    def start(self) -> None:
        """Begin to measure how late the event loop is."""
        self._pulse.start()

    async def stop(self) -> None:
        """Measure and check no more."""
        await self._pulse.stop()
        await self._health.close()

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        """Answer one request; the handler of the server."""
        answer = await self._answer(request)
        answer.headers.update(ALWAYS)
        return answer

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        if not self._admits(request.headers.get("Host")):
            return _text("this Host header is not a name that respfix has; add the name to `hosts`", 403)
        if request.method not in ("GET", "HEAD"):
            return _text("this only answers; ask with GET", 405, {"Allow": "GET, HEAD"})
        path = request.raw_path.partition("?")[0]
        if path not in self._routes:
            return _text(f"nothing is here; try {', '.join(self._routes)}", 404)
        return await self._routes[path](request)

    async def _page(self, _: web.BaseRequest) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    async def _alive(self, _: web.BaseRequest) -> web.Response:
        """It answers, so it lives; also while it is stopping, or it would be killed in the middle of that."""
        return _text("alive")

    async def _ready(self, _: web.BaseRequest) -> web.Response:
        """Requests can be taken: respfix is not stopping, and somebody is there to answer them."""
        if self._about().is_draining:
            return _text("stopping: running streams may end, new requests get a 503", 503)
        troubles = await self._health.troubles()
        lines = [f"{upstream}: {trouble or 'reachable'}" for upstream, trouble in troubles.items()]
        # With one of several upstreams gone, respfix can still serve the others, and nobody else could serve that one.
        is_ready = not troubles or not all(troubles.values())
        return _text("\n".join(["ready" if is_ready else "not ready", *lines]), 200 if is_ready else 503)

    async def _metrics(self, request: web.BaseRequest) -> web.Response:
        await self._health.troubles()
        body, content_type = self._exposition.write(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _status(self, _: web.BaseRequest) -> web.Response:
        facts = status(self._journal, self._about(), await self._health.troubles(), self._pulse)
        return web.Response(text=json.dumps(facts, separators=(",", ":")), content_type="application/json")


def _text(text: str, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(text=text + "\n", status=status, headers=headers)
