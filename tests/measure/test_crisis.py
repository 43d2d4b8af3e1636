"""The crisis ratio: known answers, honest limits, and honest refusals."""

from __future__ import annotations

import numpy as np
import pytest

from glasslung.errors import UsageError
from glasslung.measure.crisis import crisis_ratio, ratio_interval
from glasslung.measure.discrepancy import kid
from glasslung.measure.featuresets import feature_set


def gaussians(seed, count, shift=0.0, units=None):
    return feature_set(np.random.default_rng(seed).normal(size=(count, 4)) + shift, units)


def fieller(above, below, variance_above, variance_below, covariance, z=1.959964):
    """Fieller (1954): the ratios r for which |above - r below| <= z sd(above - r below)."""
    a = below**2 - z**2 * variance_below
    b = -2 * (above * below - z**2 * covariance)
    c = above**2 - z**2 * variance_above
    root = np.sqrt(b**2 - 4 * a * c)
    assert a > 0
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


def test_percentile_limits_agree_with_fiellers():
    rng = np.random.default_rng(0)
    covariance = np.array([[0.04, 0.01], [0.01, 0.01]])
    drawn = rng.multivariate_normal([1.0, 0.5], covariance, size=200_000)
    found, reason = ratio_interval(1.0, 0.5, drawn[:, 0], drawn[:, 1], 0.95, 50)
    low, high = fieller(1.0, 0.5, 0.04, 0.01, 0.01)
    assert reason == "" and found.value == 2.0
    assert (found.low, found.high) == pytest.approx((low, high), rel=0.02)


def test_limits_of_a_ratio_hold_the_truth_as_often_as_they_say():
    covered = defined = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        seen = rng.multivariate_normal([1.0, 0.5], np.diag([0.04, 0.01]))
        drawn = rng.multivariate_normal(seen, np.diag([0.04, 0.01]), size=1000)
        found, _ = ratio_interval(seen[0], seen[1], drawn[:, 0], drawn[:, 1], 0.95, 50)
        if found is not None:
            defined += 1
            covered += found.low <= 2.0 <= found.high
    assert defined > 390
    assert 0.92 <= covered / defined <= 0.98


def test_a_denominator_that_may_be_zero_leaves_the_ratio_undefined():
    drawn = np.random.default_rng(0).normal(0.1, 0.1, size=1000)
    found, reason = ratio_interval(1.0, 0.1, np.ones(1000), drawn, 0.95, 50)
    assert found is None and "nothing can be divided by it" in reason
    assert ratio_interval(1.0, -0.5, np.ones(1000), drawn - 0.6, 0.95, 50)[0] is None


def test_a_few_draws_below_zero_make_the_upper_limit_infinite_not_wrong():
    below = np.r_[np.full(980, 1.0), np.full(20, -0.1)]
    found, _ = ratio_interval(1.0, 1.0, np.ones(1000), below, 0.95, 50)
    assert (found.low, found.high) == (1.0, 1.0)  # 2 % of the draws lie beyond a limit at 2.5 %
    found, _ = ratio_interval(1.0, 1.0, np.ones(1000), np.r_[below[20:], below[-20:] * 0 + 1e-9], 0.95, 50)
    assert found.high > 1e8


def test_equal_models_have_a_ratio_of_one_and_a_worse_one_more():
    real = gaussians(0, 150, units=np.arange(150) // 2)
    single = gaussians(1, 150, 0.6)
    rng = np.random.default_rng(0)
    same = crisis_ratio(real, gaussians(2, 150, 0.6), single, rng=rng, draws=500)
    assert same.ratio.low < 1 < same.ratio.high and same.reaches_bound
    worse = crisis_ratio(real, gaussians(3, 150, 1.2), single, rng=rng, draws=500)
    assert worse.ratio.low > 1.25 and not worse.reaches_bound and not worse.within_bound
    assert worse.excess.low > 0
    better = crisis_ratio(real, gaussians(4, 150, 0.0), gaussians(5, 150, 1.2), rng=rng, draws=500)
    assert better.within_bound and better.ratio.high < 1.25


def test_the_ratio_is_its_formula_with_the_floor_taken_off():
    real, made_all, single, other = (gaussians(s, 40, h) for s, h in ((0, 0), (1, 1.5), (2, 1.0), (3, 0.1)))
    found = crisis_ratio(
        real, made_all, single, rng=np.random.default_rng(0), other_real=other, draws=300, bound=2.0
    )
    above, below = kid(real, made_all) - kid(real, other), kid(real, single) - kid(real, other)
    assert found.ratio.value == pytest.approx(above / below)
    assert found.excess.value == pytest.approx(above - 2.0 * below)
    assert found.floor.value == pytest.approx(kid(real, other))
    assert found.kid_all.value == pytest.approx(kid(real, made_all))


def test_a_perfect_single_age_model_gives_no_ratio_but_an_excess():
    real = gaussians(0, 60)
    found = crisis_ratio(
        real, gaussians(1, 60, 1.0), gaussians(2, 60), rng=np.random.default_rng(0), draws=300
    )
    assert found.ratio is None and found.reason and not found.reaches_bound
    assert found.excess.low > 0  # and yet the model of all ages is worse beyond doubt


def test_the_same_real_patients_stand_in_both_terms():
    """Made sets that are the same set give a ratio of exactly 1 only up to the samples' own draws."""
    real = gaussians(0, 40)
    made = feature_set(np.tile([[2.0, 0, 0, 0], [0, 2.0, 0, 0]], (100, 1)))
    found = crisis_ratio(real, made, made, rng=np.random.default_rng(0), draws=300)
    assert found.ratio.value == 1.0
    assert found.ratio.high - found.ratio.low < 0.35 * found.kid_all.high / found.kid_all.value


def test_a_bound_must_be_positive():
    with pytest.raises(UsageError):
        crisis_ratio(*(gaussians(s, 10) for s in range(3)), rng=np.random.default_rng(0), bound=0)
