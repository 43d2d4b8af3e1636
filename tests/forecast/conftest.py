"""One small run for all tests of the forecast."""

from pathlib import Path

import made_lungs
import pytest


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory) -> Path:
    """A run that learned toy lungs for some seconds; read it only."""
    return made_lungs.train_run(tmp_path_factory.mktemp("runs") / "toy")


@pytest.fixture(scope="session")
def slice_file(tmp_path_factory) -> Path:
    """A toy lung of day 3 as a prepared slice."""
    import numpy as np
    from PIL import Image

    path = tmp_path_factory.mktemp("slices") / "day3.png"
    picture = made_lungs.lung(np.random.default_rng(9), 3.0)
    Image.fromarray(np.rint(255 * picture).astype(np.uint8)).save(path)
    return path
