"""Courses: drawn from a known law, found again; peaks where they are; no certainty without scans."""

import json

import numpy as np
import pytest

from glasslung.errors import DataError, ShapeError
from glasslung.measure.trajectory import Law, fit_law, shape_of, smooth


def hill(days, peak=10.0, height=20.0):
    return height * np.exp(-(((days - peak) / 6.0) ** 2))


def cohort(patients=25, seed=0, noise=0.5):
    rng = np.random.default_rng(seed)
    days, values, who = [], [], []
    for patient in range(patients):
        at = np.sort(rng.uniform(0, 20, 4))
        own = rng.normal(0, 3)
        days.append(at)
        values.append(hill(at) + own + rng.normal(0, noise, 4))
        who += [f"p{patient}"] * 4
    return np.concatenate(days), np.concatenate(values), who


@pytest.fixture(scope="module")
def law():
    return fit_law(*cohort())


def test_the_law_knows_the_common_curve_and_the_noise(law):
    at = np.linspace(2, 18, 9)
    course = smooth(law, np.array([]), np.array([]), at)
    assert np.abs(course.mean - hill(at)).max() < 3
    assert 0.2 < law.noise < 1.2
    width = course.high - course.low
    assert (width > 6).all()  # patients differ by 3 around the curve: nothing is known of this one


def test_a_patients_own_scans_bend_the_curve_and_narrow_it(law):
    at = np.linspace(0, 20, 21)
    days = np.array([4.0, 9.0])
    lifted = smooth(law, days, hill(days) + 5, at)
    unknown = smooth(law, np.array([]), np.array([]), at)
    near = np.abs(at - 9) < 1.5
    assert np.abs(lifted.mean - hill(at) - 5)[near].max() < 2
    assert (lifted.high - lifted.low)[near].max() < 0.6 * (unknown.high - unknown.low)[near].min()


def test_limits_hold_unseen_patients_about_as_often_as_they_say(law):
    rng = np.random.default_rng(7)
    inside = []
    for _ in range(60):
        own, at = rng.normal(0, 3), np.array([3.0, 12.0])
        course = smooth(law, at, hill(at) + own + rng.normal(0, 0.5, 2), np.array([7.0]))
        inside.append(bool(course.low[0] <= hill(7.0) + own <= course.high[0]))
    assert 0.8 <= np.mean(inside) <= 1.0


def test_the_peak_is_found_and_a_rise_without_a_peak_says_so(law):
    rng = np.random.default_rng(1)
    days = np.array([3.0, 8.0, 12.0, 17.0])
    shape = shape_of(law, days, hill(days), 0, 20, rng)
    assert shape.peak_day.low <= 10 <= shape.peak_day.high
    assert abs(shape.peak_day.value - 10) < 1.5
    assert shape.open_ended < 0.05
    assert shape.slope.high < 0
    rising = shape_of(law, days[:2], hill(days[:2]), 0, 8, rng)
    assert rising.open_ended > 0.8
    assert rising.slope.low > 0


def test_days_and_units_may_be_scaled(law):
    days, values, who = cohort()
    other = fit_law(days, 100 * values + 7, who)
    at = np.array([5.0, 11.0])
    one = smooth(law, at, hill(at), at)
    two = smooth(other, at, 100 * hill(at) + 7, at)
    np.testing.assert_allclose(two.mean, 100 * one.mean + 7, rtol=0.02)


def test_what_has_no_course_is_refused():
    days, values, who = cohort(2)
    with pytest.raises(DataError, match="too few"):
        fit_law(days[:5], values[:5], who[:5])
    with pytest.raises(DataError, match="all values are the same"):
        fit_law(days, np.ones(8), who)
    with pytest.raises(DataError, match="no number"):
        fit_law(days, np.full(8, np.nan), who)
    with pytest.raises(ShapeError):
        fit_law(days, values[:3], who)


def test_a_law_travels_as_plain_numbers(law):
    told = json.loads(json.dumps(law.as_json(), allow_nan=False))
    again = Law.from_json(told)
    at, days = np.linspace(0, 20, 11), np.array([4.0, 9.0])
    one, two = (smooth(each, days, hill(days) + 5, at) for each in (law, again))
    np.testing.assert_allclose(two.mean, one.mean, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(two.high - two.low, one.high - one.low, rtol=1e-3)
    assert again.as_json() == law.as_json()
    assert again.noise == pytest.approx(law.noise)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "something"}, "not a law"),
        ({"version": 2}, "version 2"),
        ({"noise_variance": 0}, "noise_variance above 0"),
        ({"spread": True}, "spread as a number"),
        ({"centre": float("nan")}, "centre as a number"),
        ({"days": [1, "2"]}, "days as a list"),
        ({"patients": [0.5] * 100}, "one patient"),
        ({"days": [1.0], "values": [1.0], "patients": [0]}, "8 scans or more"),
    ],
)
def test_what_is_no_law_is_refused(law, change, words):
    with pytest.raises(DataError, match=words):
        Law.from_json({**law.as_json(), **change})
