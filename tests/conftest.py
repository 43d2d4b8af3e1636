"""Where tests find things. Phantoms by default; real scans where the data folder is present."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REAL = Path(os.environ.get("GLASSLUNG_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real scans; the test is skipped where it is not there."""
    if not REAL.is_dir():
        pytest.skip(f"no real scans at {REAL} (set GLASSLUNG_DATA to their folder)")
    return REAL
