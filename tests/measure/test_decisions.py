"""Calls at a threshold: against counting by hand and scikit-learn; operating points; net benefit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.measure.decisions import (
    FIGURES,
    calls_at,
    decision_curve,
    net_benefit,
    threshold_for_sensitivity,
    youden_threshold,
)
from glasslung.measure.statistics import exact_limits


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def made(seed: int = 0, scans: int = 150):
    truth = rng(seed).random(scans) < 0.4
    return truth, 1 / (1 + np.exp(-(truth * 2 - 1 + rng(seed + 1).normal(size=scans))))


def test_figures_are_those_of_scikit_learn():
    from sklearn import metrics

    truth, probability = made()
    found = calls_at(truth, probability, 0.45, np.arange(150), rng=rng())
    called = probability >= 0.45
    wanted = {
        "sensitivity": metrics.recall_score(truth, called),
        "specificity": metrics.recall_score(~truth, ~called),
        "ppv": metrics.precision_score(truth, called),
        "npv": metrics.precision_score(~truth, ~called),
        "f1": metrics.f1_score(truth, called),
        "accuracy": metrics.accuracy_score(truth, called),
    }
    assert tuple(found.figures) == FIGURES
    assert sum(found.counts) == 150
    for name, value in wanted.items():
        one = found.figures[name]
        assert one is not None
        assert one.value == pytest.approx(value)
        assert one.low < value < one.high


def test_intervals_are_those_of_a_slow_bootstrap_by_patient():
    truth, probability = made(3, 90)
    patients = np.arange(90) // 3
    truth = truth[3 * patients]
    found = calls_at(truth, probability, 0.5, patients, rng=rng()).figures["sensitivity"]
    sick = [p for p in range(30) if truth[3 * p]]
    values = []
    for _ in range(1500):
        rows = [3 * p + k for p in rng(len(values) + 10).choice(sick, len(sick)) for k in range(3)]
        values.append((probability[rows] >= 0.5).mean())
    assert found is not None
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])), abs=0.03)


def test_all_right_is_not_certain():
    truth = np.r_[np.ones(10, bool), np.zeros(20, bool)]
    found = calls_at(truth, truth.astype(float), 0.5, np.arange(30), rng=rng())
    sensitivity, specificity = found.figures["sensitivity"], found.figures["specificity"]
    assert sensitivity is not None
    assert specificity is not None
    assert (sensitivity.low, sensitivity.high) == pytest.approx((0.025 ** (1 / 10), 1))
    assert (specificity.low, specificity.high) == pytest.approx((0.025 ** (1 / 20), 1))
    copies = calls_at(
        *[np.repeat(a, 4) for a in (truth, truth.astype(float))], 0.5, np.repeat(np.arange(30), 4), rng=rng()
    )
    again = copies.figures["sensitivity"]
    assert again is not None
    assert again.low == pytest.approx(sensitivity.low)  # patients are counted, not scans


def test_a_figure_without_scans_is_none():
    truth, _ = made()
    found = calls_at(truth, np.zeros(150), 0.5, np.arange(150), rng=rng())
    assert found.figures["ppv"] is None
    none_found = found.figures["sensitivity"]
    assert none_found is not None
    assert none_found.value == none_found.low == 0
    assert 0 < none_found.high < 0.2
    assert exact_limits(0, 5)[0] == 0


ROWS = st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=2, max_size=25).filter(
    lambda rows: len({row[0] for row in rows}) == 2
)


@given(ROWS)
@settings(deadline=None, max_examples=60)
def test_youden_is_the_best_of_all_thresholds(rows):
    truth = np.array([row[0] for row in rows])
    probability = np.array([row[1] / 10 for row in rows])

    def gain(threshold):
        return (probability[truth] >= threshold).mean() + (probability[~truth] < threshold).mean()

    best = max(gain(threshold) for threshold in (*probability, 2.0))
    if best > 1:
        assert gain(youden_threshold(truth, probability)) == pytest.approx(best)


def test_a_threshold_lies_between_scores():
    truth = np.array([0, 0, 0, 1, 1, 1], bool)
    probability = np.array([0.1, 0.2, 0.4, 0.6, 0.8, 0.9])
    assert youden_threshold(truth, probability) == pytest.approx(0.5)
    assert threshold_for_sensitivity(truth, probability, 1.0) == pytest.approx(0.5)
    assert threshold_for_sensitivity(truth, probability, 0.6) == pytest.approx(0.7)
    assert threshold_for_sensitivity(truth, np.full(6, 0.5), 0.9) == 0.5
    close = np.array([0.5, 0.5, 0.5, 0.5, 0.5, np.nextafter(0.5, 1)])
    assert threshold_for_sensitivity(truth, close, 0.2) == close[-1]


@given(ROWS, st.floats(0.05, 1.0))
@settings(deadline=None, max_examples=60)
def test_the_wanted_sensitivity_is_reached_by_the_highest_threshold(rows, wanted):
    truth = np.array([row[0] for row in rows])
    probability = np.array([row[1] / 10 for row in rows])
    threshold = threshold_for_sensitivity(truth, probability, wanted)
    assert (probability[truth] >= threshold).mean() >= wanted - 1e-9
    higher = probability[probability > threshold]
    above = higher[higher > (higher.min() if len(higher) else 0)]
    assert all((probability[truth] >= value).mean() < wanted for value in above[:1])


def slow_net_benefit(truth, probability, threshold):
    hits = sum(t and p >= threshold for t, p in zip(truth, probability, strict=True))
    alarms = sum(not t and p >= threshold for t, p in zip(truth, probability, strict=True))
    return hits / len(truth) - alarms / len(truth) * threshold / (1 - threshold)


def test_net_benefit_is_the_formula_and_the_curve_holds_it():
    truth, probability = made(5)
    thresholds = np.array([0.05, 0.2, 0.5, 0.8])
    slow = [slow_net_benefit(truth, probability, t) for t in thresholds]
    assert net_benefit(truth, probability, thresholds) == pytest.approx(slow)
    curve = decision_curve(truth, probability, np.arange(150), thresholds, rng=rng(), draws=500)
    assert curve.model == pytest.approx(slow)
    assert (curve.low < curve.model).all()
    assert (curve.model < curve.high).all()
    everybody = [slow_net_benefit(truth, np.ones(150), t) for t in thresholds]
    assert curve.everybody == pytest.approx(everybody)
    assert curve.share == pytest.approx([(probability >= t).mean() for t in thresholds])


def test_wrong_calls_are_told():
    truth, probability = made()
    with pytest.raises(DataError, match="fewer than two patients with the finding"):
        calls_at(np.arange(150) < 1, probability, 0.5, np.arange(150), rng=rng())
    with pytest.raises(ShapeError, match="one per scan"):
        calls_at(truth, probability, 0.5, np.arange(3), rng=rng())
    with pytest.raises(DataError, match="same truth"):
        youden_threshold(np.ones(150, bool), probability)
    with pytest.raises(UsageError, match="above 0 and below 1"):
        net_benefit(truth, probability, np.array([0.0, 0.5]))
    with pytest.raises(UsageError, match="sensitivity"):
        threshold_for_sensitivity(truth, probability, 95)
