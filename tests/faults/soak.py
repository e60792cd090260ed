"""Long mixed traffic with faults on both sides: `cd tests && python -m faults.soak --minutes 15`.

Every answer is judged: what was to arrive arrives as it is, what was cut ends in an honest failure, nothing else. Now
and then the traffic rests; what respfix holds then, descriptors, tasks and memory, must be the same from first to last.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import signal
import statistics
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import reader
from corpus import mend
from downstream import Client, connected, request
from upstream import END, STREAM_HEAD, Exchange, answer, chunk, serving

from faults import proxy
from faults.process import Running, respfix
from faults.proxy import Fault, Network, network
from respfix.config import Address

TESTS = Path(__file__).parents[1]
HEALTHY = {path.stem: path.read_bytes() for path in sorted((TESTS / "streams/conformant").glob("*.sse"))}
BROKEN = {path.stem: path.read_bytes() for path in sorted((TESTS / "clients/streams").glob("*.sse"))}
WHOLE = {name: mend(body).body for name, body in BROKEN.items()}
BACKGROUND = b'"background":true'  # such a stream breaks where it was cut, because its client can resume it
LAST = b"event: response.completed\n"
WORKERS = 24
MIB = 2**20


class WrongError(Exception):
    """An answer that must not be."""


def expect(claim: bool, what: str) -> None:  # noqa: FBT001 (it is what is claimed)
    """Raise unless it is so."""
    if not claim:
        raise WrongError(what)


def undated(body: bytes) -> bytes:
    """Without what respfix makes up for each request."""
    return re.sub(rb'"created_at":\d+|resp_[0-9a-f]{24,}', b"", body)


async def script(exchange: Exchange) -> None:
    """Answer as the target says: `/v1/responses?name=…&fault=…&at=…`, `/echo`, `/json`, `/429`, `/slow`."""
    path, _, query = exchange.target.decode().partition("?")
    told = dict(pair.split("=") for pair in query.split("&") if pair)
    if path == "/echo":
        await exchange.send(answer(exchange.body, b"Content-Type: application/octet-stream"))
    elif path == "/429":
        body = b'{"error":{"message":"slow down","type":"rate_limit_error"}}'
        await exchange.send(answer(body, b"Retry-After: 3", status=b"429 Too Many Requests"))
    elif path == "/json":
        await exchange.send(answer(b'{"object":"list"}'))
    else:
        await stream(exchange, (HEALTHY | BROKEN)[told["name"]], told.get("fault"), int(told.get("at", 0)))


async def stream(exchange: Exchange, body: bytes, fault: str | None, at: int) -> None:
    """Send a stream in pieces that are no events, and end it as the fault wants it."""
    await exchange.send(STREAM_HEAD)
    body_so_far = body[:at] if fault else body
    for begin in range(0, len(body_so_far), 700):
        await exchange.send(chunk(body_so_far[begin : begin + 700]))
        await asyncio.sleep(0)
    if fault is None:
        await exchange.send(END)
    elif fault == "reset":
        await asyncio.sleep(0.02)
        exchange.reset()
    elif fault == "close":
        exchange.is_last = True
    elif fault == "garbage":
        await asyncio.sleep(0.02)
        await exchange.send(b"zz\r\n")
        exchange.is_last = True
    elif fault == "stall":
        await exchange.gone()


@dataclass
class Soak:
    """The traffic, and what came of it."""

    served: Running
    ways: dict[str, Network]  # to respfix
    chance: random.Random
    done: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    rests: list[tuple[int, int, int]] = field(default_factory=list)  # descriptors, tasks, memory
    flows: asyncio.Event = field(default_factory=asyncio.Event)
    busy: int = 0

    @property
    def address(self) -> Address:
        """Where respfix is, by one way or another."""
        way = self.chance.choice(["direct", "direct", "direct", *self.ways])
        return self.served.address if way == "direct" else Address(*self.ways[way].address)

    async def healthy(self) -> None:
        """A healthy stream leaves as it came."""
        name = self.chance.choice(list(HEALTHY))
        async with connected(self.address) as client:
            for _ in range(self.chance.randint(1, 3)):
                _, body = await client.ask(request(f"/v1/responses?name={name}"))
                expect(body == HEALTHY[name], f"{name} was changed")

    async def broken(self) -> None:
        """A broken one leaves repaired."""
        name = self.chance.choice(list(BROKEN))
        async with connected(self.address) as client:
            _, body = await client.ask(request(f"/v1/responses?name={name}"))
            expect(undated(body) == undated(WHOLE[name]), f"{name} was not repaired as ever")

    async def cut(self) -> None:
        """A stream that is cut ends as failed, and a strict reader can read it."""
        name = self.chance.choice([name for name, body in HEALTHY.items() if LAST in body and BACKGROUND not in body])
        fault = self.chance.choice(["reset", "close", "garbage", "stall"])
        at = self.chance.randrange(HEALTHY[name].index(LAST))
        async with connected(self.address) as client:
            _, body = await client.ask(request(f"/v1/responses?name={name}&fault={fault}&at={at}"))
            begun = HEALTHY[name][:at].rpartition(b"\n\n")[0]
            expect(body.startswith(begun), f"{name} lost events before {fault} at {at}")
            ends = [event["type"] for event in reader.events(body) if event["type"] in reader.TERMINALS]
            expect(ends in (["response.failed"], ["response.completed"]), f"{name}, {fault} at {at}: ended as {ends}")
            is_whole = ends == ["response.completed"]
            expect(not is_whole, f"{name}, {fault} at {at}: looks whole")

    async def cut_pipe(self) -> None:
        """A body that nobody repairs is cut where it was cut."""
        name = self.chance.choice(list(HEALTHY))
        fault, at = self.chance.choice(["reset", "close", "garbage"]), self.chance.randrange(len(HEALTHY[name]))
        async with connected(self.address) as client:
            await client.send(request(f"/v1/chat/completions?name={name}&fault={fault}&at={at}"))
            head = await client.head()
            try:
                await client.body(head)
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            expect(claim=False, what=f"a pipe of {name} that was cut by {fault} at {at} looks whole")

    async def upload(self) -> None:
        """A body arrives as it was sent, and comes back so."""
        sent = self.chance.randbytes(self.chance.choice([1, 1000, 300_000]))
        async with connected(self.served.address) as client:
            _, body = await client.ask(request("/echo", body=sent))
            expect(body == sent, "an upload was changed")

    async def refusal(self) -> None:
        """An error of the upstream's stays its own, with its headers."""
        async with connected(self.address) as client:
            head, body = await client.ask(request("/429"))
            expect(b" 429 " in head and b"Retry-After: 3" in head and b"slow down" in body, "an error was changed")
            head, body = await client.ask(request("/json", method="GET", body=None))
            expect(json.loads(body) == {"object": "list"}, "an answer was changed")

    async def nonsense(self) -> None:
        """What is no HTTP gets a 400 and nothing else."""
        async with connected(self.served.address) as client:
            await client.send(self.chance.choice([b"\x16\x03\x01\x02\r\n\r\n", b"GET / HTTP/1.1\r\nHost : x\r\n\r\n"]))
            said = await client.rest()
            expect(said.split(b" ")[1] == b"400", "nonsense was not refused")

    async def leave(self) -> None:
        """A client that goes in the middle; nothing may come of it but that the upstream is left."""
        name = self.chance.choice(list(HEALTHY))
        async with connected(self.address) as client:
            await client.send(request(f"/v1/responses?name={name}&fault=stall&at=900"))
            await self._part(client)
            client.leave()

    async def _part(self, client: Client) -> None:
        if self.chance.random() < 0.8:
            await client.head()
            await client.some()

    async def slow(self) -> None:
        """A client that reads late still gets everything."""
        name = self.chance.choice(list(HEALTHY))
        async with connected(self.address) as client:
            client.writer.transport.pause_reading()  # type: ignore[attr-defined] # every transport here has it
            await client.send(request(f"/v1/responses?name={name}"))
            await asyncio.sleep(0.3)
            client.writer.transport.resume_reading()  # type: ignore[attr-defined] # likewise
            expect(await client.body(await client.head()) == HEALTHY[name], f"{name} was changed for a slow reader")

    async def work(self) -> None:
        """One thing after the other, for ever."""
        kinds: list[Callable[[], Awaitable[None]]] = [
            *[self.healthy] * 5, *[self.broken] * 5, self.cut, self.cut, self.cut_pipe, self.upload, self.refusal,
            self.nonsense, self.leave, self.leave, self.slow,
        ]  # fmt: skip
        while True:
            await self.flows.wait()
            self.busy += 1
            kind = self.chance.choice(kinds)
            try:
                await kind()
                self.done[kind.__name__] += 1
            except (WrongError, OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
                self.wrong.append(f"{kind.__name__}: {type(error).__name__}: {str(error)[:300]}")
            finally:
                self.busy -= 1

    async def rest(self) -> None:
        """Let all traffic end, and look what is held."""
        self.flows.clear()
        while self.busy:  # noqa: ASYNC110 (it is counted in many places)
            await asyncio.sleep(0.05)
        await asyncio.sleep(1.5)  # idle connections to the upstream are kept for half a second
        seen = (self.served.descriptors, await self.served.tasks())
        for _ in range(30):  # a busy machine needs longer
            if not self.rests or seen == self.rests[0][:2]:
                break
            await asyncio.sleep(0.1)
            seen = (self.served.descriptors, await self.served.tasks())
        self.rests.append((*seen, self.served.memory))
        self.flows.set()

    def growth(self) -> float:
        """MiB that memory has grown from the second quarter of the rests to the last."""
        memory = [rest[2] for rest in self.rests]
        quarter = max(1, len(memory) // 4)
        return (statistics.median(memory[-quarter:]) - statistics.median(memory[quarter : 2 * quarter])) / MIB

    def figures(self) -> str:
        """All of it in a line."""
        files, tasks, memory = zip(*self.rests, strict=True)
        return (
            f"soak: {self.done.total()} right answers, {len(self.wrong)} wrong; at {len(self.rests)} rests descriptors "
            f"{min(files)} to {max(files)}, tasks {min(tasks)} to {max(tasks)}, memory {memory[0] / MIB:.1f} to "
            f"{memory[-1] / MIB:.1f} MiB, {self.growth():+.1f} MiB from the second quarter to the last; "
            + ", ".join(f"{kind} {count}" for kind, count in sorted(self.done.items()))
        )


async def soak(seconds: float, seed: int = 1) -> Soak:
    """Keep the traffic up for so long."""
    settings = {"TIMEOUTS_IDLE": "0.5", "TIMEOUTS_GRACE": "0.2", "TIMEOUTS_UPSTREAM_KEEPALIVE": "0.5"}
    loop = asyncio.get_running_loop()
    async with (
        serving(script) as upstream,
        respfix(upstream.url, **settings) as served,
        network(served.address.port, Fault(proxy.slices)) as sliced,
        network(served.address.port, Fault(proxy.latency)) as late,
    ):
        run = Soak(served, {"sliced": sliced, "late": late}, random.Random(seed))  # noqa: S311
        run.flows.set()
        workers = [asyncio.create_task(run.work()) for _ in range(WORKERS)]
        deadline = loop.time() + seconds
        between = max(4.0, seconds / 40)
        while loop.time() < deadline:
            await asyncio.sleep(between / 2)
            served.process.send_signal(signal.SIGHUP)  # a reload in the middle of everything
            await asyncio.sleep(between / 2)
            await run.rest()
            upstream.exchanges.clear()
            served.said.clear()
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        if served.process.returncode is not None:
            run.wrong.append("respfix has died")
    return run


def main() -> int:
    """Say how it goes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    run = asyncio.run(soak(given.minutes * 60, given.seed))
    for rest in run.rests:
        print(f"rest: {rest[0]} descriptors, {rest[1]} tasks, {rest[2] / MIB:.1f} MiB")  # noqa: T201
    for wrong in run.wrong[:20]:
        print("wrong:", wrong)  # noqa: T201
    print(run.figures())  # noqa: T201
    return int(bool(run.wrong))


if __name__ == "__main__":
    sys.exit(main())
