"""Normal scores by the training patients' quantiles, and members that are weighed and averaged."""

import numpy as np
import pytest
from scipy.stats import norm

from glasslung.errors import ShapeError
from glasslung.measure.ranking import auc
from glasslung.studies.critical.weighing import (
    FARTHEST,
    KNOTS,
    Candidate,
    Recipe,
    bent,
    knots_of,
    learn,
    raw_log_odds,
    taken,
)


def test_scores_are_the_normal_quantiles_of_ranks():
    train = np.random.default_rng(0).gamma(2.0, size=(400, 1))
    knots = knots_of(train)
    asked = np.quantile(train, [0.1, 0.5, 0.8])[:, None]
    assert bent(asked, knots)[:, 0] == pytest.approx(norm.ppf([0.1, 0.5, 0.8]), abs=0.02)


def test_scores_equal_their_slow_twin():
    rng = np.random.default_rng(1)
    train, asked = np.round(rng.normal(size=(60, 3)), 1), np.round(rng.normal(size=(25, 3)), 1)
    knots, share = knots_of(train), np.linspace(0, 1, KNOTS)
    found = bent(asked, knots)
    for row, column in np.ndindex(asked.shape):
        mine, value = knots[column], asked[row, column]
        same = np.flatnonzero(mine == value)
        rank = (share[same[0]] + share[same[-1]]) / 2 if len(same) else np.interp(value, mine, share)
        # the clip is far above the rounding of the edge
        assert found[row, column] == pytest.approx(np.clip(norm.ppf(rank), -FARTHEST, FARTHEST), abs=0.03)


def test_what_is_not_known_stands_in_the_middle_and_what_never_varies_says_nothing():
    train = np.column_stack([np.arange(50.0), np.full(50, 7.0), np.full(50, np.nan)])
    asked = np.array([[np.nan, 7.0, 1.0], [1e9, 8.0, np.nan]])
    found = bent(asked, knots_of(train))
    assert found[0].tolist() == [0, 0, 0] and found[1, 1:].tolist() == [0, 0]
    assert 2.4 < found[1, 0] <= FARTHEST


def test_members_learn_and_are_averaged():
    rng = np.random.default_rng(2)
    event = np.arange(120) % 2 == 0
    tables = {name: rng.normal(size=(120, 2)) + event[:, None] for name in ("one", "two")}
    single = [learn(Candidate("", (Recipe((name,), 0.1),)), tables, event) for name in tables]
    both = learn(Candidate("", (Recipe(("one",), 0.1), Recipe(("two",), 0.1))), tables, event)
    mean = np.mean([raw_log_odds(one, tables) for one in single], axis=0)
    assert raw_log_odds(both, tables) == pytest.approx(mean)
    assert auc(event, mean) > 0.85
    with pytest.raises(ShapeError):
        both[0].log_odds({"one": tables["one"][:, :1]})


def test_rows_are_taken_from_every_family():
    some = taken({"one": np.arange(6).reshape(3, 2), "two": np.arange(3)[:, None]}, np.array([2, 0]))
    assert some["one"].tolist() == [[4, 5], [0, 1]] and some["two"].tolist() == [[2], [0]]


def test_more_features_than_patients_give_the_same_ridge():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(3)
    event = np.arange(30) % 2 == 0
    table = rng.normal(size=(30, 70)) + 0.3 * event[:, None]
    (member,) = learn(Candidate("", (Recipe(("one",), 0.05),)), {"one": table}, event)
    plain = LogisticRegression(C=0.05, max_iter=5000, tol=1e-8).fit(bent(table, knots_of(table)), event)
    assert member.weights == pytest.approx(plain.coef_[0], abs=1e-3)
    assert member.bias == pytest.approx(plain.intercept_[0], abs=1e-3)
