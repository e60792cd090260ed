"""The demo's page: as wide as the terminal, with colours where they are wanted, readable without."""

from __future__ import annotations

import os
import shutil
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TextIO

from respfix.demo.comparison import Row
from respfix.demo.streams import PREFIX

NARROWEST, WIDEST = 80, 120  # the longest names take 80, and longer lines are hard to read
COLOURS = {"+": "32", "~": "33", "-": "31", "title": "1", "dim": "2", "good": "32", "bad": "31"}
ROOMY = 100  # from here on the events' whole names fit twice


class Screen:
    """Writes pages."""

    def __init__(self, out: TextIO, width: int | None = None) -> None:
        columns = width or shutil.get_terminal_size().columns
        self.width = max(NARROWEST, min(WIDEST, columns))
        self._out = out
        is_plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        self._has_colours = out.isatty() and not is_plain

    def say(self, text: str = "", style: str = "", *, indent: str = "") -> None:
        """Write a paragraph, broken where the page ends."""
        for line in self._wrapped(text, len(indent)) or [""]:
            self._print(self._styled(indent + line, style))

    def verbatim(self, text: str) -> None:
        """Write what is to be copied."""
        self._print(text)

    def title(self, text: str) -> None:
        """Begin a section."""
        self._print()
        self._print(self._styled(text, "title"))

    def compare(self, rows: Iterable[Row]) -> None:
        """Write both sides beside each other."""
        for mark, left, right in comparison(rows, self.width):
            self._print(left + self._styled(right.rstrip(), mark))

    def reading(self, client: str, sides: Sequence[tuple[str, bool]]) -> None:
        """Write what a client makes of each side, and whether it is right."""
        self.say(client, "title", indent="  ")
        for side, (text, is_right) in zip(("straight", "respfix"), sides, strict=True):
            head = f"    {side:<8}  "
            first, *rest = self._wrapped(text, len(head))
            for start, line in [(head, first), *((" " * len(head), line) for line in rest)]:
                self._print(start + self._styled(line, "good" if is_right else "bad"))

    def glossary(self, entries: Mapping[str, str]) -> None:
        """Write terms and what they mean."""
        widest = max(map(len, entries), default=0)
        for term, meaning in entries.items():
            first, *rest = self._wrapped(meaning, widest + 4)
            self._print(f"  {self._styled(f'{term:<{widest}}', 'title')}  {first}")
            for line in rest:
                self._print(" " * (widest + 4) + line)

    def _wrapped(self, text: str, indent: int) -> list[str]:
        return textwrap.wrap(text, self.width - indent, break_on_hyphens=False)

    def _print(self, line: str = "") -> None:
        print(line.rstrip(), file=self._out, flush=True)

    def _styled(self, text: str, style: str) -> str:
        return f"\x1b[{COLOURS[style]}m{text}\x1b[0m" if self._has_colours and style in COLOURS else text


def prefix_for(width: int) -> str:
    """What all names begin with, where there is room for it."""
    return PREFIX if width >= ROOMY else ""


def comparison(rows: Iterable[Row], width: int) -> list[tuple[str, str, str]]:
    """Rows as lines of at most this width: each one's mark, its left and its right half."""
    rows = list(rows)
    prefix = prefix_for(width)
    column = max(len(prefix + run.label()) for row in rows for run in (row.before, row.after) if run)
    lines = [("dim", f"  {'straight':<{column}}", "    through respfix")]
    for row in rows:
        before, after = (prefix + run.label() if run else "" for run in (row.before, row.after))
        left, right = f"  {before:<{column}}", f"  {row.mark} {after:<{column}}"
        note = ", ".join(row.filled)
        fits = len(left + right) + 2 + len(note) <= width
        lines.append((row.mark, left, f"{right}  {note}" if fits else right))
        if not fits:
            lines.append((row.mark, f"  {'':<{column}}", f"      {note}"))
    return lines
