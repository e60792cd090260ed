"""What more than one test file needs."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared(root: Path) -> Path:
    """The reference material with the recorded streams, which lies beside the checkout where it is there at all."""
    path = root.parent / "shared"
    if not path.is_dir():
        pytest.skip(f"the reference material is not at {path}")
    return path
