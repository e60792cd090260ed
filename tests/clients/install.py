"""Clients from npm, put into a folder of the checkout that git ignores, once."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".cache" / "clients"
NODE = 22  # openai-node 7 asks for it
MACHINE = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())  # as npm spells it


class UnavailableError(Exception):
    """A client cannot be had here; the message says what is missing and what would help."""


def installed(name: str) -> Path:
    """Give the folder that holds node_modules as `tests/clients/NAME/package.json` asks for, installed if need be."""
    source = HERE / name
    manifests = [source / file for file in ("package.json", "package-lock.json", ".npmrc") if (source / file).exists()]
    digest = hashlib.sha256(b"\0".join(file.read_bytes() for file in manifests)).hexdigest()[:12]
    target = CACHE / f"{name}-{digest}"
    if target.exists():
        return target
    npm = shutil.which("npm")
    if npm is None:
        raise UnavailableError("npm is not on the PATH: install Node.js with npm to run this client")
    growing = CACHE / f"{name}-{digest}.{os.getpid()}"
    growing.mkdir(parents=True)
    try:
        for file in manifests:
            shutil.copy(file, growing)
        verb = "ci" if (source / "package-lock.json").exists() else "install"
        run = subprocess.run([npm, verb], cwd=growing, capture_output=True, text=True, check=False, timeout=600)
        if run.returncode:
            words = " ".join(line for line in run.stderr.splitlines() if line.startswith("npm error"))[:300]
            raise UnavailableError(f"`npm {verb}` in tests/clients/{name} failed; can it reach a registry? {words}")
        try:
            growing.rename(target)
        except OSError:  # another run was quicker; its folder is as good
            if not target.exists():
                raise
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"`npm {verb}` in tests/clients/{name} took more than ten minutes") from None
    finally:
        shutil.rmtree(growing, ignore_errors=True)
    return target


def node(folder: Path) -> str:
    """Give a Node.js that is new enough: the one that was installed along, or the machine's own."""
    along = folder / "node_modules" / f"node-linux-{MACHINE}" / "bin" / "node"
    if along.exists():
        return str(along)
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
