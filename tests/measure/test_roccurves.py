"""ROC curves: against thresholds tried one by one, and what resampling by patient must and must not do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.measure.ranking import auc
from glasslung.measure.roccurves import (
    false_alarms,
    false_alarms_interval,
    roc_band,
    roc_curve,
)

LEVELS = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=3, max_size=25).filter(
    lambda rows: len({row[0] for row in rows}) == 2
)


def made(seed: int, scans: int = 120, apart: float = 1.2):
    generator = np.random.default_rng(seed)
    truth = generator.random(scans) < 0.4
    return truth, (truth * apart + generator.normal(size=scans)).round(1)


def slow_false_alarms(truth, score, wanted):
    """Every score as a threshold, the least of the false alarms."""
    found = []
    for threshold in score:
        hits = sum(t and s >= threshold for t, s in zip(truth, score, strict=True)) / sum(truth)
        alarms = sum(not t and s >= threshold for t, s in zip(truth, score, strict=True))
        if hits >= wanted - 1e-12:
            found.append(alarms / (len(truth) - sum(truth)))
    return min(found)


@given(LEVELS, st.sampled_from([0.3, 0.5, 0.9, 0.95, 1.0]))
@settings(deadline=None, max_examples=60)
def test_false_alarms_are_those_of_the_best_threshold(rows, wanted):
    truth, score = np.array([row[0] for row in rows]), np.array([float(row[1]) for row in rows])
    assert false_alarms(truth, score, wanted) == pytest.approx(slow_false_alarms(truth, score, wanted))


def test_the_curve_holds_the_area():
    truth, score = made(0)
    curve = roc_curve(truth, score)
    assert (curve.false[0], curve.true[0], curve.false[-1], curve.true[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(curve.true, curve.false) == pytest.approx(auc(truth, score))
    for false, true, threshold in zip(curve.false, curve.true, curve.thresholds, strict=True):
        assert (score[truth] >= threshold).mean() == pytest.approx(true)
        assert (score[~truth] >= threshold).mean() == pytest.approx(false)


def test_the_band_holds_the_curve_and_its_upper_corners():
    truth, score = made(1)
    band = roc_band(truth, score, np.arange(120), rng=np.random.default_rng(0), draws=300)
    assert (band.low <= band.true + 1e-9).all()
    assert (band.true <= band.high + 1e-9).all()
    assert band.true[-1] == 1
    truth, score = np.array([1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], bool), np.r_[9, 5, 7, 1:10:1]
    steps = roc_band(truth, score, np.arange(12), rng=np.random.default_rng(0), draws=50)
    slow = [max(t for f, t in zip(*_points(truth, score), strict=True) if f <= x + 1e-9) for x in (0, 0.1)]
    assert steps.true[[0, 10]] == pytest.approx(slow, abs=1e-6)


def _points(truth, score):
    curve = roc_curve(truth, score)
    return curve.false, curve.true


def test_the_band_at_one_share_is_that_of_a_slow_bootstrap():
    truth, score = made(2, 60)
    patients = np.arange(60) // 2
    truth = truth[2 * patients]  # both scans of a patient have the same truth
    band = roc_band(truth, score, patients, rng=np.random.default_rng(5), draws=400)
    generator, found = np.random.default_rng(9), []
    kinds = [[p for p in range(30) if truth[2 * p] == kind] for kind in (True, False)]
    for _ in range(400):
        rows = [r for kind in kinds for p in generator.choice(kind, len(kind)) for r in (2 * p, 2 * p + 1)]
        false, true = _points(truth[rows], score[rows])
        found.append(np.interp(0.3 + 1e-9, false, true))
    low, high = np.quantile(found, [0.025, 0.975])
    assert (band.low[30], band.high[30]) == pytest.approx((low, high), abs=0.08)


def test_the_interval_of_false_alarms_is_wide_where_patients_are_few():
    truth, score = made(3)
    found = false_alarms_interval(truth, score, np.arange(120), rng=np.random.default_rng(0))
    assert found.draws == 2000
    assert found.low <= found.value <= found.high
    assert found.value == pytest.approx(false_alarms(truth, score))
    often = false_alarms_interval(
        *[np.repeat(a, 5) for a in (truth, score, np.arange(120))], rng=np.random.default_rng(0)
    )
    assert (often.low, often.high) == pytest.approx((found.low, found.high))


def test_what_has_no_curve_is_told():
    truth, score = made(4)
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match="same truth"):
        roc_curve(np.ones(120, bool), score)
    with pytest.raises(DataError, match="same truth"):
        false_alarms(np.zeros(120, bool), score)
    with pytest.raises(DataError, match="fewer than two patients with"):
        roc_band(np.arange(120) < 1, score, np.arange(120), rng=rng)
    with pytest.raises(ShapeError, match="one per scan"):
        roc_band(truth, score, np.arange(5), rng=rng)
    with pytest.raises(UsageError, match="sensitivity"):
        false_alarms_interval(truth, score, np.arange(120), rng=rng, sensitivity=95)
