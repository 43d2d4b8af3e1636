"""What becomes of the patient: the figures a prognosis is asked with, and what is told where none can be."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

import glasslung.predict.prognosis
from glasslung.analyze.foreseeing import (
    NOBODY_WANTED,
    NONE_SHIPS,
    columns_with,
    foresee,
    foreseen_by,
    prior_of,
)
from glasslung.analyze.settings import PrognosisSettings
from glasslung.errors import DataError
from glasslung.types import Prognosis, RiskCurve
from made_findings import BAD, diagnosis, findings


def told(columns, scans):
    curve = RiskCurve("this patient", (0.0, 14.0), (0.0, 0.3), (0.0, 0.2), (0.0, 0.4))
    limits = (0.7, 0.6, 0.8)
    return Prognosis(
        "a made event", tuple(scans), dict(columns), 14.0, 0.3, (0.2, 0.4), 50.0, "lower risk", curve, (), (),
        "C", limits, limits, ("a doubt of its own",), "made", "0" * 16, "phantoms", "made",
    )  # fmt: skip


class StandIn:
    """A model that tells what it was asked with."""

    name, wants_prior, endpoints = "made", True, ("a made event",)

    def foresee(self, columns, scans, endpoint="", intensity=None):
        if "affected_percent" not in columns:
            raise DataError("no prognosis without affected lung: not known of this scan")
        return told(columns, scans)


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.setattr(glasslung.predict.prognosis, "open_prognosis", lambda which: StandIn())
    monkeypatch.setattr(glasslung.predict.prognosis, "shipped_prognosis", lambda intensity: "made")


COURSE = [
    findings(day=0, percent=10, log_odds=0.5),
    findings("scan-02", day=4, percent=20, log_odds=1.0),
    findings("scan-03", day=9, percent=25, log_odds=2.0),
]
UNKNOWN = (None, None)


def test_last_and_prior_are_read(stand_in):
    made = foresee(COURSE, PrognosisSettings(), (61.0, True)).told
    assert made.scans == ("scan-02", "scan-03")
    read = made.columns
    assert read["affected_percent"] == 25
    assert read["affected_percent_prior"] == 20
    assert read["log_odds_change"] == pytest.approx(1.0)
    assert read["log_days"] == pytest.approx(math.log(6))
    assert (read["age"], read["male"]) == (61, 1)


def test_what_the_user_says_of_the_patient_goes_before_the_header(stand_in):
    made = foresee(COURSE, PrognosisSettings("", 50.0, False), (61.0, True)).told
    assert (made.columns["age"], made.columns["male"]) == (50, 0)


def test_age_and_sex_are_left_out_where_nobody_knows_them(stand_in):
    assert not {"age", "male"} & set(foresee(COURSE, PrognosisSettings(), UNKNOWN).told.columns)


@pytest.mark.parametrize("days", [(None, None), (3.0, 3.0)])
def test_a_prior_needs_an_earlier_known_day(stand_in, days):
    scans = [replace(scan, day=day) for scan, day in zip(COURSE[:2], days, strict=True)]
    assert prior_of(scans) is None
    assert foresee(scans, PrognosisSettings(), UNKNOWN).told.scans == ("scan-02",)


def test_log_odds_of_two_classifiers_are_not_compared():
    other = replace(COURSE[1], diagnosis=diagnosis(1.0, digest="other"))
    columns = columns_with(COURSE[2], other, UNKNOWN)
    assert columns["log_odds"] == 2.0
    assert "log_odds_change" not in columns
    assert "affected_percent_change" in columns


def test_a_model_that_cannot_answer_says_why(stand_in):
    blind = [replace(COURSE[0], regions=())]
    made = foresee(blind, PrognosisSettings(), UNKNOWN)
    assert made.told is None
    assert "not known of this scan" in made.why_not


def test_an_untrusted_outline_is_a_doubt(stand_in):
    made = foresee([replace(COURSE[0], lung_quality=BAD)], PrognosisSettings(), UNKNOWN).told
    assert "not trusted" in made.doubts[0]
    assert made.doubts[1] == "a doubt of its own"


def test_nobody_is_asked_where_nobody_was_wanted_or_ships(monkeypatch):
    assert foresee(COURSE, PrognosisSettings("none"), UNKNOWN) == (None, NOBODY_WANTED, ())
    monkeypatch.setattr(glasslung.predict.prognosis, "shipped_prognosis", lambda intensity: None)
    assert foresee(COURSE, PrognosisSettings(), UNKNOWN) == (None, NONE_SHIPS, ())


def test_settings_say_that_age_was_given_and_not_which():
    assert foreseen_by(PrognosisSettings("a/b/model", 63.0, True)) == "model (age given) (sex given)"


def test_every_endpoint_is_told_the_main_one_first():
    told = foresee(COURSE, PrognosisSettings("prognosis-hu"), (60.0, True))
    assert [told.told.endpoint, *(one.endpoint for one in told.further)] == [
        "critical illness",
        "being still in hospital",
    ]
