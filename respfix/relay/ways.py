"""Which upstream a request goes to, and by which rules: the routes of the configuration, made ready to travel."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from aiohttp import ClientSession

from respfix.config import Config, Listener, Route
from respfix.relay.session import session_for
from respfix.relay.upstream import Upstream
from respfix.tls import client_context


@dataclass(frozen=True, slots=True)
class Way:
    """Where some of the requests go."""

    route: Route
    upstream: Upstream
    session: ClientSession
    tls: ssl.SSLContext | None  # how to greet an https:// upstream

    @property
    def config(self) -> Config:
        """What applies to these requests."""
        return self.route.config

    def is_for(self, listener: Listener, raw_path: str) -> bool:
        """The request came in at the right address and asks for the right path; whole segments count."""
        if self.route.listen and listener not in self.route.listen:
            return False
        path, length = self.route.path, len(self.route.path)
        return not path or (raw_path.startswith(path) and raw_path[length : length + 1] in ("", "/", "?"))

    def target(self, raw_path: str) -> str:
        """The request target at the upstream, without the word that chose this way."""
        rest = raw_path[len(self.route.path) :]
        return self.upstream.target(rest if rest.startswith("/") else f"/{rest}")  # `/name?x=1` asks for `/?x=1`


def ways_of(config: Config) -> tuple[Way, ...]:
    """All ways, the most particular first; the last is for every request.

    Raises ConfigError for a file that cannot be used, and then opens nothing.
    """
    routes = [*config.routes, Route(config=config)]
    routes.sort(key=lambda route: (len(route.path), bool(route.listen)), reverse=True)
    upstreams = [Upstream.parse(route.config.upstream) for route in routes]
    contexts = [
        client_context(route.config.upstream_tls) if upstream.scheme == "https" else None
        for route, upstream in zip(routes, upstreams, strict=True)
    ]
    return tuple(
        Way(route, upstream, session_for(route.config, upstream, context), context)
        for route, upstream, context in zip(routes, upstreams, contexts, strict=True)
    )
