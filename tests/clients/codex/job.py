"""Many runs of Codex, in front of a replayed upstream: ``unshare -n python -m clients.codex.job < job.json``.

Meant to run in a network namespace of its own, so that nothing that Codex does at start can leave the machine; loopback
is brought up here. Standard input is a `Job`, standard output a JSON list of what each run showed (`Seen`).
"""

from __future__ import annotations

import base64
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field

from clients.codex.fronts import shown
from clients.codex.place import Seen
from clients.replay import Upstream, serving
from clients.surroundings import loopback_up, relaying

AT_ONCE = 4


@dataclass(slots=True)
class Run:
    """One run: which Codex, which front end, which stream, and through what."""

    binary: str
    front: str  # "exec", "app-server" or "tui"
    name: str  # of the recording
    turns: int = 1
    relayed: bool = True  # through the relay, or straight from the upstream


@dataclass(slots=True)
class Job:
    """Everything a process of this module is told."""

    bodies: dict[str, str]  # recordings by name, base64
    relay: list[str]  # a command that takes --upstream URL --listen HOST:PORT
    runs: list[Run]
    cut: list[str] = field(default_factory=list)  # recordings after which the connection breaks


def said_before(request: bytes) -> list[str]:
    """Read off a request what the assistant is said to have said."""
    return [
        "".join(part.get("text", "") for part in item["content"])
        for item in json.loads(request)["input"]
        if item.get("type") == "message" and item["role"] == "assistant"
    ]


def take(number: int, run: Run, upstream: Upstream, origin: str) -> Seen:
    """Do one run, under a name of its own."""
    name = f"{run.name}@{number}"
    seen = shown(run.front, run.binary, f"{origin}/v1", name, run.turns)
    requests = upstream.received.get(name, [])
    seen.posts = len(requests)
    seen.history = said_before(requests[-1]) if requests else []
    return seen


def main() -> None:
    """Do the job on standard input."""
    given = json.load(sys.stdin)
    job = Job(given["bodies"], given["relay"], [Run(**run) for run in given["runs"]], given["cut"])
    bodies = {name: base64.b64decode(body) for name, body in job.bodies.items()}
    loopback_up()
    with serving(bodies, cut=frozenset(job.cut)) as upstream:
        origin = upstream.url.removesuffix("/v1")
        with relaying(job.relay, origin) as relay, ThreadPoolExecutor(AT_ONCE) as pool:
            tasks = [
                pool.submit(take, number, run, upstream, relay if run.relayed else origin)
                for number, run in enumerate(job.runs)
            ]
            seen = [task.result() for task in tasks]
    json.dump([asdict(one) for one in seen], sys.stdout)


if __name__ == "__main__":
    main()
