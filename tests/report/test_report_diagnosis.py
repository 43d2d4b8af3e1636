"""A classifier's answer in the report: never alone, always with how far to believe it."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape

import made_stories
import pytest
from made_stories import diagnosis_of

from glasslung.data.story import read_story
from glasslung.report import charts
from glasslung.report import diagnosiswords as words
from glasslung.report.summary import cannot_say, paragraph
from glasslung.types import Answer, Explanation, RelevanceShare, Standing


def seen(page: str) -> str:
    """The page as a reader sees it, in one line, with plain spaces."""
    body = re.sub(r"<(style|script)>.*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_the_answer_stands_with_what_it_rests_on(pages):
    told = seen(pages["diagnosed"])
    for part in (
        "Is it COVID-19?",
        "83 % probability of COVID-19",
        "operating point 60 %",
        "Of the 25 validation scans with the nearest figures (70 % to 100 %), 21 had COVID-19.",
        "90 % (95 % interval 75 % to 98 %) of the validation scans with COVID-19 were called likely",
        "0.91 (0.84 to 0.97)",
        "of the validation scans without it at most 3 % were given as high a probability",
        "COVID-19 at 90 % confidence",
        "41 % of the validation scans lie nearer",
        "The network's own figure was 96 %; calibration (temperature 2.02) took it to 83 %.",
        "off by 6 points on average",
        "It learned from drawn chests of three scanners. It has never seen a patient.",
        "this is no clinical instrument",
        "a low figure does not rule one out",
    ):
        assert part in told, part
    assert "classifier-made gives COVID-19 a probability of 83 %" in told
    assert "83 %, likely" in told and "fedcba9876543210" in told


def test_reasons_stand_beside_the_lungs_they_are_compared_with(pages):
    page, told = pages["diagnosed"], seen(pages["diagnosed"])
    assert "62 % of the relevance for COVID-19 lies in lesions, which are 11 % of the lungs" in told
    assert "add up to its log-odds within 0.2 %" in told
    assert "right lower third 31 % 17 %" in told and "5.6\u00d7" in told
    assert "masks/scan-01/relevance.nii.gz" in told
    pairs = re.findall(r'id="r0-(\d)"', page)
    assert pairs and len(pairs) == len(re.findall(r'id="r0-\dm"', page)) <= 4
    assert page.count('class="heat"') == len(pairs) and 'class="lesion-line"' in page
    assert page.count('href="#r0-0"') == 1  # the grey picture is in the page once


def test_doubts_and_what_cannot_be_told_are_not_hidden(pages):
    told = seen(pages["asked-twice"])
    assert "Doubt It lies farther from the training scans than 97 %" in told
    assert "cannot tell at 90 % confidence" in told and "unlike its training scans" in told
    assert "44 % of the validation scans with COVID-19 were given as low a probability, and 3 %" in told
    assert (
        "Of the five validation scans with the nearest figures (30 % to 70 %), 2 had COVID-19. Too few"
        in told
    )
    assert "Its reasons were not asked for." in told
    assert "too little to tell either way with confidence; but the scan is unlike those" in told


def test_several_scans_have_points_and_no_course(pages):
    page, told = pages["asked-twice"], seen(pages["asked-twice"])
    panel = re.search(r"Probability of COVID-19 by scan, %.*?</figure>", page, re.DOTALL).group()
    assert panel.count("<circle") == 2 and not re.search(r'd="M[^"]*L[^"]*" class="line"', panel)
    assert "point hollow" in panel and "Hollow points" in told
    assert "says nothing of recovery" in told
    assert "< 1 %, unlikely" in told and "No classifier was asked about scan-03" in told
    assert "Probability of COVID-19 by scan" not in seen(pages["diagnosed"])


def test_where_nobody_was_asked_it_says_so(pages):
    told = seen(pages["nobody-asked"])
    assert "Which disease is it? No classifier was asked: no classifier for scans in Hounsfield" in told
    assert "no clinical instrument" not in told
    assert 'id="diagnosis"' not in pages["single"]


def test_pictures_are_diagnosed_without_a_scale(pages):
    page, told = pages["diagnosed-pictures"], seen(pages["diagnosed-pictures"])
    assert "97 % probability of COVID-19" in told and "keeps no distances" in told
    assert 'class="heat"' in page and 'id="r0-0"' in page
    reasons = page.split('data-kind="reasons"')[1].split("</div>")[0]
    assert 'class="scale"' not in reasons and 'class="mark"' not in reasons


def test_methods_and_limits_name_the_classifier(pages, drawn):
    told = seen(pages["diagnosed"])
    assert "COVID-19 by classifier-made." in told and "divided by 2.02, fitted on 40" in told
    limits = [limit.what for limit in cannot_say(read_story(drawn["diagnosed"]))]
    assert "That it is COVID-19, or is not." in limits
    assert "That it is COVID-19, or is not." not in [
        limit.what for limit in cannot_say(read_story(drawn["single"]))
    ]


@pytest.mark.parametrize(
    ("value", "told"), [(0.0, "< 1 %"), (0.004, "< 1 %"), (0.126, "13 %"), (0.994, "99 %"), (1.0, "> 99 %")]
)
def test_no_probability_is_told_as_certain(value, told):
    assert words.share(value).replace("\u00a0", " ") == told


def test_each_standing_has_its_own_words():
    said = {
        standing: words.standing_words(diagnosis_of(standing=standing)).split(":")[0] for standing in Standing
    }
    assert said[Standing.FINDING] == "COVID-19" and said[Standing.OTHER] == "Not COVID-19"
    assert said[Standing.EITHER] == "Cannot tell" and said[Standing.NEITHER] == "Unlike what it learned"
    low = words.standing_words(diagnosis_of(standing=Standing.OTHER, chances=(0.02, 0.6)))
    assert "with it at most 2" in low and "as low a probability" in low


@pytest.mark.parametrize(
    ("percentile", "word", "chip"),
    [
        (None, "not known", "care"),
        (10, "of a kind that it knows", "good"),
        (80, "rather unusual", "care"),
        (96, "may not hold", "bad"),
        (100, "than every validation scan", "bad"),
    ],
)
def test_familiarity_goes_from_known_to_do_not_rely(percentile, word, chip):
    told = diagnosis_of(percentile=percentile)
    assert word in words.familiarity_words(told) and words.familiarity_chip(told)[1] == chip


def test_a_probability_nobody_had_in_validation_is_not_vouched_for():
    known = diagnosis_of().validation
    rows = ((0.0, 0.1, 0.05, 0.0, 4), (0.2, 0.3, 0.25, 0.5, 2), (0.3, 0.5, 0.4, 0.5, 2))
    few = diagnosis_of(0.9, validation=replace(known, reliability=rows))
    told = words.reliability_words(few).replace("\u00a0", " ")
    assert told.startswith("Of the two validation scans with the nearest figures (30 % to 50 %), 1 had")
    assert "Too few" in told and "None was given about 90 %, so nothing shows that this figure holds" in told
    near = words.reliability_words(replace(few, probability=0.35)).replace("\u00a0", " ")
    assert near.startswith("Of the four") and "(20 % to 50 %), 2 had" in near and "nothing shows" not in near
    one = diagnosis_of(0.08, validation=replace(known, reliability=((0.0, 0.1, 0.05, 0.1, 10), *rows[1:])))
    assert "(0\u00a0% to 10\u00a0%), 1 had" in words.reliability_words(one)


def test_calibration_that_changes_nothing_says_so():
    same = words.calibration_words(diagnosis_of(0.96, raw=0.96, bias=0.3)).replace("\u00a0", " ")
    assert same.startswith("Calibration (temperature 2.02, bias 0.30) leaves the network's own figure")


def test_a_summary_never_tells_a_probability_of_a_refused_scan(tmp_path):
    refused = made_stories.Drawn(0.3, 0, gate=(made_stories.NOT_CHEST,), pictures=False, told=diagnosis_of())
    story = made_stories.make_story(tmp_path, made_stories.small(refused))
    assert "probability" not in paragraph(story)


def test_bars_and_shares_have_words_for_those_who_do_not_see_them():
    bar = charts.probability_bar(0.83, 0.6, "probability of COVID-19")
    assert 'aria-label="probability of COVID-19 83 %, operating point 60 %"' in bar
    assert "62 % of the relevance, 11 % of the lungs" in charts.pair_bar(0.62, 0.11, "lesions")
    assert "of the lungs" not in charts.pair_bar(0.07, None, "outside")
    nothing = Explanation("rules", (RelevanceShare("right lung", 0.0, 0.5),), 0.0)
    assert words.reasons_words(nothing, "COVID-19").startswith("Relevance (rules)")
    none = Explanation("rules", (RelevanceShare("lesions", 0.0, 0.0),), 0.0)
    assert words.reasons_words(none, "COVID-19").startswith("No lesion is marked in the scan. Relevance")
    assert words.headline(diagnosis_of(0.2)).replace("\u00a0", " ") == "COVID-19 unlikely, 20 %"
    assert Answer.UNLIKELY.value in words.answer_words(diagnosis_of(0.2)).lower()
