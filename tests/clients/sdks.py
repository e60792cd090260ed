"""The two OpenAI SDKs: streams in, readings out."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from clients.drive import command, read_all
from clients.install import UnavailableError
from clients.reading import Reading
from clients.replay import serving
from clients.table import CLIENTS

PYTHON = "openai-python-stream"
NODE = "openai-node-7-stream"
SDKS = (PYTHON, NODE)


@cache
def missing(sdk: str) -> str | None:
    """Say why an SDK cannot be had here, if it cannot; looked up once."""
    try:
        command(CLIENTS[sdk], "")
    except UnavailableError as reason:
        return str(reason)
    return None


def read(sdk: str, bodies: Mapping[str, bytes]) -> dict[str, Reading]:
    """Let one SDK read these streams."""
    with serving(bodies) as upstream:
        outcomes = read_all(CLIENTS[sdk], upstream.url, bodies).by_name
    return {name: outcome.reading for name, outcome in outcomes.items()}
