"""The service unit, as far as it can be judged without starting it."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = "/opt/respfix/bin/respfix"


@pytest.fixture
def unit(root: Path, tmp_path: Path) -> Path:
    """The unit with a program that is there."""
    program = tmp_path / "respfix"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{root}" exec "{sys.executable}" -m respfix "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    unit = tmp_path / "respfix.service"
    unit.write_text((root / "systemd/respfix.service").read_text().replace(PROGRAM, str(program)))
    return unit


def analyze(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """What systemd-analyze says."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed; the Debian package systemd has it")
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False, timeout=30)


def test_systemd_understands_the_unit(unit: Path) -> None:
    """No unknown key, no misplaced one, no missing program."""
    result = analyze("verify", "--man=no", unit)

    assert str(unit.name) not in result.stderr, result.stderr
    assert result.returncode == 0


def test_the_unit_is_hardened(unit: Path) -> None:
    """An exposure of at most 1.5 of 10; a bare unit has 9.6. Reading it through would not notice a lost line."""
    result = analyze("security", "--offline=true", "--threshold=15", unit)
    if "unrecognized option" in result.stderr:
        pytest.skip("this systemd-analyze cannot judge a unit that is not loaded; version 250 can")

    assert result.returncode == 0, result.stdout[-400:] + result.stderr


def test_the_unit_checks_the_configuration_with_a_real_command(unit: Path, root: Path) -> None:
    """The command of ExecStartPre is accepted, and that of ExecStart is the same without the check."""
    text = unit.read_text()
    check, start = (re.search(rf"^{key}=(.*)$", text, re.MULTILINE) for key in ("ExecStartPre", "ExecStart"))
    assert check
    assert start
    shutil.copy(root / "config.example.yaml", unit.parent / "config.yaml")
    environ = {**os.environ, "CREDENTIALS_DIRECTORY": str(unit.parent)}

    result = subprocess.run(
        ["sh", "-c", check[1]], capture_output=True, text=True, check=False, env=environ, timeout=30
    )

    assert (result.returncode, result.stderr) == (0, "")
    assert check[1].replace(" --check-config", "") == start[1]
