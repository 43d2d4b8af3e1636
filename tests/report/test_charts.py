"""Charts: points stand where their values are, and doubt shows."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasslung.data.preview import Profile
from glasslung.report.charts import (
    Series,
    Times,
    bands_panel,
    course_panel,
    nice_top,
    profile_chart,
    share_bar,
    stacked_bar,
)
from glasslung.types import Amount

DAYS = Times((0.0, 4.0, 16.0), ("day 0", "day 4", "day 16"), True)
BANDS = {"aerated": Amount(900.0, 90.0), "ground-glass": Amount(100.0, 9.5), "consolidated": Amount(5.0, 0.5)}


def points(page: str) -> list[tuple[float, float, str]]:
    """Every point of a chart: x, y and class."""
    found = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="4.5" class="([^"]+)">', page)
    return [(float(x), float(y), style) for x, y, style in found]


@settings(deadline=None, max_examples=100)
@given(st.floats(1e-3, 1e6))
def test_an_axis_ends_at_a_round_number_not_far_above(value):
    top = nice_top(value)
    assert value * (1 - 1e-8) <= top <= 2.0001 * value
    assert float(f"{top:.0e}") == pytest.approx(top)


def test_points_stand_to_scale_in_time_and_value():
    page = course_panel(
        "Involvement", "%", DAYS, [Series("", "involvement", (0.0, 30.0, 60.0), (False,) * 3)], 60.0
    )
    (x0, y0, _), (x1, y1, _), (x2, y2, _) = points(page)
    assert (x1 - x0) / (x2 - x0) == pytest.approx(4 / 16, abs=0.001)
    assert (y0 - y1) / (y0 - y2) == pytest.approx(0.5, abs=0.001)
    for text in ("day 16", ">30<", ">60<"):
        assert text in page


def test_a_missing_value_breaks_the_line_and_a_doubtful_one_is_hollow():
    times = Times((0.0, 1.0, 2.0, 3.0, 4.0), ("a", "b", "c", "d", "e"), True)
    values, hollow = (1.0, 2.0, None, 3.0, 4.0), (False, False, False, True, False)
    page = course_panel("Volume", "ml", times, [Series("right", "right", values, hollow)])
    assert [style for *_, style in points(page)] == ["point", "point", "point hollow", "point"]
    path = re.search(r'<path d="([^"]+)" class="line">', page)[1]
    assert re.sub(r"[\d.,]", "", path) == "MLM"


def test_unknown_days_say_so():
    times = Times((0.0, 1.0), ("scan-01", "scan-02"), False)
    page = course_panel("Volume", "ml", times, [Series("", "score", (1.0, 2.0), (False, False))])
    assert "days unknown" in page
    assert "days unknown" not in course_panel(
        "Volume", "ml", DAYS, [Series("", "score", (1.0,) * 3, (False,) * 3)]
    )


def test_one_point_and_nothing_at_all_are_charts_too():
    one = Times((3.0,), ("day 3",), True)
    assert len(points(course_panel("Volume", "ml", one, [Series("", "score", (5.0,), (False,))]))) == 1
    assert points(course_panel("Volume", "ml", DAYS, [Series("x", "score", (None,) * 3, (False,) * 3)])) == []


def test_every_value_is_told_to_those_who_cannot_see():
    page = course_panel("Volume", "ml", DAYS, [Series("right", "right", (1.0, None, 3.0), (False,) * 3)])
    label = re.search(r'aria-label="([^"]+)"', page)[1]
    assert label == "Volume. right: day 0 1 ml, day 16 3 ml"


def test_the_parts_of_a_bar_lie_end_to_end():
    page = stacked_bar(BANDS, "both lungs")
    parts = [(float(x), float(w)) for x, w in re.findall(r'<rect x="([\d.]+)" y="0" width="([\d.]+)"', page)]
    assert parts == [(0.0, 90.0), (90.0, 9.5), (99.5, 0.5)]
    assert 'class="band-ground-glass"' in page
    assert "both lungs: aerated 90.0 %" in page


def test_a_share_is_drawn_as_long_as_it_is():
    assert re.findall(r'width="([\d.]+)" height="10" class="affected"', share_bar(40.0, "zone")) == ["40"]


def test_columns_are_as_tall_as_their_shares_and_pale_when_doubtful():
    page = bands_panel(DAYS, [BANDS, None, BANDS], (False, False, True))
    tall = [float(h) for h in re.findall(r'height="([\d.]+)" class="band-', page)]
    assert np.array(tall[:3]) / sum(tall[:3]) == pytest.approx([0.9, 0.095, 0.005], abs=0.002)
    assert tall[:3] == tall[3:]
    assert page.count("pale") == 1
    assert "not measured" in page


def test_the_profile_has_the_apex_on_top():
    lung = np.array([0.0, 100.0, 200.0, 50.0, 0.0])
    page = profile_chart(Profile(np.arange(5) * 10.0 - 500, lung, lung / 4))
    tip = re.search(r'<path d="M62,[\d.]+L([^"]+)z" class="lung-area">', page)[1]
    corners = [tuple(map(float, pair.split(","))) for pair in re.findall(r"[\d.]+,[\d.]+", tip)]
    heights = [y for _, y in corners[:-1]]
    assert heights == sorted(heights, reverse=True)  # feet first, so from the bottom of the chart up
    assert max(corners)[0] == max(x for x, _ in corners)
    assert 'class="affected"' in page
    assert profile_chart(Profile(np.arange(3.0), np.zeros(3), None)) == ""
