"""A study's page holds all it shows, fetches nothing, and says what it is."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from glasslung.errors import ShapeError
from glasslung.report.checklists import Facts
from glasslung.report.studycharts import Panel, draw_rows
from glasslung.report.studypage import (
    Chapter,
    StudyPage,
    drawing,
    figures_table,
    interval,
    note,
    sentences,
    strips,
    write_study_page,
)

RUN = {
    "command": "glasslung study it",
    "created": "2026-01-01",
    "versions": {"glasslung": "0.1.0"},
    "seeds_trained": [0],
    "jobs": [],
}


def page(*content) -> StudyPage:
    return StudyPage(
        "A study <of> lungs",
        "What was asked.",
        ["R1 does it."],
        [Chapter("table", "Table", content)],
        [("Split", "by patient")],
        [("Command", "glasslung study it --out <here>")],
        Facts(RUN, True, "4 lungs", "By patient", "No patient is in two parts"),
        ["far too short"],
    )


def test_the_page_is_one_file_that_fetches_nothing_and_escapes_all(tmp_path):
    grey = np.linspace(0, 1, 3 * 8 * 8).reshape(3, 8, 8)
    chart = draw_rows([Panel("t1", {"made": {"A": (1.0, 0.5, 2.0)}})], ["A"], "ratio")
    path = write_study_page(
        page(strips("Lungs", [("seen", grey)]), drawing(chart, "a chart")), tmp_path / "i.html"
    )
    text = path.read_text()
    assert "A study &lt;of&gt; lungs" in text
    assert "glasslung study it --out &lt;here&gt;" in text
    assert "Not a medical device" in text or "not a medical device" in text
    assert "far too short" in text
    assert not re.search(r"(src|href)=\"(?!data:|#)", text)
    assert "default-src &#x27;none&#x27;" in text or "default-src 'none'" in text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checklist.md", "i.html", "methods.txt"]
    assert well_formed(text)


def well_formed(text: str) -> bool:
    """Every element that is opened is closed, in order."""
    stack: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, name, attrs):
            if name not in ("meta", "img"):
                stack.append(name)

        def handle_endtag(self, name):
            assert stack.pop() == name

    Reader().feed(text)
    return not stack


def test_figures_carry_their_limits_and_none_is_a_dash():
    assert (
        interval({"value": -1.234, "low": -2.0, "high": 0.5}) == "\u22121.23<small>\u22122.00 to 0.50</small>"
    )
    assert interval((1.0, 0.5, float("inf")), 1) == "1.0<small>0.5 to \u221e</small>"
    assert interval(None) == interval({"value": None}) == "\u2013"


def test_a_row_must_fit_its_table():
    made = figures_table(
        "KID", ["method", "t0"], [("R1", [interval((1, 0, 2))]), ("R2", ["\u2013"])], strong=[1]
    )
    assert made.count("<tr") == 3
    assert 'class="strong"' in made
    with pytest.raises(ShapeError, match="R3"):
        figures_table("KID", ["method", "t0"], [("R3", [])])


def test_pictures_are_kept_grey_for_grey():
    import base64
    import io

    from PIL import Image

    grey = np.stack([np.full((4, 4), level) for level in (0.0, 0.5, 1.0)])
    data = re.search(r"base64,([^\"]+)", strips("Lungs", [("seen", grey)]))
    assert data
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data[1]))))
    assert picture.shape == (4, 3 * 4 + 2 * 2)
    assert [picture[0, 0], picture[0, 6], picture[0, 12]] == [0, 128, 255]
    with pytest.raises(ShapeError):
        strips("Lungs", [("none", grey[:0])])


def test_charts_name_their_rows_and_survive_what_was_not_measured():
    rows = ["CAGE-ALL A0", "R1"]
    far = {"CAGE-ALL A0": (50.0, 20.0, float("inf")), "R1": (float("nan"), 0.0, 1.0)}
    one = Panel("day 2", {"from the prior": far, "carried": {"R1": (1.1, 0.9, 1.4)}}, [(1.25, "cured below")])
    svg = draw_rows([one, Panel("day 7", {})], rows, "ratio", most=10.0)
    for word in (*rows, "day 2", "day 7", "cured below", "from the prior", "carried", "ratio"):
        assert word in svg
    assert draw_rows([one], rows, "ratio", log=True).startswith("<svg")
    assert draw_rows([one], rows, "ratio") == draw_rows([one], rows, "ratio")


def test_nothing_to_say_leaves_no_list():
    assert sentences([]) is None
    assert "quiet" in note("so")
