"""What respfix holds: tasks, descriptors, memory, and the objects of requests that are on their way."""

from __future__ import annotations

import asyncio
import gc
import os
from dataclasses import dataclass
from pathlib import Path

from aiohttp import ClientResponse, web

from respfix.relay.source import Source
from respfix.relay.trip import Trip
from respfix.stream import Mender

OF_A_REQUEST = (ClientResponse, Mender, Source, Trip, web.BaseRequest, web.StreamResponse)
PAGE = os.sysconf("SC_PAGE_SIZE")


def resident(pid: int | str = "self") -> int:
    """The bytes of memory that a process occupies."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


def descriptors(pid: int | str = "self") -> int:
    """How many files and sockets a process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


@dataclass(frozen=True)
class Footprint:
    """What this process holds at a moment."""

    tasks: int
    descriptors: int
    objects: int  # that belong to requests

    @classmethod
    def now(cls) -> Footprint:
        """Look, after everything that can be thrown away has been."""
        gc.collect()
        alive = sum(isinstance(thing, OF_A_REQUEST) for thing in gc.get_objects())
        return cls(len(asyncio.all_tasks()), descriptors(), alive)

    @classmethod
    async def at_rest(cls, expected: Footprint | None = None, seconds: float = 5.0) -> Footprint:
        """What is held once it is what was expected, or no longer changes; closing takes some turns of the loop."""
        deadline = asyncio.get_running_loop().time() + seconds
        found = None
        while asyncio.get_running_loop().time() < deadline:
            last, found = found, cls.now()
            if found == (expected or last):
                break
            await asyncio.sleep(0.05)
        return found or cls.now()
