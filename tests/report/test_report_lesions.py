"""Lesions of a network in the report: named, quantified, doubted, beside opacity by density."""

from __future__ import annotations

import re
from html import unescape

import pytest

from glasslung.data.story import read_story
from glasslung.report.wording import percent


def words(page: str) -> str:
    """The page as a reader sees it, in one line."""
    body = re.sub(r"<(style|script)>.*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_lesions_stand_beside_opacity_by_density(pages, drawn):
    page, told = pages["lesions"], words(pages["lesions"])
    story = read_story(drawn["lesions"])
    both = story.scans[0].region("both lungs")
    assert "Lesions, by the network lesions-made" in told and "Opacity and involvement, by density." in told
    for kind, amount in both.lesions.items():
        assert kind in told and percent(amount.percent) in unescape(page)
    assert percent(both.all_lesions.percent) in unescape(page)
    assert "two methods" in told


def test_methods_and_limits_name_the_network(pages):
    told = words(pages["lesions"])
    assert "Lesions by lesions-made." in told and "weights 0123456789abcdef" in told
    assert "Trained on: drawn chests." in told and "It has never seen a patient." in told
    assert "the network decides on every part that is thicker than an edge" in told


def test_a_choice_of_overlays_where_there_are_two(pages):
    assert 'name="layer" value="lesions" checked' in pages["lesions"]
    assert 'class="opacity first"' in pages["lesions"] and 'class="opacity second"' in pages["lesions"]
    for name in ("single", "lesions-in-pictures"):
        assert 'name="layer"' not in pages[name]
        assert 'class="opacity"' in pages[name]


def test_what_is_not_trusted_says_so_and_why(pages):
    told = words(pages["unsure"])
    assert "not trusted, 0.31 of 1" in told and "unsure inside what it calls lesion" in told
    assert "read with care" in told and "not to be trusted without looking" in told
    assert "not trusted" not in words(pages["lesions"])


def test_pictures_have_lesions_in_per_cent_and_no_millilitres(pages):
    told = words(pages["lesions-in-pictures"])
    assert "Lesions, by the network" in told and "crazy paving" in told
    assert "No density figures." in told
    assert not re.search(r"\d ?ml\b", told)


def test_masks_made_elsewhere_are_named_as_such(pages):
    told = words(pages["given"])
    assert "Lesions, from the mask that was given" in told and "not judged here" in told
    assert "Lungs that were made elsewhere were used as given" in told
    assert "brought to the scan's, nearest voxel" in told


def test_the_course_of_lesions_is_drawn(pages):
    assert "Lesions by the network or mask, % of lung volume" in words(pages["lesions"])
    assert "Lesions by the network" not in words(pages["four"])


@pytest.mark.parametrize("name", ["lesions", "unsure", "lesions-in-pictures", "given"])
def test_crazy_paving_has_its_own_colour_in_legend_and_table(pages, name):
    assert pages[name].count("swatch lesion-crazy-paving") >= 2
