"""Calibration: what was spoiled is mended, figures agree with definitions, luck is told from fault."""

from __future__ import annotations

import numpy as np
import pytest

from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.measure.calibration import (
    COLDEST,
    HOTTEST,
    Bins,
    Calibration,
    brier_score,
    calibration_error,
    calibration_error_by_luck,
    fit_calibration,
    negative_log_likelihood,
    reliability,
    wilson_limits,
)


def made(seed: int = 0, scans: int = 4000):
    """Honest log-odds and truths drawn from them."""
    generator = np.random.default_rng(seed)
    log_odds = generator.normal(0.3, 1.5, scans)
    return generator.random(scans) < 1 / (1 + np.exp(-log_odds)), log_odds


def test_a_spoiled_score_is_mended():
    truth, log_odds = made()
    assert fit_calibration(truth, 4 * log_odds).temperature == pytest.approx(4, rel=0.08)
    assert fit_calibration(truth, log_odds).temperature == pytest.approx(1, rel=0.08)
    spoiled = 3 * (log_odds + 2)
    both = fit_calibration(truth, spoiled, with_bias=True)
    assert (both.temperature, both.bias) == pytest.approx((3, -2), rel=0.12)
    mended = both.probability(spoiled)
    raw = Calibration().probability(spoiled)
    assert calibration_error(truth, mended) < 0.03 < 0.2 < calibration_error(truth, raw)
    assert negative_log_likelihood(truth, mended) < negative_log_likelihood(truth, raw)


def test_the_fit_is_the_least_likelihood_on_a_grid():
    truth, log_odds = made(1, 60)
    found = fit_calibration(truth, 2 * log_odds)
    n = truth.sum()
    target = np.where(truth, (n + 1) / (n + 2), 1 / (60 - n + 2))

    def loss(temperature):
        margin = 2 * log_odds / temperature
        return (target * np.logaddexp(0, -margin) + (1 - target) * np.logaddexp(0, margin)).mean()

    grid = np.geomspace(0.1, 20, 400)
    assert loss(found.temperature) <= min(loss(t) for t in grid) + 1e-7


def test_a_score_that_parts_a_few_scans_does_not_become_certain():
    truth = np.arange(12) >= 6
    found = fit_calibration(truth, np.where(truth, 3.0, -3.0))
    assert found.temperature > COLDEST
    assert found.probability(3.0) == pytest.approx(7 / 8, abs=1e-3)  # Platt's (n + 1) / (n + 2)
    reversed_ = fit_calibration(truth, np.where(truth, -3.0, 3.0))
    assert reversed_.temperature == pytest.approx(HOTTEST)
    assert abs(float(reversed_.probability(3.0)) - 0.5) < 0.01


def test_probability_keeps_its_shape_and_order():
    calibration = Calibration(2.0, 0.5)
    log_odds = np.linspace(-900, 900, 7).reshape(1, 7)
    found = calibration.probability(log_odds)
    assert found.shape == (1, 7)
    assert (np.diff(found) >= 0).all()
    assert float(calibration.probability(-1.0)) == pytest.approx(0.5)


def slow_error(truth, probability, bins):
    """Equal width: every bin by hand; the last one holds 1."""
    total = 0.0
    for k in range(bins):
        inside = [
            (t, p)
            for t, p in zip(truth, probability, strict=True)
            if k / bins <= p and (p < (k + 1) / bins or k == bins - 1)
        ]
        if inside:
            gap = sum(t for t, _ in inside) / len(inside) - sum(p for _, p in inside) / len(inside)
            total += abs(gap) * len(inside) / len(truth)
    return total


def test_the_error_is_the_definition():
    truth, log_odds = made(2, 300)
    probability = Calibration(0.4).probability(log_odds)
    found = calibration_error(truth, probability, 10, Bins.WIDTH)
    assert found == pytest.approx(slow_error(truth, probability, 10))
    order = np.argsort(probability)
    parts = np.array_split(order, 10)
    slow = sum(abs(truth[p].mean() - probability[p].mean()) * len(p) for p in parts) / 300
    assert calibration_error(truth, probability) == pytest.approx(slow)


def test_equal_probabilities_stay_together():
    truth = np.array([1, 0, 1, 1, 0, 1, 0, 1], bool)
    rows = reliability(truth, np.full(8, 0.5), np.arange(8))
    assert len(rows) == 1
    assert (rows[0].mean, rows[0].share, rows[0].count) == (0.5, 5 / 8, 8)
    assert calibration_error(truth, np.full(8, 0.5)) == pytest.approx(1 / 8)
    shuffled = np.array([5, 2, 0, 7, 1, 3, 6, 4])
    p = np.array([0.2, 0.2, 0.2, 0.2, 0.7, 0.7, 0.9, 0.9])
    assert calibration_error(truth, p) == calibration_error(truth[shuffled], p[shuffled])


def test_the_reliability_table_adds_up_and_counts_patients():
    truth, log_odds = made(3, 500)
    probability = Calibration().probability(log_odds)
    rows = reliability(truth, probability, np.arange(500), bins=5)
    assert sum(row.count for row in rows) == 500
    for row in rows:
        assert row.low <= row.mean <= row.high
        assert row.share_low <= row.share <= row.share_high
    few = reliability(truth, probability, np.arange(500) // 25, bins=5)
    assert all(
        a.share_high - a.share_low > b.share_high - b.share_low for a, b in zip(few, rows, strict=True)
    )


def test_wilson_agrees_with_scipy():
    from scipy.stats import binomtest

    for hits, tries in ((0, 7), (3, 9), (20, 20)):
        limits = binomtest(hits, tries).proportion_ci(method="wilson")
        assert wilson_limits(hits / tries, tries) == pytest.approx((limits.low, limits.high))


def test_luck_is_told_from_fault():
    truth, log_odds = made(4, 100)
    honest, bold = Calibration().probability(log_odds), Calibration(0.2).probability(log_odds)
    median, most = calibration_error_by_luck(honest, rng=np.random.default_rng(0), draws=300)
    assert 0 < median < most
    assert calibration_error(truth, honest) < most
    assert calibration_error(truth, bold) > calibration_error_by_luck(bold, rng=np.random.default_rng(0))[1]


def test_scores_agree_with_scikit_learn():
    from sklearn.metrics import brier_score_loss, log_loss

    truth, log_odds = made(5, 200)
    probability = Calibration().probability(log_odds)
    assert brier_score(truth, probability) == pytest.approx(brier_score_loss(truth, probability))
    assert negative_log_likelihood(truth, probability) == pytest.approx(log_loss(truth, probability))
    assert np.isfinite(negative_log_likelihood(np.array([True, False]), np.array([0.0, 1.0])))


def test_wrong_calls_are_told():
    truth, log_odds = made(6, 50)
    with pytest.raises(DataError, match="log-odds"):
        calibration_error(truth, log_odds)
    with pytest.raises(DataError, match="log-odds"):
        brier_score(truth, log_odds)
    with pytest.raises(DataError, match="scans of both kinds"):
        fit_calibration(np.ones(50, bool), log_odds)
    with pytest.raises(DataError, match="infinite"):
        fit_calibration(truth, np.where(truth, np.inf, 0))
    with pytest.raises(UsageError, match="bin"):
        calibration_error(truth, Calibration().probability(log_odds), bins=0)
    with pytest.raises(ShapeError, match="one per scan"):
        reliability(truth, Calibration().probability(log_odds), np.arange(3))
