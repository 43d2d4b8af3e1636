"""Shapes across patients: hills whose peaks are known are found, rises without one are not given one."""

from __future__ import annotations

import numpy as np
import pytest

from glasslung.errors import DataError
from glasslung.measure.courseshapes import shapes_across, without
from glasslung.measure.trajectory import fit_law, smooth


def hills(patients=16, seed=0, until=20.0, scans=4):
    """Courses of one form whose peaks lie about day 10, each its own; (days, values, who, peaks)."""
    rng = np.random.default_rng(seed)
    peaks = rng.normal(10, 1.0, patients)
    days, values, who = [], [], []
    for n, peak in enumerate(peaks):
        at = np.sort(rng.uniform(1, until, scans)) + np.linspace(0, 0.5, scans)
        days.append(at)
        values.append(20 * np.exp(-(((at - peak) / 6) ** 2)) + rng.normal(0, 0.3, scans))
        who += [f"p{n}"] * scans
    return np.concatenate(days), np.concatenate(values), who, peaks


@pytest.fixture(scope="module")
def found():
    days, values, who, _ = hills()
    return shapes_across(days, values, who, rng=np.random.default_rng(0), draws=200)


def test_the_middle_patients_peak_and_end_are_found(found):
    assert len(found.people) == 16
    assert found.peaked.value > 0.6
    assert found.peak_day.low < 10.6
    assert found.peak_day.high > 9.4
    assert abs(found.peak_day.value - 10) < 1.2
    assert found.falling.value > found.rising.value
    assert found.slope.value < 0


def test_courses_laid_on_each_other_are_highest_in_their_middle(found):
    aligned = found.aligned
    top = aligned.days[np.argmax(aligned.middle)]
    assert abs(top) <= 1
    assert (aligned.lower <= aligned.middle + 1e-9).all()
    assert (aligned.middle <= aligned.upper + 1e-9).all()
    assert aligned.patients.min() >= 2
    near = np.abs(aligned.days) <= 3
    truth = 20 * np.exp(-((aligned.days[near] / 6) ** 2))
    assert np.abs(aligned.middle[near] - truth).max() < 2.5


def test_courses_that_only_rise_have_no_peak():
    rng = np.random.default_rng(1)
    days = np.tile([0.0, 3.0, 6.0, 9.0], 12)
    who = np.repeat(np.arange(12), 4)
    values = 2 * days + rng.normal(0, 0.3, 48) + np.repeat(rng.normal(0, 2, 12), 4)
    found = shapes_across(days, values, who, rng=rng, draws=100)
    assert found.peaked.value < 0.2
    assert found.rising.value > 0.8
    assert found.falling.value == 0
    assert found.slope.value == pytest.approx(2, abs=0.5)


def test_a_patient_is_drawn_by_the_law_of_the_others():
    days, values, who, _ = hills()
    law = fit_law(days, values, who)
    mine = np.array(who) == "p3"
    others = without(law, mine)
    assert len(others.days) == len(law.days) - 4
    at = np.linspace(2, 18, 5)
    apart = smooth(others, days[mine], values[mine], at)
    twice = smooth(law, days[mine], values[mine], at)
    assert (apart.high - apart.low).mean() > (twice.high - twice.low).mean()


def test_cohorts_without_series_are_refused():
    days, values, who, _ = hills(scans=2, patients=8)
    with pytest.raises(DataError, match="0 patient"):
        shapes_across(days, values, who, rng=np.random.default_rng(0))
    days, values, who, _ = hills()
    law = fit_law(days, values, who)
    with pytest.raises(DataError, match="not fitted on these"):
        shapes_across(days[:-4], values[:-4], who[:-4], rng=np.random.default_rng(0), law=law)
    with pytest.raises(DataError, match="somebody else"):
        without(law, np.ones(len(days), bool))
