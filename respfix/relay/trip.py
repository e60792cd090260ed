"""What everybody who works on one request needs to know."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import ClientSession, web

from respfix.config import Config
from respfix.journal import Entry
from respfix.relay.guard import HostGuard
from respfix.relay.patience import Patience
from respfix.relay.upstream import Upstream, is_responses


@dataclass(frozen=True, slots=True)
class Trip:
    """One request on its way."""

    config: Config
    upstream: Upstream
    guard: HostGuard
    session: ClientSession
    request: web.BaseRequest
    entry: Entry
    patience: Patience
    is_last: bool  # respfix is stopping: this connection ends with this answer

    @property
    def may_mend(self) -> bool:
        """The answer, if it is a stream, is one to look at."""
        return self.config.repair != "off" and is_responses(self.request.method, self.request.raw_path)
