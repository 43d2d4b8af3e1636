"""Cross-validation of a classifier by patient: dealt, killed and gone on with, scored, asked as one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from glasslung.analyze.explaining import reasons_of
from glasslung.data.cohort import read_cohort
from glasslung.data.exams import BODY
from glasslung.data.formats import read_scan
from glasslung.errors import DataError, UsageError
from glasslung.measure.ranking import auc
from glasslung.predict.diagnosing import classifier_identity, diagnose, open_classifier
from glasslung.predict.exams import ExamMaking, read_exams
from glasslung.predict.folds import read_folds
from glasslung.studies.diagnosis import folds
from glasslung.studies.diagnosis.folds import (
    FoldPlan,
    FoldScores,
    elsewhere_of,
    read_scores,
    score_elsewhere,
    train_folds,
    write_scores,
)
from glasslung.studies.diagnosis.learning import Pace
from glasslung.studies.diagnosis.training import DiagnosisJob, DiagnosisTraining
from glasslung.studies.evaluation import evaluate
from glasslung.train.machine import Machine
from made_patients import write_patients

PACE = Pace(each=2, slices=4, views="none", ema=0.5)
TRAINING = DiagnosisTraining(steps=6, pace=PACE, look_every=3, lesions="given", log_every=1)
SMALL = {"size": 32, "width": 0.125, "depth": 4, "lr": 1e-3, "lr_trunk": 1e-3}
PLAN = FoldPlan(3)


@pytest.fixture(scope="module")
def patients(tmp_path_factory) -> Path:
    return write_patients(tmp_path_factory.mktemp("patients"), 24, ())


@pytest.fixture(scope="module")
def exams(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("exams")


def job(folder: Path, **changes) -> DiagnosisJob:
    return replace(DiagnosisJob("i3d", folder, TRAINING, SMALL, machine=Machine("cpu", "32-true")), **changes)


@pytest.fixture(scope="module")
def done(patients, exams, tmp_path_factory):
    return train_folds(job(patients), PLAN, tmp_path_factory.mktemp("folds") / "out", exams=exams)


def test_every_patient_is_held_out_once_and_is_never_trained_on_then(done):
    held: list[str] = []
    for run in done.runs:
        parts = {case.patient: case.split for case in read_cohort(run.with_suffix(".csv")).cases}
        own = [patient for patient, part in parts.items() if part == "test"]
        assert {"train", "val", "test"} == set(parts.values()) and len(own) == 8
        held += own
    assert sorted(held) == sorted(f"p{n}" for n in range(24))


def test_out_of_fold_scores_are_those_of_the_fold_that_never_saw_the_scan(done, patients):
    found = read_scores(done.folder / folds.SCORES)
    assert len(found.scans) == 24 and sorted(set(found.fold)) == [0, 1, 2]
    row = 5
    cohort = read_cohort(patients)
    case = next(case for case in cohort.cases if case.scan == found.scans[row])
    asked = open_classifier(done.runs[found.fold[row]])
    one = read_exams(replace(cohort, cases=(case,)), None, ExamMaking(32, drawn=True, frame=BODY))
    assert asked.ask(one.exams[0]) == pytest.approx(found.log_odds[row], abs=1e-4)
    told = done.about["folds"]
    assert [fold["auc"] for fold in told] == pytest.approx(found.of_each())
    assert done.best.name == told[int(np.argmax(found.of_each()))]["folder"]
    assert done.about["auc out of fold"]["value"] == pytest.approx(auc(found.label == 1, found.log_odds))


def test_all_folds_answer_as_one(done, patients):
    cohort = read_cohort(patients)
    some = read_exams(replace(cohort, cases=cohort.cases[:2]), None, ExamMaking(32, drawn=True, frame=BODY))
    asked = open_classifier(done.folder)
    each = [open_classifier(run).ask(some.exams[0]) for run in done.runs]
    found = diagnose(asked, some.exams[0])
    assert found.log_odds == pytest.approx(np.mean(each), abs=1e-4)
    assert asked.method == "3 folds of i3d" and asked.operating.lesions_by == "none"
    assert "never seen" in found.limits and found.percentile is None
    assert found.validation.scans == 24
    names = {classifier_identity(str(path)) for path in (done.folder, *done.runs)}
    assert len(names) == 4
    volume = read_scan(cohort.path(cohort.cases[0].image))
    why = reasons_of(asked, some.exams[0], volume)
    assert why.relevance.shape == volume.shape and why.told.error is None


def test_the_same_call_trains_nothing_anew_and_a_lost_fold_is_made_again(done, patients, exams, monkeypatch):
    before = (done.folder / folds.SCORES).read_bytes()
    trained = []
    real = folds.train_diagnosis

    def watch(asked, out, **more):
        trained.append(out.name)
        return real(asked, out, **more)

    monkeypatch.setattr(folds, "train_diagnosis", watch)
    train_folds(job(patients), PLAN, done.folder, exams=exams)
    assert trained == []
    (done.runs[1] / "operating.json").unlink()
    train_folds(job(patients), PLAN, done.folder, exams=exams)
    assert trained == ["fold-01"] and (done.folder / folds.SCORES).read_bytes() == before


def test_another_plan_or_another_job_is_refused(done, patients, exams):
    with pytest.raises(UsageError, match="another plan"):
        train_folds(job(patients), FoldPlan(3, seed=1), done.folder, exams=exams)
    with pytest.raises(UsageError, match="more folds"):
        train_folds(job(patients), FoldPlan(2), done.folder, exams=exams)
    with pytest.raises(UsageError, match="another run"):
        train_folds(job(patients, settings={**SMALL, "lr": 1e-2}), PLAN, done.folder, exams=exams)
    with pytest.raises(UsageError, match=r"its training\.pace\.each is 2, asked for: 1"):
        other = replace(TRAINING, pace=replace(PACE, each=1))
        train_folds(job(patients, training=other), PLAN, done.folder, exams=exams)
    with pytest.raises(DataError, match="ask for fewer"):
        train_folds(job(patients), FoldPlan(10), done.folder.with_name("many"), exams=exams)
    with pytest.raises(UsageError, match="2 folds or more"):
        FoldPlan(1)


def test_they_are_scored_on_another_hospital_one_by_one_and_as_one(done, tmp_path):
    elsewhere = write_patients(tmp_path / "b", 8, ())
    found = evaluate(done.folder, elsewhere, tmp_path / "out")
    told = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert found.model == done.folder.name and len(told["folds"]["each"]) == 3
    assert told["folds"]["mean"] == pytest.approx(np.mean(told["folds"]["each"]))
    assert told["folds"]["together"]["value"] == pytest.approx(told["figures"]["auc"]["value"])
    assert "3 folds, one by one" in found.text
    exams = read_exams(read_cohort(elsewhere), None, ExamMaking(32, "none", frame=BODY))
    assert score_elsewhere(done, exams).each == pytest.approx(told["folds"]["each"])


def test_scans_that_any_fold_learned_from_are_told(done, patients):
    found = evaluate(done.folder, patients)
    told = [one.text for one in found.remarks if one.code == "trained-on-these"]
    tables = [read_cohort(run.with_suffix(".csv")).cases for run in done.runs]
    learned = {case.scan for table in tables for case in table if case.split == "train"}
    assert len(learned) > 16 and f"trained on {len(learned)} of these 24 scans" in told[0]


def test_the_held_out_fold_may_choose_as_in_the_paper(patients, exams, tmp_path):
    plan = FoldPlan(2, held_out_chooses=True)
    found = train_folds(job(patients), plan, tmp_path / "out", exams=exams)
    parts = {case.split for case in read_cohort(found.runs[0].with_suffix(".csv")).cases}
    assert parts == {"train", "val"} and found.about["scans"] == 24
    assert "on which its weights were chosen" in open_classifier(found.folder).operating.limits


def test_the_mean_of_folds_the_best_and_all_as_one_are_three_figures():
    truth = np.array([True, True, False, False] * 5)
    rng = np.random.default_rng(0)
    log_odds = np.stack([truth + rng.normal(0, 1, 20) for _ in range(3)])
    found = elsewhere_of(log_odds, 2, truth, [f"p{n}" for n in range(20)])
    assert found.each == tuple(auc(truth, one) for one in log_odds)
    assert found.best.value == found.each[2] and found.mean == pytest.approx(np.mean(found.each))
    assert found.together.value == auc(truth, log_odds.mean(0)) > found.mean


def test_scores_come_back_as_they_were_written_and_damage_is_told(tmp_path):
    found = FoldScores(
        ("s0", "s1"), ("p0", "p1"), ("a", ""), ("covid", "other"), np.array([1, 0]), np.array([0, 1]),
        np.array([1.25, -3.5]),
    )  # fmt: skip
    write_scores(found, tmp_path / "s.csv")
    back = read_scores(tmp_path / "s.csv")
    assert back[:4] == found[:4]
    assert all((one == two).all() for one, two in zip(back[4:], found[4:], strict=True))
    (tmp_path / "s.csv").write_text("scan,patient\na,b\n")
    with pytest.raises(DataError, match="damaged"):
        read_scores(tmp_path / "s.csv")


def test_a_damaged_folder_is_told(done, tmp_path):
    (tmp_path / "folds.json").write_text(
        '{"format": "glasslung-folds/1", "folds": [], "best": "x", "model": "i3d"}'
    )
    with pytest.raises(DataError, match="damaged"):
        read_folds(tmp_path)
    told = json.loads((done.folder / "folds.json").read_text())
    (tmp_path / "folds.json").write_text(json.dumps(told))
    with pytest.raises(DataError, match="lacks fold-00"):
        read_folds(tmp_path)
