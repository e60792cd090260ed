"""Where one run of Codex happens, and what it shows."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

HOME = Path(__file__).with_name("config.toml")
PATIENCE = 30.0  # seconds; a run takes one or two, one that retries three
TRUSTED = '\n[projects."{}"]\ntrust_level = "trusted" # the screen would ask\n'


@dataclass(slots=True)
class Seen:
    """What one run showed."""

    printed: str = ""  # exec: standard output; the screen: what follows the prompt on it, at the end
    streamed: str = ""  # app-server: the deltas of all messages
    messages: list[str] = field(default_factory=list)  # app-server: the final texts, in order
    thoughts: list[str] = field(default_factory=list)  # app-server: the final reasoning, in order
    unpaired: list[str] = field(default_factory=list)  # app-server: ids of deltas of which no item was started
    errors: list[str] = field(default_factory=list)
    exit: int | None = None
    inactive: int = 0  # how often Codex logged that a delta has no active item
    ran: int = 0  # how often the tool ran
    posts: int = 0
    history: list[str] = field(default_factory=list)  # what the last request said that the assistant had said
    log: str = ""


@dataclass(slots=True)
class Place:
    """The folders of one run, the binary, and the address that it asks."""

    binary: str
    base_url: str
    work: Path
    home: Path

    def command(self, *words: str) -> list[str]:
        """Give the command line of a front end."""
        return [self.binary, *words, "-c", f'model_providers.replay.base_url="{self.base_url}"']

    @property
    def environment(self) -> dict[str, str]:
        """Keep start-up traffic on the machine, even where the network is not a namespace of its own."""
        away = {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1,localhost"}
        own = {"CODEX_HOME": str(self.home), "REPLAY_KEY": "none", "RUST_LOG": "error", "HOME": str(self.home)}
        return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **away, **own}

    @property
    def ran(self) -> int:
        """How often the tool ran: each time it leaves a line."""
        mark = self.work / "ran"
        return len(mark.read_text().splitlines()) if mark.exists() else 0


@contextmanager
def placed(binary: str, base_url: str) -> Iterator[Place]:
    """Give folders for one run."""
    with tempfile.TemporaryDirectory(prefix="respfix-codex-", ignore_cleanup_errors=True) as folder:
        place = Place(binary, base_url, Path(folder, "work"), Path(folder, "home"))
        place.work.mkdir()
        place.home.mkdir()
        shutil.copy(HOME, place.home)
        with (place.home / HOME.name).open("a") as config:
            config.write(TRUSTED.format(place.work))
        yield place
