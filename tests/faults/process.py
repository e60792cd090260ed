"""A respfix in a process of its own: what it costs can be seen from outside, and it can be killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from faults.footprint import descriptors, resident
from respfix.config import Address

TESTS = Path(__file__).parents[1]
LISTENS = re.compile(rb"listens on http://([\d.]+):(\d+)")
START = 30.0  # seconds; on a busy machine


@dataclass
class Running:
    """The process, where it listens, and what it says."""

    process: asyncio.subprocess.Process
    address: Address
    said: list[bytes] = field(default_factory=list)  # the lines of its log

    @property
    def pid(self) -> int:
        """Its id."""
        return self.process.pid

    @property
    def memory(self) -> int:
        """The bytes that it occupies."""
        return resident(self.pid)

    @property
    def descriptors(self) -> int:
        """How many files and sockets it has open."""
        return descriptors(self.pid)

    async def tasks(self) -> int:
        """How many tasks it has."""
        assert self.process.stdout is not None
        self.process.send_signal(signal.SIGUSR1)
        return int(await asyncio.wait_for(self.process.stdout.readline(), START))

    async def says(self, pattern: bytes) -> re.Match[bytes]:
        """The first line of its log that matches, once it is there."""
        deadline = asyncio.get_running_loop().time() + START
        is_over = False
        while not is_over:
            is_over = asyncio.get_running_loop().time() > deadline or self.process.returncode is not None
            for line in self.said:
                if match := re.search(pattern, line):
                    return match
            await asyncio.sleep(0.02)
        raise AssertionError(f"respfix never said {pattern!r} but {self.said[-20:]!r}")

    async def stop(self) -> int:
        """Ask it to stop; its exit code."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        return await asyncio.wait_for(self.process.wait(), START)


@contextlib.asynccontextmanager
async def respfix(upstream: str, *flags: str, listen: str = "127.0.0.1:0", **settings: str) -> AsyncIterator[Running]:
    """A respfix for the time of a block; settings are variables without their prefix, such as `TIMEOUTS_IDLE="1"`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "faults.watched", "serve", "--upstream", upstream, "--listen", listen, *flags,
        cwd=TESTS, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **{f"RESPFIX_{name}": value for name, value in settings.items()}},
    )  # fmt: skip
    running = Running(process, Address.parse(listen))

    async def listening() -> None:
        assert process.stderr is not None
        while line := await process.stderr.readline():
            running.said.append(line)

    ears = asyncio.create_task(listening())
    try:
        host, port = (await running.says(LISTENS.pattern)).groups()
        running.address = Address(host.decode(), int(port))
        yield running
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()
        await ears
