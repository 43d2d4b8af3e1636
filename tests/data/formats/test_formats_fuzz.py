"""Damaged files: a volume or one line, never a traceback.

The same damage as `benchmarks/fuzz_readers.py`, which reads thousands in processes of their own; here a few
hundred are read in this one, without the compressed DICOM whose decoders are C libraries.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

CASES_PER_FORMAT = 40
FORMATS = ["a.nii", "a.nii.gz", "a.nrrd", "a.mha", "a.dcm", "a.png", "a.tif", "a.jpg", "colour.png", "a.zip"]


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    path = Path(__file__).parents[3] / "benchmarks" / "fuzz_readers.py"
    spec = importlib.util.spec_from_file_location("fuzz_readers", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def good(fuzz: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    files: dict[str, bytes] = fuzz.good_files(tmp_path_factory.mktemp("good"))
    return files


@pytest.mark.parametrize("name", FORMATS)
def test_damage_ends_in_a_volume_or_in_one_line(
    fuzz: ModuleType, good: dict[str, bytes], tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(good[name])
    assert fuzz.outcome(path)[0] == "volume"
    damages = list(fuzz.DAMAGES.values())
    came_back = []
    for case in range(CASES_PER_FORMAT):
        rng = np.random.default_rng([1, case])
        path.write_bytes(damages[case % len(damages)](good[name], rng))
        kind, what = fuzz.outcome(path)
        assert kind in ("volume", "DataError"), f"case {case}: {what}"
        came_back.append(kind)
    assert came_back.count("DataError") >= CASES_PER_FORMAT // 8
