"""The server side of aiohttp: one client's connection, and what makes connections."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.http import RawRequestMessage

from respfix.config import Config
from respfix.journal import log, place
from respfix.relay import refuse
from respfix.relay.refusal import Refusal

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

HEADERS = 256
TLS_HELLO = b"\x16\x03"  # a handshake record of TLS 1.x
# How many complaints about malformed requests one second may hold; a scanner must not fill the disk.
COMPLAINTS = 10
# What the system may keep for a client that reads slowly, beyond what is on its way. Linux's 4 MiB made such a stream
# cost 5.2 MiB, because the text in them is remembered; with this it is 1.2 MiB.
UNSENT_BYTES = 65536


class Connection(web.RequestHandler):
    """One client's connection, which never repeats what it could not parse: aiohttp echoes it into answer and log."""

    __slots__ = ("_is_greeting",)

    _second = 0
    _complaints = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; a client that reads slowly shall hold back its upstream, not fill the system's memory."""
        super().connection_made(transport)
        self._is_greeting = False  # the client speaks TLS, and nobody told it not to
        connection = transport.get_extra_info("socket")
        if connection is not None and connection.family != socket.AF_UNIX and hasattr(socket, "TCP_NOTSENT_LOWAT"):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)

    def data_received(self, data: bytes) -> None:
        """Take bytes; if they break the body that is being read, say so to who reads it, who would wait for ever."""
        super().data_received(data)
        if self._messages and not isinstance(self._messages[-1][0], RawRequestMessage):
            current = self._current_request
            self._is_greeting = data.startswith(TLS_HELLO) and current is None
            body = self._messages[-2][1] if len(self._messages) > 1 else current.content if current else None
            if body is not None and not body.is_eof():
                body.set_exception(web.RequestPayloadError("the body is not framed as it says"))

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 (quotes the request)
    ) -> web.StreamResponse:
        """Answer a malformed request, or a fault of respfix's own."""
        if self._is_greeting:
            self.complain("a client speaks TLS where respfix listens without; write http:// in its base URL")
        else:
            self.complain(f"answered {status}: {place(exc) if exc else 'no reason known'}")
        if request.writer.output_size > 0:
            raise ConnectionResetError("the answer has begun and cannot become an error")
        if status < 500:  # noqa: PLR2004 (HTTP's own border)
            refusal = Refusal(status, "bad_request", "the request is malformed; nothing was sent on")
        else:
            refusal = Refusal(status, "internal_error", "something went wrong here; its log says where")
        return refuse(refusal, is_last=True)

    @classmethod
    def complain(cls, what: str) -> None:
        """Log that a client could not be understood, unless there were too many of these."""
        second = int(time.monotonic())
        cls._complaints = cls._complaints + 1 if second == cls._second else 1
        cls._second = second
        if cls._complaints <= COMPLAINTS:
            log.warning("%s", what)

    @classmethod
    def complain_of_greeting(cls, error: ssl.SSLError) -> None:
        """Log why a client and respfix did not come to terms about TLS."""
        reason = (error.reason or "no reason known").replace("_", " ").lower()
        advice = "; write https:// in its base URL" if reason == "http request" else ""
        cls.complain(f"a client could not be greeted over TLS: {reason}{advice}")

    @property
    def is_idle(self) -> bool:
        """Waits for a request."""
        return self._current_request is None and not self._messages

    @property
    def is_fresh(self) -> bool:
        """Waits for its first one, which may be on its way: nobody connects in order to say nothing."""
        return self.is_idle and self._request_count == 0


class Server(web.Server):
    """Makes connections with exactly the settings given: aiohttp's own drops all of them if it does not know one."""

    def __call__(self) -> Connection:
        """Make the protocol of a new connection."""
        return Connection(self, loop=self._loop, **self._kwargs)

    def configure(self, config: Config) -> None:
        """Give these settings to the connections that come from now on."""
        self._kwargs = settings(config)


def settings(config: Config) -> dict[str, Any]:
    """What aiohttp is told about a connection."""
    return {
        "auto_decompress": False,  # else the upstream gets an inflated body under the old Content-Encoding and length
        "keepalive_timeout": config.timeouts.client_keepalive,
        "max_line_size": config.admission.header_bytes,
        "max_field_size": config.admission.header_bytes,
        "max_headers": HEADERS,
        "access_log": None,  # the default writes the query, and keys are found there
        "logger": log.getChild("http"),
    }


def server_for(config: Config, handler: Handler) -> Server:
    """The server side, for one listener."""
    # With handler_cancellation a client's disconnect is seen in a millisecond instead of at the next write.
    return Server(handler, handler_cancellation=True, **settings(config))
