"""One listener: its sockets, the connections that came in there, and who answers them."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from typing import Any

from respfix.config import Address, Config, Listener
from respfix.edge.connection import Connection, Handler, server_for
from respfix.edge.sockets import Bound

# With aiohttp's 128, 2,000 clients that connect at once took 40 s instead of 13 s, and some were reset.
BACKLOG = 4096


class Door:
    """Opened, perhaps opened anew with other settings, and shut."""

    def __init__(self, listener: Listener, bound: list[Bound], handler: Handler, config: Config) -> None:
        self.listener = listener
        self._bound = bound
        self._server = server_for(config, handler)
        self._accepting: list[asyncio.Server] = []
        self.bound = listener  # with the port that the system chose; it is still asked for when the door is shut
        if isinstance(listener, Address):
            self.bound = Address(listener.host, bound[0].socket.getsockname()[1], listener.is_tls)

    @property
    def addresses(self) -> list[tuple[Any, ...]]:
        """The addresses of its sockets as the system says them; a unix socket has none."""
        return [each.socket.getsockname() for each in self._bound if isinstance(self.listener, Address)]

    async def open(self, config: Config, tls: ssl.SSLContext | None) -> None:
        """From now on accept connections with these settings; those that are there keep theirs."""
        self._server.configure(config)
        before, self._accepting = self._accepting, [await self._accept(each, tls) for each in self._bound]
        for each in before:
            each.close()

    async def _accept(self, bound: Bound, tls: ssl.SSLContext | None) -> asyncio.Server:
        # A copy, because a server closes what it was given, and the kernel shall go on queueing connections.
        loop, copy = asyncio.get_running_loop(), bound.socket.dup()
        if isinstance(self.listener, Address):
            context = tls if self.listener.is_tls else None
            return await loop.create_server(self._server, sock=copy, ssl=context, backlog=BACKLOG)
        # asyncio would take the name away when it closes the copy; uvloop does not, and does not know the word.
        if sys.version_info >= (3, 13) and isinstance(loop, asyncio.SelectorEventLoop):
            return await loop.create_unix_server(self._server, sock=copy, backlog=BACKLOG, cleanup_socket=False)
        return await loop.create_unix_server(self._server, sock=copy, backlog=BACKLOG)

    def shut(self) -> list[socket.socket]:
        """Accept nobody any more: who waits for nothing has to go, who is being answered may stay until that is done.

        Gives back the sockets that are not respfix's own.
        """
        for server in self._accepting:
            server.close()
        for each in self._bound:
            if each.is_ours:
                each.close()
        for connection in self._server.connections:
            if isinstance(connection, Connection) and connection.is_idle:
                connection.force_close()
        return [each.socket for each in self._bound if not each.is_ours]

    async def clear(self, seconds: float) -> None:
        """Close what is still open behind a shut door, those in the middle of something after so many seconds."""
        await asyncio.sleep(0)  # what was accepted in this turn has begun
        self._server.pre_shutdown()
        await self._server.shutdown(seconds)
