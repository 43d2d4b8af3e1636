"""A risk law against its formula, and what does not fit it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from glasslung.errors import DataError
from glasslung.predict.risklaw import RiskLaw, matrix_of, rounded

LAW = RiskLaw(
    ("burden", "age"),
    np.array([20.0, 60.0]),
    np.array([10.0, 15.0]),
    np.array([[-3.0, -2.0], [-2.5, -1.0]]),
    np.array([[0.9, -0.4], [0.3, -0.2]]),
    np.array([0.0, 2.0, 5.0]),
)


def test_incidence_is_the_formula():
    found = LAW.incidence({"burden": [35.0], "age": [45.0]})[0]
    x, free, so_far = (1.5, -1.0), 1.0, [0.0, 0.0]
    assert found[0].tolist() == [0, 0]
    for k in range(2):
        grown = [math.exp(LAW.base[k, c] + sum(x[f] * LAW.weights[f, c] for f in range(2))) for c in range(2)]
        chances = [value / (1 + sum(grown)) for value in grown]
        so_far = [a + free * b for a, b in zip(so_far, chances, strict=True)]
        free *= 1 - sum(chances)
        np.testing.assert_allclose(found[k + 1], so_far)


def test_chances_are_straight_between_edges_and_flat_after_the_last():
    columns = {"burden": [35.0, 10.0], "age": [45.0, 80.0]}
    known = LAW.incidence(columns)[..., 0]
    found = LAW.chance(columns, (0.0, 1.0, 2.0, 3.5, 5.0, 60.0), 1)
    np.testing.assert_allclose(found[:, 1], known[:, 1] / 2)
    np.testing.assert_allclose(found[:, 3], (known[:, 1] + known[:, 2]) / 2)
    assert np.array_equal(found[:, 4], found[:, 5]) and not found[:, 0].any()


def test_plain_values_make_the_same_law():
    again = RiskLaw.of(LAW.told())
    assert again.names == LAW.names
    for name in ("mean", "scale", "base", "weights", "edges"):
        np.testing.assert_allclose(getattr(again, name), getattr(LAW, name), rtol=1e-5)
    assert rounded(np.array([1 / 3, 123456.78])) == [0.333333, 123457.0]


@pytest.mark.parametrize(
    "broken", [{"base": [[1.0]]}, {"edges": [0.0, 1.0]}, {"mean": [0.0, math.nan]}, {"weights": None}]
)
def test_numbers_that_do_not_fit_are_refused(broken):
    with pytest.raises(DataError, match="damaged"):
        RiskLaw.of(LAW.told() | broken)


def test_columns_that_are_missing_or_hold_gaps_are_named():
    with pytest.raises(DataError, match="'age' is missing"):
        matrix_of(("burden", "age"), {"burden": [1.0]})
    with pytest.raises(DataError, match="'age' holds no number"):
        matrix_of(("burden", "age"), {"burden": [1.0, 2.0], "age": [60.0, np.nan]})
