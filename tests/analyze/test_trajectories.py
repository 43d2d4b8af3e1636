"""Burden and s(t) over the days: points always, a curve where days and a law are known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from glasslung.analyze.trajectories import trajectories
from glasslung.types import Geometry, Remark, Severity
from made_findings import BAD, diagnosis, findings

COURSE = [
    findings(day=2, percent=5, log_odds=-1.0),
    findings("scan-02", day=8, percent=25, log_odds=2.0),
    findings("scan-03", day=20, percent=10, log_odds=0.5),
]


def of(measure, scans):
    return next(one for one in trajectories(scans) if one.measure == measure)


def test_burden_has_a_curve_by_the_phantoms_law():
    told = of("involvement", COURSE)
    assert told.values == (5, 25, 10)
    assert (told.curve.days[0], told.curve.days[-1]) == (2, 20)
    assert all(
        low <= middle <= high
        for low, middle, high in zip(told.curve.low, told.curve.middle, told.curve.high, strict=True)
    )
    assert min(told.curve.low) >= 0
    assert "phantoms" in told.law
    assert "phantoms" in told.notes[0]
    assert 5 < told.peak_day[0] < 15
    assert told.slope[0] < 0


def test_the_curve_goes_where_the_scans_are():
    told = of("involvement", COURSE)
    for day, value in zip(told.days, told.values, strict=True):
        near = min(range(len(told.curve.days)), key=lambda n: abs(told.curve.days[n] - day))
        assert told.curve.low[near] - 2 <= value <= told.curve.high[near] + 2


def test_a_story_told_from_another_day_has_the_same_curve():
    later = [replace(scan, day=scan.day + 100) for scan in COURSE]
    ours, theirs = of("involvement", COURSE), of("involvement", later)
    assert theirs.curve.middle == ours.curve.middle
    assert theirs.peak_day[0] == pytest.approx(ours.peak_day[0] + 100, abs=0.01)


@pytest.mark.parametrize(
    ("scans", "words"),
    [
        (COURSE[:1], "one scan alone"),
        ([replace(scan, day=None) for scan in COURSE], "not known"),
        ([replace(scan, day=3.0) for scan in COURSE[:2]], "of one day"),
    ],
)
def test_points_alone_say_why(scans, words):
    told = of("involvement", scans)
    assert told.curve is None
    assert told.peak_day is None
    assert words in told.notes[0]
    assert len(told.values) == len(scans)


def test_two_scans_of_one_day_among_others_are_both_points():
    scans = [COURSE[0], replace(COURSE[1], day=2.0), COURSE[2]]
    told = of("involvement", scans)
    assert told.days == (2, 2, 20)
    assert told.curve is not None


def test_scores_of_another_classifier_are_left_out():
    scans = [replace(COURSE[0], diagnosis=diagnosis(-1.0, "other")), *COURSE[1:]]
    told = of("log-odds", scans)
    assert told.scans == ("scan-02", "scan-03")
    assert told.curve is None  # no law of this made classifier's log-odds ships
    assert "no law" in told.notes[0]


def test_no_curve_rests_on_what_is_not_trusted():
    slab = Remark("slab-only", Severity.WARN, "a slab")
    scans = [COURSE[0], replace(COURSE[1], lung_quality=BAD), COURSE[2]]
    told = of("involvement", scans)
    assert told.trusted == (True, False, True)
    assert told.curve.middle == of("involvement", [COURSE[0], COURSE[2]]).curve.middle
    bad = of(
        "involvement", [replace(COURSE[0], lung_quality=BAD), replace(COURSE[1], gate=(slab,)), COURSE[2]]
    )
    assert bad.trusted == (False, False, True)
    assert bad.curve is None
    assert "fewer than two" in bad.notes[0]
    doubted = [replace(scan, lesion_quality=BAD) for scan in COURSE]
    assert of("lesions", doubted).trusted == (False, False, False)
    assert of("involvement", doubted).trusted == (True, True, True)


def test_slices_of_unknown_place_have_no_curve_of_burden():
    flat = [replace(scan, geometry=Geometry.ASSUMED) for scan in COURSE]
    told = of("lesions", flat)
    assert told.curve is None
    assert "need not show the same lung" in told.notes[0]


def test_nothing_to_follow_is_no_trajectory():
    assert trajectories([findings(involvement=None, network="", log_odds=None)]) == ()
