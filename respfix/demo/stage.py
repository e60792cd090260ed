"""The broken server and respfix in front of it, for a moment or until somebody stops them."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator
from typing import Literal

from respfix.app import running
from respfix.config import Address, Config, Timeouts
from respfix.demo import upstream
from respfix.demo.screen import Screen
from respfix.demo.streams import STORIES
from respfix.edge import StartError
from respfix.journal import write_to_stderr

HOST = "127.0.0.1"
PORT = 8080  # where Sub2API listens; respfix takes the next one, as its own default does
PACE = 0.1  # seconds between two events: slow enough to be seen

Repair = Literal["on", "off"]


@contextlib.asynccontextmanager
async def staged(ports: tuple[int, int] = (0, 0), *, pace: float, repair: Repair = "on") -> AsyncIterator[list[str]]:
    """Both for the time of a block; gives the base URLs that clients want, the server's and respfix's."""
    async with upstream.serving(ports[0], pace=pace) as port:
        server = f"http://{HOST}:{port}"
        config = Config((Address(HOST, ports[1]),), server, repair, timeouts=Timeouts(drain=0))
        async with running(config) as address:
            yield [f"{server}/v1", f"http://{address}/v1"]


async def hold(screen: Screen, port: int | None) -> None:
    """Keep both running, and say what to do with them."""
    write_to_stderr()
    stop = asyncio.Event()
    async with staged(_ports(port), pace=PACE) as urls:
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError):  # Windows
                asyncio.get_running_loop().add_signal_handler(number, stop.set)
        _explain(screen, *urls)
        await stop.wait()


def _ports(port: int | None) -> tuple[int, int]:
    """The port that was asked for and the next one, or the usual ones as far as they are free."""
    if port is None:
        return PORT if _is_free(PORT) else 0, PORT + 1 if _is_free(PORT + 1) else 0
    for each in (port, port + 1):
        if not _is_free(each):
            raise StartError(f"{HOST}:{each} is in use; the demo takes two ports, choose the first with --port")
    return port, port + 1


def _is_free(port: int) -> bool:
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do; else a restart has to wait
        try:
            attempt.bind((HOST, port))
        except OSError:
            return False
    return True


def _explain(screen: Screen, broken: str, fixed: str) -> None:
    screen.title("Both are running; Ctrl-C ends them")
    screen.verbatim(f"  broken server  {broken}\n  respfix        {fixed}")
    screen.title("Ask either")
    for url in (broken, fixed):
        screen.verbatim(f"""  curl -N {url}/responses -H 'Content-Type: application/json' \\
    -d '{{"model": "anthropic-text", "input": "hello", "stream": true}}'""")
    screen.title("Or let Codex ask: ~/.codex/config.toml")
    for name, url in (("broken", broken), ("respfix", fixed)):
        screen.verbatim(f'  [model_providers.{name}]\n  name = "{name}"\n  base_url = "{url}"')
        screen.verbatim('  wire_api = "responses"\n  supports_websockets = false')
        screen.say()
    screen.verbatim("  codex exec -c model_provider=broken anthropic-text")
    screen.verbatim("  codex exec -c model_provider=respfix anthropic-text")
    screen.title("The model's name, or a word in the prompt, chooses the answer")
    screen.glossary(STORIES)
    screen.say()
