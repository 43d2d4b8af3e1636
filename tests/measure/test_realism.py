"""Precision, recall, density, coverage, copies and diversity on sets whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from glasslung.errors import UsageError
from glasslung.measure.copies import copy_rate, diversity
from glasslung.measure.featuresets import exact_share_limits, feature_set, share_interval
from glasslung.measure.manifolds import manifold_at_equal_counts, measure_manifold, reach
from glasslung.measure.realism import RealismSettings, measure_realism


def gaussians(seed, count, shift=0.0, scale=1.0, features=5):
    return np.random.default_rng(seed).normal(size=(count, features)) * scale + shift


def slow_manifold(real, real_units, made, made_units, k):
    """Kynkaanniemi et al. eq. 1-2, Naeem et al. eq. 3-4, point by point."""

    def radius(rows, units, i):
        others = [np.linalg.norm(rows[i] - rows[j]) for j in range(len(rows)) if units[j] != units[i]]
        return sorted(others)[k - 1]

    r = [radius(real, real_units, i) for i in range(len(real))]
    m = [radius(made, made_units, j) for j in range(len(made))]

    def gap(i, j):
        return np.linalg.norm(real[i] - made[j])

    precision = np.mean([any(gap(i, j) <= r[i] for i in range(len(real))) for j in range(len(made))])
    recall = np.mean([any(gap(i, j) <= m[j] for j in range(len(made))) for i in range(len(real))])
    density = sum(gap(i, j) <= r[i] for i in range(len(real)) for j in range(len(made))) / (k * len(made))
    coverage = np.mean([any(gap(i, j) <= r[i] for j in range(len(made))) for i in range(len(real))])
    return precision, recall, density, coverage


def test_manifold_is_its_formula():
    real, made = gaussians(0, 17, features=2), gaussians(1, 12, 0.5, features=2)
    units = np.array([0, 0, 1, 2, 3, 4, 5, 6, 6, 6, 7, 8, 9, 10, 11, 12, 13])
    found = measure_manifold(
        feature_set(real, units), feature_set(made), rng=np.random.default_rng(0), k=3, draws=50
    )
    slow = slow_manifold(real, units, made, np.arange(12), 3)
    fast = [one.value for one in (found.precision, found.recall, found.density, found.coverage)]
    assert fast == pytest.approx(slow)
    assert (found.k, found.real, found.made) == (3, 17, 12)


def test_one_population_is_precise_and_covered():
    found = measure_manifold(
        feature_set(gaussians(2, 150)),
        feature_set(gaussians(3, 150)),
        rng=np.random.default_rng(0),
        draws=100,
    )
    assert found.precision.value > 0.8 and found.recall.value > 0.8 and found.coverage.value > 0.8
    assert found.density.low <= 1.0 <= found.density.high


def test_recall_is_asked_at_equal_counts():
    real, made = feature_set(gaussians(8, 60)), gaussians(9, 600)
    few, many = feature_set(made[:60]), feature_set(made)

    def ask(measure, made):
        return measure(real, made, rng=np.random.default_rng(0), draws=100)

    plain, fair = ask(measure_manifold, many), ask(manifold_at_equal_counts, many)
    once = [ask(measure_manifold, feature_set(made[n : n + 60])) for n in range(0, 600, 60)]
    for share in ("recall", "coverage"):
        expected = np.mean([getattr(one, share).value for one in once])
        assert getattr(fair, share).value == pytest.approx(expected, abs=0.05)
    assert plain.coverage.value > fair.coverage.value  # ten times as many land in more balls
    assert (fair.precision, fair.density) == (plain.precision, plain.density)
    assert (fair.made, plain.made) == (60, 600)
    assert ask(manifold_at_equal_counts, few) == ask(measure_manifold, few)


def test_mode_collapse_is_precise_and_forgets_most():
    real = gaussians(4, 150)
    collapsed = real[0] + gaussians(5, 150, scale=0.05)
    found = measure_manifold(
        feature_set(real), feature_set(collapsed), rng=np.random.default_rng(0), draws=100
    )
    assert found.precision.value > 0.95
    assert found.recall.high < 0.1 and found.coverage.high < 0.2


def test_pictures_far_away_are_neither_precise_nor_covering():
    found = measure_manifold(
        feature_set(gaussians(6, 60)), feature_set(gaussians(7, 60, 30)), rng=np.random.default_rng(0)
    )
    assert [one.value for one in (found.precision, found.recall, found.density, found.coverage)] == [0] * 4
    assert 0 < found.precision.high < 0.1  # no hit in 60 does not prove that there is none


def test_a_second_scan_is_not_a_neighbour():
    x = np.array([[0.0], [0.1], [5.0], [9.0]])
    assert reach(feature_set(x, [0, 0, 1, 2]), 1) == pytest.approx([5.0, 4.9, 4.0, 4.0])
    with pytest.raises(UsageError, match="choose k from 1 to 2"):
        reach(feature_set(x, [0, 0, 1, 2]), 3)


def test_shares_have_at_least_the_exact_binomial_interval():
    hits = np.zeros(30, bool)
    found = share_interval(hits, np.arange(30), rng=np.random.default_rng(0))
    exact = binomtest(0, 30).proportion_ci(0.95, method="exact")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))
    exact = binomtest(7, 30).proportion_ci(0.95, method="exact")
    assert exact_share_limits(7, 30, 0.95) == pytest.approx((exact.low, exact.high))
    assert exact_share_limits(30, 30, 0.95)[1] == 1.0


# ---------------------------------------------------------------------------------------------- copies


def test_copies_are_found_and_named():
    train, unseen = gaussians(10, 80), gaussians(11, 120)
    chosen = np.random.default_rng(0).integers(0, 80, 50)
    found = copy_rate(
        feature_set(train[chosen] + 1e-4),
        feature_set(train),
        feature_set(unseen),
        rng=np.random.default_rng(1),
    )
    assert found.rate.value == 1.0 and found.rate.low > 0.9
    assert (found.nearest == chosen).all()
    assert found.distance == pytest.approx(np.full(50, 1e-4 * np.sqrt(5)))


def test_exact_copies_lie_at_distance_zero():
    train = gaussians(12, 40)
    found = copy_rate(
        feature_set(train), feature_set(train), feature_set(gaussians(13, 40)), rng=np.random.default_rng(0)
    )
    assert found.rate.value == 1.0 and (found.distance == 0).all()


def test_fresh_pictures_are_copies_as_rarely_as_unseen_ones():
    found = copy_rate(
        feature_set(gaussians(14, 1000)),
        feature_set(gaussians(15, 80)),
        feature_set(gaussians(16, 1000)),
        rng=np.random.default_rng(0),
    )
    assert found.expected == pytest.approx(0.01)
    assert found.rate.low <= 0.01 <= found.rate.high and found.rate.high < 0.05


def test_the_copy_threshold_is_the_smallest_distance_that_the_share_reaches():
    train, unseen = gaussians(17, 30), gaussians(18, 50)
    nearest = sorted(min(np.linalg.norm(row - other) for other in train) for row in unseen)
    sets = feature_set(gaussians(19, 20)), feature_set(train), feature_set(unseen)
    assert copy_rate(*sets, rng=np.random.default_rng(0)).threshold == pytest.approx(nearest[0])
    tenth = copy_rate(*sets, rng=np.random.default_rng(0), floor_percent=10)
    assert tenth.threshold == pytest.approx(nearest[4]) and tenth.expected == pytest.approx(0.1)
    with pytest.raises(UsageError):
        copy_rate(*sets, rng=np.random.default_rng(0), floor_percent=0)


def test_diversity_is_the_mean_distance_of_strangers():
    x = gaussians(20, 9)
    units = [0, 0, 1, 2, 3, 3, 4, 5, 6]
    slow = [np.linalg.norm(x[i] - x[j]) for i in range(9) for j in range(9) if units[i] != units[j]]
    found = diversity(feature_set(x, units), rng=np.random.default_rng(0))
    assert found.value == pytest.approx(np.mean(slow))
    assert diversity(feature_set(x * 0.1), rng=np.random.default_rng(0)).high < found.low


# ------------------------------------------------------------------------------------------ all together


def test_a_fair_set_is_judged_fair_and_a_poor_one_poor():
    rng = np.random.default_rng(0)
    settings = RealismSettings(draws=200)
    train, unseen = feature_set(gaussians(21, 100)), feature_set(gaussians(22, 80), np.arange(80) // 2)
    fair = measure_realism(feature_set(gaussians(23, 80)), train, unseen, rng=rng, settings=settings)
    poor = measure_realism(
        feature_set(gaussians(24, 80, 0.8, 0.3)), train, unseen, rng=rng, settings=settings
    )
    assert not fair.kid.excludes(0) and poor.kid.low > 0 and poor.kid.value > poor.floor.high
    assert poor.manifold.recall.high < fair.manifold.recall.low
    assert poor.diversity.high < poor.real_diversity.low
    assert poor.frechet.distance > fair.frechet.distance
    assert fair.copies.rate.value < 0.1
    assert (fair.real_manifold.real, fair.real_manifold.made) == (80, 80)
    assert fair.real_manifold.recall.value > poor.manifold.recall.high


def test_wrong_settings_are_refused():
    with pytest.raises(UsageError):
        RealismSettings(level=1.5)
