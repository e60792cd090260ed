"""docs/operations.md says what is true: its tables are made, its commands and settings are tried."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import operations
import pytest
import yaml
from operations import GUIDE, blocks
from test_admin import Service, looking

from respfix.admin import verdict
from respfix.admin.health import FRESH, PATIENCE
from respfix.capture.recording import MEMORY
from respfix.config import Config, build
from respfix.config.sources import from_file
from respfix.journal.lines import WAITING_LINES


@pytest.fixture
def guide() -> str:
    """The text."""
    return GUIDE.read_text(encoding="utf-8")


def test_what_is_made_from_the_program_is_current(guide: str) -> None:
    """`python tests/operations.py` brings it up to date."""
    assert operations.made(guide) == guide


def test_the_settings_in_it_can_be_set(tmp_path: Path) -> None:
    """As they stand there."""
    taken = 0
    for block in blocks("yaml"):
        if set(yaml.safe_load(block)) <= {"admin", "capture"}:
            path = tmp_path / "config.yaml"
            path.write_text(block)
            config = build(from_file(path))
            taken += config.admin != Config().admin or config.capture != Config().capture

    assert taken == 2


def test_every_verdict_is_explained(guide: str) -> None:
    """And no other."""
    source = inspect.getsource(verdict)
    titles = {
        *re.findall(r'"((?:The upstream|Waiting for|respfix only)[^"]*)"', source),
        "respfix is stopping",  # the page's own
    }
    explained = set(re.findall(r"(?m)^\| ((?:The upstream|Waiting|respfix (?:only|is))[^|]*?) \|", guide))

    assert titles == explained


async def test_every_metric_and_path_in_it_is_there(guide: str) -> None:
    """Alerts that name nothing never ring."""
    async with looking(Service()) as looker:
        text = (await looker.ask("/metrics"))[1]
        known = set(re.findall(r"(?m)^# TYPE (\w+)", text))
        for name in re.findall(r"\brespfix_\w+", guide):
            assert re.sub(r"_(bucket|sum|count)$", "", name) in known or name in known
        for path in set(re.findall(r"(?:9081|localhost|`)(/(?:healthz|readyz|metrics|status\.json))\b", guide)):
            assert (await looker.ask(path))[0] == 200


def test_the_numbers_in_it_are_the_programs(guide: str) -> None:
    """Bounds and times."""
    capture = Config().capture
    assert f"`capture.streams` ({capture.streams})" in guide
    assert f"`capture.stream_bytes` ({capture.stream_bytes // 2**20} MiB)" in guide
    assert f"`capture.every` ({capture.every:g})" in guide
    assert f"{MEMORY // 2**20} MiB for all" in guide
    assert f"{WAITING_LINES} waiting\nlines" in guide
    assert f"once in\n{FRESH:g} s at most and takes {PATIENCE:g} s" in guide
    assert f"the last {verdict.NEWEST} streams" in guide
