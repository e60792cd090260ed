"""One client, measured: ``python -m clients.measure CLIENT [STREAM…]``, in a network namespace of its own.

Each stream is read twice, straight from the upstream and through a running respfix. Without names of streams it is all
that the client's row asks for. Standard output gets a JSON object; `matrix.py` judges it.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from clients.cases import CASES, FAILED, FAILED_EARLY, INCOMPLETE, STREAMS
from clients.drive import command, read_all
from clients.reading import Reading
from clients.replay import Upstream, serving
from clients.surroundings import RELAY, loopback_up, relaying, separated
from clients.table import CLIENTS, Client

INSIDE = "--inside"  # the process that was started in a namespace
LIMIT = 3600.0  # seconds for one client


@dataclass(slots=True)
class Seen:
    """What came of one stream on one way."""

    reading: Reading
    requests: int  # how often the client asked for it
    hung: bool = False


@dataclass(slots=True)
class Measured:
    """What one client made of all streams, on both ways."""

    version: str
    straight: dict[str, Seen] = field(default_factory=dict)
    relayed: dict[str, Seen] = field(default_factory=dict)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Measured:
        """Read what a process of this module has printed."""
        ways = {
            way: {
                name: Seen(Reading.from_json(seen["reading"]), seen["requests"], seen["hung"])
                for name, seen in values[way].items()
            }
            for way in ("straight", "relayed")
        }
        return cls(values["version"], **ways)


def wanted(client: Client) -> list[str]:
    """Give the names of the streams that a client's row asks for, and of those that recordings are held against."""
    held = {"text", *(f"text.{end}" for end in (FAILED, FAILED_EARLY, INCOMPLETE))}
    return [case.name for case in CASES.values() if case.base in client.bases or case.is_recorded or case.name in held]


def measure(client: Client, names: Iterable[str] | None = None) -> Measured:
    """Measure a client, kept off the network; `UnavailableError` says why it cannot be had."""
    command(client, "")  # installs it while there is a network
    words = [INSIDE, client.name, *(names or wanted(client))]
    with subprocess.Popen(
        [*separated(), sys.executable, "-m", "clients.measure", *words],
        cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as run:  # fmt: skip
        try:
            printed, log = run.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            run.terminate()  # it ends its own processes
            raise
    if run.returncode:
        raise RuntimeError(f"{client.name} could not be measured: {log[-4000:]}")
    return Measured.from_json(json.loads(printed))


def both_ways(client: Client, names: list[str]) -> Measured:
    """Read streams straight and through respfix, each way with an upstream of its own that counts requests."""
    cut = frozenset(name for name in names if CASES[name].is_cut)
    streams = spoken(client)
    with serving(streams, cut=cut) as upstream:
        version, straight = on_one_way(client, upstream, upstream.url, names)
    with serving(streams, cut=cut) as upstream, relaying(RELAY, upstream.url.removesuffix("/v1")) as origin:
        _, relayed = on_one_way(client, upstream, f"{origin}/v1", names)
    return Measured(version, straight, relayed)


def spoken(client: Client) -> dict[str, bytes]:
    """Give all streams, with calls of the client's own tools."""
    streams = dict(STREAMS)
    for old, new in client.words:
        streams = {name: body.replace(old, new) for name, body in streams.items()}
    return streams


def on_one_way(client: Client, upstream: Upstream, url: str, names: list[str]) -> tuple[str, dict[str, Seen]]:
    """Read streams from one address; gives the client's version, too."""
    outcomes = read_all(client, url, names)
    seen = {
        name: Seen(one.reading, len(upstream.received.get(name, ())), one.hung)
        for name, one in sorted(outcomes.by_name.items())
    }
    return outcomes.version, seen


def main() -> None:
    """Measure what the command line says."""
    words = sys.argv[1:]
    if words[:1] == [INSIDE]:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends all that it started
        loopback_up()
        measured = both_ways(CLIENTS[words[1]], words[2:])
    else:
        measured = measure(CLIENTS[words[0]], words[1:] or None)
    json.dump(asdict(measured), sys.stdout, indent=1)


if __name__ == "__main__":
    main()
