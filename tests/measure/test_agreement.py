"""Agreement: beside scikit-learn, published examples and slow twins; intervals that follow the patients."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from glasslung.errors import DataError, ShapeError
from glasslung.measure.agreement import (
    agreement,
    cohen_kappa,
    fleiss_kappa,
    krippendorff_alpha,
    reader_points,
)

FLEISS = [  # fourteen readers, ten subjects, five categories; 0.210 in many textbooks
    (0, 0, 0, 0, 14),
    (0, 2, 6, 4, 2),
    (0, 0, 3, 5, 6),
    (0, 3, 9, 2, 0),
    (2, 2, 8, 1, 1),
    (7, 7, 0, 0, 0),
    (3, 2, 6, 3, 0),
    (2, 5, 3, 2, 2),
    (6, 5, 2, 1, 0),
    (0, 2, 2, 3, 7),
]
NA = np.nan
KRIPPENDORFF = np.array(  # Krippendorff, Computing Krippendorff's alpha-reliability, 2011, section C
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NA, NA, NA],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NA, 3],
        [NA, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NA],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NA],
    ]
).T


def rated(count=60, readers=3, seed=0, categories=2):
    """Readers who see the truth through noise, two scans for each patient."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, categories, count)
    noise = rng.normal(0, 0.7, (count, readers))
    ratings = np.clip(np.rint(truth[:, None] + noise), 0, categories - 1).astype(float)
    return truth, ratings, np.arange(count) // 2


@pytest.mark.parametrize("weighting", ["none", "linear", "quadratic"])
@pytest.mark.parametrize("categories", [2, 4])
def test_kappa_is_scikit_learns(weighting, categories):
    _, ratings, _ = rated(categories=categories)
    expected = cohen_kappa_score(
        ratings[:, 0], ratings[:, 1], weights=None if weighting == "none" else weighting
    )
    assert cohen_kappa(ratings[:, 0], ratings[:, 1], weighting) == pytest.approx(expected)


def test_kappa_knows_perfect_opposite_and_undefined():
    one = np.array([0, 1, 0, 1.0])
    assert cohen_kappa(one, one) == 1
    assert cohen_kappa(one, 1 - one) == -1
    assert np.isnan(cohen_kappa(np.ones(4), np.ones(4)))


def test_fleiss_kappa_is_the_textbooks():
    ratings = np.array([np.repeat(np.arange(5), row) for row in FLEISS], float)
    assert fleiss_kappa(ratings) == pytest.approx(0.210, abs=5e-4)
    with pytest.raises(DataError, match="Krippendorff"):
        fleiss_kappa(KRIPPENDORFF)


@pytest.mark.parametrize(("level", "expected"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_is_krippendorffs_own_example(level, expected):
    assert krippendorff_alpha(KRIPPENDORFF, level) == pytest.approx(expected, abs=5e-4)


def test_alpha_is_its_slow_twin():
    _, ratings, _ = rated(20, 3, 4, 3)
    ratings[3, 0] = ratings[7, 1] = ratings[7, 2] = NA
    kept = [row[~np.isnan(row)] for row in ratings if (~np.isnan(row)).sum() > 1]
    pairs = [(a, b, 1 / (len(row) - 1)) for row in kept for a, b in permutations(row, 2)]
    observed = sum(w * (a - b) ** 2 for a, b, w in pairs) / sum(w for *_, w in pairs)
    every = np.concatenate(kept)
    expected = sum((a - b) ** 2 for a, b in permutations(every, 2)) / (len(every) * (len(every) - 1))
    assert krippendorff_alpha(ratings, "interval") == pytest.approx(1 - observed / expected)


def test_all_readers_together_with_limits_that_follow_patients():
    _, ratings, patients = rated()
    found = agreement(ratings, ["a", "b", "c"], patients, rng=np.random.default_rng(0), draws=400)
    assert [(pair.first, pair.second) for pair in found.pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    pair = found.pairs[0]
    assert pair.agree.value == pytest.approx((ratings[:, 0] == ratings[:, 1]).mean())
    assert pair.agree.patients == 30
    assert pair.kappa is not None
    assert pair.kappa.low < pair.kappa.value < pair.kappa.high
    assert found.complete == 60
    assert found.fleiss is not None
    assert found.fleiss.value == pytest.approx(fleiss_kappa(ratings))
    assert found.alpha is not None
    assert found.alpha.value == pytest.approx(
        found.fleiss.value, abs=0.01
    )  # alike but for a small correction
    alone = agreement(ratings, ["a", "b", "c"], np.arange(60), rng=np.random.default_rng(0), draws=400)
    assert alone.pairs[0].agree.patients == 60


def test_scans_that_were_not_read_are_left_out_of_what_they_cannot_tell():
    _, ratings, patients = rated()
    ratings[:10, 2] = NA
    found = agreement(ratings, ["a", "b", "c"], patients, rng=np.random.default_rng(0), draws=100)
    assert [pair.scans for pair in found.pairs] == [60, 50, 50]
    assert found.complete == 50


def test_undefined_kappa_is_none_and_not_a_number():
    ratings = np.ones((8, 2))
    found = agreement(ratings, ["a", "b"], np.arange(8), rng=np.random.default_rng(0), draws=50)
    assert found.pairs[0].kappa is None
    assert found.fleiss is None
    assert found.pairs[0].agree.value == 1
    assert found.pairs[0].agree.low < 1  # eight of eight is not certainty


def test_a_reader_is_a_point_of_the_roc():
    truth, calls, patients = rated()
    found = reader_points(
        truth == 1, calls, ["a", "b", "c"], patients, rng=np.random.default_rng(0), draws=200
    )
    for r, point in enumerate(found):
        assert point.sensitivity.value == pytest.approx(calls[truth == 1, r].mean())
        assert point.specificity.value == pytest.approx(1 - calls[truth == 0, r].mean())
        assert point.sensitivity.low <= point.sensitivity.value <= point.sensitivity.high
    calls[:, 1] = NA
    with pytest.raises(DataError, match="b on scans with the finding"):
        reader_points(truth == 1, calls, ["a", "b", "c"], patients, rng=np.random.default_rng(0))


def test_what_cannot_be_compared_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match="two readers"):
        agreement(np.ones((4, 1)), ["a"], np.arange(4), rng=rng)
    with pytest.raises(ShapeError):
        agreement(np.ones((4, 3)), ["a", "b"], np.arange(4), rng=rng)
    apart = np.array([[1, NA], [NA, 0], [1, NA], [NA, 1]])
    with pytest.raises(DataError, match="fewer than two patients"):
        agreement(apart, ["a", "b"], np.arange(4), rng=rng)
    with pytest.raises(DataError, match="nothing to agree"):
        krippendorff_alpha(apart)
