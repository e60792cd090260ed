"""What is measured, and in which turn: every contender once per round, so that what else the machine does hits all."""

from __future__ import annotations

import compileall
import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench import processes
from bench.contenders import CONTENDERS, ROOT, Contender, MissingError, Running, accepts, free_port, started
from bench.plan import Plan
from bench.streams import SHAPES

Measured = dict[str, Any]

ALL = ("direct", "nginx", "haproxy", "bare", "json", "litellm", "off", "respfix")
BETWEEN = tuple(name for name in ALL if name != "direct")
PAIR = ("bare", "respfix")
REPAIRED = ("sub2api-an", "sub2api-cc", "opencode", "sub2api-call")


@dataclass(frozen=True)
class Scenario:
    """One question."""

    name: str
    plan: Plan
    contenders: tuple[str, ...]
    is_quick: bool = False  # asked in the quick run, too
    is_fresh: bool = False  # of a process that has done nothing before
    most_rounds: int = 99


def _scenarios() -> Iterator[Scenario]:
    for shape in SHAPES:
        if shape != "image":
            is_main = shape in ("healthy", "sub2api-an")
            paced = Plan(shape, streams=100, deltas=120, rate=4000, is_stamped=True)
            yield Scenario(f"paced/{shape}", paced, ALL if is_main else PAIR, is_main)
            burst = Plan(shape, streams=50, deltas=800, burst=20, rate=40_000)
            yield Scenario(f"burst/{shape}", burst, BETWEEN if is_main else PAIR, is_main)
    yield Scenario("large", Plan("image", streams=4, deltas=16), ("nginx", "haproxy", "bare", "json", "off", "respfix"))
    yield Scenario("most", Plan("sub2api-an", streams=20, deltas=5000, burst=20), ALL)
    yield Scenario("instances", Plan("sub2api-an", streams=20, deltas=5000, burst=20), ("one", "two"))
    for shape in ("healthy", "sub2api-an"):
        yield Scenario(f"length/{shape}/2000", Plan(shape, streams=40, deltas=2000, burst=20), PAIR)
        yield Scenario(f"length/{shape}/200000", Plan(shape, streams=2, deltas=200_000, burst=20), PAIR)
    for count in (1, 10, 100, 1000):
        plan = Plan("sub2api-an", streams=count, deltas=max(30, 6000 // count), rate=4000, is_stamped=True)
        yield Scenario(f"streams/{count}", plan, PAIR)
    idle = Plan("sub2api-an", streams=2000, is_held=True)
    yield Scenario("idle", idle, BETWEEN, is_quick=True, is_fresh=True, most_rounds=1)
    busy = Plan("sub2api-an", streams=2, deltas=200_000, burst=20, rate=40_000)
    yield Scenario("busy", busy, PAIR, is_fresh=True, most_rounds=3)


SCENARIOS = {scenario.name: scenario for scenario in _scenarios()}


@dataclass
class Bench:
    """One run: the origin, the contenders that could be started, and what they cost."""

    directory: Path
    rounds: int
    say: Callable[[str], None]
    skipped: dict[str, str] = field(default_factory=dict)
    measured: dict[str, list[dict[str, Measured]]] = field(default_factory=dict)

    def run(self, scenarios: list[Scenario], names: list[str]) -> None:
        """Measure; raises RuntimeError if a stream did not arrive whole."""
        cores = sorted(os.sched_getaffinity(0))
        # The contenders have a core to themselves, and whoever measures has the other.
        self._mine: int | None = cores[0] if len(cores) > 1 else None
        self._theirs: int | None = cores[-1] if len(cores) > 1 else None
        with contextlib.ExitStack() as stack:
            origin = stack.enter_context(processes.running(_module("origin"), core=self._mine))
            assert origin.stdout is not None  # noqa: S101 (for the type)
            self._origin = int(origin.stdout.readline())
            wanted = {name for scenario in scenarios if not scenario.is_fresh for name in scenario.contenders}
            self._running: dict[str, Running] = {}
            for name in CONTENDERS:
                if name in wanted and name in names:
                    with self._skipping(name):
                        self._running[name] = stack.enter_context(self._start(name))
            for scenario in scenarios:
                self._ask(scenario, [name for name in scenario.contenders if name in names])

    @contextlib.contextmanager
    def _skipping(self, name: str) -> Iterator[None]:
        try:
            yield
        except MissingError as error:
            self.skipped[name] = str(error)
            self.say(f"skipped {name}: {error}")

    def _start(self, name: str) -> contextlib.AbstractContextManager[Running]:
        contender = CONTENDERS[name]
        return started(contender, self.directory / name, self._origin, self._theirs if contender.is_pinned else None)

    def _ask(self, scenario: Scenario, names: list[str]) -> None:
        rounds = self.measured.setdefault(scenario.name, [])
        for _ in range(min(self.rounds, scenario.most_rounds)):
            turn: dict[str, Measured] = {}
            for name in names:
                if name in self.skipped:
                    continue
                if scenario.is_fresh:
                    with self._skipping(name), self._start(name) as fresh:
                        turn[name] = self._one(scenario.plan, CONTENDERS[name], fresh)
                else:
                    turn[name] = self._one(scenario.plan, CONTENDERS[name], self._running[name])
            if scenario.name.startswith("burst/"):
                turn["loads+dumps"] = {"cpu_ns": loads_and_dumps(scenario.plan.shape), "events": 1}
            rounds.append(turn)
        self.say(f"{scenario.name}: " + ", ".join(f"{name} {_short(rounds, name)}" for name in rounds[-1]))

    def _one(self, plan: Plan, contender: Contender, running: Running) -> Measured:
        plan = bearable(plan, contender)
        told = urllib.request.Request(f"http://127.0.0.1:{self._origin}/plan", plan.dump().encode(), method="POST")
        urllib.request.urlopen(told).close()  # noqa: S310 (an http URL)
        before = sum(map(processes.memory, running.pids))
        command = [*_module("load"), str(running.port), plan.dump(), "--expect", contender.expects]
        command += [word for pid in running.pids for word in ("--watch", str(pid))]
        prefix = ["taskset", "--cpu-list", str(self._mine)] if self._mine is not None else []
        done = subprocess.run([*prefix, *command], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{contender.name}, {plan}: {done.stderr.strip()[-1000:]}")
        measured: Measured = json.loads(done.stdout)
        if "memory" in measured:
            measured["memory"] = (measured["memory"] - before) / plan.streams
        return measured | {"streams": plan.streams, "deltas": plan.deltas}


def bearable(plan: Plan, contender: Contender) -> Plan:
    """The plan for a contender that takes less at a time."""
    slow = contender.slow if plan.burst == 1 else contender.slow * 2
    if slow == 1:
        return plan
    streams = plan.streams // 10 if plan.is_held else plan.streams
    deltas = max(plan.burst * 2, math.ceil(plan.deltas / slow))
    return replace(plan, streams=streams, deltas=deltas, rate=plan.rate / slow)


def _module(name: str) -> list[str]:
    return [sys.executable, "-m", f"bench.{name}"]


def _short(rounds: list[dict[str, Measured]], name: str) -> str:
    turns = [turn[name] for turn in rounds if name in turn]
    if "memory" in turns[0]:
        return f"{statistics.median(turn['memory'] for turn in turns) / 1024:.1f} KiB"
    return f"{statistics.median(turn['cpu_ns'] / turn['events'] for turn in turns) / 1000:.2f} µs"


def loads_and_dumps(shape: str) -> float:
    """Nanoseconds of CPU that the standard library takes to parse one event and to write it anew."""
    events = SHAPES[shape]
    texts = [events.event(place, text).partition(b"data: ")[2] for place, text in enumerate(events.texts(1000))]
    begin = time.process_time_ns()
    for text in texts:
        json.dumps(json.loads(text))
    return (time.process_time_ns() - begin) / len(texts)


def starts(times: int) -> dict[str, list[float]]:
    """Seconds until each of these is there: the version printed, a connection accepted, and Python itself."""
    compileall.compile_dir(str(ROOT / "respfix"), quiet=1)  # as pip does when it installs
    found: dict[str, list[float]] = {"python": [], "version": [], "serve": []}
    for _ in range(times):
        for name, words in (("python", ["-c", ""]), ("version", ["-m", "respfix", "--version"])):
            begin = time.perf_counter()
            subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
            found[name].append(time.perf_counter() - begin)
        port = free_port()
        begin = time.perf_counter()
        with processes.running(
            [sys.executable, "-m", "respfix", "serve", "--listen", f"127.0.0.1:{port}"], log=Path(os.devnull)
        ):
            while not accepts(port):
                time.sleep(0.002)
            found["serve"].append(time.perf_counter() - begin)
    return found
