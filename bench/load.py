"""The client: asks for the streams of a plan, notes when each byte came, and checks that every stream is whole.

    python -m bench.load PORT PLAN --expect repaired --watch PID

It only collects while streams run; the rest is done when they are over. The costs of the process in between are read
twice: shortly before the repeated events begin, and when the first stream has ended.
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import contextlib
import json
import os
import re
import time

import uvloop

from bench import checks, processes
from bench.origin import SETTLE
from bench.plan import Plan
from bench.streams import SHAPES, STAMP

END = b"0\r\n\r\n"
BODY = b'{"model":"bench","input":"Hello","stream":true}'
REQUEST = (
    b"POST /v1/responses HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    b"Authorization: Bearer sk-bench\r\nAccept: text/event-stream\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
)
PATIENCE = 120.0  # seconds that a round may take at most
LOOK = 0.02  # seconds between two looks at the memory


class Client(asyncio.Protocol):
    """One stream."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self.came: list[bytes] = []
        self.times: list[int] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # it is one
        """Ask at once."""
        self.transport = transport
        transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        """Note what came, and when."""
        self.times.append(time.monotonic_ns())
        self.came.append(data)
        self._load.blocks += data.count(b"\n\n")
        if len(self.came) == 1:
            self._load.began()
        if data.endswith(END) or (len(data) < len(END) and b"".join(self.came[-5:]).endswith(END)):
            self._load.ended()

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side has gone, which it must not before the end."""
        self._load.lost(exc)

    def arrivals(self) -> tuple[bytes, list[int]]:
        """Everything that came, and where each read of it ended."""
        ends, at = [], 0
        for data in self.came:
            at += len(data)
            ends.append(at)
        return b"".join(self.came), ends


class Load:
    """All streams of a plan."""

    def __init__(self, plan: Plan, watched: list[int]) -> None:
        self.plan = plan
        self.blocks = 0  # blank lines that came: the number of events, near enough for a difference
        self._watched = watched
        self._begun = self._over = 0
        self._loop = asyncio.get_running_loop()
        self._first: tuple[int, int, int] | None = None
        self._last: tuple[int, int, int] | None = None
        self.done: asyncio.Future[None] = self._loop.create_future()
        self.memory_before = self.memory_said = self.memory_most = 0

    def _sample(self) -> tuple[int, int, int]:
        return self.blocks, sum(map(processes.cpu_ns, self._watched)), time.monotonic_ns()

    def began(self) -> None:
        """One more stream has sent its first bytes."""
        self._begun += 1
        if self._begun == self.plan.streams:
            self._loop.call_later(SETTLE * 2 / 3, self._start)

    def _start(self) -> None:
        self._first = self._sample()
        self.memory_before = self.memory_most = sum(map(processes.resident, self._watched))
        if self.plan.is_held:
            self.done.set_result(None)
        else:
            self._look()

    def _look(self) -> None:
        now = sum(map(processes.resident, self._watched))
        self.memory_most = max(self.memory_most, now)
        if self.blocks < self.plan.streams * self.plan.deltas:  # the closing events say the text four times more
            self.memory_said = now
        if not self.done.done():
            self._loop.call_later(LOOK, self._look)

    def ended(self) -> None:
        """One more stream is over."""
        self._last = self._last or self._sample()
        self._over += 1
        if self._over == self.plan.streams:
            self.done.set_result(None)

    def lost(self, exc: Exception | None) -> None:
        """A connection broke."""
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the connection was closed before the stream ended"))

    def cost(self) -> dict[str, float]:
        """What lay between the two looks."""
        if self._first is None or self._last is None:
            raise RuntimeError("the streams ended before the counting began")
        events, cpu, ns = (last - first for first, last in zip(self._first, self._last, strict=True))
        return {"events": events, "cpu_ns": cpu, "seconds": ns / 1e9}


def latencies(plan: Plan, clients: list[Client]) -> list[int]:
    """Nanoseconds from the writing of each event to its arrival."""
    slot = SHAPES[plan.shape].slot.encode()
    stamp = re.compile(rb'"%b": ?"[^"\d]{0,20}(\d{%d})' % (slot, STAMP))
    found: list[int] = []
    for client in clients:
        body, ends = client.arrivals()
        came = ((client.times[bisect.bisect_left(ends, match.end())], match) for match in stamp.finditer(body))
        found += [time - int(match[1]) for time, match in came]
    return sorted(found)


def quantiles(values: list[int]) -> dict[str, float]:
    """The usual ones, in microseconds."""
    return {
        name: values[min(len(values) - 1, int(len(values) * share))] / 1000
        for name, share in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999))
    }


async def run(port: int, plan: Plan, expect: str, watched: list[int]) -> dict[str, object]:
    """Ask, wait, check; give what was measured."""
    load = Load(plan, watched)
    loop = asyncio.get_running_loop()
    clients: list[Client] = []
    for _ in range(plan.streams):
        _, client = await loop.create_connection(lambda: Client(load), "127.0.0.1", port)
        clients.append(client)
    await asyncio.wait_for(load.done, PATIENCE)
    if plan.is_held:
        await asyncio.sleep(1)  # let it come to rest
        return {"memory": sum(map(processes.memory, watched))}
    for client in clients:
        client.transport.abort()
    bodies = [checks.dechunked(client.arrivals()[0]) for client in clients]
    for wrong in checks.wrongs(plan, bodies, expect):
        raise SystemExit(f"bench.load: {plan}: {wrong}")
    measured: dict[str, object] = {
        **load.cost(),
        "reads": sum(len(client.came) for client in clients),
        "grown": load.memory_said - load.memory_before,
        "peak": load.memory_most - load.memory_before,
    }
    if plan.is_stamped:
        measured["latency"] = quantiles(latencies(plan, clients))
    return measured


def main() -> None:
    """Print what was measured as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("plan", type=Plan.load)
    parser.add_argument("--expect", choices=checks.EXPECTED, default="same")
    parser.add_argument("--watch", type=int, action="append", default=[], metavar="PID")
    args = parser.parse_args()
    with contextlib.suppress(AttributeError, PermissionError):
        # It shares a core with the origin, and would read what has arrived only when the origin's time slice ends:
        # 3 ms of "latency" for every proxy alike. Whoever looks at the clock must not be kept waiting.
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    print(json.dumps(uvloop.run(run(args.port, args.plan, args.expect, args.watch))))


if __name__ == "__main__":
    main()
