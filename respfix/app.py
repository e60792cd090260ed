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
from typing import TYPE_CHECKING

from aiohttp import web

from respfix import __version__
from respfix.capture import Capture
from respfix.config import Address, Config, Listener
from respfix.config.changes import changed, kept
from respfix.edge import StartError, sockets
from respfix.edge.connection import Handler
from respfix.edge.door import Door
from respfix.edge.probe import is_own_address, probe, trouble_at
from respfix.journal import Journal, hush_foreign_loggers, log, write_as
from respfix.relay import Relay
from respfix.relay.guard import HostGuard
from respfix.relay.roll import Roll
from respfix.tls import server_context

if TYPE_CHECKING:
    from respfix.admin import About, Checks, Desk

# Seconds in which a connection that has just been accepted may say what it wants, before it counts as idle: over a
# restart behind a socket of systemd's, its request would otherwise be lost.
LAST_MOMENT = 0.05
# The same where not a word was said yet: a balancer connects for one request, and 50 ms pass on a busy machine.
FIRST_MOMENT = 1.0


class Service:
    """A respfix that listens."""

    def __init__(self, config: Config, handed: Iterable[socket.socket] = ()) -> None:
        """Take a configuration, and the sockets that the init system has opened for it."""
        self.config = config
        self.journal = Journal()
        self._capture = Capture(self.journal)
        self.roll = Roll()
        self.is_ready = False
        self._relay: Relay | None = None
        self._doors: dict[Listener, Door] = {}
        self._admin_doors: dict[Listener, Door] = {}
        self._gone: list[Door] = []  # shut, but somebody there is still being answered
        self._desk: Desk | None = None
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

    @property
    def admin_bound(self) -> list[Listener]:
        """Where operators look, likewise."""
        return [self._admin_doors[listener].bound for listener in self.config.admin.listen]

    async def start(self) -> None:
        """Bind, serve, and say where; raises StartError, or ConfigError for a file that cannot be used."""
        await self._become(self.config)
        if self._handed:
            strangers = ", ".join(str(sockets.said(each)) for each in self._handed)
            raise StartError(
                f"a socket was handed over for {strangers}; add that address to `listen`, or remove it there"
            )
        self.is_ready = True
        for listener in self.bound:
            log.info("respfix %s listens on %s", __version__, listener.url)
        for listener in self.admin_bound:
            log.info("its status is on %s", listener.url)
        self._probe()

    async def reload(self, config: Config) -> None:
        """Go on by this configuration, or raise as `start` does and go on as before.

        Running streams keep what they began with. Addresses that stay are not closed for a moment.
        """
        names = changed(self.config, config)
        await self._become(config)
        self.config = config
        write_as(config.log.format)
        log.info("the configuration is reloaded; changed: %s", ", ".join(names) or "nothing, but files were read again")
        for line in kept(names):
            log.warning("%s", line)
        self._probe()

    async def _become(self, config: Config) -> None:
        tls = server_context(config.tls)
        folder = Capture.folder_for(config.capture)
        _warn(config)
        relay = Relay(config, self.roll, self.journal, self._capture)
        before, fresh = [*self._doors.values(), *self._admin_doors.values()], list[Door]()
        try:
            doors = {each: self._doors.get(each) or self._new_door(each, config, fresh) for each in config.listeners}
            admin_doors = {
                each: self._admin_doors.get(each) or self._new_door(each, config, fresh, self._tend)
                for each in config.admin.listen
            }
            await self._refuse_loops(relay, [*before, *fresh])
        except BaseException:
            await self._shut(fresh)
            await relay.close()
            raise
        self._capture.configure(config.capture, folder)
        retired, self._relay = self._relay, relay
        self._doors, self._admin_doors = doors, admin_doors
        if admin_doors and self._desk is None:
            self._desk = self._new_desk()
        stay = [*doors.values(), *admin_doors.values()]
        for door in stay:
            door.configure(config, tls)
            await door.open()
        if gone := [door for door in before if door not in stay]:
            self._gone = [door for door in [*self._gone, *gone] if door.is_used]
            await self._shut(gone)
        if retired is not None:
            await retired.retire()

    def _new_door(self, listener: Listener, config: Config, fresh: list[Door], handler: Handler | None = None) -> Door:
        """One for clients, unless another handler is given, which then has its address for itself."""
        is_shared = config.reuse_port and handler is None
        setting = "admin.listen" if handler else "--listen" if listener in config.listen else "routes.listen"
        bound = sockets.listening(listener, self._handed, is_shared=is_shared, setting=setting)
        fresh.append(Door(listener, bound, handler or functools.partial(self._answer, listener), config))
        return fresh[-1]

    def _new_desk(self) -> Desk:
        # Here, because the metrics library takes 60 ms to load, and most do without.
        from respfix.admin import About, Desk  # noqa: PLC0415

        def about() -> About:
            upstreams = tuple(dict.fromkeys(str(way.upstream) for way in self.relay.ways))
            urls = tuple(listener.url for listener in self.bound)
            return About(__version__, self.config.repair, urls, upstreams, is_draining=not self.is_ready)

        def checks() -> Checks:
            return {str(way.upstream): functools.partial(trouble_at, way.upstream, way.tls) for way in self.relay.ways}

        def admits(host: str | None) -> bool:
            return HostGuard(self.config.admin.listen, self.config.hosts).admits(host)

        desk = Desk(self.journal, admits, about, checks)
        desk.start()
        return desk

    async def _tend(self, request: web.BaseRequest) -> web.StreamResponse:
        assert self._desk is not None  # noqa: S101 (it is made before its doors are opened)
        return await self._desk(request)

    async def _shut(self, doors: Iterable[Door]) -> None:
        """Accept nobody there any more; who waits for nothing has to go, who is being answered may stay until then."""
        doors = list(doors)
        for door in doors:
            self._handed += door.close()
        await asyncio.sleep(LAST_MOMENT)
        for door in doors:
            door.see_off(fresh=False)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_MOMENT - LAST_MOMENT):
                while any(door.is_fresh for door in doors):  # noqa: ASYNC110 (aiohttp tells nobody)
                    await asyncio.sleep(LAST_MOMENT)
        for door in doors:
            door.see_off(fresh=True)

    async def _answer(self, listener: Listener, request: web.BaseRequest) -> web.StreamResponse:
        is_last = not self.is_ready or listener not in self._doors
        return await self.relay.answer(request, listener, is_last=is_last)

    async def _refuse_loops(self, relay: Relay, doors: list[Door]) -> None:
        addresses = [address for door in doors for address in door.addresses]
        for way in relay.ways:
            if await is_own_address(way.upstream, addresses) or str(way.upstream) in {
                str(door.listener) for door in doors
            }:
                raise StartError(f"the upstream {way.upstream} is respfix itself; set --upstream to the server")

    def _probe(self) -> None:
        for task in self._probes:
            task.cancel()
        seen = {str(way.upstream): way for way in self.relay.ways}
        self._probes = {
            asyncio.create_task(probe(way.upstream, way.tls, way.config.timeouts.connect)) for way in seen.values()
        }

    async def stop(self, drain: float) -> None:
        """Close the doors, wait for those inside, and go; operators may look until the end."""
        self.is_ready = False
        for task in self._probes:
            task.cancel()
        await self._shut(self._doors.values())
        grace = self.config.timeouts.grace
        await self.roll.drain(drain, grace)
        await asyncio.gather(*(door.clear(grace) for door in [*self._doors.values(), *self._gone]))
        await self._shut(self._admin_doors.values())
        await asyncio.gather(*(door.clear(grace) for door in self._admin_doors.values()))
        if self._desk is not None:
            await self._desk.stop()
        await asyncio.to_thread(self._capture.close)
        for each in self._handed:
            each.close()
        if self._relay is not None:
            await self._relay.close()

    def hurry(self, _: object = None) -> None:
        """End the streams that are still running."""
        self.roll.end_all()


def _warn(config: Config) -> None:
    for listener in (*config.listeners, *config.admin.listen):
        if not listener.is_private and not (listener.is_tls and config.tls.client_ca):
            can = "see the status" if listener in config.admin.listen else "use the upstream"
            log.warning("whoever reaches %s can %s; listen on 127.0.0.1 if only this machine should", listener, can)


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
