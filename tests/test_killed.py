"""Something dies, or is told something new, in the middle of many streams; what each client sees then is right."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import reader
from conftest import ROOT, Figures
from downstream import connected, request
from faults.process import TESTS, Running, respfix

from respfix.config import Address

BODY = (ROOT / "tests/streams/conformant/text-2026.sse").read_bytes()
CLIENTS = 40
MENDED, PIPED = "/v1/responses", "/v1/chat/completions"
QUICK = "/v1/responses?quick"
# An upstream of its own process, so that it can be killed: an event each 100 ms, or all at once where
# only the whole matters.
UPSTREAM = """
import asyncio, sys
from pathlib import Path
from upstream import END, STREAM_HEAD, chunk, serving

frames = [frame + b"\\n\\n" for frame in Path(sys.argv[1]).read_bytes().removesuffix(b"\\n\\n").split(b"\\n\\n")]

async def paced(exchange):
    await exchange.send(STREAM_HEAD)
    for frame in frames:
        await exchange.send(chunk(frame))
        await asyncio.sleep(0 if b"quick" in exchange.target else 0.1)
    await exchange.send(END)

async def main():
    async with serving(paced) as upstream:
        print(upstream.url, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@asynccontextmanager
async def upstream_process() -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """The upstream for the time of a block, and where it is."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", UPSTREAM, ROOT / "tests/streams/conformant/text-2026.sse",
        cwd=TESTS, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield process, (await process.stdout.readline()).decode().strip()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def seen(address: Address, target: str) -> str:
    """What a client makes of one answer, in a word."""
    try:
        async with connected(address) as client:
            head, body = await client.ask(request(target))
    except ConnectionRefusedError:
        return "refused"
    except (OSError, asyncio.IncompleteReadError):
        return "cut"
    if b" 200 " not in head:
        return head.split(b" ")[1].decode()
    if body == BODY:
        return "whole"
    if target == PIPED:
        return "wrong"
    arrived = body.partition(b"event: response.failed\n")[0]
    (failed,) = [event for event in reader.events(body) if event["type"] == "response.failed"]
    message = failed["error"]["message"]
    assert f"after {len(reader.events(arrived))} event" in message
    by = "the upstream" if "the connection to the upstream broke" in message else "respfix"
    return f"failed by {by}" if BODY.startswith(arrived) else "wrong"


@asynccontextmanager
async def crowd(address: Address, outcome: Counter[str]) -> AsyncIterator[None]:
    """Half of the clients ask for a repaired stream, half for a pipe; all have begun when the block does."""
    asking = [asyncio.create_task(seen(address, PIPED if number % 2 else MENDED)) for number in range(CLIENTS)]
    await asyncio.sleep(0.6)
    yield
    for number, answer in enumerate(await asyncio.wait_for(asyncio.gather(*asking), 60)):
        outcome[f"{'pipe' if number % 2 else 'stream'} {answer}"] += 1


def told(outcome: Counter[str]) -> str:
    """The outcome in a line."""
    return ", ".join(f"{count} {what}" for what, count in sorted(outcome.items()))


@pytest.mark.timeout(120)
async def test_an_upstream_that_is_killed_is_said_in_each_stream(figures: Figures) -> None:
    """Repaired streams keep what came and fail in words, pipes are cut, new requests get a 502."""
    outcome: Counter[str] = Counter()
    async with (
        upstream_process() as (upstream, url),
        respfix(url, CONNECT_RETRIES="0") as served,
        crowd(served.address, outcome),
    ):
        upstream.kill()
        await upstream.wait()

        assert await seen(served.address, MENDED) == "502"
    figures(f"the upstream is killed: {told(outcome)}")
    assert outcome == {"stream failed by the upstream": CLIENTS // 2, "pipe cut": CLIENTS // 2}


@pytest.mark.timeout(120)
async def test_a_respfix_that_is_killed_looks_whole_to_nobody_and_can_be_started_at_once(figures: Figures) -> None:
    """No one can say anything then; but no client takes its half for all, and the address is free again."""
    outcome: Counter[str] = Counter()
    async with upstream_process() as (_, url):
        async with respfix(url) as served:
            async with crowd(served.address, outcome):
                served.process.kill()
            address = served.address
        async with respfix(url, listen=str(address)) as again:
            assert await seen(again.address, QUICK) == "whole"
    figures(f"respfix is killed: {told(outcome)}")
    assert outcome == {"stream cut": CLIENTS // 2, "pipe cut": CLIENTS // 2}


@pytest.mark.timeout(120)
async def test_a_reload_under_load_is_felt_by_nobody(tmp_path: Path, figures: Figures) -> None:
    """Streams that run go on, whatever the new file says; a file that is wrong changes nothing."""
    outcome: Counter[str] = Counter()
    file = tmp_path / "config.yaml"

    async def reload(text: str, served: Running, word: bytes) -> None:
        served.said.clear()
        file.write_text(text)
        served.process.send_signal(signal.SIGHUP)
        await served.says(word)

    async with upstream_process() as (_, url):
        file.write_text("repair: on\n")
        async with respfix(url, "--config", str(file)) as served:
            async with crowd(served.address, outcome):
                await reload("repair: observe\n", served, rb"(?i)reload")
                await reload("repair: sometimes\n", served, rb"config\.yaml:1")
                await reload("repair: on\ntimeouts:\n  idle: 7\n", served, rb"(?i)reload")
            assert await seen(served.address, QUICK) == "whole"
    figures(f"three reloads under load: {told(outcome)}")
    assert outcome == {"stream whole": CLIENTS // 2, "pipe whole": CLIENTS // 2}


@pytest.mark.timeout(120)
async def test_a_respfix_that_is_told_to_stop_ends_each_stream_in_words(figures: Figures) -> None:
    """What does not end within the drain time is ended: repaired streams as failed, pipes as cut."""
    outcome: Counter[str] = Counter()
    async with (
        upstream_process() as (_, url),
        respfix(url, TIMEOUTS_DRAIN="0.1") as served,
        crowd(served.address, outcome),
    ):
        assert await served.stop() == 0
    figures(f"respfix is stopped, and its drain time is short: {told(outcome)}")
    assert outcome == {"stream failed by respfix": CLIENTS // 2, "pipe cut": CLIENTS // 2}
