"""What people install: built once, installed into a clean environment on every Python here, and tried there."""

from __future__ import annotations

import email
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from itertools import repeat
from pathlib import Path

import pytest
from conftest import ROOT, Figures
from packages import uv_environment
from test_demo import serving

import respfix

pytestmark = [pytest.mark.install, pytest.mark.timeout(600)]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LEAST = tuple(map(int, PROJECT["requires-python"].removeprefix(">=").split(".")))


def uv(*arguments: str | Path, cwd: Path = ROOT) -> str:
    """Run uv, which is in the development extra."""
    program = Path(sys.executable).parent / "uv"
    if not program.exists():
        pytest.skip("uv is not installed; it comes with `pip install -e '.[dev]'`")
    done = subprocess.run(
        [program, *arguments], cwd=cwd, text=True, capture_output=True, check=False, env=uv_environment()
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pythons() -> dict[str, str]:
    """The oldest of each minor version that respfix supports and that is here, by its version."""
    folders = [Path(entry) for entry in os.environ["PATH"].split(os.pathsep)]
    folders += sorted(Path.home().glob(".pyenv/versions/*/bin"))
    programs = [path for folder in folders for path in sorted(folder.glob("python3.[0-9]*"))]
    found: dict[str, str] = {}
    for program in (Path(sys.executable), *programs):
        if not re.fullmatch(r"python3?(\.\d+)?", program.name):
            continue
        asked = "import sys; print(*sys.version_info[:2], sys.implementation.name)"
        done = subprocess.run([program, "-c", asked], text=True, capture_output=True, check=False)
        major, minor, name = [*done.stdout.split(), "", "", ""][:3]
        if done.returncode == 0 and name == "cpython" and (int(major), int(minor)) >= LEAST:
            found.setdefault(f"{major}.{minor}", str(program))
    return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The source distribution, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    checkout = tmp_path_factory.mktemp("checkout") / "respfix"
    unwanted = shutil.ignore_patterns(".*cache", ".venv", ".git", ".hypothesis", "node_modules")
    shutil.copytree(ROOT, checkout, ignore=unwanted)
    uv("build", "--quiet", "--out-dir", folder, checkout)
    (source,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return source, wheel


def test_the_wheel_holds_the_package_and_nothing_else(built: tuple[Path, Path]) -> None:
    """Its data files, its types and its licence too, and metadata that say what it is."""
    with zipfile.ZipFile(built[1]) as wheel:
        names = set(wheel.namelist())
        (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        said = email.message_from_bytes(wheel.read(metadata))
    package = Path(respfix.__file__).parent
    files = [path.relative_to(package) for path in package.rglob("*") if path.is_file()]
    expected = {f"respfix/{path}" for path in files if "__pycache__" not in path.parts}

    assert {name for name in names if name.startswith("respfix/")} == expected
    assert "respfix/py.typed" in names
    assert {name.split("/")[0] for name in names} == {"respfix", metadata.split("/")[0]}
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert (said["Name"], said["Version"], said["License-Expression"]) == ("respfix", respfix.__version__, "MIT")
    assert said["Requires-Python"] == ">=" + ".".join(map(str, LEAST))
    assert said["Description-Content-Type"] == "text/markdown"


def test_the_source_distribution_is_enough_to_build_and_to_test(built: tuple[Path, Path]) -> None:
    """Distributions of Linux build from it, and run the tests."""
    with tarfile.open(built[0]) as source:
        names = {name.partition("/")[2] for name in source.getnames()}

    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "config.example.yaml"} <= names
    assert {"systemd/respfix.service", "docker/Dockerfile", "respfix/py.typed", "tests/conftest.py"} <= names
    assert not [name for name in names if re.match(r"\.(cache|venv|hypothesis)|.*__pycache__", name)]


SMOKE = """
import json, respfix
from importlib.metadata import version
from respfix.stream import Mender
mender = Mender()
frame = b'event: response.output_text.delta\\ndata: {"type":"response.output_text.delta","delta":"Hi"}\\n\\n'
out = mender.feed(frame) + mender.close()
print(json.dumps([respfix.__file__, version("respfix"), mender.report.terminal, b'"Hi"' in out]))
"""


def test_the_wheel_works_on_every_python_here(built: tuple[Path, Path], tmp_path: Path, figures: Figures) -> None:
    """In a clean environment, away from the checkout: the library, the commands, and a stream through them."""
    versions = pythons()
    assert versions

    def tried(version: str, upstream: str) -> None:
        uv("venv", "--quiet", "--python", versions[version], tmp_path / version, cwd=tmp_path)
        uv("pip", "install", "--quiet", "--python", tmp_path / version / "bin/python", built[1], cwd=tmp_path)
        smoke(tmp_path / version, upstream)

    with serving() as (_, urls), ThreadPoolExecutor(2) as together:
        list(together.map(tried, versions, repeat("http://" + urls["broken"].split("/")[2])))
    figures(f"the wheel works on Python {', '.join(versions)}")


def smoke(room: Path, upstream: str) -> None:
    """Try what is installed there."""
    bare = {"PATH": "/usr/bin:/bin"}

    def run(name: str, *arguments: str) -> str:
        command = [str(room / "bin" / name), *arguments]
        done = subprocess.run(command, cwd=room, env=bare, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    where, said, terminal, is_there = json.loads(run("python", "-W", "error", "-c", SMOKE))
    assert Path(where).is_relative_to(room)
    assert (said, is_there, terminal) == (respfix.__version__, True, "response.failed")
    assert run("respfix", "--version").strip().endswith(respfix.__version__)
    assert "missing-part-added" in run("respfix", "defects")
    command = [str(room / "bin/respfix"), "serve", "--upstream", upstream, "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, cwd=room, env=bare, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        log = ""
        while (found := re.search(r"listens on http://127\.0\.0\.1:(\d+)\n", log)) is None:
            line = process.stderr.readline()
            assert line, log
            log += line
        connection = HTTPConnection("127.0.0.1", int(found[1]), timeout=30)
        connection.request("POST", "/v1/responses", b'{"model": "anthropic-text", "stream": true}')
        answer = connection.getresponse().read()
        connection.close()
        process.terminate()

        assert process.wait(30) == 0
    assert b"event: response.content_part.added" in answer
