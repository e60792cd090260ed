"""Clients that are slow on purpose, by slowhttptest: whoever asks honestly meanwhile is answered."""

from __future__ import annotations

import asyncio
import re
import shutil
import time
from pathlib import Path

import pytest
from conftest import Figures
from downstream import connected, request
from faults.process import Running, respfix
from upstream import Exchange, answer, serving

CONNECTIONS, SECONDS = 300, 8
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


@pytest.mark.timeout(120)
@pytest.mark.parametrize("attack", ATTACKS)
async def test_slow_clients_do_not_keep_others_out(attack: str, tmp_path: Path, figures: Figures) -> None:
    """300 connections; slowhttptest's own probe and an honest client are answered all the time."""
    program = shutil.which("slowhttptest")
    if program is None:
        pytest.skip("slowhttptest is not installed; on Debian it is the package slowhttptest")
    # Slow headers end after it; the connections are the attacker's, so it may be short.
    async with (
        serving(large, reads_bodies=False) as upstream,
        respfix(upstream.url, TIMEOUTS_CLIENT_KEEPALIVE="3") as served,
    ):
        before = served.descriptors
        over = asyncio.Event()
        asking = asyncio.create_task(honest(served, over))
        process = await asyncio.create_subprocess_exec(
            program, *ATTACKS[attack], "-c", str(CONNECTIONS), "-r", "150", "-i", "1", "-l", str(SECONDS), "-p", "5",
            "-u", f"http://{served.address}/large",
            cwd=tmp_path, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said = re.sub(r"\x1b\[[\d;]*m", "", (await process.communicate())[0].decode())
        over.set()
        took = await asking
        held = served.descriptors
        after = held
        for _ in range(100):
            if (after := served.descriptors) == before:
                break
            await asyncio.sleep(0.2)
    available = re.findall(r"service available:\s+(\w+)", said)
    figures(
        f"{attack}: {CONNECTIONS} connections, {SECONDS} s, {len(took)} honest requests in {max(took) * 1000:.0f} ms "
        f"at most; {before} descriptors before, {held} at the end, {after} after"
    )
    assert available
    assert set(available) == {"YES"}
    assert after == before
