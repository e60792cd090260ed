"""The two OpenAI SDKs as processes: names of recordings in, readings out."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.util import find_spec

from clients.install import HERE, UnavailableError, installed, node
from clients.reading import Reading
from clients.replay import serving

PYTHON = "openai-python"
NODE = "openai-node"
SDKS = (PYTHON, NODE)


def command(sdk: str, url: str) -> list[str]:
    """Give the command line that reads from this server; `UnavailableError` says why there is none."""
    if sdk == NODE:
        folder = installed("openai_node")
        return [node(folder), str(HERE / "openai_node" / "read.mjs"), str(folder), url]
    if find_spec("openai") is None:
        raise UnavailableError("the package openai is not installed: install respfix with its test extra")
    return [sys.executable, str(HERE / "openai_python.py"), url]


@cache
def missing(sdk: str) -> str | None:
    """Say why an SDK cannot be had here, if it cannot; looked up once."""
    try:
        command(sdk, "")
    except UnavailableError as reason:
        return str(reason)
    return None


def read_from(url: str, sdk: str, names: Iterable[str]) -> dict[str, Reading]:
    """Let one SDK read these recordings from a server, all in one process."""
    run = subprocess.run(
        command(sdk, url), input=json.dumps(list(names)), capture_output=True, text=True, check=False, timeout=300
    )
    if run.returncode:
        raise RuntimeError(f"{sdk} broke down: {run.stderr[-2000:]}")
    return {name: Reading.from_json(values) for name, values in json.loads(run.stdout)["readings"].items()}


def read(sdk: str, bodies: Mapping[str, bytes]) -> dict[str, Reading]:
    """Let one SDK read these streams."""
    with serving(bodies) as upstream:
        return read_from(upstream.url, sdk, bodies)
