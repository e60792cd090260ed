"""A minute of mixed traffic with faults; `make soak` takes fifteen."""

from __future__ import annotations

import pytest
from conftest import Figures
from faults.soak import soak

SECONDS = 60.0


@pytest.mark.timeout(300)
async def test_long_traffic_leaves_nothing_behind_and_gets_no_wrong_answer(figures: Figures) -> None:
    """Whatever is held when the traffic rests is held from the first rest to the last."""
    run = await soak(SECONDS)

    figures(run.figures())
    assert run.wrong == []
    assert {rest[:2] for rest in run.rests} == {run.rests[0][:2]}
    assert run.growth() < 8
    assert run.done.total() > 500
