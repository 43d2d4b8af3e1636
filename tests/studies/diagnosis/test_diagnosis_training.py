"""A run of a classifier: trained from a cohort, killed and gone on with, opened and scored."""

from __future__ import annotations

import csv
import json
import os
import signal
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from glasslung.data.cohort import read_cohort
from glasslung.data.sources import open_cohort
from glasslung.errors import DataError, LeakError, UsageError
from glasslung.predict.diagnosing import diagnose, open_classifier
from glasslung.predict.exams import ExamMaking, read_exams
from glasslung.studies.diagnosis.evaluation import chosen
from glasslung.studies.diagnosis.learning import Pace
from glasslung.studies.diagnosis.training import (
    DiagnosisJob,
    DiagnosisTraining,
    parted,
    train_diagnosis,
)
from glasslung.studies.evaluation import evaluate
from glasslung.train.checkpoint import load_tensors
from glasslung.train.machine import Machine
from glasslung.train.rundir import RunDir, list_runs
from made_patients import write_patients

PACE = Pace(each=2, slices=4, side_each=4, views="none")
TRAINING = DiagnosisTraining(
    steps=12, cvae_steps=4, pace=PACE, look_every=4, lesions="given", checkpoint_every=2, log_every=1
)
SMALL = {"size": 32, "width": 8, "clusters": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_patients(tmp_path_factory.mktemp("patients"))


@pytest.fixture(scope="module")
def exams(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("exams")


@pytest.fixture(scope="module")
def run(folder, exams, tmp_path_factory) -> RunDir:
    out = tmp_path_factory.mktemp("run") / "run"
    training = replace(TRAINING, steps=60, look_every=20)
    return train_diagnosis(job(folder, training=training), out, exams=exams)


def job(folder: Path, **changes) -> DiagnosisJob:
    machine = Machine("cpu", "32-true")
    return replace(DiagnosisJob("netvlad", folder, TRAINING, SMALL, machine=machine), **changes)


def weights(folder: Path, model: str = "netvlad"):
    return load_tensors(folder / "weights" / f"{model}.safetensors")


def same(one: Path, two: Path) -> bool:
    first, second = weights(one), weights(two)
    return all((first[name] == second[name]).all() for name in second)


def test_it_tells_the_disease_it_learned_and_can_be_asked_as_the_product_asks(run, folder):
    assert run.state == "finished"
    asked = open_classifier(run.folder)
    assert (asked.size, asked.operating.lesions_by, asked.operating.finding) == (32, "given", "COVID-19")
    cohort = read_cohort(folder)
    tested = read_exams(replace(cohort, cases=cohort.cases[6:8]), None, ExamMaking(32, drawn=True))
    ill, well = (diagnose(asked, exam) for exam in tested.exams)
    assert ill.probability > 0.5 > well.probability
    assert asked.operating.validation.auc[0] == 1.0 and asked.operating.validation.scans == 4
    assert "8 scans (2 bacterial, 4 covid, 2 healthy) of 8 patients" in asked.operating.trained_on
    assert "only 2 patients" in asked.operating.limits


def test_the_best_look_is_kept_and_told(run):
    looks = [record for record in run.metrics() if record["player"] == "validation"]
    assert [look["step"] for look in looks] == [19, 39, 59]
    best = json.loads((run.folder / "best.json").read_text())
    top = max(looks, key=lambda look: (look["auc"], -look["total"]))
    assert (best["step"], best["auc"]) == (top["step"] + 1, top["auc"])


def test_its_branches_began_with_those_of_a_cvae_that_is_a_run_of_its_own(run):
    models = {line.model: line for line in list_runs(run.folder)}
    assert set(models) == {"netvlad", "cvae"} and models["cvae"].made == 4
    assert (run.folder / "cvae" / "weights" / "cvae.safetensors").is_file()


def test_two_halves_equal_one_whole(folder, exams, tmp_path):
    half = replace(TRAINING, steps=4)
    train_diagnosis(job(folder, training=half), tmp_path / "halves", exams=exams)
    train_diagnosis(job(folder), tmp_path / "halves", exams=exams)
    train_diagnosis(job(folder), tmp_path / "whole", exams=exams)
    assert same(tmp_path / "halves", tmp_path / "whole")
    for name in ("operating.json", "operating.safetensors"):
        one, two = ((tmp_path / half / name).read_bytes() for half in ("halves", "whole"))
        assert one == two


def train_and_die(asked: DiagnosisJob, out: Path, exams: Path) -> None:
    """Train until after the second look, then end as a power cut would."""

    def watch(words: str, share: float) -> None:
        if "netvlad: step 8" in words:
            os.kill(os.getpid(), signal.SIGKILL)

    train_diagnosis(asked, out, progress=watch, exams=exams)


def test_a_killed_run_ends_on_the_same_bits(folder, exams, tmp_path):
    killed = get_context("spawn").Process(
        target=train_and_die, args=(job(folder), tmp_path / "killed", exams)
    )
    killed.start()
    killed.join(120)
    assert killed.exitcode == -signal.SIGKILL
    train_diagnosis(job(folder), tmp_path / "killed", must_exist=True, exams=exams)
    train_diagnosis(job(folder), tmp_path / "whole", exams=exams)
    assert same(tmp_path / "killed", tmp_path / "whole")


def test_training_ends_where_no_look_is_better(folder, exams, tmp_path):
    training = replace(TRAINING, steps=400, look_every=4, patience=2, cvae_steps=0)
    done = train_diagnosis(job(folder, training=training), tmp_path / "run", exams=exams)
    best = json.loads((done.folder / "best.json").read_text())["step"]
    steps = [record["step"] for record in done.metrics() if record["player"] == "validation"]
    assert steps[-1] + 1 == min(best + 8, 400)


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("slicewise", {"size": 32, "width": 8, "stages": 2}),
        ("densenet3d", {"size": 32, "box": [16, 32, 32], "first": 4, "growth": 2, "blocks": [1, 1]}),
    ],
)
def test_other_classifiers_are_trained_by_the_same_call(model, settings, folder, exams, tmp_path):
    training = replace(TRAINING, steps=2, look_every=2)
    train_diagnosis(
        job(folder, model=model, settings=settings, training=training), tmp_path / "run", exams=exams
    )
    assert open_classifier(tmp_path / "run").method == model


def test_a_cvae_is_trained_alone(folder, exams, tmp_path):
    done = train_diagnosis(job(folder, model="cvae", settings={"size": 32}), tmp_path / "run", exams=exams)
    assert done.state == "finished" and {record["player"] for record in done.metrics()} == {"cvae"}
    with pytest.raises(UsageError, match="answers nothing by itself"):
        evaluate(tmp_path / "run", folder)


def test_what_it_is_scored_on_and_what_it_saw_is_said(run, folder, tmp_path):
    found = evaluate(run.folder, folder, tmp_path / "scores")
    assert found.kind == "diagnosis" and "part 'test'" in found.text and "train (8), val (4)" in found.text
    assert "trained on" not in found.text
    rows = list(csv.DictReader((tmp_path / "scores" / "predictions.csv").read_text().splitlines()))
    assert [row["scan"] for row in rows] == ["s6", "s7", "s14", "s15"]
    assert {row["part"] for row in rows} == {"test"} and rows[0]["answer"] in ("likely", "unlikely")
    kept = json.loads((tmp_path / "scores" / "evaluation.json").read_text())
    assert "outline alone" in found.text and "the paper, independent" in found.text
    assert 0 <= kept["figures"]["auc"]["value"] <= 1 and "value" in kept["figures"]["source"]
    threshold = kept["figures"]["threshold"]
    for row in rows:
        assert (row["answer"] == "likely") == (float(row["probability"]) >= threshold - 1e-6)
    everything = evaluate(run.folder, folder, part="all")
    warned = [remark.text for remark in everything.remarks if remark.severity.value == "warn"]
    assert warned == [
        "The classifier was trained on 8 of these 16 scans.",
        "The classifier was chosen and calibrated on 4 of these 16 scans.",
    ]
    with pytest.raises(UsageError, match="--part 'nowhere'"):
        evaluate(run.folder, folder, part="nowhere")


def test_patients_are_dealt_where_the_table_names_no_parts(folder, tmp_path):
    cohort = open_cohort(folder)
    bare = replace(cohort, cases=tuple(replace(case, split="") for case in cohort.cases))
    dealt = parted(bare, TRAINING)
    assert {case.split for case in dealt.cases} == {"train", "val"} and len(dealt.cases) == 16
    assert parted(bare, TRAINING) == dealt != parted(bare, replace(TRAINING, split_seed=3))
    without = replace(cohort, cases=tuple(case for case in cohort.cases if case.split != "val"))
    dealt = parted(without, replace(TRAINING, val_share=0.5))
    assert {case.split for case in dealt.cases} == {"train", "val"} and len(dealt.cases) == 8
    with pytest.raises(DataError, match="2 or more patients"):
        parted(without, TRAINING)
    assert parted(cohort, TRAINING).cases == tuple(c for c in cohort.cases if c.split != "test")


def test_no_patient_is_trained_on_and_looked_at(folder):
    cohort = open_cohort(folder)
    one = replace(cohort, cases=tuple(replace(case, patient="p") for case in cohort.cases))
    with pytest.raises(LeakError, match="both train and val"):
        parted(one, TRAINING)
    many = [
        replace(case, patient=f"{case.patient}-{n}", scan=f"{case.scan}-{n}")
        for n in range(8)
        for case in cohort.cases
    ]
    looked = next(case for case in many if case.split == "val")
    many.append(replace(looked, split="train", scan="again"))
    kept = parted(replace(cohort, cases=tuple(many)), TRAINING)
    assert [case.split for case in kept.cases if case.patient == looked.patient] == ["train"]


def test_a_cohort_of_one_kind_is_refused_before_anything_is_written(folder, tmp_path):
    cohort = open_cohort(folder)
    ill = replace(cohort, cases=tuple(case for case in cohort.cases if case.label == "covid"))
    with pytest.raises(DataError, match="labelled otherwise"):
        parted(ill, TRAINING)
    with pytest.raises(DataError, match="labelled otherwise"):
        chosen(ill)
    blank = replace(cohort, cases=tuple(replace(case, label="") for case in cohort.cases))
    with pytest.raises(DataError, match="column label"):
        parted(blank, TRAINING)
    with pytest.raises(UsageError, match="classifies no scans"):
        train_diagnosis(job(folder, model="unet", settings={}), tmp_path / "run")
    with pytest.raises(UsageError, match="no run to go on with"):
        train_diagnosis(job(folder), tmp_path / "run", must_exist=True)
    assert not (tmp_path / "run").exists()


def test_another_run_is_not_gone_on_with(run, folder, exams):
    with pytest.raises(UsageError, match="another run"):
        train_diagnosis(job(folder), run.folder, exams=exams)


def test_weights_that_are_kept_are_those_of_the_best_look(run):
    kept, best = weights(run.folder), weights(run.folder, "best")
    assert all(np.array_equal(kept[name], best[name]) for name in best)
