"""Lesion load: shares, their distance as distributions, and changes of the same patients."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from glasslung.errors import DataError, ShapeError
from glasslung.measure.lesionload import (
    load_distance,
    opacity_share,
    paired_change,
    relative_opacity_share,
    wasserstein,
)


def test_opacity_is_a_share_of_the_lung_not_of_the_picture():
    image = np.zeros((2, 10, 10))
    image[0, :4, :5] = 0.3
    image[0, 0, :5] = 0.9
    assert opacity_share(image) == pytest.approx([5 / 20, 0])
    assert opacity_share(image, above=0.95) == pytest.approx([0, 0])


def test_relative_opacity_forgets_brightness_and_fixed_opacity_does_not():
    rng = np.random.default_rng(0)
    image = np.clip(0.25 + 0.03 * rng.normal(size=(3, 20, 20)), 0.05, 1)
    image[:, :4] += 0.4
    dark = image * 0.6
    assert relative_opacity_share(dark) == pytest.approx(relative_opacity_share(image))
    assert relative_opacity_share(image).min() >= 0.2
    assert opacity_share(image, 0.5).min() > opacity_share(dark, 0.5).max()
    grey = image[0].ravel()
    middle = np.median(grey)
    limit = middle + 2 * 1.4826 * np.median([abs(g - middle) for g in grey])
    assert relative_opacity_share(image)[0] == np.mean([g > limit for g in grey])


def test_wasserstein_is_scipys_also_with_weights():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=12), rng.normal(size=9) + 0.3
    y[:3] = x[:3]  # ties across the sets
    u, v = rng.integers(0, 3, (4, 12)) + 0.1, rng.integers(0, 3, (4, 9)) + 0.1
    slow = [wasserstein_distance(x, y, a, b) for a, b in zip(u, v, strict=True)]
    assert wasserstein(x, y, u, v) == pytest.approx(slow)


def test_equal_loads_are_within_the_floor_and_heavier_ones_beyond():
    rng = np.random.default_rng(2)
    real, same = rng.beta(1, 9, 80), rng.beta(1, 9, 80)
    units = np.arange(80)
    fair = load_distance(real, units, same, units, rng=rng, draws=500)
    heavy = load_distance(real, units, same + 0.2, units, rng=rng, draws=500)
    assert fair.distance.value < fair.floor.high
    assert heavy.distance.low > heavy.floor.high
    assert heavy.distance.value == pytest.approx(0.2, abs=0.03)
    with pytest.raises(DataError, match="four real patients"):
        load_distance(real[:3], units[:3], same, units, rng=rng)
    with pytest.raises(ShapeError):
        load_distance(real, units[:3], same, units, rng=rng)


def test_a_rise_of_everyone_is_seen_and_a_mixed_one_is_not():
    rng = np.random.default_rng(3)
    before = rng.random(30)
    rise = paired_change(before, before + 0.1, np.arange(30), rng=rng)
    assert rise.mean.value == pytest.approx(0.1) and rise.risen.value == 1 and rise.p == 2 / 2**30
    assert rise.risen.low < 1
    mixed = paired_change(before, before + np.where(np.arange(30) % 2, 0.1, -0.1), np.arange(30), rng=rng)
    assert mixed.p == 1.0 and not mixed.mean.excludes(0)
    none = paired_change(before, before, np.arange(30), rng=rng)
    assert none.p == 1.0 and none.risen.value == 0


def test_the_sign_test_counts_patients_not_scans():
    change = np.r_[np.full(20, 0.1), -0.1]
    patients = np.r_[np.zeros(20, int), 1]
    assert paired_change(np.zeros(21), change, patients, rng=np.random.default_rng(0)).p == 1.0
