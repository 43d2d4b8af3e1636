"""Survivalcharts: what is drawn says what was measured, in the page's colours."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from glasslung.measure.survival import calibration_by_day, cumulative_incidence, kaplan_meier
from glasslung.report.survivalcharts import (
    CalibrationPanel,
    ForestRow,
    Line,
    draw_calibration_by_day,
    draw_curves,
    draw_forest,
    draw_prognosis,
    kaplan_line,
    line_of,
)
from glasslung.types import Prognosis, RiskCurve

DAYS = np.array([2.0, 3.0, 5.0, 5.0, 8.0, 12.0])
EVENT = np.array([True, False, True, True, False, True])
MARKS = (0.0, 4.0, 8.0, 12.0)


def words(svg: str) -> list[str]:
    """All texts of a drawing that is well-formed."""
    root = ElementTree.fromstring(svg)
    return [text for node in root.iter() if (text := (node.text or "").strip())]


def test_a_line_holds_the_curve_its_ticks_and_its_numbers():
    line = kaplan_line("all", DAYS, EVENT, MARKS)
    curve = kaplan_meier(DAYS, EVENT)
    assert line.share == tuple(curve.share) and line.days == tuple(curve.days)
    assert line.censored == (3.0, 8.0)
    assert line.at_risk == (6, 4, 2, 1)


def test_limits_that_nobody_knows_are_not_drawn():
    curve = cumulative_incidence(DAYS, EVENT.astype(int), 1)
    line = line_of(curve, "ill")
    assert line.low == tuple(curve.low) and line.high == tuple(curve.high)
    unknown = np.full(len(curve.days), np.nan)
    assert line_of(replace(curve, low=unknown, high=unknown), "ill").low == ()


def test_curves_tell_names_numbers_at_risk_and_the_test():
    lines = [
        kaplan_line("lower risk", DAYS, EVENT, MARKS),
        kaplan_line("higher risk", DAYS / 2, EVENT, MARKS),
    ]
    told = words(draw_curves(lines, marks=MARKS, up="still in hospital", note="log-rank p = 0.30"))
    for text in ("still in hospital", "log-rank p = 0.30", "still observed", "days from the scan"):
        assert text in told
    assert told.count("lower risk") == 2  # at the curve's end and before its numbers
    assert [told.count(number) for number in ("6", "2")] == [2, 2]


def test_names_at_the_ends_do_not_touch():
    lines = [Line(f"group {n}", (0.0, 10.0), (1.0, 0.5 + 0.001 * n)) for n in range(3)]
    svg = draw_curves(lines, marks=(0.0, 10.0), up="share")
    places = [float(y) for y in re.findall(r'y="([\d.]+)"[^>]*>group', svg)]
    places = places or [float(y) for y in re.findall(r"translate\([\d.]+ ([\d.]+)\)[^>]*>group", svg)]
    assert len(places) == 3 and np.diff(sorted(places)).min() > 8


def test_a_page_can_change_the_colours_and_the_drawing_is_the_same_twice():
    line = kaplan_line("all", DAYS, EVENT, MARKS)
    svg = draw_curves([line], marks=MARKS, up="share")
    assert "var(--ink, #16222e)" in svg and "var(--ground, #ffffff)" in svg
    assert not re.search(r"(?<!, )#16222e", svg)
    assert svg == draw_curves([line], marks=MARKS, up="share")


def test_a_curve_that_goes_on_ends_at_the_last_mark():
    svg = draw_curves([Line("on", (0.0, 5.0, 50.0), (1.0, 0.6, 0.1))], marks=(0.0, 10.0), up="share")
    assert "on" in words(svg)


def test_calibration_has_a_panel_for_each_model():
    groups = calibration_by_day(np.linspace(0.1, 0.9, 6), DAYS, EVENT, 6.0, groups=2)
    svg = draw_calibration_by_day(
        [CalibrationPanel("one scan", groups, (0.2, 0.1, 0.3)), CalibrationPanel("two scans", groups)], 6.0
    )
    told = words(svg)
    assert "one scan" in told and "two scans" in told and "Brier 0.20 [0.10, 0.30]" in told


def test_a_forest_tells_every_figure():
    rows = {
        "one scan": [ForestRow("burden", (0.66, 0.6, 0.72), "+0.05")],
        "": [ForestRow("network", (np.nan,) * 3)],
    }
    told = words(draw_forest(rows, label="Harrell's C", lines=[(0.5, "coin toss")]))
    for text in ("one scan", "burden", "coin toss", "Harrell's C", "not measured"):
        assert text in told
    assert any(text.startswith("0.66 [0.60, 0.72]") for text in told)


@pytest.mark.parametrize("limits", [True, False])
def test_a_patient_stands_before_the_groups(limits):
    days = (0.0, 7.0, 14.0)

    def curve(name: str, top: float, at_risk: tuple[int, ...] = ()) -> RiskCurve:
        chance = (0.0, top / 2, top)
        edge = chance if limits else (float("nan"),) * 3
        return RiskCurve(name, days, chance, edge, edge, 30, at_risk)

    told = Prognosis(
        endpoint="critical illness",
        scans=("scan-01",),
        columns={"age": 60.0},
        horizon=14.0,
        chance=0.4,
        interval=(0.3, 0.5),
        percentile=70.0,
        group="higher risk",
        curve=curve("this patient", 0.4),
        groups=(curve("lower risk", 0.1, (30, 20, 11)), curve("higher risk", 0.5, (30, 19, 7))),
        marks=days,
        score="Harrell's C",
        worth=(0.7, 0.6, 0.8),
        plain=(0.6, 0.5, 0.7),
        doubts=(),
        model="made",
        digest="",
        trained_on="",
        limits="",
    )
    found = words(draw_prognosis(told))
    for text in ("this patient", "lower risk", "higher risk", "chance of critical illness", "11", "7"):
        assert text in found
