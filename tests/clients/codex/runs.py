"""Many runs of the real Codex in one network namespace: streams in, what each run showed out."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import cache
from typing import NamedTuple

from clients.codex.fronts import APP_SERVER, EXEC, SCREEN
from clients.codex.job import Job, Run
from clients.codex.place import Seen
from clients.install import HERE, UnavailableError, codex
from clients.surroundings import RELAY, separated

VERSIONS = ("0.135.0", "0.169.0")
FRONTS = (EXEC, APP_SERVER, SCREEN)
TOOL, COMMAND = "exec_command", "echo ran >> ran"  # Codex's own shell tool; a line is left each time it runs
ARGUMENTS = {"cmd": COMMAND}


class Key(NamedTuple):
    """Which run: which release and front end, which stream, how many turns, and whether through respfix."""

    version: str
    front: str
    name: str
    turns: int = 1
    relayed: bool = True


@cache
def missing() -> str | None:
    """Say why Codex cannot be had or not be kept off the network, if so; looked up once."""
    try:
        separated()
        for version in VERSIONS:
            codex(version)
    except UnavailableError as reason:
        return str(reason)
    return None


def perform(bodies: Mapping[str, bytes], keys: Iterable[Key], cut: Iterable[str] = ()) -> dict[Key, Seen]:
    """Do these runs, some at a time, with these streams upstream."""
    wanted = list(keys)
    job = Job(
        {name: base64.b64encode(body).decode() for name, body in bodies.items()},
        list(RELAY),
        [Run(str(codex(key.version)), key.front, key.name, key.turns, key.relayed) for key in wanted],
        list(cut),
    )
    done = subprocess.run(
        [*separated(), sys.executable, "-m", "clients.codex.job"], cwd=HERE.parent,
        input=json.dumps(asdict(job)), capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"the runner broke down: {done.stderr[-4000:]}")
    return dict(zip(wanted, (Seen(**seen) for seen in json.loads(done.stdout)), strict=True))
