"""The findings for the maintainers of the server: Markdown to paste into a bug report, short and without secrets."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import date

from respfix import __version__
from respfix.check.excerpt import excerpt
from respfix.check.findings import Exchange, Finding, Judgement, Place, frames_of
from respfix.check.page import conclusion, spoken

MOST_FRAMES = 8  # of what should have come in the place of one frame; the end of a stream may owe a dozen


def report(judgement: Judgement, checked: str, day: date, known: Collection[str] = ()) -> str:
    """What was checked, what is wrong with it, what should have come, and who breaks; without these known secrets."""
    lines = [
        "# Defects of a Responses API event stream",
        "",
        f"- checked: {checked}",
        f"- date: {day.isoformat()}",
        f"- checked with: `respfix check` {__version__}, dialect {judgement.dialect}",
        f"- size: {judgement.events} events, {len(judgement.body)} bytes",
        f"- result: {conclusion(judgement)}",
        "",
        "## Who breaks",
        "",
        "| clients | verdict | because of |",
        "|---|---|---|",
    ]
    for verdict in judgement.verdicts:
        because = ", ".join(f"`{slug}`" for slug in verdict.breaks or verdict.may_break)
        lines.append(f"| {verdict.family} | {verdict.word} | {because} |")
    for place, findings in _by_place(judgement.defects):
        lines += ["", *_section(judgement, place, findings, known)]
    if judgement.notes:
        lines += ["", "## Notes", "", "OpenAI itself did so once, and healthy servers still do.", ""]
        lines += [_item(finding) for finding in judgement.notes]
    return "\n".join([*lines, ""])


def _by_place(findings: Iterable[Finding]) -> list[tuple[Place, list[Finding]]]:
    """Group findings by where they were first seen."""
    groups: dict[Place, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.first, []).append(finding)
    return list(groups.items())


def _section(judgement: Judgement, place: Place, findings: list[Finding], known: Collection[str]) -> Iterator[str]:
    exchange = judgement.exchange(place)
    yield f"## {spoken(place)[:1].upper()}{spoken(place)[1:]}"
    yield ""
    yield from map(_item, findings)
    if exchange.came:
        yield from ("", "Sent:", "", *_fenced([exchange.came], known))
    if exchange.due != exchange.came:
        yield from ("", *_due(exchange, known))


def _item(finding: Finding) -> str:
    row, times = finding.defect, len(finding.places)
    again = f" ({times} times, first here)" if times > 1 else ""
    return f"- `{row.slug}`{again}: {row.wrong}. Breaks: {row.hurts}. Remedy: {row.remedy}."


def _due(exchange: Exchange, known: Collection[str]) -> Iterator[str]:
    frames = [frame.raw for frame in frames_of(exchange.due)]
    if not frames:
        yield "Should have been sent: nothing here; it is left out, or comes later."
        return
    yield from ("Should have been sent:", "", *_fenced(frames[:MOST_FRAMES], known))
    if len(frames) > MOST_FRAMES:
        yield from ("", f"… and {len(frames) - MOST_FRAMES} more.")


def _fenced(frames: Iterable[bytes], known: Collection[str]) -> Iterator[str]:
    """Frames as a code block that nothing in them can end."""
    text = "\n\n".join(excerpt(frame, known) for frame in frames)
    fence = "```"
    while fence in text:
        fence += "`"
    yield from (f"{fence}text", text, fence)
