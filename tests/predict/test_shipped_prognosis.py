"""The prognosis that ships: it answers, orders as it should, and its card tells its own figures."""

from __future__ import annotations

import math

import pytest

from glasslung.predict.opening import FOLDER
from glasslung.predict.prognosis import open_prognosis, paired_columns, shipped_prognosis
from glasslung.types import Intensity

MILD = {"affected_percent": 3.0, "consolidation_percent": 0.3, "severity_points": 3.0, "log_odds": 0.5}
SEVERE = {"affected_percent": 35.0, "consolidation_percent": 6.0, "severity_points": 13.0, "log_odds": 1.5}
PERSON = {"age": 60.0, "male": 1.0}


@pytest.fixture(scope="module")
def shipped():
    name = shipped_prognosis(Intensity.HU)
    assert name == "prognosis-hu"
    return open_prognosis(name)


def test_it_answers_from_one_scan_and_from_two(shipped):
    one = shipped.foresee(MILD | PERSON, ("scan-01",), intensity=Intensity.HU)
    assert one.scans == ("scan-01",) and one.horizon == 14 and 0 < one.chance < 1
    two = shipped.foresee(paired_columns(SEVERE, MILD, 4.0) | PERSON, ("scan-01", "scan-02"))
    assert two.scans == ("scan-01", "scan-02") and "affected_percent_change" in two.columns
    for told in (one, two):
        assert told.interval[0] <= told.chance <= told.interval[1]
        assert any("drawn patients" in doubt for doubt in told.doubts)
        assert {group.name for group in told.groups} == {"lower risk", "higher risk"}
        assert all(len(group.at_risk) == len(told.marks) for group in told.groups)
        assert min(group.patients for group in told.groups) > 20


@pytest.mark.parametrize("endpoint", [0, 1])
def test_the_sicker_and_the_older_have_the_higher_risk(shipped, endpoint):
    which = shipped.endpoints[endpoint]
    chances = [
        shipped.foresee(columns | {"age": age, "male": 1.0}, ("a",), which).chance
        for columns, age in ((MILD, 40.0), (MILD, 80.0), (SEVERE, 80.0))
    ]
    assert chances == sorted(chances) and chances[2] > chances[0] + 0.05


def test_it_says_what_it_does_not_know(shipped):
    told = shipped.foresee(SEVERE, ("a",))
    assert any("age and sex are not known" in doubt for doubt in told.doubts)
    far = shipped.foresee(SEVERE | PERSON | {"affected_percent": 99.0}, ("a",), intensity=Intensity.DISPLAY8)
    assert any("affected lung (%) is 99" in doubt for doubt in far.doubts)
    assert any("display8" in doubt for doubt in far.doubts)


def test_groups_part_and_curves_rise_or_fall(shipped):
    for outlook in shipped.outlooks:
        low, high = (group.chance[-1] for group in outlook.groups)
        mid = [group.chance[len(group.chance) // 2] for group in outlook.groups]
        assert high >= low - 0.05 and mid[1] > mid[0] - 0.05
        assert all(math.isfinite(value) for group in outlook.groups for value in group.low + group.high)


def test_groups_are_incidences_where_discharge_may_come_first(shipped):
    by = {name: shipped.foresee(MILD, ("a",), name).groups_by for name in shipped.endpoints}
    assert by == {
        "critical illness": "cumulative incidence (Aalen-Johansen)",
        "being still in hospital": "Kaplan-Meier",
    }


def test_the_card_tells_the_figures_of_the_file(shipped):
    card = (FOLDER / "prognosis-hu" / "card.md").read_text()
    for outlook in shipped.outlooks:
        value, low, high = outlook.worth
        assert f"{value:.2f} [{low:.2f}, {high:.2f}]" in card
        gain, least, most = outlook.gain
        assert f"| {gain:.2f} [{least:.2f}, {most:.2f}] |" in card
