"""Who is let in and in what order: bad days, equal days, and what a header says of the patient."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from glasslung.analyze.admitting import Admitted, _days_from, _in_order
from glasslung.analyze.masks import GivenPaths
from glasslung.analyze.settings import PrognosisSettings, Settings, check_request
from glasslung.data.formats.dicom_header import _age
from glasslung.errors import UsageError

NOON = dt.datetime(2026, 1, 5, 12)


def admitted(*names):
    return [Admitted(Path(name), name, (), None, name, GivenPaths()) for name in names]


def ordered(days, moments=(None, None, None)):
    return [scan.key for scan in _in_order(admitted("a", "b", "c"), days, moments)]


def test_days_out_of_order_are_put_in_order():
    assert ordered([9.0, 0.0, 4.0]) == ["b", "c", "a"]


def test_days_before_the_day_that_counts_come_first():
    assert ordered([0.0, -3.0, 4.0]) == ["b", "a", "c"]


def test_two_scans_of_one_day_go_by_the_clock_and_else_as_given():
    later = NOON + dt.timedelta(hours=3)
    assert ordered([0.0, 0.0, 4.0], [later, NOON, None]) == ["b", "a", "c"]
    assert ordered([0.0, 0.0, 4.0]) == ["a", "b", "c"]


def test_one_date_missing_leaves_the_order_as_given():
    assert _days_from([NOON, None, NOON]) == [None, None, None]
    assert ordered([None, None, None], [NOON, None, NOON]) == ["a", "b", "c"]


def test_dates_count_in_whole_days_from_the_first():
    assert _days_from([NOON + dt.timedelta(days=4, hours=-6), NOON]) == [4.0, 0.0]


@pytest.mark.parametrize("days", [(0.0, float("nan")), (0.0, float("inf")), (0.0, 1e9)])
def test_what_is_no_day_is_refused(tmp_path, days):
    for name in "ab":
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match="days are numbers"):
        check_request([tmp_path / "a", tmp_path / "b"], Settings(days=days))


@pytest.mark.parametrize("age", [-1.0, 130.0, float("nan")])
def test_an_age_that_nobody_has_is_refused(tmp_path, age):
    (tmp_path / "a").touch()
    with pytest.raises(UsageError, match="--age"):
        check_request([tmp_path / "a"], Settings(prognosis=PrognosisSettings(age=age)))


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("063Y", 63.0),
        ("018M", 1.5),
        ("010D", 0.027),
        ("", None),
        ("63", None),
        ("999Y", None),
        ("06xY", None),
    ],
)
def test_ages_of_dicom_headers(text, years):
    assert _age(text) == (None if years is None else pytest.approx(years, abs=0.01))
