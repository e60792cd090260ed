"""Known vulnerabilities of what respfix installs, and dangerous calls in what it is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from conftest import ROOT, Figures
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def tool(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a tool of the development extra, which is not everywhere."""
    path = Path(sys.executable).parent / name
    if not path.exists():
        pytest.skip(f"{name} is not installed; it comes with `pip install -e '.[dev]'`")
    return subprocess.run([path, *arguments], cwd=ROOT, text=True, capture_output=True, check=False)


def installed(name: str, extra: str = "") -> set[str]:
    """What a distribution needs here, and what that needs, each pinned to what is installed."""
    pinned: set[str] = set()
    for line in metadata.requires(name) or ():
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        pin = f"{canonicalize_name(requirement.name)}=={metadata.version(requirement.name)}"
        if pin not in pinned:
            pinned |= {pin} | installed(requirement.name)
    return pinned


def test_no_dangerous_call_is_in_the_program() -> None:
    """As bandit sees it; what is left out is argued in pyproject.toml."""
    done = tool("bandit", "--quiet", "--configfile", "pyproject.toml", "--recursive", "respfix")

    assert done.returncode == 0, done.stdout


@pytest.mark.timeout(300)
def test_no_dependency_has_a_known_vulnerability(tmp_path: Path, figures: Figures) -> None:
    """As pip-audit finds it; without its source of knowledge nothing was audited, and that is said."""
    pins = sorted(installed("respfix") | installed("respfix", "compression"))
    file = tmp_path / "requirements.txt"
    file.write_text("\n".join(pins))
    done = tool("pip-audit", "--requirement", file, "--no-deps", "--disable-pip", "--format", "json", "--timeout", "20")
    try:
        found = json.loads(done.stdout)["dependencies"]
    except ValueError:
        found = [{"name": "-", "skip_reason": (done.stderr.strip().splitlines() or ["no word"])[-1][:200]}]
    skipped = {each["name"]: each["skip_reason"] for each in found if "skip_reason" in each}
    if len(skipped) == len(found):
        reason = f"nothing was audited, the service knows none of {len(pins)} packages: {found[0]['skip_reason']}"
        figures(f"pip-audit: {reason}")
        pytest.skip(reason)
    figures(f"pip-audit: {len(found)} packages, {len(skipped)} of them not known to the service")

    assert skipped == {}
    assert {each["name"]: each["vulns"] for each in found if each["vulns"]} == {}


def test_the_licence_is_said_as_spdx_says_it(root: Path) -> None:
    """One expression, and the text it names."""
    assert 'license = "MIT"' in (root / "pyproject.toml").read_text()
    assert (root / "LICENSE").read_text().startswith("MIT License")


def test_the_changelog_keeps_its_form(root: Path) -> None:
    """Keep a Changelog: a head for what is not released, versions with their days, and its six kinds of change."""
    text = (root / "CHANGELOG.md").read_text()
    heads = re.findall(r"(?m)^## (.*)$", text)
    kinds = set(re.findall(r"(?m)^### (.*)$", text))

    assert heads[0] == "[Unreleased]"
    assert [head for head in heads[1:] if not re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", head)] == []
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
