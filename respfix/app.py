"""Listens, serves, and stops politely.

start: bind -> refuse to be one's own upstream -> serve -> say so
stop:  close the door -> idle connections close -> running streams go on -> after `drain` they are ended -> gone
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, web
from aiohttp.http import RawRequestMessage

from respfix import __version__
from respfix.config import Address, Config
from respfix.journal import Journal, hush_foreign_loggers, log, place
from respfix.relay import Relay, refuse
from respfix.relay.refusal import Refusal
from respfix.relay.upstream import Upstream

# A bearer token with its claims may have 9 kB, and aiohttp's 8190 would refuse it; the same for answers.
HEADER_BYTES = 65536
HEADERS = 256
# With aiohttp's 128, 2,000 clients that connect at once took 40 s instead of 13 s, and some were reset.
BACKLOG = 4096
# How many complaints about malformed requests one second may hold; a scanner must not fill the disk.
COMPLAINTS = 10


class StartError(Exception):
    """respfix cannot start; the message is one line that says what to do."""


class Connection(web.RequestHandler):
    """One client's connection, which never repeats what it could not parse: aiohttp echoes it into answer and log."""

    __slots__ = ()

    _second = 0
    _complaints = 0

    def data_received(self, data: bytes) -> None:
        """Take bytes; if they break the body that is being read, say so to who reads it, who would wait for ever."""
        super().data_received(data)
        if self._messages and not isinstance(self._messages[-1][0], RawRequestMessage):
            current = self._current_request
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
        self._complain(status, exc)
        if request.writer.output_size > 0:
            raise ConnectionResetError("the answer has begun and cannot become an error")
        if status < 500:  # noqa: PLR2004 (HTTP's own border)
            refusal = Refusal(status, "bad_request", "the request is malformed; nothing was sent on")
        else:
            refusal = Refusal(status, "internal_error", "something went wrong here; its log says where")
        return refuse(refusal, is_last=True)

    @classmethod
    def _complain(cls, status: int, error: BaseException | None) -> None:
        second = int(time.monotonic())
        cls._complaints = cls._complaints + 1 if second == cls._second else 1
        cls._second = second
        if cls._complaints <= COMPLAINTS:
            log.warning("answered %d: %s", status, place(error) if error else "no reason known")

    @property
    def is_idle(self) -> bool:
        """Waits for a request."""
        return self._current_request is None and not self._messages


class Server(web.Server):
    """Makes connections with exactly the settings given: aiohttp's own drops all of them if it does not know one."""

    def __call__(self) -> Connection:
        """Make the protocol of a new connection."""
        return Connection(self, loop=self._loop, **self._kwargs)


def session_for(config: Config) -> ClientSession:
    """The client side: as little as possible of what a client library adds, follows, remembers or limits."""
    timeouts = config.timeouts
    connector = TCPConnector(
        limit=0,  # with the default of 100, the 101st stream hangs without an error
        # Below the 5 s after which Node and uvicorn close an idle connection; a POST that meets the close is lost.
        **(
            {"keepalive_timeout": timeouts.upstream_keepalive} if timeouts.upstream_keepalive else {"force_close": True}
        ),
    )
    return ClientSession(
        connector=connector,
        timeout=ClientTimeout(total=None, connect=timeouts.connect or None, sock_read=None),
        cookie_jar=DummyCookieJar(),  # a shared jar gives one user's cookies to the next
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        max_line_size=HEADER_BYTES,
        max_field_size=HEADER_BYTES,
        max_headers=HEADERS,
    )


def server_for(config: Config, relay: Relay) -> Server:
    """The server side."""
    return Server(
        relay,
        handler_cancellation=True,  # a client's disconnect is seen in a millisecond instead of at the next write
        auto_decompress=False,  # else the upstream gets an inflated body under the old Content-Encoding and length
        keepalive_timeout=config.timeouts.client_keepalive,
        max_line_size=HEADER_BYTES,
        max_field_size=HEADER_BYTES,
        max_headers=HEADERS,
        access_log=None,  # the default writes the query, and keys are found there
        logger=log.getChild("http"),
    )


class Service:
    """A respfix that listens."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._session = session_for(config)
        self.journal = Journal()
        self._relay = Relay(config, self._session, self.journal)
        self._server = server_for(config, self._relay)
        self._runner = web.ServerRunner(self._server, shutdown_timeout=config.timeouts.grace)
        self._probe: asyncio.Task[None] | None = None

    async def start(self) -> Address:
        """Bind, and say where."""
        listen = self._config.listen
        await self._runner.setup()
        site = web.TCPSite(self._runner, listen.host, listen.port, backlog=BACKLOG)
        try:
            await site.start()
        except OSError as error:
            raise StartError(_why_not_bound(listen, error)) from None
        bound = Address(listen.host, self._runner.addresses[0][1])
        if await is_own_address(self._relay.upstream, self._runner.addresses):
            raise StartError(f"the upstream {self._relay.upstream} is respfix itself; set --upstream to the server")
        log.info("respfix %s listens on http://%s", __version__, bound)
        self._probe = asyncio.create_task(probe(self._relay.upstream, self._config.timeouts.connect))
        return bound

    async def stop(self, drain: float) -> None:
        """Close the door, wait for those inside, and go."""
        if self._probe is not None:
            self._probe.cancel()
        for site in self._runner.sites:
            await site.stop()
        for connection in self._server.connections:
            if isinstance(connection, Connection) and connection.is_idle:
                connection.force_close()
        await self._relay.drain(drain)
        await self._runner.cleanup()
        await self._session.close()

    def hurry(self, _: object = None) -> None:
        """End the streams that are still running."""
        self._relay.end_all()


def _why_not_bound(listen: Address, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{listen} is in use; stop what listens there (another respfix?) or choose another port with --listen"
    if error.errno == errno.EACCES:
        return f"not allowed to listen on {listen}; choose a port above 1023 with --listen"
    return f"cannot listen on {listen} ({error.strerror}); check --listen"


async def is_own_address(upstream: Upstream, bound: list[tuple[Any, ...]]) -> bool:
    """The upstream's name leads back to one of the sockets that are bound here: every request would loop for ever."""
    ports = {address[1] for address in bound}
    if upstream.port not in ports:
        return False
    try:
        found = await asyncio.get_running_loop().getaddrinfo(upstream.host, upstream.port, type=socket.SOCK_STREAM)
    except OSError:
        return False  # no such name yet; the probe will say so
    hosts = {address[0] for address in bound if address[1] == upstream.port}
    everywhere = bool(hosts & {"0.0.0.0", "::"})  # noqa: S104 (compared, not bound)
    return any(info[4][0] in hosts or (everywhere and _is_local(info[0], str(info[4][0]))) for info in found)


def _is_local(family: int, host: str) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as probe_socket:
        try:
            probe_socket.bind((host, 0))  # only an address of this machine can be bound
        except OSError:
            return False
    return True


async def probe(upstream: Upstream, seconds: float) -> None:
    """Say whether anybody listens at the upstream; respfix works either way, as soon as somebody does."""
    try:
        async with asyncio.timeout(seconds or None):
            _, writer = await asyncio.open_connection(upstream.host, upstream.port)
    except (OSError, TimeoutError) as error:
        reason = error.strerror or "no answer"
        log.warning("upstream %s is not reachable (%s); requests get a 502 until it is", upstream, reason)
        return
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    log.info("upstream %s is reachable", upstream)


@contextlib.asynccontextmanager
async def started(config: Config) -> AsyncIterator[tuple[Service, Address]]:
    """A service for the time of a block, drained at its end."""
    hush_foreign_loggers()
    service = Service(config)
    try:
        address = await service.start()
    except BaseException:
        await service.stop(0)
        raise
    try:
        yield service, address
    finally:
        await service.stop(config.timeouts.drain)


@contextlib.asynccontextmanager
async def running(config: Config) -> AsyncIterator[Address]:
    """A respfix for the time of a block; gives the address it is bound to."""
    async with started(config) as (_, address):
        yield address


async def serve(config: Config, *, ready: Callable[[Address], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a second signal ends the streams that are still running."""
    stop, hurry = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (hurry if stop.is_set() else stop).set()

    with on_signals(on_signal):
        async with started(config) as (service, address):
            if ready:
                ready(address)
            await stop.wait()
            log.info("stopping; running streams have %g s, a second signal ends them now", config.timeouts.drain)
            hurrying = asyncio.ensure_future(hurry.wait())
            hurrying.add_done_callback(service.hurry)
        hurrying.cancel()
    log.info("stopped")


@contextlib.contextmanager
def on_signals(react: Callable[[], None]) -> Iterator[None]:
    """Call this on SIGTERM and SIGINT for the time of a block; on Windows SIGINT raises KeyboardInterrupt instead."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT) if sys.platform != "win32" else ()
    for number in numbers:
        loop.add_signal_handler(number, react)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def raise_file_limit() -> None:
    """Allow as many open files as the system lets us: a stream takes two, and the soft limit is often 1024."""
    try:
        import resource  # noqa: PLC0415 (not everywhere)
    except ImportError:  # Windows
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS says "unlimited" and means 10240
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def run(config: Config) -> None:
    """Serve in an event loop of its own, uvloop's where it is installed."""
    raise_file_limit()
    try:
        import uvloop  # noqa: PLC0415 (not everywhere)
    except ImportError:
        asyncio.run(serve(config))
    else:
        uvloop.run(serve(config))
