"""Clients from PyPI and npm, each in an environment of its own: a folder of the checkout that git ignores, made once.

What an environment holds is pinned under `pins/NAME`, by a `requirements.txt` or a `package.json` with its lockfile.
A hash of these files is part of the folder's name, so that a changed pin installs anew.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
PINS = HERE / "pins"
CACHE = HERE.parents[1] / ".cache" / "clients"
REQUIREMENTS = "requirements.txt"
MANIFESTS = (REQUIREMENTS, "package.json", "package-lock.json", ".npmrc")
NODE = 22  # openai-node 7 and the AI SDK 7 ask for it
MACHINE = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())  # as npm spells it
PATIENCE = 600.0  # seconds for one installation


class UnavailableError(Exception):
    """A client cannot be had here; the message says what is missing and what would help."""


def installed(name: str) -> Path:
    """Give the folder of an environment, installed if need be."""
    source = PINS / name
    manifests = [source / file for file in MANIFESTS if (source / file).exists()]
    digest = hashlib.sha256(b"\0".join(file.read_bytes() for file in manifests)).hexdigest()[:12]
    target = CACHE / f"{name}-{digest}"
    if target.exists():
        return target
    growing = CACHE / f"{name}-{digest}.{os.getpid()}"
    growing.mkdir(parents=True)
    try:
        for file in manifests:
            shutil.copy(file, growing)
        (_from_pypi if (source / REQUIREMENTS).exists() else _from_npm)(name, growing)
        try:
            growing.rename(target)
        except OSError:  # another run was quicker; its folder is as good
            if not target.exists():
                raise
    finally:
        shutil.rmtree(growing, ignore_errors=True)
    return target


def python(folder: Path) -> str:
    """Give the interpreter of an environment from PyPI; what comes from npm is run by our own."""
    own = folder / "bin" / "python"
    return str(own) if own.exists() else sys.executable


def node() -> str:
    """Give a Node.js that is new enough: the pinned one, or where npm has none for this machine, the machine's own."""
    pinned = installed("node") / "node_modules" / f"node-linux-{MACHINE}" / "bin" / "node"
    if pinned.exists():
        return str(pinned)
    own = shutil.which("node")
    if own is None:
        raise UnavailableError(f"node is not on the PATH: install Node.js {NODE} or newer to run this client")
    version = subprocess.run([own, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.lstrip("v").split(".")[0]) < NODE:
        raise UnavailableError(f"node is {version}: install Node.js {NODE} or newer to run this client")
    return own


def codex(version: str) -> Path:
    """Give the Codex binary of this release."""
    folder = installed("codex") / "node_modules" / f"codex-{version}-{MACHINE}"
    found = sorted(folder.glob("vendor/*/bin/codex"))
    if not found:
        raise UnavailableError(f"@openai/codex {version} has no binary for {platform.system()} on {platform.machine()}")
    return found[0]


def _from_pypi(name: str, folder: Path) -> None:
    # The scripts in its bin name a folder that is renamed in a moment; runners are started by the interpreter.
    own = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    _run(own, name, folder)
    pip = [sys.executable, "-m", "pip", "--python", python(folder), "install", "--quiet", "--requirement"]
    _run([*pip, REQUIREMENTS], name, folder, lambda line: line.startswith("ERROR"))


def _from_npm(name: str, folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise UnavailableError("npm is not on the PATH: install Node.js with npm to run this client")
    verb = "ci" if (folder / "package-lock.json").exists() else "install"
    _run([npm, verb], name, folder, lambda line: line.startswith("npm error"))


def _run(command: list[str], name: str, folder: Path, telling: Callable[[str], bool] = bool) -> None:
    shown = f"installing tests/clients/pins/{name}"
    try:
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"{shown} took more than ten minutes") from None
    if run.returncode:
        words = " ".join(filter(telling, run.stderr.splitlines()))[:300]
        raise UnavailableError(f"{shown} failed; can it reach a registry? {words}")
