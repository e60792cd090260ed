"""Clients that are slow on purpose, by slowhttptest: whoever asks honestly meanwhile is answered."""

from __future__ import annotations

import asyncio
import re
import shutil
import statistics
import time
from pathlib import Path

import pytest
from conftest import Figures
from downstream import connected, request
from faults.process import Running, respfix
from upstream import Exchange, answer, serving

CONNECTIONS, SECONDS = 300, 6
# How long slow headers may take; the connections are the attacker's, so it may be short.
SETTINGS = {"TIMEOUTS_CLIENT_KEEPALIVE": "3"}
ATTACKS = {
    "slow headers": ["-H", "-x", "24"],
    "slow bodies": ["-B", "-s", "8192", "-x", "10"],
    "slow readers": ["-X", "-w", "512", "-y", "1024", "-n", "1", "-z", "32"],
}


async def large(exchange: Exchange) -> None:
    """An answer that does not fit into the system's buffers."""
    await exchange.send(answer(bytes(2_000_000) if exchange.target == b"/large" else b"here"))


async def honest(served: Running, over: asyncio.Event) -> list[float]:
    """Ask again and again; how long each answer took."""
    took = []
    while not over.is_set():
        started = time.monotonic()
        async with connected(served.address) as client:
            _, body = await client.ask(request("/x"))
        assert body == b"here"
        took.append(time.monotonic() - started)
        await asyncio.sleep(0.05)
    return took


async def attacked(attack: str, program: str, folder: Path, figures: Figures) -> set[str]:
    """Run one attack on a respfix of its own; what slowhttptest says of the service."""
    async with serving(large, reads_bodies=False) as upstream, respfix(upstream.url, **SETTINGS) as served:
        target = "/large" if attack == "slow readers" else "/x"
        before = served.descriptors
        over = asyncio.Event()
        asking = asyncio.create_task(honest(served, over))
        process = await asyncio.create_subprocess_exec(
            program, *ATTACKS[attack], "-c", str(CONNECTIONS), "-r", "150", "-i", "1", "-l", str(SECONDS), "-p", "30",
            "-u", f"http://{served.address}{target}",
            cwd=folder, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said = re.sub(r"\x1b\[[\d;]*m", "", (await process.communicate())[0].decode())
        over.set()
        took = await asking
        after = held = served.descriptors
        for _ in range(100):
            if (after := served.descriptors) == before:
                break
            await asyncio.sleep(0.2)
    figures(
        f"{attack}: {CONNECTIONS} connections, {SECONDS} s; {len(took)} honest requests in "
        f"{statistics.median(took) * 1000:.0f} ms "
        f"(median), {max(took) * 1000:.0f} ms (worst); descriptors {before} before, {held} at the end, {after} after"
    )
    assert after == before
    return set(re.findall(r"service available:\s+(\w+)", said))


@pytest.mark.timeout(120)
async def test_slow_clients_do_not_keep_others_out(tmp_path: Path, figures: Figures) -> None:
    """300 connections of each kind; slowhttptest's own probe and an honest client are answered all the time."""
    program = shutil.which("slowhttptest")
    if program is None:
        pytest.skip("slowhttptest is not installed; on Debian it is the package slowhttptest")
    said = await asyncio.gather(*(attacked(attack, program, tmp_path, figures) for attack in ATTACKS))

    assert dict(zip(ATTACKS, said, strict=True)) == {attack: {"YES"} for attack in ATTACKS}
