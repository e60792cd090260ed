"""The folder with the kept streams: only its owner can read it, and it does not grow without end.

A stream is three files: `….in.sse` as it came, `….out.sse` as it left, `….json` with what the log says of it. They are
written beside their names and then renamed, `.in.sse` last, so a pair that is seen is whole.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

CAME, LEFT, FACTS = ".in.sse", ".out.sse", ".json"
ENDINGS = (FACTS, LEFT, CAME)  # in the order in which they appear
UNFINISHED = ".part"
OURS = re.compile(r"\d{8}T\d{9}Z-\d{4,}-[a-z-]+(?=\.)")


class FolderError(Exception):
    """The folder cannot be used; the message says why, and what to do."""


def look_at(path: Path) -> None:
    """Raise FolderError where a folder cannot be used or made; nothing is changed."""
    there = next(each for each in (path, *path.parents) if os.path.lexists(each))
    try:
        found = there.stat()
    except OSError as error:
        raise FolderError(f"cannot be used: {error.strerror}") from None
    if not stat.S_ISDIR(found.st_mode):
        raise FolderError(f"cannot be used: {'it' if there == path else there} is no folder")
    if not os.access(there, os.W_OK | os.X_OK):  # also where the file system is read-only
        advice = "name a folder where it may, for a service below /var/lib/respfix"
        raise FolderError(f"cannot be used: respfix's user may not write in {there}; {advice}")
    if there == path and hasattr(os, "geteuid") and found.st_uid != os.geteuid():
        raise FolderError("belongs to somebody else; name a folder of the user that respfix runs as")
    if there == path and stat.S_IMODE(found.st_mode) & 0o077 and os.name == "posix":
        raise FolderError("can be read by others; what is kept there is private: chmod 700")


class Folder:
    """Keeps the newest so many."""

    def __init__(self, path: Path, kept: int) -> None:
        """Make it if it is not there; raises FolderError."""
        self.path = path
        self._kept = kept
        look_at(path)
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            look_at(path)
            self._tidy()
        except OSError as error:
            raise FolderError(f"cannot be used: {error.strerror}") from None

    def keep(self, name: str, files: Mapping[str, Iterable[bytes]]) -> None:
        """Write the files of a stream, by their endings; raises OSError, and then nothing is left of them."""
        parts = {ending: self.path / f"{name}{ending}{UNFINISHED}" for ending in ENDINGS if ending in files}
        try:
            for ending, part in parts.items():
                self._write(part, files[ending])
            for part in parts.values():
                part.rename(part.with_suffix(""))
        except OSError:
            self._drop(name)
            raise
        self._drop_oldest()

    def _write(self, path: Path, pieces: Iterable[bytes]) -> None:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
        with open(number, "wb") as file:  # noqa: PTH123 (opened already)
            file.writelines(pieces)

    def _drop_oldest(self) -> None:
        names = sorted({found[0] for each in self.path.iterdir() if (found := OURS.match(each.name))})
        for name in names[: max(0, len(names) - self._kept)]:
            self._drop(name)

    def _drop(self, name: str) -> None:
        for ending in reversed(ENDINGS):
            for path in (self.path / f"{name}{ending}", self.path / f"{name}{ending}{UNFINISHED}"):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)

    def _tidy(self) -> None:
        """Remove what a crash left in the middle of writing."""
        for each in self.path.iterdir():
            if each.suffix == UNFINISHED and OURS.match(each.name):
                each.unlink(missing_ok=True)
        self._drop_oldest()
