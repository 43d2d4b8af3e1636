"""The shipped reader of pictures: known by name and hash; it sees what a viewer sees."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from glasslung.data.phantom import draw_patient, slices
from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.measure.discrepancy import kid_interval, noise_floor
from glasslung.measure.featuresets import feature_set
from glasslung.models import build, slicenet
from glasslung.predict.realism import LEAST_SIDE, open_reader
from glasslung.train.rundir import RunDir


@pytest.fixture(scope="module")
def lungs():
    """32 phantoms nobody learned from, (32, 64, 64)."""
    patients = [draw_patient(seed) for seed in range(900, 932)]
    return slices(patients, [6.0], 64).grey.astype(np.float32) / 255


def test_it_is_known_by_name_and_hash(lungs):
    reader = open_reader()
    assert reader.name == "realism" and len(reader.sha256) == 64 and reader.sha256[:16] in str(reader)
    features = reader(lungs)
    assert features.shape == (32, reader.features) and features.dtype == np.float32
    assert np.abs(features).max() <= 1
    assert np.array_equal(open_reader()(lungs), features)
    assert np.allclose(reader(lungs[:3]), features[:3], atol=1e-5)  # a picture's features are its own
    assert reader(lungs[:0]).shape == (0, reader.features)


@pytest.mark.parametrize("flaw", ["blurred", "noised", "chequered", "mixed"])
def test_flaws_move_the_features_and_other_people_do_not(lungs, flaw):
    rng, reader = np.random.default_rng(0), open_reader()
    image = torch.from_numpy(lungs[16:, None])
    amount = torch.full((16,), 0.7 if flaw == "blurred" else 0.04)
    spoiled = {
        "blurred": lambda: slicenet.blur(image, amount),
        "chequered": lambda: slicenet.chequer(image, amount),
        "noised": lambda: image + 0.04 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0)),
        "mixed": lambda: 0.6 * image + 0.4 * image.roll(1, 0),
    }[flaw]()
    made = feature_set(reader(spoiled.clamp(0, 1)[:, 0].numpy()))
    real = feature_set(reader(lungs))
    floor = noise_floor(real, rng=rng, splits=100)
    first = feature_set(reader(lungs[:16]))
    assert kid_interval(first, made, rng=rng, draws=100).low > floor.high


@pytest.mark.parametrize("side", [LEAST_SIDE, 128])
def test_other_sizes_are_read(side):
    images = np.random.default_rng(0).random((2, side, side)).astype(np.float32)
    assert open_reader()(images).shape == (2, 64)


def test_what_it_cannot_read_is_said(tmp_path):
    with pytest.raises(ShapeError, match="32 to 128"):
        open_reader()(np.zeros((2, 16, 16), np.float32))
    with pytest.raises(ShapeError, match="32 to 128"):
        open_reader()(np.zeros((64, 64), np.float32))
    with pytest.raises(UsageError, match="usvae reads no features"):
        open_reader("usvae")
    with pytest.raises(DataError, match="no trained 'realsim'"):
        open_reader("realsim")
    run = RunDir.create(tmp_path / "run", "t", "slicenet", {"groups": 1, "width": 8, "features": 5}, 0)
    run.save("slicenet", build("slicenet", 0, groups=1, width=8, features=5))
    assert open_reader(tmp_path / "run").features == 5
