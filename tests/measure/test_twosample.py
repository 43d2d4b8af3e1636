"""A classifier tells apart what differs, and not what does not."""

from __future__ import annotations

import numpy as np
import pytest

from glasslung.errors import DataError
from glasslung.measure.featuresets import feature_set
from glasslung.measure.twosample import two_sample_test


def gaussians(seed: int, count: int, shift: float = 0.0, scale: float = 1.0):
    return np.random.default_rng(seed).normal(size=(count, 4)) * scale + shift


def test_one_population_cannot_be_told():
    real, made = feature_set(gaussians(0, 80)), feature_set(gaussians(1, 80))
    found = two_sample_test(real, made, rng=np.random.default_rng(0), draws=200)
    assert not found.told_apart and found.area.low < 0.5 < found.area.high + 0.05


def test_a_shift_and_a_spread_are_told():
    real = feature_set(gaussians(2, 80))
    for made in (gaussians(3, 80, 1.5), gaussians(4, 80, scale=0.2)):  # the second: a collapse at the mean
        found = two_sample_test(real, feature_set(made), rng=np.random.default_rng(0), draws=200)
        assert found.told_apart and found.right.value > 0.75


def test_the_larger_set_is_thinned_and_patients_stay_together():
    units = np.repeat(np.arange(30), 2)
    real = feature_set(np.repeat(gaussians(15, 30), 2, 0), units)
    made = feature_set(gaussians(16, 300))
    found = two_sample_test(real, made, rng=np.random.default_rng(0), draws=100)
    assert (found.real, found.made) == (30, 30)
    assert not found.told_apart  # twins in both halves of a fold would be told by heart


def test_too_few_are_refused():
    with pytest.raises(DataError, match="5 folds"):
        two_sample_test(
            feature_set(gaussians(0, 3)), feature_set(gaussians(1, 30)), rng=np.random.default_rng(0)
        )
