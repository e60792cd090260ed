"""The units, as far as they can be judged without a running systemd."""

from __future__ import annotations

import difflib
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Figures

from respfix.config import Config
from respfix.config.sources import VARIABLES, from_environment

PROGRAM = "/opt/respfix/bin/respfix"
CONFIG = "/etc/respfix/config.yaml"
NAMES = ("respfix.service", "respfix@.service", "respfix.socket")


@pytest.fixture
def units(root: Path, tmp_path: Path) -> Path:
    """The folder of the units, with a program and a configuration that are there."""
    program = tmp_path / "respfix"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{root}" exec "{sys.executable}" -m respfix "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    shutil.copy(root / "config.example.yaml", tmp_path / "config.yaml")
    for name in NAMES:
        text = (root / "systemd" / name).read_text()
        text = text.replace(PROGRAM, str(program)).replace(CONFIG, str(tmp_path / "config.yaml"))
        (tmp_path / name).write_text(text)
    return tmp_path


def values(unit: Path, key: str) -> list[str]:
    """What a unit says for a key, in order."""
    return re.findall(rf"^{key}=(.*)$", unit.read_text(), re.MULTILINE)


def analyze(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """What systemd-analyze says."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed; the Debian package systemd has it")
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False, timeout=30)


@pytest.mark.parametrize("name", ["respfix.service", "respfix@1.service", "respfix.socket"])
def test_systemd_understands_the_units(units: Path, name: str) -> None:
    """No unknown key, no misplaced one, no missing program; the template as one of its instances."""
    if "@" in name:
        shutil.copy(units / "respfix@.service", units / name)
    result = analyze("verify", "--man=no", units / name)

    assert "respfix" not in result.stderr, result.stderr
    assert result.returncode == 0


@pytest.mark.parametrize("name", ["respfix.service", "respfix@.service"])
def test_the_units_are_hardened(units: Path, name: str, figures: Figures) -> None:
    """An exposure of at most 1.0 of 10; a bare unit has 9.6. Reading it through would not notice a lost line."""
    unit = units / name
    if "@" in name:
        unit = unit.rename(units / "respfix@1.service")
    result = analyze("security", "--offline=true", "--threshold=10", "--no-pager", unit)
    if "unrecognized option" in result.stderr:
        pytest.skip("this systemd-analyze cannot judge a unit that is not loaded; version 250 can")

    found = re.search(r"exposure level for \S+: ([\d.]+)", result.stdout)
    assert found, result.stdout[-400:] + result.stderr
    figures(f"systemd-analyze security {name}: {found[1]}")
    assert result.returncode == 0
    assert float(found[1]) <= 1.0


def test_the_configuration_is_checked_before_a_start_and_before_a_reload(units: Path) -> None:
    """By the real command, with the file that is then used; a wrong file fails both before respfix hears of it."""
    unit = units / "respfix.service"
    (check,) = values(unit, "ExecStartPre")
    (start,) = values(unit, "ExecStart")
    reload_check, hang_up = values(unit, "ExecReload")

    assert check == reload_check == start.replace("serve", "serve --check-config")
    assert hang_up == "/bin/kill -HUP $MAINPID"
    good = subprocess.run(check.split(), capture_output=True, text=True, check=False, timeout=30)
    assert (good.returncode, good.stderr) == (0, "")
    (units / "config.yaml").write_text("listen: nowhere\n")
    bad = subprocess.run(check.split(), capture_output=True, text=True, check=False, timeout=30)
    assert (bad.returncode, values(unit, "RestartPreventExitStatus")) == (2, ["2"])


def test_a_reload_sees_a_new_configuration(root: Path) -> None:
    """It is read from its file: a credential is a copy that systemd makes at the start."""
    unit = root / "systemd/respfix.service"

    assert values(unit, "LoadCredential") == []
    assert CONFIG in values(unit, "ExecStart")[0]
    assert values(unit, "Type") == ["notify"]


def test_the_stop_is_waited_for(root: Path) -> None:
    """Twice the default drain and some graces; systemd would otherwise kill what is being ended."""
    timeouts = Config().timeouts

    assert int(values(root / "systemd/respfix.service", "TimeoutStopSec")[0]) >= 2 * timeouts.drain + 3 * timeouts.grace


def test_the_socket_is_the_default_address(root: Path) -> None:
    """Whoever enables both changes nothing else."""
    assert values(root / "systemd/respfix.socket", "ListenStream") == [str(each) for each in Config().listen]


def test_the_template_differs_only_where_it_has_to(root: Path) -> None:
    """A line of hardening that is added to one belongs into the other."""
    one, several = ((root / "systemd" / name).read_text() for name in NAMES[:2])
    before, after = (text[text.index("[Unit]") :].splitlines() for text in (one, several))
    different = [line[2:] for line in difflib.ndiff(before, after) if line.startswith("+ ")]

    assert [line.partition("=")[0] for line in different] == [
        "Description",
        "Environment",
        "# /run/credentials/respfix@%i.service/tls.pem; a renewed one needs a restart.",
        "# /run/respfix-%i for unix sockets, /var/lib/respfix for captures.",
        "RuntimeDirectory",
    ]


def test_the_template_sets_what_is_there(root: Path) -> None:
    """Its variables are settings, and its instances are one user, or the kernel would not let them share a port."""
    unit = root / "systemd/respfix@.service"
    (line,) = values(unit, "Environment")
    given = from_environment(dict(word.split("=", 1) for word in line.split()))

    assert given.keys() == {"reuse_port", "admin.listen"} <= set(VARIABLES.values())
    assert given["admin.listen"].text == "unix:/run/respfix-%i/admin.sock"
    assert values(unit, "User") == ["respfix"]
