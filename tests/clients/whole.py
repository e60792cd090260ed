"""Clients that get JSON where they asked for a stream: ``python -m clients.whole CLIENT…``.

Each reads the same responses three times: streamed as OpenAI does, as JSON, and as JSON through a running respfix; and
an error as JSON with and without respfix. All in a network namespace of its own; standard output gets a JSON object.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from clients.drive import command, read_all
from clients.reading import Reading
from clients.replay import AFTER_TOOL, IN_JSON, serving
from clients.surroundings import RELAY, loopback_up, relaying, separated
from clients.table import CLIENTS
from clients.variants import BASES, encoded

INSIDE = "--inside"  # the process that was started in a namespace
LIMIT = 300.0  # seconds for all of them
NAMES = ("text", "all")
ERROR, WORDS = "error" + IN_JSON, "no account is left"  # what a pool says with a status of 200
STREAMED, STRAIGHT, RELAYED = "streamed", "straight", "relayed"
Readings = dict[str, dict[str, Reading]]  # of one client, by way and by name


def in_json(name: str) -> bytes:
    """Give an answer as a server gives it that does not stream."""
    return json.dumps(BASES[name][-1]["response"]).encode()


def bodies(*, are_whole: bool) -> dict[str, bytes]:
    """Give the answers, and what is said when a tool has answered."""
    said = {name: in_json(name) if are_whole else encoded(BASES[name]) for name in NAMES}
    said |= {name + AFTER_TOOL: said["text"] for name in NAMES}
    return {**said, ERROR: json.dumps({"error": {"message": WORDS, "type": "pool_error"}}).encode()}


def read(names: Iterable[str]) -> dict[str, Readings]:
    """Let these clients read; `UnavailableError` says why one cannot be had."""
    wanted = list(names)
    for name in wanted:
        command(CLIENTS[name], "")  # installs it while there is a network
    done = subprocess.run(
        [*separated(), sys.executable, "-m", "clients.whole", INSIDE, *wanted],
        cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False, timeout=LIMIT,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"the runner broke down: {done.stderr[-4000:]}")
    return {
        client: {way: {name: Reading.from_json(one) for name, one in seen.items()} for way, seen in ways.items()}
        for client, ways in json.loads(done.stdout).items()
    }


def on_one_way(client: str, url: str) -> dict[str, Reading]:
    """Read all answers from one address."""
    return {name: one.reading for name, one in read_all(CLIENTS[client], url, (*NAMES, ERROR)).by_name.items()}


def inside(names: Iterable[str]) -> Mapping[str, Readings]:
    """Read on all three ways."""
    loopback_up()
    with (
        serving(bodies(are_whole=False)) as streaming,
        serving(bodies(are_whole=True)) as upstream,
        relaying(RELAY, upstream.url.removesuffix("/v1")) as origin,
    ):
        ways = {STREAMED: streaming.url, STRAIGHT: upstream.url, RELAYED: f"{origin}/v1"}
        return {name: {way: on_one_way(name, url) for way, url in ways.items()} for name in names}


if __name__ == "__main__":
    is_inside, clients = sys.argv[1] == INSIDE, [name for name in sys.argv[1:] if name != INSIDE]
    found = inside(clients) if is_inside else read(clients)
    json.dump(found, sys.stdout, default=Reading.as_json, indent=1)
