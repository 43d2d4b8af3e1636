"""AUC: against the pair-by-pair definition, scikit-learn, and what resampling must not do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasslung.errors import DataError, ShapeError
from glasslung.measure.ranking import auc, auc_interval, auc_weighted, errors_from_chance


def slow_auc(truth, score):
    """Every pair of one with and one without the finding."""
    right = pairs = 0.0
    for i in range(len(truth)):
        for j in range(len(truth)):
            if truth[i] and not truth[j]:
                pairs += 1
                right += 1.0 if score[i] > score[j] else 0.5 if score[i] == score[j] else 0.0
    return right / pairs


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=30))
@settings(deadline=None, max_examples=60)
def test_auc_is_the_share_of_right_pairs(rows):
    truth, score = np.array([r[0] for r in rows]), np.array([float(r[1]) for r in rows])
    if truth.all() or not truth.any():
        with pytest.raises(DataError, match="same truth"):
            auc(truth, score)
        return
    assert auc(truth, score) == pytest.approx(slow_auc(truth, score))
    assert auc(truth, -score) == pytest.approx(1 - slow_auc(truth, score))


def test_auc_agrees_with_scikit_learn():
    from sklearn.metrics import roc_auc_score

    generator = np.random.default_rng(0)
    truth, score = generator.random(500) < 0.3, generator.normal(size=500).round(1)
    weights = generator.integers(0, 4, size=(3, 500)).astype(float)
    assert auc(truth, score) == pytest.approx(roc_auc_score(truth, score))
    for row, value in zip(weights, auc_weighted(truth, score, weights), strict=True):
        assert value == pytest.approx(roc_auc_score(truth, score, sample_weight=row))


def test_interval_holds_the_value_and_never_loses_a_class():
    generator = np.random.default_rng(1)
    truth = np.r_[np.ones(3, bool), np.zeros(60, bool)]
    score = truth + generator.normal(size=63)
    interval = auc_interval(truth, score, np.arange(63), rng=generator)
    assert interval.draws == 2000
    assert interval.low <= interval.value <= interval.high
    assert interval.patients == 63


def test_copies_of_a_scan_do_not_make_us_surer():
    generator = np.random.default_rng(2)
    truth = generator.random(60) < 0.5
    score = truth + generator.normal(size=60)
    once = auc_interval(truth, score, np.arange(60), rng=np.random.default_rng(0))
    copies = [np.repeat(a, 8) for a in (truth, score, np.arange(60))]
    often = auc_interval(*copies, rng=np.random.default_rng(0))
    assert (often.low, often.high) == pytest.approx((once.low, once.high))


def test_a_patient_may_have_scans_of_both_kinds():
    truth = np.array([1, 0, 1, 0, 1, 0, 0, 1], dtype=bool)
    interval = auc_interval(
        truth, np.arange(8.0), ["a", "a", "b", "b", "c", "d", "e", "f"], rng=np.random.default_rng(0)
    )
    assert 0 <= interval.low <= interval.value <= interval.high <= 1


def test_what_cannot_be_ranked_is_told():
    truth, score = np.array([True, False, False]), np.array([1.0, 0.0, 0.5])
    generator = np.random.default_rng(0)
    with pytest.raises(DataError, match="two patients with the finding"):
        auc_interval(truth, score, ["a", "b", "c"], rng=generator)
    with pytest.raises(DataError, match="not numbers"):
        auc(truth, np.array([1.0, np.nan, 0.5]))
    with pytest.raises(DataError, match="one class against the rest"):
        auc(np.array([0, 1, 2]), score)
    with pytest.raises(ShapeError):
        auc(truth, score[:2])


def test_standard_errors_from_chance_are_those_of_scores_that_know_nothing():
    generator = np.random.default_rng(3)
    truth = np.arange(40) < 12
    luck = [auc(truth, generator.normal(size=40)) for _ in range(3000)]
    errors = np.array([errors_from_chance(value, 12, 28) for value in luck])
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(1, abs=0.05)
    assert errors_from_chance(0.5, 3, 3) == 0
