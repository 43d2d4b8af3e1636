"""Real DICOM goes through: same voxels, no new fault, nothing of the source's identifiers."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from glasslung.data.formats import read_scan
from made_identities import all_bytes, run

pytestmark = pytest.mark.real
SERIES = ("cip_ct64_series", "lidc_small/LIDC-IDRI-0001", "lungmask_testdata")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("real")


@pytest.fixture(scope="module", params=SERIES)
def before_and_after(request, real, home):
    """Every eighth slice of a series, as it was and as it became."""
    name = request.param.replace("/", "-")
    (home / "in" / name).mkdir(parents=True)
    slices = sorted(path for path in (real / "dicom" / request.param).iterdir() if path.is_file())
    for path in slices[:: 8 if len(slices) > 8 else 1]:
        shutil.copy(path, home / "in" / name / path.name)
    result = run(home / "in" / name, home / name, home / "key.json")
    assert not result.aside
    return home / "in" / name, home / name


def test_voxels_and_geometry_stay(before_and_after):
    before, after = (read_scan(folder) for folder in before_and_after)
    np.testing.assert_array_equal(before.voxels, after.voxels)
    np.testing.assert_array_equal(before.affine, after.affine)
    assert before.source.kernel == after.source.kernel


def test_uids_and_ids_of_the_source_are_gone(before_and_after):
    everything = all_bytes(before_and_after[1])
    assert b"lidc-idri" not in everything and b"1.3.6.1.4.1.14519" not in everything
    assert b"1.2.826.0.1.3680043.2.1125" not in everything and b"anonymous" not in everything


def test_dciodvfy_finds_no_new_error(before_and_after):
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (Debian's dicom3tools) is not installed")
    before, after = (faults(folder) for folder in before_and_after)
    assert after <= before


def faults(folder: Path) -> set[str]:
    """The distinct errors of a folder's DICOM files."""
    found = set()
    for path in sorted(
        path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".csv", ".json")
    ):
        told = subprocess.run(["dciodvfy", path], capture_output=True, text=True, timeout=60, check=False)
        found |= set(re.findall(r"^Error - .*$", told.stderr, re.MULTILINE))
    return found
