"""One fault at a time: repaired once and for all, however the bytes come. `test_clients.py` lets clients judge.

The faults are in `clients/variants.py`.
"""

from __future__ import annotations

from functools import cache

import pytest
from clients.variants import CONFORMANT, ROWS, VARIANTS, Row

from respfix.stream import Ending, Mender, Options

PLAIN = Options(seed="variant", now=1763600000)
EACH_ROW = pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])


@cache
def mended(name: str) -> bytes:
    """Repair one variant as a whole, ended as its connection ended."""
    variant, mender = VARIANTS[name], Mender(PLAIN)
    return mender.feed(variant.body) + mender.close(Ending.CUT if variant.row.cut else Ending.COMPLETE, 1.0)


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
