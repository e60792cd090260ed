"""The linter on recordings of real servers: silent on OpenAI's own, and on the others the defects that were documented.

`data/recorded_defects.json` says what is found in each; `RESPFIX_UPDATE=1` writes it anew, and every changed line wants
to be understood. The recordings lie beside the checkout, in `../shared/captures`; without them the tests are skipped.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from clients.sdks import NODE, PYTHON, missing, read
from test_recordings import ABSENT, CAPTURES, CUT, LONG, UPDATE, direct, mended, readings, recorded

from respfix.check.findings import Judgement, judge
from respfix.stream import Ending
from respfix.stream.defects import DEFECTS, Family

TABLE = Path(__file__).parent / "data" / "recorded_defects.json"
RESUMED = re.compile(
    "openai-background-.*resume.*"
)  # a resumed stream begins in the middle, which only its request says
NOTED = {
    "openai-text-era1-no-seqnum-2025-03": {"missing-sequence-number", "neutral-keys"},
    "openai-function-call-era1-no-seqnum": {"missing-sequence-number"},
    "openai-text-era2-no-logprobs-2025-05": {"neutral-keys"},
    "openai-error-then-failed": {"failed-unnoticed"},
}
OPENAI = {name: body for name, body in recorded("openai").items() if name.startswith("openai-")}
BROKEN = recorded("sub2api", "opencode-llm-proxy")


@dataclass(frozen=True)
class Shape:
    """Where a documented fault shows: in recordings of this name, if this stands in them; and what it is called."""

    names: str
    found: frozenset[str]
    where: bytes = b""

    def recordings(self) -> list[str]:
        """The recordings that must show it."""
        return [name for name, body in BROKEN.items() if re.fullmatch(self.names, name) and re.search(self.where, body)]


def shape(names: str, found: str, where: bytes = b"") -> Shape:
    """A row of the table below."""
    return Shape(names, frozenset(found.split()), where)


# Sub2API's Chat Completions bridge is called cc, its Anthropic bridge an.
EARLY_CC, EARLY_AN, EARLY = (rf"sub2api-0\.1\.132-{bridge}-.*" for bridge in ("cc", "an", "(cc|an)"))
LATE_AN, LATE = r"sub2api-0\.1\.179-an-.*", r"sub2api-0\.1\.179-.*"
OPENCODE_1_6, OPENCODE = r"opencode-llm-proxy-1\.6\.1-(?!slow).*", r"opencode-llm-proxy-(?!.*-slow).*"
TEXT, REASONING, CALL = rb"output_text\.delta", rb"reasoning_summary_text\.delta", rb"function_call_arguments\.delta"
END = rb"event: response\.completed"

CODES = {
    "D1": [
        shape(EARLY, "missing-part-added", TEXT),
        shape(EARLY, "missing-part-done", TEXT),
        shape(OPENCODE_1_6, "missing-part-done", TEXT + rb"(?s:.*)" + END),
    ],
    "D2": [
        shape(EARLY, "missing-item-keys", TEXT),
        shape(OPENCODE, "incomplete-item", TEXT + rb"(?s:.*)" + END),
    ],
    "D3": [
        shape(EARLY_AN, "empty-value-done", rb"output_text\.done"),
        shape(OPENCODE_1_6, "empty-value-done", TEXT + rb"(?s:.*)" + END),
    ],
    "D4": [shape(EARLY_CC, "missing-output-item-done", CALL), shape(EARLY_CC, "missing-value-done", CALL)],
    "D5": [
        shape(EARLY_AN, "call-without-name incomplete-item", CALL),
        shape(r"sub2api-0\.1\.\d+-an-.*", "empty-value-done", CALL),
    ],
    "D6": [shape(EARLY_CC, "missing-item-id", CALL)],
    "D7": [
        shape(EARLY_CC, "missing-output-item-added", REASONING),
        shape(EARLY_AN, "missing-item-keys", REASONING),
        shape(LATE_AN, "empty-value-done missing-part-added", REASONING),
    ],
    "D8": [
        shape(EARLY_AN, "empty-output", rb"output_item\.added"),
        shape(OPENCODE, "empty-output", END),
        shape(EARLY_CC, "wrong-output changed-item-id", CALL),
        shape(r"sub2api-0\.1\.179-cc-.*", "wrong-output changed-item-id", CALL),
    ],
    "D9": [
        shape(EARLY, "missing-output-index", TEXT),
        shape(EARLY, "missing-part-index", TEXT),
        shape(LATE, "missing-sequence-number", rb"response\.created"),
        shape(OPENCODE, "missing-sequence-number"),
    ],
    "D10": [shape(EARLY_CC, "delta-without-text", rb'"response\.output_text\.delta","item_id"')],
    "D11": [
        shape(r"sub2api-.*-(?!empty|error-at-start).*", "missing-created-at", rb"response\.created"),
        shape(r"sub2api-.*", "missing-response-in-progress", rb"output_item\.added"),
        shape(OPENCODE, "neutral-keys"),
    ],
    "D12": [shape(r"sub2api-.*-cc-length", "incomplete-as-completed")],
    "D15": [shape(r"opencode-.*-slow", "truncated-stream"), shape(r"sub2api-.*-error-at-start", "truncated-stream")],
    "D19": [
        shape(r"sub2api-.*-an-text-then-thinking", "missing-output-item-done"),
        shape(r"sub2api-0\.1\.179-an-text-then-thinking", "reused-output-index"),
    ],
    "D20": [shape(r"sub2api-.*-an-two-text-blocks", "missing-part-index wrong-part-index")],
}
ELSEWHERE = {
    "D13": "an error that is masked as a success is not on the wire",
    "D14": "two terminal events: another path of Sub2API, not recorded",
    "D16": "pings: while a request waits for its turn, not recorded",
    "D17": "JSON glued to events: 0.1.131 to 0.1.135, not recorded",
    "D18": "doubled arguments: 0.1.134 to 0.1.138, not recorded",
    "D21": "an empty turn of opencode-llm-proxy 1.10.0, not recorded",
    "D22": "frames without an event: line: another path of Sub2API, not recorded",
}
ROWS = [pytest.param(row, id=f"{code}-{number}") for code, rows in CODES.items() for number, row in enumerate(rows)]


@cache
def judged(name: str) -> Judgement:
    """What the linter makes of a recording."""
    return judge(BROKEN[name], Ending.CUT if name in CUT else Ending.COMPLETE)


def found(name: str) -> tuple[list[str], list[str]]:
    """What it finds: defects and notes, by name."""
    judgement = judged(name)
    assert judgement.stopped is None
    defects, notes = (sorted(one.defect.slug for one in many) for many in (judgement.defects, judgement.notes))
    return defects, notes


@ABSENT
@pytest.mark.parametrize("name", [name for name in OPENAI if not RESUMED.fullmatch(name)])
@pytest.mark.parametrize("dialect", ["default", "codex"])
def test_a_healthy_stream_has_no_defect(name: str, dialect: str) -> None:
    """OpenAI's own streams of every era; and not even a note, but for the keys that it once left out."""
    judgement = judge(OPENAI[name], dialect=dialect)

    assert [] == judgement.defects
    assert judgement.is_clean
    assert NOTED.get(name, set()) == {note.defect.slug for note in judgement.notes}


@ABSENT
def test_the_healthy_streams_are_there() -> None:
    """A test over an empty list would pass."""
    assert len(OPENAI) > 40
    assert 2 == sum(bool(RESUMED.fullmatch(name)) for name in OPENAI)


@ABSENT
def test_each_recording_shows_the_defects_of_the_table() -> None:
    """No more and no less."""
    current = {name: dict(zip(("defects", "notes"), found(name), strict=True)) for name in BROKEN}
    if os.environ.get(UPDATE):
        TABLE.write_text(json.dumps(current, indent=1) + "\n")

    assert json.loads(TABLE.read_text()) == current, f"look at each difference, then run with {UPDATE}=1"


@ABSENT
@pytest.mark.parametrize("row", ROWS)
def test_a_documented_fault_is_found_in_every_recording_that_has_it(row: Shape) -> None:
    """By one of its names."""
    silent = [name for name in row.recordings() if not row.found & {slug for slugs in found(name) for slug in slugs}]

    assert row.recordings()
    assert [] == silent


@ABSENT
def test_every_documented_fault_has_a_place() -> None:
    """In a row above, or among those that no recording has."""
    text = (CAPTURES.parent / "docs" / "servers.md").read_text()
    documented = re.findall(r"^\| (D\d+) \|", text, re.MULTILINE)

    assert len(documented) > 20
    assert sorted(documented) == sorted([*CODES, *ELSEWHERE])
    assert DEFECTS.keys() >= {slug for rows in CODES.values() for row in rows for slug in row.found}


# What a program gets to see.
SEEN = ("error", "status", "streamed_text", "streamed_reasoning", "texts", "refusals", "summaries", "calls")


@ABSENT
@LONG
@pytest.mark.parametrize(
    ("sdk", "family"),
    [
        pytest.param(PYTHON, Family.OPENAI_PYTHON, id=PYTHON),
        pytest.param(NODE, Family.OPENAI_NODE, id=NODE, marks=pytest.mark.clients),
    ],
)
def test_the_verdict_is_true(sdk: str, family: Family) -> None:
    """An SDK that gets something else from a recording than from its repair is never promised that it works.

    And none is said to break that gets the same, but for what only an older release breaks on.
    """
    if reason := missing(sdk):
        pytest.skip(reason)
    broken = {name for name in BROKEN if minds(sdk, name)}
    works, breaks = (
        {name for name in BROKEN for one in judged(name).verdicts if one.family is family and one.word == word}
        for word in ("works", "breaks")
    )

    assert len(broken) > 30
    assert set() == broken & works
    assert breaks - broken == OLDER.keys()


def minds(sdk: str, name: str) -> bool:
    """Does this SDK get something else from the recording than from its repair?"""
    before, after = direct(sdk)[name], readings(sdk)[name]
    return any(getattr(before, key) != getattr(after, key) for key in SEEN)


# What the newest release of both SDKs reads and the one before does not: a response without `output`, though every item
# in it is whole.
OLDER = {
    "opencode-llm-proxy-1.10.0-tool": {
        "openai-python-2-stream": "TypeError: 'NoneType' object is not iterable",
        "openai-node-6-stream": "OpenAIError: rsp.output is not iterable",
    }
}


@ABSENT
@LONG
@pytest.mark.clients
@pytest.mark.parametrize("name", OLDER)
@pytest.mark.parametrize("sdk", ["openai-python-2-stream", "openai-node-6-stream"])
def test_the_release_before_breaks_where_the_verdict_says_so(sdk: str, name: str) -> None:
    """A family is as strong as its weakest release that is still in use."""
    if reason := missing(sdk):
        pytest.skip(reason)

    assert OLDER[name][sdk] == read(sdk, {name: BROKEN[name]})[name].error
    assert read(sdk, {name: mended(name).body})[name].is_good
