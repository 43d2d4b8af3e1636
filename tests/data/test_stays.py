"""Stays: times from each scan, which scan came before, and tables that contradict themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from glasslung.data.cohort import Cohort
from glasslung.data.phantom import draw_cohort
from glasslung.data.stays import CRITICAL, DISCHARGE, NOTHING, stays_of, with_priors
from glasslung.errors import DataError, ShapeError
from glasslung.types import Case, Intensity


def row(patient="p1", day=0.0, event=False, event_day=12.0, stay="12.0", outcome="discharged", **extra):
    told = {"age": "60", "sex": "M", "stay_days": stay, "outcome": outcome} | extra
    name = f"{patient}-{day}"
    return Case(
        patient, name, Path("x.nii.gz"), Intensity.HU, day, "a", event=event, event_day=event_day, extra=told
    )


def stays(*rows):
    return stays_of(Cohort("made", Path(), tuple(rows)))


def test_times_count_from_each_scan():
    found = stays(row(day=0.0), row(day=4.0), row(day=8.0))
    assert found.stay.tolist() == [12, 8, 4]
    assert found.event_days.tolist() == [12, 8, 4]
    assert found.event.tolist() == [DISCHARGE] * 3
    assert found.seen.all() and not found.died.any()
    assert found.long_stay.tolist() == [1, 1, 0]


def test_critical_illness_comes_before_the_end_of_the_stay():
    found = stays(*(row(day=day, event=True, event_day=5.0, outcome="died") for day in (0.0, 4.0, 5.0, 9.0)))
    assert found.event.tolist() == [CRITICAL, CRITICAL, NOTHING, NOTHING]
    assert np.array_equal(found.event_days, [5, 1, np.nan, np.nan], equal_nan=True)
    assert found.stay.tolist() == [12, 8, 7, 3]  # the stay goes on after the event
    assert found.died.all()


def test_a_scan_after_the_stay_has_nothing_ahead():
    found = stays(row(day=14.0))
    assert np.isnan(found.stay[0]) and np.isnan(found.event_days[0])
    assert found.long_stay[0] == -1 and not found.seen[0]


def test_still_in_hospital_is_long_once_seven_days_are_over():
    told = {"event": False, "stay": "12.0", "event_day": 12.0, "outcome": "in hospital"}
    found = stays(row(day=0.0, **told), row(day=8.0, **told))
    assert found.long_stay.tolist() == [1, -1]
    assert found.event.tolist() == [NOTHING, NOTHING] and not found.seen.any()


def test_the_scan_before_in_any_order_of_rows():
    found = stays(row(day=8.0), row("p2", day=3.0), row(day=0.0), row(day=4.0))
    assert found.prior.tolist() == [3, -1, -1, 2]
    assert np.array_equal(found.gap, [4, np.nan, np.nan, 4], equal_nan=True)


def test_taking_lines_keeps_priors_that_are_taken():
    found = stays(row(day=0.0), row(day=4.0), row(day=8.0))
    assert found.take([2, 1]).prior.tolist() == [1, -1]
    assert found.take(found.day > 0).prior.tolist() == [-1, 0]
    assert found.take([2, 1]).stay.tolist() == [4, 8]


def test_columns_of_the_scan_before():
    found = stays(row(day=0.0), row(day=4.0))
    columns = with_priors({"burden": np.array([10.0, 30.0])}, found)
    assert columns["burden_prior"][1] == 10 and columns["burden_change"][1] == 20
    assert columns["log_days"][1] == pytest.approx(np.log(5))
    assert all(np.isnan(columns[name][0]) for name in ("burden_prior", "burden_change", "log_days"))
    with pytest.raises(ShapeError, match="burden"):
        with_priors({"burden": np.zeros(3)}, found)


def test_what_nobody_knows_is_nan():
    found = stays(row(event=None, event_day=None, stay="", outcome="control", age="", sex=""))
    for name in ("age", "male", "stay", "event_days"):
        assert np.isnan(getattr(found, name)[0])
    assert found.long_stay[0] == -1


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"day": None}, "row 3, column day"),
        ({"day": 0.0}, "rows 2 and 3: one patient, two scans"),
        ({"extra": {"stay_days": "-1"}}, "rows 2 and 3 are one patient"),
        ({"patient": "p2", "event_day": None}, "row 3: event is told"),
        ({"patient": "p2", "event_day": -2.0}, "row 3, column event_day: -2 lies before"),
        ({"patient": "p2", "event_day": 13.0}, "row 3: event_day 13 lies after the end"),
        ({"patient": "p2", "extra": {"stay_days": "-1"}}, "row 3, column stay_days: -1 lies before"),
        ({"patient": "p2", "extra": {"stay_days": "long"}}, "row 3, column stay_days: 'long'"),
        ({"patient": "p2", "extra": {"stay_days": "nan"}}, "row 3, column stay_days: 'nan'"),
        ({"patient": "p2", "extra": {"outcome": "gone"}}, "row 3, column outcome: 'gone'"),
        ({"patient": "p2", "extra": {"outcome": "died", "stay_days": "12"}}, "row 3: died without"),
        ({"patient": "p2", "extra": {"age": "-4"}}, "row 3, column age"),
        ({"patient": "p2", "extra": {"sex": "x"}}, "row 3, column sex"),
    ],
)
def test_tables_that_contradict_themselves_are_refused(changed, words):
    with pytest.raises(DataError, match=words):
        stays(row(day=0.0), replace(row(day=4.0), **changed))


def test_no_scan_is_no_cohort():
    with pytest.raises(DataError, match="no scan"):
        stays()


def test_phantoms_have_both_ends():
    cohort = draw_cohort(60, 3, {"covid": 1.0})
    cases = tuple(
        row(
            patient.name,
            day,
            patient.outcome.event,
            patient.outcome.event_day,
            f"{patient.outcome.stay_days:.1f}",
            patient.outcome.kind,
        )
        for patient in cohort.patients
        for day in (0.0, 4.0)
    )
    found = stays(*cases)
    first = found.take(found.day == 0)
    assert set(first.event.tolist()) == {CRITICAL, DISCHARGE}
    assert np.isfinite(first.event_days).all() and first.seen.all()
