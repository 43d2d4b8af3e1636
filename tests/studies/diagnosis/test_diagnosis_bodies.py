"""A run of a classifier of whole bodies: framed so, begun with weights from elsewhere, never oversized."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from glasslung.data.exams import BODY
from glasslung.data.examstore import read_exam_set
from glasslung.errors import UsageError
from glasslung.files import read_json
from glasslung.nn import memory
from glasslung.predict.diagnosing import open_classifier
from glasslung.studies.diagnosis.learning import Pace, frame_for, views_for
from glasslung.studies.diagnosis.training import DiagnosisJob, DiagnosisTraining, train_diagnosis
from glasslung.train.checkpoint import load_tensors
from glasslung.train.machine import Machine
from glasslung.train.starts import import_i3d
from made_exams import made_exam_set
from made_patients import write_patients
from public_i3d import public_state

PACE = Pace(each=1, slices=4, views="none", ema=None)
TRAINING = DiagnosisTraining(steps=1, pace=PACE, look_every=1, lesions="given", log_every=1)
SMALL = {"size": 32, "depth": 4, "lr_trunk": 1e-12}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_patients(tmp_path_factory.mktemp("patients"))


@pytest.fixture(scope="module")
def exams(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("exams")


@pytest.fixture(scope="module")
def kinetics(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("weights")
    torch.save(public_state(), place / "rgb.pt")
    import_i3d(place / "rgb.pt", place / "kinetics")
    return place / "kinetics"


def job(folder: Path, **changes) -> DiagnosisJob:
    return replace(DiagnosisJob("i3d", folder, TRAINING, SMALL, machine=Machine("cpu", "32-true")), **changes)


def test_it_begins_with_weights_from_elsewhere_and_says_which(folder, exams, kinetics, tmp_path):
    run = train_diagnosis(job(folder, start=kinetics), tmp_path / "run", exams=exams)
    kept = load_tensors(run.folder / "weights" / "i3d.safetensors")
    colours = public_state()["Conv3d_1a_7x7.conv3d.weight"]
    torch.testing.assert_close(kept["trunk.first.conv.weight"], colours.sum(1, keepdim=True))
    about = read_json(run.folder / "settings.json")["settings"]
    told = about["training"]["start"]
    assert (
        told["sha256"] and told["from"].startswith("rgb.pt, SHA-256 ") and str(tmp_path) not in told["from"]
    )
    assert about["lr"] == 1e-4  # lr_trunk was asked for
    again = train_diagnosis(job(folder, start=run.folder), tmp_path / "again", exams=exams)
    assert read_json(again.folder / "settings.json")["settings"]["training"]["start"]["from"] == "the run run"
    with pytest.raises(UsageError, match="another run"):
        train_diagnosis(job(folder), run.folder, exams=exams)


def test_weights_that_do_not_fit_are_refused_before_a_scan_is_read(folder, kinetics, tmp_path):
    with pytest.raises(UsageError, match="which slicewise does not take"):
        train_diagnosis(job(folder, model="slicewise", settings={"size": 32}, start=kinetics), tmp_path / "a")
    assert not (tmp_path / "a").exists()
    with pytest.raises(UsageError, match="need width 1"):
        train_diagnosis(job(folder, settings={**SMALL, "width": 0.25}, start=kinetics), tmp_path / "b")


@pytest.mark.parametrize("model", ["i3d", "resnet2d"])
def test_scans_are_framed_as_the_paper_does(folder, exams, tmp_path, model):
    settings = {"size": 32, "width": 0.125} | ({"depth": 4} if model == "i3d" else {})
    run = train_diagnosis(job(folder, model=model, settings=settings), tmp_path / "run", exams=exams)
    asked = open_classifier(run.folder)
    assert asked.operating.frame == BODY and asked.operating.lesions_by == "none"
    found = read_exam_set(exams)
    assert {exam.frame for exam in found.exams} == {BODY}
    other = replace(TRAINING, frame="lungs")
    run = train_diagnosis(job(folder, model=model, settings=settings, training=other), tmp_path / "lungs")
    assert open_classifier(run.folder).operating.frame.name == "lungs"


def test_a_step_that_does_not_fit_says_what_to_lower(folder, exams, tmp_path, monkeypatch):
    train_diagnosis(job(folder), tmp_path / "fits", exams=exams)
    real = memory.free_bytes
    monkeypatch.setattr("glasslung.predict.exams.check_fits", lambda *words: None)
    monkeypatch.setattr(memory, "free_bytes", lambda: 100 * 2**20)
    with pytest.raises(UsageError, match=r"training step of i3d .* lower size, depth or width, or the scans"):
        train_diagnosis(job(folder), tmp_path / "large", exams=exams)
    monkeypatch.setattr(memory, "free_bytes", real)


def test_scans_that_do_not_fit_memory_are_told_before_they_are_made(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda: 1000)
    with pytest.raises(UsageError, match=r"12 scans needs about .* lower the size, or give fewer scans"):
        train_diagnosis(job(folder), tmp_path / "run")


def test_frames_and_looks_go_by_the_models_paper():
    assert frame_for("i3d") == BODY and frame_for("netvlad").name == "lungs"
    assert frame_for("netvlad", "body") == BODY
    with pytest.raises(UsageError, match="choose one of auto, lungs, body"):
        replace(TRAINING, frame="head")
    exams = made_exam_set(1)
    bodies = replace(exams, exams=tuple(replace(exam, frame=BODY) for exam in exams.exams))
    usual, film = views_for("auto", exams), views_for("auto", bodies)
    assert film.mirror == 0.5 and film.window * 1500 == pytest.approx(105) and film != usual
    assert views_for("none", bodies) is None
