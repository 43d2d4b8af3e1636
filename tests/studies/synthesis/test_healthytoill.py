"""Healthy to ill on phantoms: guesses and truth measured, a network that learns the drawn disease."""

from __future__ import annotations

import numpy as np
import pytest

from glasslung.data.pairs import Pairs, draw_pairs
from glasslung.errors import UsageError
from glasslung.studies.synthesis.healthytoill import (
    MEAN_CHANGE,
    MODEL,
    NO_CHANGE,
    PairPlan,
    compare_pairs,
    guesses,
    measure_pairs,
)


@pytest.fixture(scope="module")
def pairs():
    return draw_pairs(6, 3, 32)


def test_the_truth_has_no_error_and_no_change_has_one(pairs):
    rng = np.random.default_rng(0)
    perfect = measure_pairs(pairs.target, pairs, rng, 50)
    assert perfect.inside.value == perfect.beside.value == perfect.load.value == 0
    assert perfect.ranked == pytest.approx(1)
    still = measure_pairs(pairs.source, pairs, rng, 50)
    assert still.inside.value > 3 * still.beside.value > 0 and still.load.value > 0


def test_the_mean_change_of_a_day_is_what_it_says():
    source = np.zeros((4, 2, 2), np.float32) + 0.2
    target = source + np.array([0.1, 0.3, 0.0, 0.4], np.float32)[:, None, None]
    lungs = np.ones((4, 2, 2), bool)
    lungs[1, 0, 0] = False  # there only the first pair counts
    day = np.array([2, 2, 7, 7], np.float32)
    train = Pairs(source, target, lungs, lungs, day, np.arange(4))
    told = guesses(train, train)
    assert told[NO_CHANGE] is train.source
    assert told[MEAN_CHANGE][0, 1, 1] == pytest.approx(0.4) and told[MEAN_CHANGE][0, 0, 0] == pytest.approx(
        0.3
    )
    assert told[MEAN_CHANGE][1, 0, 0] == pytest.approx(0.2)  # outside the lung nothing changes
    assert told[MEAN_CHANGE][2, 0, 0] == pytest.approx(0.4)
    with pytest.raises(UsageError, match="no pair of day"):
        guesses(train.take(np.array([0, 1])), train)


def test_all_three_are_measured_on_people_unseen():
    plan = PairPlan(people=6, unseen=3, steps=10, batch=6, size=32, settings={"width": 8})
    found = compare_pairs(plan)
    assert set(found) == {MODEL, NO_CHANGE, MEAN_CHANGE}
    for one in found.values():
        assert one.inside.patients == 3 and 0 < one.inside.low <= one.inside.high < 1
    with pytest.raises(UsageError):
        PairPlan(unseen=1)
