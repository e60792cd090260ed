"""Listens, serves, reads its configuration anew, and stops politely.

start:  bind -> refuse to be one's own upstream -> serve -> say so
reload: read -> bind what is new -> from here on new requests go the new way -> shut what is gone
stop:   close the door -> idle connections close -> running streams go on -> after `drain` they are ended -> gone
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections.abc import AsyncIterator, Iterable

from aiohttp import web

from respfix import __version__
from respfix.config import Address, Config, Listener
from respfix.edge import StartError, sockets
from respfix.edge.door import Door
from respfix.edge.probe import is_own_address, probe
from respfix.journal import Journal, hush_foreign_loggers, log
from respfix.relay import Relay
from respfix.relay.roll import Roll
from respfix.tls import server_context


class Service:
    """A respfix that listens."""

    def __init__(self, config: Config, handed: Iterable[socket.socket] = ()) -> None:
        """Take a configuration, and the sockets that the init system has opened for it."""
        self.config = config
        self.journal = Journal()
        self.roll = Roll()
        self.is_ready = False
        self._relay: Relay | None = None
        self._doors: dict[Listener, Door] = {}
        self._handed = list(handed)
        self._probes: set[asyncio.Task[None]] = set()

    @property
    def relay(self) -> Relay:
        """Who answers the requests that come now."""
        assert self._relay is not None  # noqa: S101 (start() has set it)
        return self._relay

    @property
    def bound(self) -> list[Listener]:
        """Where clients connect, with the ports that the system chose."""
        return [self._doors[listener].bound for listener in self.config.listeners]

    @property
    def address(self) -> Address:
        """The first TCP address of these."""
        return next(listener for listener in self.bound if isinstance(listener, Address))

    async def start(self) -> None:
        """Bind, serve, and say where; raises StartError, or ConfigError for a file that cannot be used."""
        await self._become(self.config)
        self.is_ready = True
        for listener in self.bound:
            log.info("respfix %s listens on %s", __version__, listener.url)
        self._probe()

    async def reload(self, config: Config) -> None:
        """Go on by this configuration, or raise as `start` does and go on as before.

        Running streams keep what they began with. Addresses that stay are not closed for a moment.
        """
        await self._become(config)
        self.config = config
        log.info("the configuration is reloaded; running streams go on as they began")
        self._probe()

    async def _become(self, config: Config) -> None:
        tls = server_context(config.tls)
        relay = Relay(config, self.roll, self.journal)
        fresh: dict[Listener, Door] = {}
        try:
            for listener in config.listeners:
                if listener not in self._doors:
                    bound = sockets.listening(listener, self._handed, is_shared=config.reuse_port)
                    fresh[listener] = Door(listener, bound, functools.partial(self._answer, listener), config)
            await self._refuse_loops(relay, {**self._doors, **fresh})
        except BaseException:
            self._shut(fresh.values())
            await relay.close()
            raise
        before, self._relay = self._relay, relay
        gone = [door for listener, door in self._doors.items() if listener not in config.listeners]
        self._doors = {listener: self._doors.get(listener) or fresh[listener] for listener in config.listeners}
        for door in self._doors.values():
            await door.open(config, tls)
        self._shut(gone)
        if before is not None:
            await before.retire()

    def _shut(self, doors: Iterable[Door]) -> None:
        for door in doors:
            self._handed += door.shut()

    async def _answer(self, listener: Listener, request: web.BaseRequest) -> web.StreamResponse:
        return await self.relay.answer(request, listener, is_last=listener not in self._doors)

    async def _refuse_loops(self, relay: Relay, doors: dict[Listener, Door]) -> None:
        addresses = [address for door in doors.values() for address in door.addresses]
        for way in relay.ways:
            if await is_own_address(way.upstream, addresses) or str(way.upstream) in map(str, doors):
                raise StartError(f"the upstream {way.upstream} is respfix itself; set --upstream to the server")

    def _probe(self) -> None:
        for task in self._probes:
            task.cancel()
        seen = {str(way.upstream): way for way in self.relay.ways}
        self._probes = {asyncio.create_task(probe(way.upstream, way.config.timeouts.connect)) for way in seen.values()}

    async def stop(self, drain: float) -> None:
        """Close the doors, wait for those inside, and go."""
        self.is_ready = False
        for task in self._probes:
            task.cancel()
        self._shut(self._doors.values())
        grace = self.config.timeouts.grace
        await self.roll.drain(drain, grace)
        await asyncio.gather(*(door.clear(grace) for door in self._doors.values()))
        if self._relay is not None:
            await self._relay.close()

    def hurry(self, _: object = None) -> None:
        """End the streams that are still running."""
        self.roll.end_all()


@contextlib.asynccontextmanager
async def started(config: Config, handed: Iterable[socket.socket] = ()) -> AsyncIterator[Service]:
    """A service for the time of a block, drained at its end."""
    hush_foreign_loggers()
    service = Service(config, handed)
    try:
        await service.start()
    except BaseException:
        await service.stop(0)
        raise
    try:
        yield service
    finally:
        await service.stop(service.config.timeouts.drain)


@contextlib.asynccontextmanager
async def running(config: Config) -> AsyncIterator[Address]:
    """A respfix for the time of a block; gives the TCP address it is bound to."""
    async with started(config) as service:
        yield service.address
