"""The table of defects: what its rows promise, the catalogue made of it, and the clients that it says break."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from clients.reading import Reading
from clients.sdks import NODE, PYTHON, missing, read
from corpus import BROKEN, Stream, outcome

from respfix.catalogue import as_markdown, explanation, overview
from respfix.stream.defects import DEFECTS, GROUPS, Family

SDKS = [
    pytest.param(PYTHON, Family.OPENAI_PYTHON, id=PYTHON),
    pytest.param(NODE, Family.OPENAI_NODE, id=NODE, marks=pytest.mark.clients),
]
# What a program gets to see; usage and the kinds of items it only sees if it asks.
SEEN = ("error", "status", "streamed_text", "streamed_refusal", "streamed_reasoning", "texts", "refusals", "calls")
# What is repaired for Codex alone may hold back what others would have seen.
UNREPAIRED = {"unannounceable-call"}  # nothing can be made up, so it reads alike before and after
PLAIN = [stream for stream in BROKEN if stream.dialect == "default"]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """What the command prints, and its exit code."""
    command = [sys.executable, "-m", "respfix", "defects", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


# The table


@pytest.mark.parametrize("slug", DEFECTS)
def test_a_row_says_everything(slug: str) -> None:
    """A name in kebab case and what people want to know; no family breaks both always and sometimes."""
    row = DEFECTS[slug]

    assert slug == row.slug == slug.lower().replace("_", "-")
    assert all(text and text == text.strip() and not text.endswith(";") for text in (row.wrong, row.hurts, row.remedy))
    assert frozenset() == row.breaks & row.may_break


def test_the_groups_are_the_table() -> None:
    """Each defect stands in one group, and the order is that of the groups."""
    assert [row.slug for rows in GROUPS.values() for row in rows] == list(DEFECTS)
    assert len(DEFECTS) > 80


def test_codex_is_named_where_only_codex_breaks() -> None:
    """What is repaired for Codex alone breaks Codex alone, or it would be repaired for all."""
    assert {Family.CODEX} == DEFECTS["interrupted-message"].breaks == DEFECTS["codex-phase"].breaks


# The families, asked


@cache
def readings(sdk: str) -> tuple[dict[str, Reading], dict[str, Reading]]:
    """What one SDK makes of every stream of the corpus, broken and repaired."""
    return (
        read(sdk, {stream.name: stream.body for stream in PLAIN}),
        read(sdk, {stream.name: outcome(stream).read_bytes() for stream in PLAIN}),
    )


def is_broken(sdk: str, stream: Stream) -> bool:
    """Does a program get something else from the broken stream than from the repaired one?"""
    before, after = (reading[stream.name] for reading in readings(sdk))
    return any(getattr(before, key) != getattr(after, key) for key in SEEN)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("sdk", "family"), SDKS)
def test_whoever_breaks_is_named_in_the_table(sdk: str, family: Family) -> None:
    """A stream of the corpus that an SDK cannot read has a defect of which the table says so."""
    if reason := missing(sdk):
        pytest.skip(reason)
    named = {slug for slug, row in DEFECTS.items() if family in row.breaks | row.may_break}

    assert [] == [stream.name for stream in PLAIN if is_broken(sdk, stream) and not named & set(stream.defects)]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("sdk", "family"), SDKS)
def test_whoever_is_named_in_the_table_breaks(sdk: str, family: Family) -> None:
    """For each defect on which an SDK is said to break, it cannot read a stream of the corpus that has it."""
    if reason := missing(sdk):
        pytest.skip(reason)
    proven = {slug for stream in PLAIN if is_broken(sdk, stream) for slug in stream.defects}
    shown = {slug for stream in PLAIN for slug in stream.defects} - UNREPAIRED

    assert set() == {slug for slug in shown if family in DEFECTS[slug].breaks} - proven


# The catalogue


def test_the_page_of_defects_is_current(root: Path) -> None:
    """`python -m respfix defects --format markdown > docs/defects.md` brings it up to date."""
    assert (root / "docs" / "defects.md").read_text() == as_markdown() + "\n"


def test_every_defect_is_listed_on_a_line() -> None:
    """By group, with what is wrong; on a terminal no line is longer than it."""
    lines = run().stdout.splitlines()

    assert [line.split()[0] for line in lines if line.startswith("  ")] == list(DEFECTS)
    assert [line for line in lines if line and not line.startswith(" ")] == list(GROUPS)
    assert max(map(len, overview(80))) == 80


@pytest.mark.parametrize("slug", ["missing-usage", "incomplete-as-completed", "missing-sequence-number"])
def test_one_defect_is_explained(slug: str) -> None:
    """What is wrong, the remedy, who breaks, and how to switch it in the file and on the command line."""
    row, text = DEFECTS[slug], " ".join(run(slug).stdout.split())

    assert all(words in text for words in (row.wrong, row.hurts, row.remedy, *row.breaks, *row.may_break))
    word = "disable" if row.is_on else "enable"
    assert f"{word}: [{slug}] in the configuration file" in text
    assert f"--{word} {slug} on the command line" in text
    assert row.is_companion == ("never starts a repair" in text)


@pytest.mark.parametrize("slug", DEFECTS)
def test_every_explanation_is_readable_at_80_columns(slug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No line is longer."""
    monkeypatch.setenv("COLUMNS", "80")

    assert max(map(len, explanation(DEFECTS[slug]))) <= 80


def test_an_unknown_defect_is_an_error_that_names_the_nearest() -> None:
    """Exit code 2, one line."""
    result = run("mising-usage")

    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "respfix: error: no defect is called 'mising-usage'; did you mean 'missing-usage'?\n"


def test_the_catalogue_is_given_to_programs() -> None:
    """All of it, or one defect."""
    rows, row = (json.loads(run("--format", "json", *words).stdout) for words in ([], ["ping"]))

    assert [one["slug"] for one in rows] == list(DEFECTS)
    assert row in rows
    assert row["breaks"] == ["openai-node", "typed clients"]
    assert row["group"] == "foreign frames"
