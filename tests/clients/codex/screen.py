"""Codex on a pseudo-terminal: keys go in, and what a person reads is taken off the screen.

The screen is pyte's, which also answers what Codex asks its terminal. While Codex works, a spinner is part of the
window title; that is how a turn's end is known without a guess at its time.
"""

from __future__ import annotations

import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from fcntl import ioctl
from typing import Self

import pyte

from clients.codex.place import PATIENCE, Place, Seen
from clients.replay import prompt

COLUMNS, LINES = 300, 150  # so large that nothing is folded or scrolls away
QUIET = 0.3  # seconds without a byte, after which the last frame of a turn is drawn
SPINNER = range(0x2800, 0x2900)  # Braille
WORKING = "esc to interrupt"
STATE = re.compile(rb"\x1b\]7501;state=(\w+)")  # 0.169 also says it in a sequence of its own; pyte knows nothing of it
PROMPT, SAID, ERROR = "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}", "•", "■"


class Screen(pyte.Screen):
    """A screen that remembers window titles, and answers through a function."""

    def __init__(self, answer: Callable[[bytes], object]) -> None:
        super().__init__(COLUMNS, LINES)
        self.titles: list[str] = []
        self._reply = answer

    def set_title(self, param: str) -> None:
        """Note a new title."""
        self.titles.append(param)

    def write_process_input(self, data: str) -> None:
        """Answer a question of the process, such as where the cursor is."""
        self._reply(data.encode())

    def report_device_status(self, mode: int, **private: bool) -> None:
        """Ignore the question by a private mode, which pyte's own method does not expect."""
        if not private:
            super().report_device_status(mode)


class Terminal:
    """A process on a pseudo-terminal; a context manager that ends it."""

    def __init__(self, place: Place) -> None:
        self._master, slave = pty.openpty()
        ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self._process = subprocess.Popen(
            ["setsid", "--ctty", *place.command()], cwd=place.work, env=place.environment | {"TERM": "xterm-256color"},
            stdin=slave, stdout=slave, stderr=slave,
        )  # fmt: skip
        os.close(slave)
        self.screen = Screen(self.type)
        self._stream = pyte.ByteStream(self.screen)
        self._state = b""

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """End the process and close its terminal."""
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    def type(self, keys: bytes) -> None:
        """Press keys."""
        with suppress(OSError):  # the process is gone; the screen says why
            os.write(self._master, keys)

    def draw(self, seconds: float) -> bool:
        """Wait for output and draw it; false if none came."""
        if not select.select([self._master], [], [], seconds)[0]:
            return False
        with suppress(OSError):  # the process is gone
            data = os.read(self._master, 1 << 16)
            self._stream.feed(data)
            self._state = (STATE.findall(data) or [self._state])[-1]
            return bool(data)
        return False

    def wait(self, what: str, until: Callable[[], bool]) -> None:
        """Draw until the screen shows something; `RuntimeError` says what it does not show."""
        deadline = time.monotonic() + PATIENCE
        while not until():
            self.draw(0.1)
            if time.monotonic() > deadline:
                raise RuntimeError(f"the screen does not show {what}: {' / '.join(filter(str.strip, self.lines))}")

    @property
    def lines(self) -> list[str]:
        """What is on the screen."""
        return [line.rstrip() for line in self.screen.display]

    @property
    def is_working(self) -> bool:
        """Whether the spinner turns, the screen says how to stop it, or the state is said to be so."""
        spins = bool(self.screen.titles) and ord(self.screen.titles[-1][:1] or " ") in SPINNER
        return spins or self._state == b"working" or any(WORKING in line for line in self.lines)

    def settle(self) -> None:
        """Draw until nothing more comes."""
        while self.draw(QUIET):
            pass


def read_screen(name: str, turns: int, place: Place, seen: Seen) -> None:
    """Take some turns at the screen."""
    with Terminal(place) as terminal:
        try:
            for _ in range(turns):
                turn(terminal, prompt(name))
        except RuntimeError as silence:
            seen.errors.append(str(silence))
        shown = after(terminal.lines, prompt(name))
    seen.printed = "\n".join(shown)
    seen.errors += [line.removeprefix(ERROR).strip() for line in shown if line.startswith(ERROR)]
    for log in (place.home / "log").glob("*.log"):
        seen.log += log.read_text()


def turn(terminal: Terminal, words: str) -> None:
    """Type a prompt, and wait until it has been worked on."""
    terminal.wait("where to type", lambda: any(line.startswith(PROMPT) for line in terminal.lines))
    terminal.settle()  # 0.169 turns its spinner at start, too
    terminal.type(words.encode())
    terminal.wait("what was typed", lambda: composed(terminal.lines) == words)
    started = len(terminal.screen.titles)
    terminal.type(b"\r")
    terminal.wait("that it works", lambda: any(ord(title[:1]) in SPINNER for title in terminal.screen.titles[started:]))
    terminal.settle()
    while terminal.is_working:
        terminal.wait("that it has done", lambda: not terminal.is_working)
        terminal.settle()


def composed(lines: list[str]) -> str:
    """Give what stands where one types: after the last prompt sign."""
    return next((line[1:].strip() for line in reversed(lines) if line.startswith(PROMPT)), "")


def after(lines: list[str], words: str) -> list[str]:
    """Give what was shown after a prompt, without rulers and clocks, up to where one types."""
    places = [number for number, line in enumerate(lines) if line.startswith(PROMPT)]
    asked = next((number for number in places if lines[number][1:].strip() == words), None)
    if asked is None:
        return []
    shown = [line.strip() for line in lines[asked + 1 : places[-1]] if line.strip("─ ")]
    return [line for line in shown if not line.lstrip("─ ").startswith("Worked for")]
