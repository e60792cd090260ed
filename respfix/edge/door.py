"""One listener: its sockets, the connections that came in there, and who answers them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import sys
from typing import Any

from respfix.config import Address, Config, Listener
from respfix.edge.connection import Connection, Handler, server_for
from respfix.edge.sockets import Bound
from respfix.tls import Renewable

# With aiohttp's 128, 2,000 clients that connect at once took 40 s instead of 13 s, and some were reset.
BACKLOG = 4096


class Door:
    """Opened, perhaps given other settings, and shut."""

    def __init__(self, listener: Listener, bound: list[Bound], handler: Handler, config: Config) -> None:
        self.listener = listener
        self._bound = bound
        self._server = server_for(config, handler)
        self._tls = Renewable(Connection.complain_of_greeting) if listener.is_tls else None
        self._accepting: list[asyncio.Server] = []
        self._late: set[asyncio.Task[Any]] = set()  # who came last
        self.bound = listener  # with the port that the system chose; it is still asked for when the door is shut
        if isinstance(listener, Address):
            self.bound = Address(listener.host, bound[0].socket.getsockname()[1], listener.is_tls)

    @property
    def addresses(self) -> list[tuple[Any, ...]]:
        """The addresses of its sockets as the system says them; a unix socket has none."""
        return [each.socket.getsockname() for each in self._bound if isinstance(self.listener, Address)]

    @property
    def is_used(self) -> bool:
        """Somebody is connected."""
        return bool(self._server.connections)

    def configure(self, config: Config, tls: ssl.SSLContext | None) -> None:
        """Let the connections that come from now on have these settings; those that are there keep theirs."""
        self._server.configure(config)
        if self._tls is not None:
            self._tls.current = tls

    async def open(self) -> None:
        """Accept connections; doing it twice changes nothing."""
        if not self._accepting:
            self._accepting = [await self._accept(each.socket.dup()) for each in self._bound]

    async def _accept(self, copy: socket.socket) -> asyncio.Server:
        # A copy, because a server closes what it was given, and a socket that was handed over may be needed again.
        loop = asyncio.get_running_loop()
        if isinstance(self.listener, Address):
            return await loop.create_server(self._server, sock=copy, ssl=self._tls, backlog=BACKLOG)
        # asyncio would take the name away when it closes the copy; uvloop does not, and does not know the word.
        if sys.version_info >= (3, 13) and isinstance(loop, asyncio.SelectorEventLoop):
            return await loop.create_unix_server(self._server, sock=copy, backlog=BACKLOG, cleanup_socket=False)
        return await loop.create_unix_server(self._server, sock=copy, backlog=BACKLOG)

    def close(self) -> list[socket.socket]:
        """Accept nobody any more; gives back the sockets that are not respfix's own."""
        for server in self._accepting:
            _end(server)
        for each in self._bound:
            if each.is_ours:
                each.shut_out()
                self._let_in(each.socket)
                each.close()
        return [each.socket for each in self._bound if not each.is_ours]

    def _let_in(self, listening: socket.socket) -> None:
        """Take whoever has connected already: the system resets them when the socket is closed.

        nginx gave a client a 502 for that, once in 170 requests, while two instances were replaced under load.
        """
        loop = asyncio.get_running_loop()
        listening.settimeout(0)
        with contextlib.suppress(OSError):  # nobody is waiting, or nobody ever could
            while True:
                came, _ = listening.accept()
                came.settimeout(0)
                task = loop.create_task(loop.connect_accepted_socket(self._server, came, ssl=self._tls))
                self._late.add(task)
                task.add_done_callback(self._greeted)

    def _greeted(self, task: asyncio.Task[Any]) -> None:
        self._late.discard(task)
        if not task.cancelled():
            task.exception()  # of a greeting over TLS; the connection complains by itself

    @property
    def is_fresh(self) -> bool:
        """Somebody has come and said nothing yet."""
        return any(isinstance(each, Connection) and each.is_fresh for each in self._server.connections)

    def see_off(self, *, fresh: bool) -> None:
        """Close the connections that wait for nothing, also those that are fresh if so said."""
        for connection in self._server.connections:
            if isinstance(connection, Connection) and connection.is_idle and (fresh or not connection.is_fresh):
                connection.force_close()

    async def clear(self, seconds: float) -> None:
        """Close every connection, those in the middle of something after so many seconds."""
        self._server.pre_shutdown()
        await self._server.shutdown(seconds)


def _end(server: asyncio.Server) -> None:
    loop = asyncio.get_running_loop()
    if isinstance(loop, asyncio.SelectorEventLoop):
        # It begins a connection in the turn after the one that accepted it, and drops it if the server is closed then.
        for each in server.sockets:
            loop.remove_reader(each.fileno())
        loop.call_soon(loop.call_soon, server.close)
    else:
        server.close()
