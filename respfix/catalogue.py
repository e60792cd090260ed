"""`respfix defects`: every fault that is known, for people, programs and `docs/defects.md`."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from respfix.config import ConfigError, nearest
from respfix.stream.defects import DEFECTS, GROUPS, Defect, Family

GROUP_OF = {row.slug: group for group, rows in GROUPS.items() for row in rows}
LABELS = 11  # the width of the labels' column
NARROWEST = 80
COMPANION = "it never starts a repair, and is mended only where something else was wrong already"
PREFACE = """\
# Defects

Written by `python -m respfix defects --format markdown > docs/defects.md`; do not edit.

Every fault that respfix finds (`respfix check`) and repairs, by the name under which it is counted and can be switched
off: in the configuration file with `disable: [NAME]`, on the command line with `--disable NAME`.

*Breaks* are the families of clients of which a measured one fails on a stream with this fault, or hands on less than
was sent; in brackets those that do so only in some of its shapes. Where nobody measured, nothing is said. *Typed
clients* are those that read events into types (Rust with serde and their kin). A *note* never starts a repair: OpenAI
itself did so once, and healthy servers still do.
"""


def add_to(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser(
        "defects",
        help="list the faults that are found and repaired, or explain one",
        description="List every fault that respfix finds and repairs, or say all about one of them.",
        epilog="example:\n  respfix defects\n  respfix defects missing-usage",
    )
    parser.add_argument("slug", nargs="?", metavar="DEFECT", help="the one to explain")
    parser.add_argument("--format", choices=["human", *FORMATS], default="human", help="how to tell (default: human)")
    parser.set_defaults(command=_defects)


def _defects(args: argparse.Namespace) -> int:
    if args.slug is not None and args.slug not in DEFECTS:
        raise ConfigError(f"no defect is called {args.slug!r}{nearest(args.slug, DEFECTS)}")
    if args.format != "human":
        text = FORMATS[args.format](args.slug)
    elif args.slug:
        text = "\n".join(explanation(DEFECTS[args.slug]))
    else:
        text = "\n".join(overview(shutil.get_terminal_size().columns if sys.stdout.isatty() else None))
    print(text)
    return 0


def overview(width: int | None = None) -> Iterator[str]:
    """Every defect on a line, cut where the terminal ends."""
    widest = max(map(len, DEFECTS))
    for number, (group, rows) in enumerate(GROUPS.items()):
        yield from ("", group) if number else (group,)
        for row in rows:
            line = f"  {row.slug:<{widest}}  {row.wrong}{' (note)' if row.is_companion else ''}"
            yield line if width is None or len(line) <= width else line[: width - 1] + "…"


def explanation(row: Defect) -> Iterator[str]:
    """All about one defect."""
    word = "disable" if row.is_on else "enable"
    yield row.slug
    yield from _labelled("about", GROUP_OF[row.slug])
    yield from _labelled("wrong", row.wrong)
    yield from _labelled("remedy", row.remedy)
    yield from _labelled("hurts", row.hurts)
    yield from _labelled("breaks", _names(row.breaks) or "nobody, as far as was measured")
    if row.may_break:
        yield from _labelled("may break", _names(row.may_break))
    if row.is_companion:
        yield from _labelled("note", COMPANION)
    yield from _labelled("default", f"{'on' if row.is_on else 'off'}; to switch it {'off' if row.is_on else 'on'}:")
    yield from _labelled("", f"{word}: [{row.slug}]    in the configuration file")
    yield from _labelled("", f"--{word} {row.slug}    on the command line")


def _labelled(label: str, text: str) -> Iterator[str]:
    width = max(NARROWEST, min(100, shutil.get_terminal_size().columns)) - LABELS - 2
    first, *rest = textwrap.wrap(text, width, break_on_hyphens=False, drop_whitespace=False) or [""]
    yield f"  {label:<{LABELS}}{first}".rstrip()
    yield from (" " * (LABELS + 2) + part.strip() for part in rest)


def _names(families: frozenset[Family]) -> str:
    return ", ".join(family for family in Family if family in families)


def as_json(slug: str | None = None) -> str:
    """Every defect, or one."""
    rows = [
        {
            "slug": row.slug,
            "group": GROUP_OF[row.slug],
            "wrong": row.wrong,
            "hurts": row.hurts,
            "remedy": row.remedy,
            "breaks": [family for family in Family if family in row.breaks],
            "may_break": [family for family in Family if family in row.may_break],
            "companion": row.is_companion,
            "on": row.is_on,
        }
        for row in _chosen(slug)
    ]
    return json.dumps(rows if slug is None else rows[0], indent=2, ensure_ascii=False)


def as_markdown(slug: str | None = None) -> str:
    """The page `docs/defects.md`, or the table with one row."""
    if slug is not None:
        return "\n".join(_table(_chosen(slug)))
    parts = [PREFACE]
    for group, rows in GROUPS.items():
        parts += [f"## {group[0].upper()}{group[1:]}", "", *_table(rows), ""]
    return "\n".join(parts).rstrip()


def _chosen(slug: str | None) -> Iterable[Defect]:
    return DEFECTS.values() if slug is None else [DEFECTS[slug]]


def _table(rows: Iterable[Defect]) -> Iterator[str]:
    yield "| name | what is wrong | what is done | breaks | how |"
    yield "|---|---|---|---|---|"
    for row in rows:
        marks = "".join([" (note)" * row.is_companion, " (off by default)" * (not row.is_on)])
        broken = ", ".join(filter(None, [_names(row.breaks), f"({_names(row.may_break)})" * bool(row.may_break)]))
        cells = [f"`{row.slug}`{marks}", row.wrong, row.remedy, broken, row.hurts]
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


FORMATS: Mapping[str, Callable[[str | None], str]] = MappingProxyType({"json": as_json, "markdown": as_markdown})
