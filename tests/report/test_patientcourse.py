"""The course of a patient on the page: charts, fates, serial sheet, prognosis, and words where they lack."""

from __future__ import annotations

import re
from dataclasses import replace

import made_courses
import pytest
from made_stories import small
from test_page import check

from glasslung.report import coursechart, followed, outlook, patientcourse
from glasslung.report.page import write_report
from glasslung.types import SmoothCourse, Trajectory

CASES = {
    "course": (made_courses.FOUR, False),
    "failed": (made_courses.TWO, True),
    "unknown": (made_courses.UNKNOWN, False),
}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Name -> the story and its page."""
    root, made = tmp_path_factory.mktemp("courses"), {}
    for name, (scans, failed) in CASES.items():
        story = made_courses.make_course(root / name, *map(small, scans), failed=failed)
        write_report(root / name)
        made[name] = story, (root / name / "report.html").read_text(encoding="utf-8")
    return made


@pytest.mark.parametrize("name", sorted(CASES))
def test_pages_are_well_formed(told, name):
    found = check(told[name][1])
    assert not found.faults
    assert not found.open
    assert len(found.ids) == len(set(found.ids))
    assert set(found.links) <= set(found.ids)


def test_the_course_comes_first(told):
    page = told["course"][1]
    order = ['id="summary"', 'id="followed"', 'id="serial"', 'id="prognosis"', 'id="trust"', 'id="diagnosis"']
    places = [page.index(mark) for mark in order]
    assert places == sorted(places)


def test_burden_and_score_have_their_charts(told):
    story, page = told["course"]
    assert "Burden: opacity by density" in page
    assert "s(t): log-odds of COVID-19 by classifier-made" in page
    assert page.count('class="band"') == 1  # of the burden alone: no law of this classifier ships
    assert "phantoms" in page
    assert "Other measures over time" in page
    assert patientcourse.burden_of(story).measure == "involvement"


def test_unknown_days_are_said_and_have_no_curve(told):
    page = told["unknown"][1]
    assert 'class="band"' not in page
    assert "days unknown" in page
    assert "not known" in page


def test_a_pair_that_failed_says_why_and_has_no_figure(told):
    story, page = told["failed"]
    body = page[page.index('id="followed"') : page.index('id="serial"')]
    assert "Not laid on one another" in body
    assert made_courses.FAILED[0][1:] in body
    assert "became" not in body
    assert "it could not be registered" in page
    assert 'class="tissue"' not in page
    assert followed.headline(story.comparisons[0]).startswith("These two scans could not")


def test_every_fate_is_told_with_its_volume(told):
    story, page = told["course"]
    text = re.sub(r"<[^>]+>", " ", page[page.index('id="followed"') : page.index('id="serial"')])
    for fate in ("new", "grown", "steady", "shrunk", "resolved"):
        assert fate in text
    assert "153\u00a0ml became 256\u00a0ml (+68\u00a0%)" in followed.headline(story.comparisons[0])
    assert page.count("<details") == 2  # all pairs but the newest


def test_the_serial_sheet_has_a_picture_per_scan_and_level(told):
    story, page = told["course"]
    sheet = page[page.index('id="serial"') : page.index('id="prognosis"')]
    assert len(re.findall(r'id="s\d-\d"', sheet)) == len(story.scans) * 3
    assert sheet.count("lesions coloured") == 12
    assert sheet.count("what changed since") == 9
    assert sheet.count("reasons") >= 12
    assert "one scale for all days" in sheet
    assert "s(t) = +1.0" in sheet


def test_the_prognosis_stands_beside_age_and_sex_with_its_doubts(told):
    page = told["course"][1]
    body = page[page.index('id="prognosis"') : page.index('id="trust"')]
    for words in (
        "34",
        "0.74 [0.66, 0.81]",
        "0.61 [0.52, 0.69]",
        "was not tested",
        "phantoms",
        "higher risk",
    ):
        assert words in body
    assert "kept nowhere else" in body
    assert "affected lung (%) 31.2" in body and "age 63 and sex male" in body
    assert "5.05 days between the scans" in body  # which the model read as a logarithm


@pytest.mark.parametrize(
    ("gain", "words"),
    [
        ((0.09, 0.03, 0.16), "tells more than age and sex alone: on the same patients +0.09 [+0.03, +0.16]"),
        ((0.02, -0.01, 0.06), "Nothing shows that it tells more"),
        ((-0.05, -0.09, -0.02), "tells less than age and sex alone"),
    ],
)
def test_age_and_sex_are_set_against_it_on_the_same_patients(told, gain, words):
    """Intervals of both overlap here, which by itself tells nothing of their difference."""
    story = told["course"][0]
    assert story.prognosis.worth[1] < story.prognosis.plain[2]
    asked = replace(story, prognosis=replace(story.prognosis, gain=gain))
    assert words in outlook.prognosis_section(asked)[1]


@pytest.mark.parametrize("by", ["Kaplan-Meier", "cumulative incidence (Aalen-Johansen)"])
def test_the_groups_are_called_what_they_are(told, by):
    story = told["course"][0]
    asked = replace(story, prognosis=replace(story.prognosis, groups_by=by))
    assert f"patients by {by}:" in outlook.prognosis_section(asked)[1]
    assert "Kaplan" not in outlook.prognosis_section(story)[1]


def test_a_prognosis_that_was_not_wanted_is_not_mentioned(told):
    story = replace(told["course"][0], prognosis=None, unforeseen="no prognosis was to be made")
    assert outlook.prognosis_section(story) is None
    other = replace(story, unforeseen="made was not asked: no age")
    assert "was not asked" in outlook.prognosis_section(other)[1]


# --- what a chart says --------------------------------------------------------------------------------------

FLAT = SmoothCourse((0.0, 5.0, 10.0), (1.0, 2.0, 1.0), (0.5, 1.0, 0.5), (2.0, 3.0, 2.0))
SHAPE = Trajectory(
    "involvement", "density", "percent", ("scan-01", "scan-02"), (0.0, 10.0), (10.0, 20.0), (True, True),
    "phantoms", FLAT,
    (6.0, 5.0, 7.0), (25.0, 20.0, 30.0), (-1.0, -1.5, -0.5), (-0.2, -0.4, -0.1), 0.05, ("a law",),
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "Highest about day\u00a06 (5.0 to 7.0), at 25.0\u00a0%"),
        ({}, "falling, \u22121.0\u00a0pp a day (\u22121.5 to \u22120.5), and speeding up"),
        ({"bend": (0.2, 0.1, 0.3)}, "and slowing down"),
        ({"bend": (0.2, -0.1, 0.3)}, "whether that slows down cannot be told"),
        ({"slope": (0.2, -0.1, 0.3)}, "Whether it rises or falls at the last scan cannot be told"),
        ({"open_ended": 0.9}, "No peak between the scans: in 90\u00a0% of the curves"),
        ({"curve": None, "notes": ("one point",)}, "One point."),
    ],
)
def test_a_course_in_words(change, words):
    assert words in " ".join(coursechart.words_of(replace(SHAPE, **change)))


def test_scores_below_zero_stay_in_the_drawing():
    told = replace(SHAPE, unit="log-odds", values=(-3.0, 4.0), curve=None, notes=("x",))
    drawn = coursechart.trajectory_panel("s(t)", told, coursechart.places_of(told))
    heights = [float(y) for y in re.findall(r'cy="([\d.]+)"', drawn)]
    assert all(0 < y < coursechart.HEIGHT for y in heights)
    assert heights[0] > heights[1]


def test_two_scans_of_one_day_share_their_label():
    told = replace(
        SHAPE,
        days=(0.0, 0.0, 10.0),
        scans=("a", "b", "c"),
        values=(1.0, 2.0, 3.0),
        curve=None,
        trusted=(True, False, True),
    )
    drawn = coursechart.trajectory_panel("burden", told, coursechart.places_of(told))
    assert drawn.count(">day 0<") == 1
    assert drawn.count("<circle") == 3
    assert drawn.count("point hollow") == 1
    assert "Hollow: not to be trusted" in drawn
