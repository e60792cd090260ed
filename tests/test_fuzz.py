"""The fuzzer: what it found once stays found, and each run of the suite looks a little further."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from corpus import BROKEN, CONFORMANT, RECORDED, Stream
from fuzz.promises import keep
from fuzz.shapes import changed

FOUND = sorted((Path(__file__).parent / "fuzz" / "crashes").glob("*.sse"))
SMALL = [stream for stream in (*CONFORMANT, *BROKEN, *RECORDED) if len(stream.body) < 20_000]
SECONDS = 30  # at most; 1,500 bodies take about 10 s, and by hand it may run as long as it likes

needs_atheris = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None,
    reason="needs atheris: pip install atheris (CPython 3.11 to 3.13 on Linux, x86-64)",
)


@pytest.mark.parametrize("stream", SMALL, ids=str)
def test_a_changed_stream_keeps_every_promise(stream: Stream) -> None:
    """As it is, and with events and values lost, doubled, moved and exchanged: what is promised is kept."""
    keep(stream.body)
    for seed in range(4):
        keep(changed(stream.body, seed))


@pytest.mark.parametrize("path", FOUND, ids=[path.stem for path in FOUND])
def test_what_was_found_stays_found(path: Path) -> None:
    """A body that once broke a promise never does again."""
    keep(path.read_bytes())


@needs_atheris
@pytest.mark.timeout(3 * SECONDS)
def test_no_promise_is_broken_by_what_the_fuzzer_thinks_of(root: Path, tmp_path: Path) -> None:
    """Guided by the code it reaches, for 1,500 bodies, always from the same seed."""
    fuzzed = subprocess.run(
        [
            *(sys.executable, "-m", "fuzz.fuzz_mender"),
            *("-seed=1", "-runs=1500", f"-max_total_time={SECONDS}", f"-artifact_prefix={tmp_path}/"),
        ],
        cwd=root / "tests",
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == fuzzed.returncode, fuzzed.stderr[-4000:]
