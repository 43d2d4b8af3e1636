"""Where tests find things. Phantoms by default; real scans where the data folder is present."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run: a rare one must not stop somebody else's change.
# HYPOTHESIS_PROFILE=explore looks for new ones.
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("explore", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

REAL = Path(os.environ.get("GLASSLUNG_DATA", Path(__file__).parents[2] / "shared" / "data"))
SMALL = (40, 96, 96)  # slices, rows, columns: a whole chest in voxels of about 8 x 4 x 4 mm


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real scans; the test is skipped where it is not there."""
    if not REAL.is_dir():
        pytest.skip(f"no real scans at {REAL} (set GLASSLUNG_DATA to their folder)")
    return REAL


@pytest.fixture(scope="session")
def course(tmp_path_factory) -> Path:
    """A folder with one phantom patient on days 0, 9 and 30: day00.nii.gz, day09.nii.gz, day30.nii.gz."""
    from glasslung.data.formats import write_volume
    from glasslung.data.phantom import draw_patient, render

    folder = tmp_path_factory.mktemp("course")
    patient = draw_patient(4, severity=0.7)
    for day in (0, 9, 30):
        write_volume(render(patient, day, shape=SMALL).volume, folder / f"day{day:02d}.nii.gz")
    return folder
