"""What everybody who works on one request needs to know."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field

from aiohttp import web

from respfix.capture import Capture
from respfix.config import Config, Listener
from respfix.journal import Entry
from respfix.relay.guard import HostGuard
from respfix.relay.headers import is_websocket
from respfix.relay.hearing import Hearing
from respfix.relay.patience import Patience
from respfix.relay.resume import Resume
from respfix.relay.roll import Roll
from respfix.relay.upstream import Upstream, is_responses
from respfix.relay.ways import Way
from respfix.stream import Asked, Options


@dataclass(frozen=True, slots=True)
class Trip:
    """One request on its way."""

    way: Way
    guard: HostGuard
    roll: Roll
    listener: Listener  # where it came in
    client: str  # whose it is, for counting
    request: web.BaseRequest
    entry: Entry
    patience: Patience
    capture: Capture
    is_last: bool  # nobody listens there any more: this connection ends with this answer
    hearing: Hearing = field(default_factory=Hearing)

    @property
    def config(self) -> Config:
        """What applies to this request."""
        return self.way.config

    @property
    def upstream(self) -> Upstream:
        """Where it goes."""
        return self.way.upstream

    @property
    def may_mend(self) -> bool:
        """The answer, if it is a stream, is one to look at."""
        is_response = is_responses(self.request.method, self.request.raw_path)
        return self.config.repair != "off" and (is_response or self.resume is not None)

    @property
    def resume(self) -> Resume | None:
        """It asks for the rest of a stream."""
        is_wanted = self.config.repair == "on" and self.config.resume
        return Resume.asked(self.request.method, self.request.raw_path) if is_wanted else None

    @property
    def may_converse(self) -> bool:
        """It asks for a WebSocket that carries responses."""
        request = self.request
        return (
            self.config.repair != "off"
            and is_websocket(request.method, request.headers)
            and is_responses("POST", request.raw_path)
        )

    @property
    def credentials(self) -> list[tuple[str, str]]:
        """The headers that the upstream got, or could have; in them are the secrets that it may repeat."""
        authorization = self.upstream.authorization
        return [*self.request.headers.items(), *([("Authorization", authorization)] if authorization else [])]

    def options(self, asked: Asked | None = None) -> Options:
        """How the answer is to be mended."""
        return Options(
            seed=self.resume.response if self.resume else secrets.token_hex(12),
            now=int(time.time()),
            dialect=self.entry.dialect or "default",
            off=frozenset(self.config.disable),
            on=frozenset(self.config.enable),
            limits=self.config.limits,
            asked=asked or Asked(),
        )
