"""The real Codex with its built-in provider, whose requests go over a WebSocket where there is one."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from functools import cache

import pytest
import reader
from clients.codex.runs import VERSIONS, missing
from clients.codex.websocket import Run, Seen
from clients.install import HERE, codex
from clients.surroundings import separated
from corpus import STREAMS

pytestmark = [pytest.mark.codex, pytest.mark.timeout(300)]

HEALTHY = STREAMS / "conformant" / "text-2025-05.sse"
BROKEN = STREAMS / "recorded" / "sub2api-0.1.132-an-text.sse"
SAID = "Hello brave world", "Hello there, this is a short answer."


@cache
def seen() -> dict[tuple[str, str], Seen]:
    """What every run showed, by release and upstream."""
    if reason := missing():
        pytest.skip(reason)
    healthy, broken = ([block.data for block in reader.blocks(path.read_bytes())] for path in (HEALTHY, BROKEN))
    keys, runs = [], []
    for version in VERSIONS:
        binary = str(codex(version))
        for name, run in {
            "healthy": Run(binary, healthy),
            "broken": Run(binary, broken),
            "broken, direct": Run(binary, broken, relayed=False),
            "none": Run(binary, healthy, has_socket=False),
        }.items():
            keys.append((version, name))
            runs.append(run)
    done = subprocess.run(
        [*separated(), sys.executable, str(HERE / "codex" / "websocket.py")],
        input=json.dumps([asdict(run) for run in runs]), capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return dict(zip(keys, (Seen(**one) for one in json.loads(done.stdout)), strict=True))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_healthy_websocket_answers_untouched(version: str) -> None:
    """The answer is printed, and nothing was repaired."""
    found = seen()[version, "healthy"]

    assert (SAID[0], 0) == (found.printed, found.inactive), found.log
    assert ["repairs=-"] == [word for line in found.relay for word in line.split() if word.startswith("repairs=")]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_broken_websocket_is_repaired(version: str) -> None:
    """Sub2API's shape prints nothing and logs errors without respfix; with it, the answer."""
    direct, found = seen()[version, "broken, direct"], seen()[version, "broken"]

    assert ("", True) == (direct.printed, direct.inactive > 0), direct.log
    assert (SAID[1], 0) == (found.printed, found.inactive), found.log


@pytest.mark.parametrize("version", VERSIONS)
def test_codex_uses_http_at_once_where_there_is_no_websocket(version: str) -> None:
    """One refused upgrade, one POST, no reconnecting; measured: 0.2 s between them."""
    found = seen()[version, "none"]

    assert SAID[0] == found.printed, found.log
    assert ["GET", "POST"] == [line.split(" INFO ")[1].split()[0] for line in found.relay]
    assert "econnecting" not in found.log
    assert found.fallback is not None
    assert found.fallback < 5  # the patience of a busy machine; without the 426 it is seven seconds
