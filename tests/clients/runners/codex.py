"""Codex: the interface is the release and the front end, "0.169.0 tui"."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from clients.codex.fronts import APP_SERVER, shown
from clients.codex.place import Seen
from clients.codex.runs import COMMAND, TOOL
from clients.install import codex
from clients.reading import Reading
from clients.serve import arguments, serve


def complaint(seen: Seen) -> str | None:
    """Give what a user would take for a failure, if anything."""
    if seen.errors:
        return seen.errors[-1]
    if seen.exit:
        return next((line for line in reversed(seen.log.splitlines()) if line.startswith("ERROR")), f"exit {seen.exit}")
    if seen.unpaired:
        return f"deltas of items that were not started: {seen.unpaired}"
    if seen.inactive:
        return f"{seen.inactive} times: a delta without active item"
    return None


def fill(reading: Reading, name: str) -> None:
    """Let the front end take one turn."""
    seen = shown(front, binary, url, name)
    reading.error = complaint(seen)
    reading.status = None if reading.error else "completed"
    reading.streamed_text = seen.streamed
    reading.summaries = seen.thoughts
    reading.texts = seen.messages if front == APP_SERVER else [seen.printed] if seen.printed else []
    reading.calls = [[TOOL, None, COMMAND]] * seen.ran


if __name__ == "__main__":
    url, interface = arguments()
    version, front = interface.split()
    binary = str(codex(version))
    serve("codex", fill, version)
