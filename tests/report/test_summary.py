"""The summary says what the numbers say, and what cannot be said."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasslung.data.story import read_story
from glasslung.report.summary import (
    Verdict,
    cannot_say,
    comparable,
    paragraph,
    title,
    turning_points,
    verdict,
)
from glasslung.types import MaskQuality, Remark, Severity, Story


def plain(text: str) -> str:
    """Without the special spaces and hyphens of print."""
    return text.replace("\u202f", " ").replace("\u00a0", " ").replace("\u2011", "-")


def with_involvement(story: Story, *values: float | None) -> Story:
    """The first scan again and again, with these involvements on days 0, 4, 8, ..."""
    scans = tuple(
        replace(story.scans[0], scan=f"scan-{n + 1:02d}", day=4.0 * n, involvement=value)
        for n, value in enumerate(values)
    )
    return replace(story, scans=scans, changes=())


@pytest.fixture
def four(drawn) -> Story:
    return read_story(drawn["four"])


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (
            (4.0, 31.0, 18.0),
            "Lung involvement rose from 4.0 % (day 0) to 31.0 % (day 4), then fell to 18.0 % (day 8).",
        ),
        ((4.0, 9.0, 31.0), "Lung involvement rose from 4.0 % (day 0) to 31.0 % (day 8)."),
        (
            (30.0, 4.0, 4.5),
            "Lung involvement fell from 30.0 % (day 0) to 4.0 % (day 4), then held at 4.5 % (day 8).",
        ),
        ((4.0, 4.5, 3.9), "Lung involvement stayed between 3.9 % and 4.5 %."),
        ((4.0, None, 9.0), "Lung involvement rose from 4.0 % (day 0) to 9.0 % (day 8)."),
    ],
)
def test_the_course_is_told_by_its_turns(four, values, told):
    text = plain(paragraph(with_involvement(four, *values)))
    assert told in text
    assert ("scan-02 involvement was not measured" in text) == (None in values)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.floats(0, 100), min_size=1, max_size=9), st.floats(0.5, 20))
def test_turning_points_keep_the_extremes_and_lie_in_order(values, least):
    turns = turning_points(values, least)
    assert turns == sorted(set(turns))
    assert (turns[0], turns[-1]) == (0, len(values) - 1)
    kept = [values[n] for n in turns]
    assert max(values) - max(kept) < least
    assert min(kept) - min(values) < least


def test_verdicts_go_from_good_to_refused(four):
    scan = replace(four.scans[1], gate=())
    assert verdict(scan) is Verdict.GOOD
    gates = {s: replace(scan, gate=(Remark("x", s, "Text."),)) for s in Severity}
    assert [verdict(gates[s]) for s in (Severity.NOTE, Severity.WARN, Severity.REFUSE)] == [
        Verdict.GOOD,
        Verdict.CARE,
        Verdict.REFUSED,
    ]
    doubted = replace(scan, lung_quality=MaskQuality(False, 0.2, ("why",)))
    assert verdict(doubted) is Verdict.BAD
    assert not comparable(doubted)


def test_a_scan_that_is_not_trusted_has_no_part_in_the_course(drawn):
    story = read_story(drawn["untrusted"])
    text = plain(paragraph(story))
    assert f"{story.scans[1].involvement:.1f} %" not in text
    assert "The lung outline of scan-02 is not trusted" in text
    assert any("scan-02" in limit.what for limit in cannot_say(story))


def test_a_slab_is_told_as_a_slab(drawn):
    text = plain(paragraph(read_story(drawn["two-slices"])))
    assert "only a slab of the chest was scanned" in text
    assert "nothing can be said of the rest" in text
    assert "the lungs hold" not in text.lower()


def test_a_refused_scan_gives_no_figure(drawn):
    text = plain(paragraph(read_story(drawn["refused"])))
    assert "refused" in text
    assert "%" not in text


def test_display_values_are_refused_in_words(drawn):
    story = read_story(drawn["pictures"])
    assert "8-bit display values and not Hounsfield units" in plain(paragraph(story))
    told = " ".join(f"{limit.what} {limit.why}" for limit in cannot_say(story))
    for word in ("How dense", "How large", "no millilitres", "no course"):
        assert word in told


def test_unknown_days_have_no_span_and_no_rate(drawn, four):
    story = read_story(drawn["unknown-days"])
    assert title(story) == "Chest CT, three scans"
    assert "days between them are not known" in paragraph(story)
    assert any(limit.what == "How fast it moves." for limit in cannot_say(story))
    assert plain(title(four)) == "Chest CT, four scans over 16 days"
    assert not any(limit.what == "How fast it moves." for limit in cannot_say(four))
