"""The three front ends of Codex."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from clients.codex.app_server import read_app_server
from clients.codex.place import PATIENCE, Place, Seen, placed
from clients.codex.screen import read_screen
from clients.replay import prompt

INACTIVE = "without active item"


def read_exec(name: str, turns: int, place: Place, seen: Seen) -> None:
    """Run `codex exec`, which takes one turn; its answer is on standard output, and its exit code says little."""
    assert turns == 1, "codex exec takes one turn"
    done = subprocess.run(
        place.command("exec", "--skip-git-repo-check", prompt(name)),
        cwd=place.work, env=place.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False, timeout=PATIENCE,
    )  # fmt: skip
    seen.printed, seen.exit, seen.log = done.stdout.strip(), done.returncode, done.stderr


EXEC, APP_SERVER, SCREEN = "exec", "app-server", "tui"
READERS: dict[str, Callable[[str, int, Place, Seen], None]] = {
    EXEC: read_exec,
    APP_SERVER: read_app_server,
    SCREEN: read_screen,
}


def shown(front: str, binary: str, base_url: str, name: str, turns: int = 1) -> Seen:
    """Give what one run of a front end shows."""
    seen = Seen()
    with placed(binary, base_url) as place:
        try:
            READERS[front](name, turns, place, seen)
        except (RuntimeError, subprocess.TimeoutExpired) as broken:
            seen.errors.append(str(broken))
        seen.ran = place.ran
    seen.inactive = seen.log.count(INACTIVE)
    return seen
