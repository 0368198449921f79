"""Fixtures that several test files share. Tests own tiny worlds; real data is used wherever it is there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real datasets: $SUBPOP_DATA, or `../shared/data` beside the checkout."""
    root = Path(os.environ.get("SUBPOP_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
    if not (root / "adult" / "adult.data").is_file():
        pytest.skip("no real data here: set SUBPOP_DATA to a folder that holds adult/adult.data")
    return root
