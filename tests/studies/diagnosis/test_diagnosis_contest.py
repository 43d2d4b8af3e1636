"""The contest: every method gets the same time, is asked of what it did not learn from, and goes on."""

from __future__ import annotations

import numpy as np
import pytest

from glasslung.errors import DataError, UsageError
from glasslung.studies.diagnosis import contest
from glasslung.studies.diagnosis.complexity import complexities, complexity_of
from glasslung.studies.diagnosis.contest import METHODS, Budget, Method, best_of, jobs_for, read_said
from glasslung.studies.diagnosis.learning import Look, Pace
from glasslung.studies.jobs import finish
from made_exams import made_exam_set

QUICK = Budget(1.0, Pace(each=2, slices=4, side_each=2, views="none"), looks=2)
SMALL = {
    "whole": Method("netvlad", {"width": 8, "clusters": 4}, cvae=0.3),
    "alone": Method("netvlad", {"width": 8, "clusters": 4, "side": False}, cvae=0.3),
    "slices": Method("slicewise", {"width": 8, "stages": 2}),
}


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(contest, "METHODS", SMALL)


def test_the_methods_of_the_study_are_those_of_the_paper_and_ours():
    assert next(iter(METHODS)) == "NetVLAD + CVAE + side"
    assert not METHODS["no side information"].settings["side"] and METHODS["no side information"].cvae
    assert not METHODS["no CVAE"].cvae and "side" not in METHODS["no CVAE"].settings
    assert {one.model for one in METHODS.values()} == {"netvlad", "slicewise", "densenet3d"}


def test_each_learns_in_its_time_and_says_log_odds_of_the_others(small, tmp_path):
    exams = made_exam_set(each=8)
    done = finish(jobs_for(exams, QUICK), tmp_path)
    others = [row for row, part in enumerate(exams.split) if part != "train"]
    for one in done:
        said = read_said(one.answer)
        assert said.scans == tuple(exams.scans[row] for row in others)
        assert said.label.tolist() == exams.label[others].tolist()
        assert np.isfinite(said.log_odds).all()
        told = one.manifest["told"]
        assert told["seconds"] < 4 and told["steps"] >= 5 and told["parameters"] > 0
        best = best_of(told)
        assert best.auc == max(look["auc"] for look in told["looks"])
    assert done[0].manifest["told"]["cvae steps"] >= 5
    assert "cvae steps" not in done[2].manifest["told"]
    before = [one.manifest["created"] for one in done]
    assert [one.manifest["created"] for one in finish(jobs_for(exams, QUICK), tmp_path)] == before


def test_a_disease_that_is_plain_is_learned(small):
    _, told = contest.train(SMALL["slices"], made_exam_set(each=8), Budget(3.0, QUICK.pace, looks=3))
    assert best_of(told).auc == 1.0


def test_other_scans_are_another_contest(small, tmp_path):
    finish(jobs_for(made_exam_set(each=8), QUICK, names=["slices"]), tmp_path)
    with pytest.raises(UsageError, match="exams"):
        finish(jobs_for(made_exam_set(each=8, slices=(4,)), QUICK, names=["slices"]), tmp_path)
    with pytest.raises(UsageError, match="no method 'luck'"):
        jobs_for(made_exam_set(), QUICK, names=["luck"])
    with pytest.raises(DataError, match="damaged or missing"):
        read_said(tmp_path / "nothing.npz")


def test_an_earlier_look_is_kept_among_equals():
    first = Look(10, 0.9, 0.4)
    assert first.beats(None) and Look(20, 0.9, 0.3).beats(first) and Look(20, 0.95, 0.9).beats(first)
    assert not Look(20, 0.9, 0.4).beats(first) and not Look(20, 0.8, 0.1).beats(first)


def test_costs_are_counted():
    from glasslung.models import build

    found = complexity_of(build("netvlad", size=64), slices=2, size=64, repeats=1)
    by_hand = (
        2
        * 2
        * (  # two slices, a multiplication and an addition each
            2 * (16 * 25 * 64 * 64 + 32 * 16 * 9 * 32 * 32 + 64 * 32 * 9 * 16 * 16)
            + 2432 * 512
            + 512 * 64 * 2
        )
        + 2 * 2 * 32768
    )
    assert found.gflops * 1e9 == pytest.approx(by_hand, rel=0.01)
    assert found.parameters == 1_423_938 and found.seconds > 0
    both = {
        "one": Method("slicewise"),
        "two": Method("slicewise"),
        "three": Method("slicewise", {"width": 8}),
    }
    costs = complexities(slices=2, size=32, methods=both)
    assert costs["one"] == costs["two"] != costs["three"]
