"""The laws of courses that ship: read back as written, deaf to the day of counting, of one classifier."""

from __future__ import annotations

import json

import numpy as np
import pytest

from glasslung.errors import DataError
from glasslung.measure.courselaw import FORMAT, CourseLaw, course_by, law_for, laws_from, told_of
from glasslung.measure.trajectory import fit_law


@pytest.fixture(scope="module")
def made():
    """Courses that rise and fall, drawn from a formula."""
    rng = np.random.default_rng(0)
    days = np.concatenate([np.sort(rng.uniform(0, 20, 4)) for _ in range(12)])
    people = np.repeat(np.arange(12), 4)
    top = rng.uniform(10, 40, 12)[people]
    values = np.sqrt(top * np.exp(-(((days - 9) / 6) ** 2))) + rng.normal(0, 0.1, len(days))
    return CourseLaw(fit_law(days, values, people), "twelve made courses", 12, 48, True, "", 20.0)


def test_a_law_comes_back_as_written(made):
    kept = laws_from(json.loads(json.dumps(told_of({"burden": made}))))["burden"]
    ours, theirs = (course_by(law, [0, 5, 12], [4.0, 20.0, 15.0]) for law in (made, kept))
    assert np.allclose(ours.middle, theirs.middle)
    assert np.allclose(ours.high, theirs.high)
    assert (kept.cohort, kept.patients, kept.longest) == (made.cohort, 12, 20.0)


def test_a_burden_is_never_below_zero(made):
    found = course_by(made, np.array([0.0, 5.0, 12.0]), np.array([0.0, 1.0, 0.0]))
    assert (found.low >= 0).all()
    assert (found.low <= found.middle).all()
    assert (found.middle <= found.high).all()


def test_days_count_from_the_first_scan(made):
    one, other = (
        course_by(made, np.array([0.0, 5.0, 12.0]) + day, np.array([4.0, 20.0, 15.0])) for day in (0, 40)
    )
    assert np.allclose(one.middle, other.middle)
    assert other.days[0] == 0


def test_limits_are_narrow_at_the_scans_and_wide_between(made):
    found = course_by(made, np.array([0.0, 18.0]), np.array([4.0, 6.0]))
    width = found.high - found.low
    assert width[0] < width[len(width) // 2]


def test_one_day_is_no_course(made):
    with pytest.raises(DataError, match="two different days"):
        course_by(made, np.array([3.0, 3.0]), np.array([4.0, 6.0]))


def test_another_format_is_refused():
    with pytest.raises(DataError, match=FORMAT):
        laws_from({"format": "other", "laws": {}})


def test_the_burden_law_ships():
    law = law_for("burden")
    assert law.root
    assert law.patients >= 50
    assert "phantoms" in law.cohort


def test_the_score_law_is_of_the_classifier_that_ships():
    from glasslung.predict.diagnosing import open_classifier

    law = law_for("log-odds", open_classifier("diagnosis-hu").digest)
    assert law is not None, "diagnosis-hu changed: run benchmarks/course_law.py anew"
    assert law_for("log-odds", "another classifier") is None
