"""How far a scan lies from the training scans: near for one of them, far for what is unlike them."""

from __future__ import annotations

import numpy as np
import pytest

from glasslung.errors import DataError, ShapeError
from glasslung.predict.familiar import fit_familiar, read_familiar


@pytest.fixture
def known():
    """Features that differ along two of 40 directions, little along the others."""
    rng = np.random.default_rng(0)
    spread = np.full(40, 0.05)
    spread[:2] = 3.0, 1.0
    return fit_familiar(rng.normal(5.0, spread, (200, 40)), rng.normal(5.0, spread, (60, 40))), spread, rng


def test_scans_like_the_training_s_are_near_and_others_far(known):
    familiar, spread, rng = known
    alike = [familiar.percentile(rng.normal(5.0, spread)) for _ in range(300)]
    assert np.mean(alike) == pytest.approx(50, abs=8)
    assert familiar.directions.shape[1] <= 3
    beside = np.full(40, 5.0)
    beside[10] += 3.0  # as far as usual along the first direction, but nobody differs along this one
    along = np.full(40, 5.0)
    along[0] += 3.0
    assert familiar.percentile(beside) == 100 > 80 > familiar.percentile(along)


def test_distance_is_what_its_formula_says(known):
    familiar, _, rng = known
    features = rng.normal(5.0, 1.0, 40)
    off = features - familiar.mean
    inside, left = 0.0, off.copy()
    for n, spread in enumerate(familiar.spreads):
        direction = familiar.directions[:, n]
        step = sum(a * b for a, b in zip(off, direction, strict=True))
        inside += (step / spread) ** 2 / len(familiar.spreads)
        left = left - step * direction
    wanted = np.sqrt((inside + sum(left**2) / familiar.rest**2) / 2)
    assert familiar.distance(features) == pytest.approx(wanted)


def test_it_is_kept_and_read_again(known):
    familiar, spread, rng = known
    again = read_familiar(familiar.tensors(), "kept")
    one = rng.normal(5.0, spread)
    assert again.distance(one) == pytest.approx(familiar.distance(one), rel=1e-3)
    with pytest.raises(ShapeError, match="features must be"):
        again.distance(one[:-1])


@pytest.mark.parametrize(
    "more",
    [
        {"mean": np.zeros((2, 2))},
        {"spreads": np.zeros(3)},
        {"distances": np.array([2.0, 1.0])},
        {"rest": np.array([np.nan])},
        {"distances": None},
    ],
)
def test_what_is_damaged_is_refused(known, more):
    kept = known[0].tensors() | more
    with pytest.raises(DataError, match="kept is damaged"):
        read_familiar(kept, "kept")


def test_too_few_scans_tell_no_distance():
    with pytest.raises(DataError, match="2 training and 5 validation"):
        fit_familiar(np.zeros((2, 4)), np.zeros((5, 4)))


def test_training_scans_that_are_all_alike():
    known = fit_familiar(np.ones((10, 6)), np.ones((3, 6)) + 0.1)
    assert known.directions.shape == (6, 0) and known.percentile(np.full(6, 1.05)) == 0
