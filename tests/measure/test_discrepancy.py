"""KID, its interval, its floor, and the Frechet distance."""

from __future__ import annotations

import numpy as np
import pytest

from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.measure.discrepancy import (
    frechet,
    kid,
    kid_by_subsets,
    kid_draws,
    kid_interval,
    noise_floor,
    subset_size,
)
from glasslung.measure.featuresets import draw_weights, feature_set


def slow_kid(x, units_x, y, units_y):
    """Binkowski et al., eq. 4, pair by pair; pairs of one unit are no pairs."""

    def kernel(a, b):
        return (float(np.dot(a, b)) / len(a) + 1) ** 3

    def inside(rows, units):
        total, pairs = 0.0, 0
        for i in range(len(rows)):
            for j in range(len(rows)):
                if units[i] != units[j]:
                    total += kernel(rows[i], rows[j])
                    pairs += 1
        return total / pairs

    across = sum(kernel(a, b) for a in x for b in y) / (len(x) * len(y))
    return inside(x, units_x) + inside(y, units_y) - 2 * across


def gaussians(rng, count, shift=0.0, features=6, units=None):
    return feature_set(rng.normal(size=(count, features)) + shift, units)


def test_kid_is_its_formula_also_with_several_scans_a_patient():
    rng = np.random.default_rng(0)
    units_x, units_y = rng.integers(0, 7, 13), np.arange(9)
    x, y = rng.normal(size=(13, 4)), rng.normal(size=(9, 4)) + 0.3
    assert kid(feature_set(x, units_x), feature_set(y)) == pytest.approx(
        slow_kid(x, units_x, y, units_y), rel=1e-12
    )


def test_a_weight_of_two_is_the_row_twice_without_the_pair_with_itself():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(6, 3)), rng.normal(size=(5, 3))
    real, made = feature_set(x), feature_set(y)
    taken_x, taken_y = [0, 0, 1, 3, 5, 5], [1, 2, 2, 4, 0]
    weights_x = np.bincount(taken_x, minlength=6)[None].astype(float)
    weights_y = np.bincount(taken_y, minlength=5)[None].astype(float)
    slow = slow_kid(x[taken_x], taken_x, y[taken_y], taken_y)
    assert kid_draws(real, made, weights_x, weights_y)[0] == pytest.approx(slow, rel=1e-12)


def test_kid_of_one_population_is_unbiased_and_its_interval_covers_zero():
    values, covered = [], 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        interval = kid_interval(gaussians(rng, 30), gaussians(rng, 40), rng=rng, draws=200)
        values.append(interval.value)
        covered += not interval.excludes(0.0)
    spread = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 3 * spread
    assert covered >= 56  # 95 % of 60 would be 57; the interval is on the wide side where the sets are alike


def test_kid_interval_covers_the_truth_where_the_sets_differ():
    """One feature, N(0, 1) against N(s, 1): moments of the cubic kernel in closed form."""
    shift = 1.0

    def expected(m1, v1, m2, v2):
        first = [m1, m1**2 + v1, m1**3 + 3 * m1 * v1]
        second = [m2, m2**2 + v2, m2**3 + 3 * m2 * v2]
        return 1 + 3 * first[0] * second[0] + 3 * first[1] * second[1] + first[2] * second[2]

    truth = expected(0, 1, 0, 1) + expected(shift, 1, shift, 1) - 2 * expected(0, 1, shift, 1)
    covered = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        interval = kid_interval(
            gaussians(rng, 80, features=1), gaussians(rng, 80, shift, features=1), rng=rng, draws=300
        )
        covered += interval.low <= truth <= interval.high
    assert covered >= 50  # 57 expected of an exact interval; a percentile one of 80 heavy-tailed values less


def test_kid_grows_with_the_shift():
    rng = np.random.default_rng(2)
    real = gaussians(rng, 60)
    scores = [kid(real, gaussians(np.random.default_rng(3), 60, shift)) for shift in (0.0, 0.5, 1.0, 2.0)]
    assert scores == sorted(scores)
    assert kid_interval(real, gaussians(rng, 60, 1.0), rng=rng, draws=300).low > 0


def test_repeating_every_picture_does_not_make_the_interval_narrower():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(25, 3)), rng.normal(size=(25, 3)) + 0.5
    once = kid_interval(feature_set(x), feature_set(y), rng=np.random.default_rng(0), draws=1000)
    units = np.tile(np.arange(25), 4)
    often = kid_interval(
        feature_set(np.tile(x, (4, 1)), units),
        feature_set(np.tile(y, (4, 1)), units),
        rng=np.random.default_rng(0),
        draws=1000,
    )
    assert often.value == pytest.approx(once.value)
    assert (often.low, often.high) == pytest.approx((once.low, once.high))


def test_subsets_average_to_the_whole():
    rng = np.random.default_rng(5)
    real, made = gaussians(rng, 40), gaussians(rng, 31, 0.4)
    found = kid_by_subsets(real, made, rng=rng, repeats=3000)
    assert found.subset == subset_size(real, made) == 15
    assert found.mean == pytest.approx(kid(real, made), abs=4 * found.deviation / np.sqrt(3000))
    with pytest.raises(UsageError, match="subsets of 32"):
        kid_by_subsets(real, made, rng=rng, subset=32)


def test_noise_floor_lies_around_zero_and_a_shifted_set_above_it():
    rng = np.random.default_rng(6)
    real = gaussians(rng, 60, units=np.arange(60) // 2)
    floor = noise_floor(real, rng=rng, splits=400)
    assert floor.low < 0 < floor.high
    assert abs(floor.value) < 0.1 * (floor.high - floor.low)
    assert kid(real, gaussians(rng, 60, 1.0)) > floor.high
    with pytest.raises(DataError, match="four patients"):
        noise_floor(gaussians(rng, 3), rng=rng)


def test_frechet_of_gaussians_is_its_closed_form():
    rng = np.random.default_rng(7)
    x = rng.normal(size=(4000, 3)) @ np.diag([1.0, 2.0, 0.5])
    y = rng.normal(size=(4000, 3)) @ np.diag([2.0, 1.0, 0.5]) + [1.0, 0.0, 0.0]
    found = frechet(feature_set(x), feature_set(y))
    assert found.distance == pytest.approx(1 + 1 + 1, rel=0.1)  # means, and (1 - 2)^2 + (2 - 1)^2
    assert (found.real, found.made, found.features) == (4000, 4000, 3)
    assert frechet(feature_set(x), feature_set(x)).distance == pytest.approx(0, abs=1e-9)


def test_frechet_is_the_formula_with_a_matrix_square_root():
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(8)
    x, y = rng.normal(size=(30, 4)) @ rng.normal(size=(4, 4)), rng.normal(size=(20, 4))
    first, second = np.cov(x.T), np.cov(y.T)
    gap = x.mean(0) - y.mean(0)
    slow = gap @ gap + np.trace(first + second - 2 * sqrtm(first @ second).real)
    assert frechet(feature_set(x), feature_set(y)).distance == pytest.approx(slow)


def test_bad_sets_are_refused():
    with pytest.raises(DataError, match="row 1"):
        feature_set([[0.0], [np.nan]])
    with pytest.raises(DataError, match="two patients"):
        feature_set(np.zeros((3, 2)), ["a", "a", "a"])
    with pytest.raises(ShapeError):
        kid(feature_set(np.zeros((3, 2))), feature_set(np.zeros((3, 4))))
    with pytest.raises(ShapeError):
        feature_set(np.zeros((3, 2)), ["a", "b"])


def test_weights_move_whole_patients():
    units = np.array([0, 0, 1, 2, 2, 2])
    weights = draw_weights(units, 50, np.random.default_rng(0))
    assert (weights[:, 0] == weights[:, 1]).all() and (weights[:, 3] == weights[:, 5]).all()
    assert (weights[:, [0, 2, 3]].sum(1) == 3).all()
