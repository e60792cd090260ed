"""The findings for people: as wide as a terminal, with colours where they are wanted, readable without."""

from __future__ import annotations

import os
import shutil
import textwrap
from typing import TextIO

from respfix.check.findings import Finding, Judgement, Place, Verdict
from respfix.stream.defects import Family

NARROWEST, WIDEST = 60, 100  # below, words no longer fit; above, lines are hard to read
COLOURS = {"title": "1", "defect": "1;31", "note": "1;33", "dim": "2", "works": "32", "may break": "33", "breaks": "31"}
MARGIN = 10  # the labels' column


class Page:
    """Writes a page."""

    def __init__(self, out: TextIO, width: int | None = None) -> None:
        self.width = max(NARROWEST, min(WIDEST, width or shutil.get_terminal_size().columns))
        self._out = out
        is_plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        self._has_colours = out.isatty() and not is_plain

    def line(self, text: str = "", style: str = "") -> None:
        """Write a line, broken where the page ends."""
        for part in textwrap.wrap(text, self.width, break_on_hyphens=False) or [""]:
            self.write(self.styled(part, style))

    def labelled(self, label: str, text: str, style: str = "", margin: int = MARGIN) -> None:
        """Write a label and beside it what belongs to it."""
        parts = textwrap.wrap(text, self.width - margin, break_on_hyphens=False) or [""]
        for head, part in zip([label, *[""] * len(parts)], parts, strict=False):
            self.write(self.styled(f"{head:<{margin}}", style) + part)

    def styled(self, text: str, style: str) -> str:
        """Give the text in a style."""
        return f"\x1b[{COLOURS[style]}m{text}\x1b[0m" if self._has_colours and style in COLOURS else text

    def write(self, line: str) -> None:
        """Write a line that fits."""
        print(line.rstrip(), file=self._out)


def show(judgement: Judgement, source: str, page: Page, *, every: bool = False) -> None:
    """Write what was found; `every` place of it, or the first and their number."""
    page.line(f"{source}: {_counted(judgement.events, 'event')}, {_counted(len(judgement.body), 'byte')}", "title")
    for title, style, findings in (("Defects", "defect", judgement.defects), ("Notes", "note", judgement.notes)):
        if findings:
            page.line()
            page.line(title, "title")
        for finding in findings:
            page.line()
            _show_finding(finding, style, page, every=every)
    page.line()
    page.line("Verdict", "title")
    width = max(map(len, Family)) + 4
    for verdict in judgement.verdicts:
        _show_verdict(verdict, page, width)
    page.line()
    page.line(conclusion(judgement), "works" if judgement.is_clean else "breaks")


def conclusion(judgement: Judgement) -> str:
    """All of it in a line."""
    if judgement.stopped:
        return f"The stream could not be judged to its end: {judgement.stopped}."
    notes = _counted(len(judgement.notes), "note") if judgement.notes else ""
    if judgement.is_clean:
        return f"Nothing to repair{f'; {notes}' if notes else ''}."
    return f"{', '.join(filter(None, (_counted(len(judgement.defects), 'defect'), notes)))}."


def spoken(place: Place) -> str:
    """A place in words."""
    if not place.event:
        return "at the end of a body without events" if place.is_end else f"before the first event, byte {place.offset}"
    where = f"event {place.event}{f' ({place.type})' if place.type else ''}, byte {place.offset}"
    return f"at the end, after {where}" if place.is_end else where


def _show_finding(finding: Finding, style: str, page: Page, *, every: bool) -> None:
    times = len(finding.places)
    again = f"; {times} times" if times > 1 else ""
    page.line(finding.defect.slug, style)
    page.labelled("  where", spoken(finding.first) + again, "dim")
    for place in finding.places[1:] if every else ():
        page.labelled("", spoken(place), "dim")
    page.labelled("  wrong", finding.defect.wrong, "dim")
    page.labelled("  remedy", finding.defect.remedy, "dim")
    page.labelled("  breaks", finding.defect.hurts, "dim")


def _show_verdict(verdict: Verdict, page: Page, width: int) -> None:
    because = ", ".join(verdict.breaks or verdict.may_break)
    word = f"{verdict.word:<11}"
    parts = textwrap.wrap(because, page.width - width - len(word), break_on_hyphens=False) or [""]
    page.write(f"  {verdict.family:<{width - 2}}{page.styled(word, verdict.word)}{parts[0]}")
    for part in parts[1:]:
        page.write(" " * (width + len(word)) + part)


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
