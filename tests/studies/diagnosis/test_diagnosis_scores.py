"""Figures of classifiers: they are those of the measures, chosen on validation alone, and plain JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
from made_answers import replies, scans

from glasslung.errors import DataError, ShapeError
from glasslung.measure.calibration import fit_calibration
from glasslung.measure.decisions import FIGURES, youden_threshold
from glasslung.measure.ranking import auc
from glasslung.measure.statistics import Interval
from glasslung.studies.diagnosis.contest import Said
from glasslung.studies.diagnosis.papers import (
    ABLATION,
    COSTS,
    PRINTED,
    printed_points,
    printed_rows,
)
from glasslung.studies.diagnosis.scores import Replies, replies_of, score_part
from glasslung.studies.diagnosis.strata import LEAST, score_strata

VALIDATION = np.random.default_rng(3).random(60) < 0.5
DRAWS = 200


@pytest.fixture(scope="module")
def part():
    held = scans()
    answers = {
        "full": replies(held.truth, VALIDATION, 3.0, 1),
        "plain": replies(held.truth, VALIDATION, 0.8, 2),
    }
    source = Interval(0.56, 0.44, 0.68, 0.95, DRAWS, 45)
    return (
        held,
        answers,
        score_part(held, VALIDATION, answers, "full", source={"outline": source}, draws=DRAWS),
    )


def test_it_is_json_without_nan(part):
    held, _, found = part
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["scans"], found["with"]) == (90, int(held.truth.sum()))
    assert found["source_only"] == found["source"]["outline"] == [0.56, 0.44, 0.68]


def test_figures_are_those_of_the_measures(part):
    held, answers, found = part
    for name, answer in answers.items():
        told = found["methods"][name]
        area = auc(held.truth, answer.log_odds)
        assert [told["auc"][0], told["delong"]["value"]] == pytest.approx([area, area])
        assert told["auc"][1] < area < told["auc"][2]
        assert set(FIGURES) < set(told["at_youden"])
        assert sum(told["at_half"]["counts"]) == 90
        assert told["seeds"]["auc"]["seeds"] == 2


def test_nothing_is_chosen_on_the_scans_that_are_scored(part):
    _, answers, found = part
    calibration = fit_calibration(VALIDATION, answers["full"].validation)
    told = found["methods"]["full"]
    assert told["calibration"]["temperature"] == calibration.temperature
    wanted = youden_threshold(VALIDATION, calibration.probability(answers["full"].validation))
    assert told["at_youden"]["threshold"] == wanted


def test_methods_are_tested_against_the_reference(part):
    _, _, found = part
    assert list(found["tests"]) == ["plain"]
    told = found["tests"]["plain"]
    assert told["delong"]["difference"] < 0
    assert told["delong"]["p"] < 0.05
    assert told["mcnemar"]["only_reference"] > told["mcnemar"]["only_method"]


def test_strata_hold_what_they_say(part):
    held, answers, found = part
    strata = found["methods"]["full"]["strata"]
    assert set(strata) == {"site", "severity", "kind", "CO-RADS"}
    assert set(strata["kind"]) == {"bacterial", "healthy"}
    truth, score, kinds = held.truth, answers["full"].log_odds, np.array(held.words)
    rows = truth | (kinds == "bacterial")
    assert strata["kind"]["bacterial"]["auc"][0] == pytest.approx(auc(truth[rows], score[rows]))
    rows = np.array(held.sites) == "A"
    assert strata["site"]["A"]["auc"][0] == pytest.approx(auc(truth[rows], score[rows]))
    thirds = strata["severity"]
    assert len(thirds) == 3
    without = len({p for p, one in zip(held.patients, truth, strict=True) if not one})
    assert {one["without"] for one in thirds.values()} == {without}


def test_a_stratum_too_small_says_so():
    held = scans(60)
    small = np.array(held.sites, dtype=object)
    small[np.flatnonzero(held.truth)[:3]] = "C"
    held = type(held)(held.truth, held.scans, held.patients, list(small), held.words)
    strata = score_strata(held, held.truth * 1.0, held.truth * 0.9, 0.5, draws=50)
    assert strata["site"]["C"]["auc"] is None
    assert "too few patients" in strata["site"]["C"]["note"]
    assert "0 without" in strata["site"]["C"]["note"]
    assert strata["site"]["C"]["with"] < LEAST
    assert "severity" not in strata
    assert strata["site"]["A"]["note"] == ""


def test_severities_may_be_words():
    held = scans(80)
    words = ["severe" if n % 2 else "none" for n in range(80)]
    held = type(held)(held.truth, held.scans, held.patients, ["A"] * 80, held.words, words)
    strata = score_strata(held, held.truth * 1.0, held.truth * 0.9, 0.5, draws=50)
    assert list(strata["severity"]) == ["none", "severe"]  # as a ladder, not by the alphabet
    assert "site" not in strata  # one site is no stratum


def test_what_trainings_said_is_put_in_order():
    asked = ("a", "b", "c", "v")
    first = Said(asked, ("test",) * 3 + ("val",), np.array([1, 0, 1, 0]), np.array([1.0, 2.0, 3.0, 4.0]))
    second = first._replace(log_odds=-first.log_odds)
    found = replies_of([first, second], ["c", "a"], ["v"])
    assert (found.log_odds.tolist(), found.validation.tolist()) == ([3, 1], [4])
    assert found.seeds[0].tolist() == [-3, -1]
    with pytest.raises(DataError, match="'d' was not asked"):
        replies_of([first], ["d"], ["v"])


def test_wrong_tables_are_told(part):
    held, answers, _ = part
    with pytest.raises(DataError, match="no method 'best'"):
        score_part(held, VALIDATION, answers, "best")
    short = {"full": Replies(answers["full"].log_odds[:5], answers["full"].validation)}
    with pytest.raises(ShapeError, match="90 scored scans"):
        score_part(held, VALIDATION, short, "full")
    broken = {"full": Replies(np.full(90, np.nan), answers["full"].validation)}
    with pytest.raises(DataError, match="not all finite"):
        score_part(held, VALIDATION, broken, "full")
    with pytest.raises(ShapeError, match="sites"):
        type(held)(held.truth, held.scans, held.patients, ["A"], held.words)


def test_the_papers_counts_give_what_it_prints():
    for row in PRINTED:
        tp, fn, fp, tn = row.counts
        assert tp / (tp + fn) == pytest.approx(row.sensitivity, abs=0.0051)
        assert tn / (fp + tn) == pytest.approx(row.specificity, abs=0.0101)
        assert 2 * tp / (2 * tp + fp + fn) == pytest.approx(row.f1, abs=0.0051)
    assert {row.name for row in PRINTED if row.part == "ablation"} == set(ABLATION)
    assert json.dumps(printed_rows(), allow_nan=False)
    assert len(printed_points()) == 2
    overall = COSTS[-1]
    assert sum(one.gflops for one in COSTS[:-1]) == pytest.approx(overall.gflops)
    assert sum(one.parameters or 0 for one in COSTS[:-1]) == pytest.approx(overall.parameters)
    assert sum(one.seconds for one in COSTS[:-1]) == pytest.approx(overall.seconds)
