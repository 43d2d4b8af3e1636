"""Severity scores: points as the definition says, totals in range, no partial totals."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasslung.errors import DataError
from glasslung.measure.severity import FIVE_LOBES, SIX_ZONES, points_for, severity_score


@pytest.mark.parametrize(
    ("percent", "zone", "lobe"),
    [
        *[(0, 0, 0), (0.99, 0, 0), (1, 1, 1), (4.9, 1, 1), (5, 1, 2), (24.9, 1, 2), (25, 2, 3), (49.9, 2, 3)],
        *[(50, 3, 4), (74.9, 3, 4), (75, 4, 5), (100, 4, 5)],
    ],
)
def test_points_follow_the_definition(percent, zone, lobe):
    assert points_for(percent, SIX_ZONES) == zone
    assert points_for(percent, FIVE_LOBES) == lobe


def test_totals_are_those_of_the_papers():
    assert (SIX_ZONES.most, len(SIX_ZONES.zones)) == (24, 6)
    assert (FIVE_LOBES.most, len(FIVE_LOBES.zones)) == (25, 5)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(0, 100), min_size=6, max_size=6))
def test_a_score_is_the_sum_of_its_zones(percents):
    score = severity_score(dict(zip(SIX_ZONES.zones, percents, strict=True)) | {"both lungs": 3.0})
    assert score is not None
    assert score.points == sum(points_for(percent, SIX_ZONES) for percent in percents)
    assert [zone.affected_percent for zone in score.zones] == percents
    assert 0 <= score.points <= score.most == 24


def test_a_missing_zone_is_no_score():
    percents = dict.fromkeys(SIX_ZONES.zones, 10.0)
    del percents["left middle third"]
    assert severity_score(percents) is None
    assert severity_score({}, FIVE_LOBES) is None


@pytest.mark.parametrize("percent", [-0.1, 100.1, float("nan")])
def test_impossible_per_cents_are_refused(percent):
    with pytest.raises(DataError, match="0 to 100"):
        points_for(percent, SIX_ZONES)
