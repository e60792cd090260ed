"""One fault at a time: what the SDKs make of a repaired stream is what they make of the conformant one.

The faults are in `clients/variants.py`. Where a fault is a failure, both SDKs must be told of it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from clients.reading import Reading
from clients.sdks import NODE, PYTHON, missing, read
from clients.variants import CONFORMANT, ROWS, VARIANTS, Row

from respfix.stream import Ending, Mender, Options

PLAIN = Options(seed="variant", now=1763600000)
EITHER_SDK = pytest.mark.parametrize("sdk", [PYTHON, pytest.param(NODE, marks=pytest.mark.clients)], ids=str)
LONG = pytest.mark.timeout(700)  # the first test of an SDK installs it and reads every variant
EACH_ROW = pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])


@cache
def mended(name: str) -> bytes:
    """Repair one variant as a whole, ended as its connection ended."""
    variant, mender = VARIANTS[name], Mender(PLAIN)
    return mender.feed(variant.body) + mender.close(Ending.CUT if variant.row.cut else Ending.COMPLETE, 1.0)


@cache
def readings(sdk: str) -> dict[str, Reading]:
    """Let one SDK read every conformant stream and every repaired variant."""
    return read(sdk, CONFORMANT | {name: mended(name) for name in VARIANTS})


def reading(sdk: str, name: str) -> Reading:
    """Give what one SDK saw; skips where the SDK cannot be had."""
    if reason := missing(sdk):
        pytest.skip(reason)
    return readings(sdk)[name]


def shown(seen: Reading, tokens: int | None = None) -> dict[str, Any]:
    """Give all that a reading shows; with the tokens that are expected instead of those that it counts, if given."""
    usage = seen.usage or {}
    return seen.as_json() | {"usage": usage.get("total_tokens") if tokens is None else tokens}


def differences(wanted: dict[str, Any], got: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Give what differs: what is wanted, and what there is."""
    return {key: (wanted[key], got[key]) for key in wanted if wanted[key] != got[key]}


@EITHER_SDK
@LONG
@pytest.mark.parametrize("base", CONFORMANT)
def test_the_conformant_streams_are_good(sdk: str, base: str) -> None:
    """The streams that everything here is held against are read to a good end, and streamed as they end."""
    seen = reading(sdk, base)

    assert seen.is_good, seen.error
    assert (seen.text, seen.refusal, seen.thoughts) == (
        seen.streamed_text,
        seen.streamed_refusal,
        seen.streamed_reasoning,
    )


@EITHER_SDK
@LONG
@EACH_ROW
def test_the_sdk_sees_no_fault(sdk: str, row: Row) -> None:
    """A repaired fault shows nowhere; a failure is told, with no word lost that came before it."""
    wrong = {}
    for base in row.bases:
        wanted, got = reading(sdk, base), reading(sdk, f"{base}.{row.name}")
        if row.status == "failed":
            told = got.error is not None or got.status == "failed"
            found: object = None if told else f"not told, status {got.status}"
        else:
            found = differences(shown(wanted, row.tokens) | {"status": row.status}, shown(got))
        if found:
            wrong[base] = found

    assert not wrong


@EACH_ROW
def test_a_repaired_fault_stays_repaired(row: Row) -> None:
    """A second repair changes nothing and finds nothing."""
    wrong = {}
    for base in row.bases:
        once, again = mended(f"{base}.{row.name}"), Mender(PLAIN)
        twice = again.feed(once) + again.close(Ending.COMPLETE, 1.0)
        if twice != once or again.report.defects:
            wrong[base] = dict(again.report.defects)

    assert not wrong


@EACH_ROW
def test_a_fault_is_repaired_alike_byte_by_byte(row: Row) -> None:
    """How the bytes were cut does not matter."""
    wrong = []
    for base in row.bases:
        body, mender = VARIANTS[f"{base}.{row.name}"].body, Mender(PLAIN)
        out = b"".join(mender.feed(body[at : at + 1]) for at in range(len(body)))
        if out + mender.close(Ending.CUT if row.cut else Ending.COMPLETE, 1.0) != mended(f"{base}.{row.name}"):
            wrong.append(base)

    assert not wrong


@pytest.mark.parametrize("row", [row for row in ROWS if not row.changed], ids=lambda row: row.name)
def test_a_difference_that_hurts_nobody_is_left_alone(row: Row) -> None:
    """What OpenAI or a healthy vendor does in some way leaves as it came."""
    touched = [base for base in row.bases if mended(f"{base}.{row.name}") != VARIANTS[f"{base}.{row.name}"].body]

    assert not touched


@pytest.mark.parametrize("base", CONFORMANT)
def test_a_conformant_stream_is_left_alone(base: str) -> None:
    """The conformant streams leave as they came, without a defect."""
    mender = Mender(PLAIN)

    assert mender.feed(CONFORMANT[base]) + mender.close(Ending.COMPLETE, 1.0) == CONFORMANT[base]
    assert not mender.report.defects


def test_every_fault_differs_from_its_conformant_stream() -> None:
    """No row of the table does nothing, and no two have one name."""
    assert len(ROWS) == len({row.name for row in ROWS})
    assert [name for name, variant in VARIANTS.items() if variant.body == CONFORMANT[variant.base]] == []
