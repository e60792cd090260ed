"""Keeps the streams that were repaired or failed, as they came and as they left, for a bug report.

Off unless asked for. What passes is remembered while it passes; only a stream that turns out to be worth it is written,
by a thread of its own, so that no stream waits for a disk. Whatever goes wrong here is logged and forgotten.

Of streams with the same faults one is kept in a while: with a broken upstream all of them are repaired, and the rare
fault that somebody looks for must not be pushed out by the common one.
"""

from __future__ import annotations

import contextlib
import json
import queue
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from respfix import __version__
from respfix.capture.folder import CAME, FACTS, LEFT, Folder, FolderError, look_at
from respfix.capture.masking import masked, secrets_of
from respfix.capture.recording import Memory, Mending, Pair, Recording, Side
from respfix.config import Capture as Settings
from respfix.journal import Entry, Journal, Outcome, log
from respfix.stream.defects import by_weight

WAITING = 4  # streams that wait to be written; more would only hold memory that the disk does not get rid of
LAST_WORDS = 2.0  # seconds for them when the service ends
KINDS = 1000  # sets of faults that are told apart
COMPLAIN_EVERY = 60.0  # seconds; a full disk must not fill the log as well
LONGEST_EVENT = 64 * 1024  # bytes at the end that are searched for the last whole one
NONE_FITS = "no-defect"


@dataclass(frozen=True, slots=True)
class Kept:
    """A stream that waits to be written."""

    folder: Folder
    name: str
    entry: Entry
    recording: Pair
    headers: list[tuple[str, str]]
    target: str


class Capture:
    """Decides which streams are kept, and keeps them; lives as long as the process."""

    def __init__(self, journal: Journal) -> None:
        self._count = journal.tally.captures
        self._memory = Memory()
        self._running: dict[Entry, Pair] = {}
        self._settings = Settings()
        self._folder: Folder | None = None
        self._seen: OrderedDict[tuple[Any, ...], float] = OrderedDict()
        self._number = 0
        self._newest = datetime.min.replace(tzinfo=UTC)
        self._complained = -COMPLAIN_EVERY
        self._waiting: queue.Queue[Kept | None] = queue.Queue(WAITING)
        self._thread: threading.Thread | None = None

    @staticmethod
    def folder_for(settings: Settings) -> Folder | None:
        """The folder that the configuration names, ready to be written to; raises ConfigError."""
        if settings.folder is None:
            return None
        try:
            return Folder(settings.folder.path, settings.streams)
        except FolderError as error:
            raise settings.folder.error(str(error)) from None

    @staticmethod
    def look_at_folder(settings: Settings) -> None:
        """Raises ConfigError where `folder_for` would, and makes nothing."""
        if settings.folder is not None:
            try:
                look_at(settings.folder.path)
            except FolderError as error:
                raise settings.folder.error(str(error)) from None

    def configure(self, settings: Settings, folder: Folder | None) -> None:
        """From now on keep streams there, or none."""
        self._settings, self._folder = settings, folder

    def record(self, entry: Entry, mender: Mending) -> Mending:
        """What to take in the place of this mender; itself, if nothing is kept."""
        if self._folder is None:
            return mender
        recording = self._running[entry] = Recording(mender, self._settings.stream_bytes, self._memory)
        return recording

    def begin(self, entry: Entry) -> Pair | None:
        """What remembers one response of a WebSocket, of which this is known; None, if nothing is kept."""
        if self._folder is None:
            return None
        pair = self._running[entry] = Pair(self._settings.stream_bytes, self._memory)
        return pair

    def end(self, entry: Entry, headers: Iterable[tuple[str, str]], target: str) -> None:
        """The request is over; keep its stream if it is worth it, without what its headers and its target carried."""
        recording = self._running.pop(entry, None)
        if recording is None:
            return
        if self._folder is None or not self._is_wanted(entry):
            recording.forget()
            return
        self._number += 1
        # What is newest is seen by the names: a clock that is set back must not make it the oldest, which is dropped.
        self._newest = now = max(self._newest, datetime.now(UTC))
        name = f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03}Z-{self._number:04d}-{_word_for(entry)}"
        self._start()
        try:
            self._waiting.put_nowait(Kept(self._folder, name, entry, recording, list(headers), target))
        except queue.Full:
            self._count["dropped",] += 1
            recording.forget()

    def close(self) -> None:
        """Write what is waiting, if that is soon done."""
        if self._thread is not None:
            with contextlib.suppress(queue.Full):
                self._waiting.put(None, timeout=LAST_WORDS)
                self._thread.join(LAST_WORDS)
            self._thread = None

    def _is_wanted(self, entry: Entry) -> bool:
        report = entry.report
        if report is None or entry.why == "shutdown":
            return False
        if not report.defects and not report.stopped and entry.outcome is not Outcome.FAILED:
            return False
        kind = (entry.upstream, entry.outcome, entry.by, entry.why, report.stopped, *sorted(report.defects))
        now = time.monotonic()
        if now - self._seen.get(kind, -1e9) < self._settings.every:
            self._count["alike",] += 1
            return False
        self._seen[kind] = now
        self._seen.move_to_end(kind)
        if len(self._seen) > KINDS:
            self._seen.popitem(last=False)
        return True

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="respfix-capture", daemon=True)
            self._thread.start()

    def _write(self) -> None:
        while (kept := self._waiting.get()) is not None:
            try:
                kept.folder.keep(kept.name, _files(kept))
            except Exception as error:  # noqa: BLE001 (whatever it is, it must not end the keeping, nor anything else)
                self._count["failed",] += 1
                self._complain(error)
            else:
                self._count["kept",] += 1
                log.info("kept a stream as %s", kept.folder.path / f"{kept.name}{CAME}")
            finally:
                kept.recording.forget()

    def _complain(self, error: Exception) -> None:
        now = time.monotonic()
        if now - self._complained >= COMPLAIN_EVERY:
            self._complained = now
            why = error.strerror if isinstance(error, OSError) else type(error).__name__
            log.warning("a stream could not be kept (%s); streams go on, see capture.folder", why)


def _word_for(entry: Entry) -> str:
    """What the stream is called after: the defect that matters most, or how it failed."""
    word = next(iter(by_weight(entry.report.defects)), "") if entry.report is not None else ""
    return re.sub(r"[^a-z]+", "-", word or entry.why) or NONE_FITS


def _files(kept: Kept) -> dict[str, Iterable[bytes]]:
    secrets = secrets_of(kept.headers, kept.target)
    came, left = kept.recording.came, kept.recording.left
    facts = {
        "respfix": __version__,
        "at": datetime.fromtimestamp(kept.entry.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        **kept.entry.facts(),
        "came_is_whole": came.is_whole,
        "left_is_whole": left.is_whole,
    }
    files: dict[str, Iterable[bytes]] = {
        FACTS: [json.dumps(facts, indent=2).encode(), b"\n"],
        CAME: _text(came, secrets),
    }
    if kept.entry.is_repaired:
        files[LEFT] = _text(left, secrets)
    return files


def _text(side: Side, secrets: list[bytes]) -> Iterator[bytes]:
    """The bytes of a side without secrets, to the last whole event if there was no room for all."""
    whole = b"".join(side.chunks)
    if not side.is_whole:
        last = list(re.finditer(rb"\r\n\r\n|\n\n|\r\r", whole[-LONGEST_EVENT:]))
        whole = whole[: len(whole) - len(whole[-LONGEST_EVENT:]) + last[-1].end()] if last else whole
    return masked(whole, secrets)
