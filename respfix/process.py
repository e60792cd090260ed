"""One process: its signals, its event loop, and the init system that watches over it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping

from respfix.app import Service, started
from respfix.config import Config, ConfigError
from respfix.edge import StartError
from respfix.edge.notify import Notifier
from respfix.edge.sockets import inherited
from respfix.journal import log, place

Load = Callable[[], Config]


async def serve(config: Config, *, again: Load | None = None, ready: Callable[[Service], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a second signal ends the streams that are still running.

    On SIGHUP the configuration is read `again`; where it cannot be used, the old one stays and the log says why.
    Raises StartError or ConfigError if it cannot begin.
    """
    stop, hurry, hang_up = asyncio.Event(), asyncio.Event(), asyncio.Event()
    notifier = Notifier()

    def on_stop() -> None:
        (hurry if stop.is_set() else stop).set()

    with on_signals({signal.SIGTERM: on_stop, signal.SIGINT: on_stop, HANG_UP: hang_up.set}):
        async with started(config, inherited(os.environ)) as service:
            if ready:
                ready(service)
            notifier.ready(_status(service))
            watching = [
                asyncio.create_task(_keep_reloading(service, again or (lambda: config), hang_up, notifier)),
                asyncio.create_task(_keep_alive(notifier)),
            ]
            await stop.wait()
            watching[0].cancel()
            drain = service.config.timeouts.drain
            notifier.stopping(f"{len(service.roll)} running requests have {drain:g} s")
            log.info("stopping; running streams have %g s, a second signal ends them now", drain)
            hurrying = asyncio.ensure_future(hurry.wait())
            hurrying.add_done_callback(service.hurry)
        hurrying.cancel()
        watching[1].cancel()
    log.info("stopped")


def _status(service: Service, trouble: str = "") -> str:
    ways = ", ".join(str(way.upstream) for way in service.relay.ways)
    return f"listens on {', '.join(each.url for each in service.bound)} for {ways}{trouble}"


async def _keep_reloading(service: Service, again: Load, hang_up: asyncio.Event, notifier: Notifier) -> None:
    while True:
        await hang_up.wait()
        hang_up.clear()
        notifier.reloading()
        trouble = ""
        try:
            await service.reload(again())
            _say_what_is_a_copy(service.config)
        except (ConfigError, StartError) as error:
            log.error("not reloaded, respfix goes on as before: %s", error)
            trouble = f"; not reloaded: {error}"
        except Exception as error:  # noqa: BLE001 (a fault of ours, which must not end what runs, nor reloading itself)
            log.error("not reloaded, respfix goes on as before: %s", place(error))
            trouble = "; not reloaded: a fault of respfix's own, see its log"
        notifier.ready(_status(service, trouble))


def _say_what_is_a_copy(config: Config) -> None:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    for file in (config.tls.certificate, config.tls.key, config.tls.client_ca):
        if folder and file and file.path.is_relative_to(folder):
            log.warning("%s is a copy that systemd made at the start; a renewed one needs a restart", file)


async def _keep_alive(notifier: Notifier) -> None:
    while notifier.heartbeat:
        notifier.alive()
        await asyncio.sleep(notifier.heartbeat)


HANG_UP = getattr(signal, "SIGHUP", None)  # Windows has none


@contextlib.contextmanager
def on_signals(reactions: Mapping[signal.Signals | None, Callable[[], None]]) -> Iterator[None]:
    """React to signals for the time of a block; on Windows SIGINT raises KeyboardInterrupt instead."""
    loop = asyncio.get_running_loop()
    numbers = [number for number in reactions if number is not None and sys.platform != "win32"]
    for number in numbers:
        loop.add_signal_handler(number, reactions[number])
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


def run(config: Config, again: Load | None = None) -> None:
    """`serve` in an event loop of its own, uvloop's where it is installed."""
    raise_file_limit()
    try:
        import uvloop  # noqa: PLC0415 (not everywhere)
    except ImportError:
        asyncio.run(serve(config, again=again))
    else:
        uvloop.run(serve(config, again=again))
