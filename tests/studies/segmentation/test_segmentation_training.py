"""A run of a segmenter: trained from a folder, gone on with, scored on slices it knows to have seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from glasslung.errors import DataError, UsageError
from glasslung.studies.evaluation import evaluate
from glasslung.studies.segmentation.training import SegmentJob, SegmentTraining, train_segmenter
from glasslung.train.checkpoint import load_tensors

TRAINING = SegmentTraining(steps=12, size=32, labelled=2, augment="weak", log_every=1, checkpoint_every=6)
SMALL = {"width": 4, "climb": 0}


@pytest.fixture
def folder(tmp_path):
    """Six slices with a bright square, as a folder with img/ and multiclass/."""
    rng = np.random.default_rng(0)
    for name in ("img", "multiclass"):
        (tmp_path / "set" / name).mkdir(parents=True)
    for n in range(6):
        label = np.zeros((40, 44), np.uint8)
        row, column = rng.integers(5, 20, 2)
        label[row : row + 12, column : column + 12] = 1
        label[row : row + 4, column : column + 4] = 2
        grey = np.array([60, 150, 230])[label] + rng.normal(0, 6, label.shape)
        Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(tmp_path / "set" / "img" / f"{n}.png")
        Image.fromarray(label).save(tmp_path / "set" / "multiclass" / f"{n}.png")
    return tmp_path / "set"


def job(folder, **changes) -> SegmentJob:
    return replace(SegmentJob("unet", folder, TRAINING, settings=SMALL), **changes)


def test_a_run_is_trained_and_knows_what_it_has_seen(folder, tmp_path):
    run = train_segmenter(job(folder), tmp_path / "run")
    assert run.state == "finished"
    found = evaluate(tmp_path / "run", folder, tmp_path / "scores")
    assert (tmp_path / "scores" / "evaluation.json").is_file()
    assert any("train" in remark.text for remark in found.remarks)
    assert 0 <= found.figures["figures"]["overlap"]["infection"]["perfect"]["f1"]["value"] <= 1


def test_two_halves_equal_one_whole(folder, tmp_path):
    half = replace(TRAINING, steps=6)
    settings = {**SMALL, "steps": 12}
    train_segmenter(job(folder, training=half, settings=settings), tmp_path / "halves")
    train_segmenter(job(folder, settings=settings), tmp_path / "halves")
    train_segmenter(job(folder, settings=settings), tmp_path / "whole")
    one, two = (
        load_tensors(tmp_path / name / "weights" / "unet.safetensors") for name in ("halves", "whole")
    )
    assert all((one[name] == two[name]).all() for name in two)


def test_another_run_is_not_gone_on_with(folder, tmp_path):
    train_segmenter(job(folder), tmp_path / "run")
    with pytest.raises(UsageError, match="another run"):
        train_segmenter(job(folder, settings={**SMALL, "lr": 1e-4}), tmp_path / "run")


def test_what_cannot_be_trained_is_told_before_a_folder_is_there(folder, tmp_path):
    with pytest.raises(UsageError, match="no segmenter"):
        train_segmenter(job(folder, model="usvae", settings={}), tmp_path / "run")
    with pytest.raises(DataError):
        train_segmenter(job(tmp_path / "nothing"), tmp_path / "run")
    with pytest.raises(DataError, match="unlabelled"):
        train_segmenter(job(folder, training=replace(TRAINING, unlabelled=2)), tmp_path / "run")
    with pytest.raises(UsageError, match="no run to go on with"):
        train_segmenter(job(folder), tmp_path / "run", must_exist=True)
    assert not (tmp_path / "run").exists()
