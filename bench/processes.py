"""Processes: started, asked what they have cost (from `/proc`), and stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

PROC = Path("/proc")


def family(pid: int) -> list[int]:
    """The process and all below it: a server may have a master, workers and helpers."""
    found = [pid]
    for parent in found:
        for task in (PROC / str(parent) / "task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += map(int, task.read_text().split())
    return found


def cpu_ns(pid: int) -> int:
    """Nanoseconds that the process and those below it have run, user and system together, ended threads not counted."""
    total = 0
    for member in family(pid):
        for task in (PROC / str(member) / "task").glob("*/schedstat"):
            with contextlib.suppress(OSError):
                total += int(task.read_text().split()[0])
    return total


def memory(pid: int) -> int:
    """Bytes of memory that the process and those below it have to themselves, shared pages by their share."""
    total = 0
    for member in family(pid):
        with contextlib.suppress(OSError):
            for line in (PROC / str(member) / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def resident(pid: int) -> int:
    """Bytes that the process has in memory; quicker to learn than `memory`."""
    return int((PROC / str(pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextlib.contextmanager
def running(
    command: Sequence[str], *, core: int | None = None, log: Path | None = None, env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A process for the time of a block, on one core if one is named."""
    prefix = ("taskset", "--cpu-list", str(core)) if core is not None else ()
    output = log.open("w") if log else None
    process = subprocess.Popen(
        [*prefix, *command],
        stdin=subprocess.DEVNULL,
        stdout=output or subprocess.PIPE,
        stderr=output,
        text=True,
        start_new_session=True,
        env={**os.environ, **(env or {})},
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)  # its own session: nobody else is in it
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for file in (output, process.stdout):
            if file:
                file.close()
