"""Clinical points against their published table."""

from __future__ import annotations

import numpy as np
import pytest

from glasslung.errors import DataError, ShapeError
from glasslung.measure.riskpoints import FOUR_C, four_c_points, severity_risk

HEALTHY = {
    "age": 40.0,
    "male": 0.0,
    "comorbidities": 0.0,
    "respiratory_rate": 16.0,
    "oxygen_saturation": 98.0,
    "coma_scale": 15.0,
    "urea": 5.0,
    "crp": 10.0,
}


def points(**changed):
    return int(
        four_c_points({name: np.array([value]) for name, value in (HEALTHY | changed).items()}).total[0]
    )


@pytest.mark.parametrize(
    ("column", "told"),
    [
        ("age", {49: 0, 50: 2, 59: 2, 60: 4, 69: 4, 70: 6, 79: 6, 80: 7, 95: 7}),
        ("male", {0: 0, 1: 1}),
        ("comorbidities", {0: 0, 1: 1, 2: 2, 5: 2}),
        ("respiratory_rate", {19: 0, 20: 1, 29: 1, 30: 2}),
        ("oxygen_saturation", {92: 0, 91.9: 2, 80: 2}),
        ("coma_scale", {15: 0, 14: 2, 3: 2}),
        ("urea", {6.9: 0, 7: 1, 14: 1, 14.1: 3}),
        ("crp", {49: 0, 50: 1, 99: 1, 100: 2}),
    ],
)
def test_each_line_of_the_published_table(column, told):
    for value, expected in told.items():
        assert points(**{column: float(value)}) == expected


def test_the_worst_patient_has_21_points():
    worst = {"age": 90.0, "male": 1.0, "comorbidities": 3.0, "respiratory_rate": 35.0}
    worst |= {"oxygen_saturation": 85.0, "coma_scale": 9.0, "urea": 20.0, "crp": 200.0}
    found = four_c_points({name: np.array([value]) for name, value in worst.items()})
    assert found.total.tolist() == [21] and found.most == 21 and not found.partial
    assert found.groups() == ("very high",) and found.words == "0 to 21 points"
    assert sum(max(item.points) for item in FOUR_C) == 21


def test_a_partial_total_says_what_is_missing():
    found = four_c_points({"age": np.array([65.0, 30.0]), "male": np.array([1.0, 0.0]), "crp": [np.nan] * 2})
    assert found.total.tolist() == [5, 0] and found.most == 8
    assert found.partial and "crp" in found.missing and "without comorbidities" in found.words
    with pytest.raises(DataError, match="no risk group"):
        found.groups()


def test_groups_begin_where_they_are_published_to():
    ages = np.array([40.0, 60.0, 80.0, 80.0])
    others = {name: np.full(4, value) for name, value in HEALTHY.items()}
    others |= {"age": ages, "urea": np.array([5.0, 5, 5, 20]), "crp": np.array([10.0, 10, 200, 200])}
    others |= {"oxygen_saturation": np.array([98.0, 98, 98, 80])}
    found = four_c_points(others)
    assert found.total.tolist() == [0, 4, 9, 14]
    assert found.groups() == ("low", "intermediate", "high", "high")


def test_mistakes_are_named():
    with pytest.raises(DataError, match="'urea' goes from 5 to 900"):
        four_c_points({"urea": np.array([5.0, 900.0])})
    with pytest.raises(DataError, match="'age' holds no number"):
        four_c_points({"age": np.array([50.0, np.nan])})
    with pytest.raises(ShapeError, match="male"):
        four_c_points({"age": np.array([50.0, 60.0]), "male": np.array([1.0])})
    with pytest.raises(DataError, match="no column"):
        four_c_points({"height": np.array([180.0])})
    with pytest.raises(DataError, match="0 or more"):
        severity_risk(np.array([3.0, np.nan]))
    assert severity_risk(np.array([3, 7])).tolist() == [3.0, 7.0]
