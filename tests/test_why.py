"""`docs/why.md` shows what its commands print. UPDATE_WHY=1 writes it anew."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest
from clients import see
from clients.install import UnavailableError

PAGE = Path(__file__).parents[1] / "docs" / "why.md"
SHOWN = re.compile(r"```sh\n(.*?)```\n\n```text\n(.*?)```", re.DOTALL)
PROGRAM = "../.venv/bin/python -m clients.see "


class Example(NamedTuple):
    """Commands of the page, and what they print."""

    commands: str
    printed: str


EXAMPLES = [Example(*found) for found in SHOWN.findall(PAGE.read_text("utf-8"))]


def printed(commands: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Run commands as the page has them."""
    for line in commands.splitlines():
        assert line.startswith(PROGRAM)
        see.main(shlex.split(line.removeprefix(PROGRAM)))
    return re.sub(r"and \d+\.\d s", "and 0.0 s", capsys.readouterr().out)


@pytest.mark.clients
@pytest.mark.timeout(600)
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: "-".join(example.commands.split()[3:5]))
def test_a_command_prints_what_the_page_shows(example: Example, capsys: pytest.CaptureFixture[str]) -> None:
    """So that nobody has to believe it."""
    try:
        got = printed(example.commands, capsys)
    except UnavailableError as reason:
        pytest.skip(str(reason))
    if "UPDATE_WHY" in os.environ:
        old = f"```sh\n{example.commands}```\n\n```text\n"
        PAGE.write_text(PAGE.read_text("utf-8").replace(old + example.printed, old + got), "utf-8")
        pytest.skip("written anew")

    assert example.printed == got


def test_every_command_of_the_page_is_run() -> None:
    """A block of shell is followed by what it prints."""
    assert PAGE.read_text("utf-8").count("```sh") == len(EXAMPLES) > 6
    assert all(example.printed for example in EXAMPLES)
