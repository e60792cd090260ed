"""Two instances behind nginx and HAProxy, each drained and started anew under load: no stream is lost."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from conftest import ROOT, Figures
from downstream import connected, request
from faults.process import Running, respfix
from upstream import END, STREAM_HEAD, Exchange, chunk, serving

from respfix.config import Address

PAGE = (ROOT / "docs/scaling.md").read_text()
BODY = (ROOT / "tests/streams/conformant/text-2026.sse").read_bytes()
FRAMES = [frame + b"\n\n" for frame in BODY.removesuffix(b"\n\n").split(b"\n\n")]
CLIENTS = 16
START = 30.0  # seconds; on a busy machine


async def paced(exchange: Exchange) -> None:
    """A stream of about a second."""
    await exchange.send(STREAM_HEAD)
    for frame in FRAMES:
        await exchange.send(chunk(frame))
        await asyncio.sleep(1 / len(FRAMES))
    await exchange.send(END)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


def snippet(language: str, ports: dict[int, int]) -> str:
    """What the page shows, with the ports of this test."""
    (block,) = re.findall(rf"(?sm)^```{language}\n(.*?)^```$", PAGE)
    return re.sub(r"\b(808[012]|908[12])\b", lambda port: str(ports[int(port[0])]), block)


def nginx(folder: Path, text: str) -> list[str]:
    """The command that runs the snippet, in a folder of its own."""
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log stderr; events {{}}\n"
        f"http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n"
        f"fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n{text}}}\n"
    )
    return ["-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]


def haproxy(folder: Path, text: str) -> list[str]:
    """Likewise."""
    (folder / "haproxy.cfg").write_text(text)
    return ["-f", str(folder / "haproxy.cfg"), "-db"]


@contextlib.asynccontextmanager
async def balancer(name: str, folder: Path, ports: dict[int, int]) -> AsyncIterator[Address]:
    """The balancer for the time of a block."""
    program = shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if program is None:
        pytest.skip(f"{name} is not installed; on Debian it is the package {name}")
    arguments = (nginx if name == "nginx" else haproxy)(folder, snippet(name, ports))
    process = await asyncio.create_subprocess_exec(program, *arguments, stderr=asyncio.subprocess.PIPE)
    try:
        await listening(ports[8080], process)
        yield Address("127.0.0.1", ports[8080])
    finally:
        process.terminate()
        await process.communicate()


async def listening(port: int, process: asyncio.subprocess.Process) -> None:
    """Wait until somebody listens."""
    deadline = time.monotonic() + START
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            assert process.returncode is None, await process.communicate()
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", ["nginx", "haproxy"])
async def test_no_stream_is_lost_while_one_of_two_is_drained_and_started_anew(
    name: str, tmp_path: Path, figures: Figures
) -> None:
    """Neither one that runs on the drained instance nor one that begins meanwhile; nor is any request sent twice."""
    ports = dict(zip((8080, 8081, 8082, 9081, 9082), free_ports(5), strict=True))
    whole, lost, over = 0, [], asyncio.Event()

    async def client(address: Address) -> None:
        nonlocal whole
        while not over.is_set():
            try:
                async with connected(address) as asking:
                    head, body = await asking.ask(request())
            except (OSError, asyncio.IncompleteReadError) as error:
                lost.append(repr(error))
                continue
            if body == BODY:
                whole += 1
            else:
                lost.append(f"{head!r} {body[:200]!r}")

    async with serving(paced) as upstream, contextlib.AsyncExitStack() as stack:

        async def started(number: int) -> Running:
            admin, listen = (f"127.0.0.1:{ports[base + number]}" for base in (9080, 8080))
            return await stack.enter_async_context(respfix(upstream.url, listen=listen, ADMIN_LISTEN=admin))

        instances = [await started(1), await started(2)]
        address = await stack.enter_async_context(balancer(name, tmp_path, ports))
        clients = [asyncio.create_task(client(address)) for _ in range(CLIENTS)]
        await asyncio.sleep(1.2)
        for number in (1, 2):
            at_stop = instances[number - 1]
            assert await at_stop.stop() == 0
            await asyncio.sleep(0.5)
            instances[number - 1] = await started(number)
            # The next one may go only when the balancer has found this one: here, once it has ended a stream.
            await instances[number - 1].says(b"POST")
        over.set()
        await asyncio.wait_for(asyncio.gather(*clients), START)
        served = [sum(b"POST" in line for line in instance.said) for instance in instances]

        assert len(upstream.exchanges) == whole + len(lost)
    figures(f"{name}: {whole} streams whole and {len(lost)} lost while two instances were replaced one after the other")
    assert lost == []
    assert all(served)
