"""Networks for whole scans: trained from a cohort, killed and gone on with, opened again."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from glasslung.errors import DataError, UsageError
from glasslung.predict import predict
from glasslung.predict.trained import open_trained
from glasslung.studies.segmentation.volumes import (
    VolumeJob,
    VolumeTraining,
    network_of,
    train_volumes,
    training_remarks,
)
from glasslung.train.checkpoint import load_tensors
from glasslung.train.rundir import RunDir
from glasslung.types import Intensity
from made_volumes import chest, volume_of, write_cohort

COARSE = (6.0, 5.0, 5.0)
TRAINING = VolumeTraining(
    steps=4, boxes=1, box=(16, 16, 16), spacing_mm=COARSE, log_every=1, checkpoint_every=2
)
SMALL = {"width": 4, "levels": 3, "tree": "lungs and lesions"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_cohort(tmp_path_factory.mktemp("cohort"))


def job(folder: Path, **changes) -> VolumeJob:
    return replace(VolumeJob("unet3d", folder, TRAINING, SMALL), **changes)


def flat(folder: Path) -> VolumeJob:
    return job(
        folder,
        model="patchnet",
        settings={"width": 4, "patch": 32},
        training=replace(TRAINING, box=None, boxes=2),
    )


def weights(folder: Path, model: str):
    return load_tensors(folder / "weights" / f"{model}.safetensors")


def train_and_die(asked: VolumeJob, out: Path) -> None:
    """Train until the third step, then end as a power cut would."""

    def watch(words: str, share: float) -> None:
        if "step 3" in words:
            os.kill(os.getpid(), signal.SIGKILL)

    train_volumes(asked, out, progress=watch)


def check_same_bits(one: Path, two: Path, model: str) -> None:
    first, second = (weights(folder, model) for folder in (one, two))
    assert all((first[name] == second[name]).all() for name in second)
    losses = [[record["total"] for record in RunDir.open(folder).metrics()] for folder in (one, two)]
    assert len(losses[0]) == 4 and losses[0] == losses[1]


def test_a_killed_run_goes_on_to_the_same_bits(folder, tmp_path):
    process = get_context("spawn").Process(target=train_and_die, args=(job(folder), tmp_path / "killed"))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert RunDir.open(tmp_path / "killed").state == "killed"
    train_volumes(job(folder), tmp_path / "killed", must_exist=True)
    train_volumes(job(folder), tmp_path / "whole")
    check_same_bits(tmp_path / "killed", tmp_path / "whole", "unet3d")


def test_a_stopped_run_of_axial_patches_goes_on_to_the_same_bits(folder, tmp_path):
    def stop(words: str, share: float) -> None:
        if "step 3" in words:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_volumes(flat(folder), tmp_path / "stopped", progress=stop)
    train_volumes(flat(folder), tmp_path / "stopped", must_exist=True)
    train_volumes(flat(folder), tmp_path / "whole")
    check_same_bits(tmp_path / "stopped", tmp_path / "whole", "patchnet")


def test_the_kept_weights_are_the_average(folder, tmp_path):
    plain = replace(TRAINING, ema=None)
    train_volumes(job(folder), tmp_path / "averaged")
    train_volumes(job(folder, training=plain), tmp_path / "plain")
    one, two = (weights(tmp_path / name, "unet3d") for name in ("averaged", "plain"))
    assert any((one[name] != two[name]).any() for name in one)


@pytest.mark.parametrize(
    ("model", "settings", "classes"),
    [
        ("unet3d", SMALL, ("outside", "lung", "ground glass", "consolidation", "crazy paving")),
        (
            "unet3d",
            {"width": 4, "levels": 3},
            ("none", "ground glass", "consolidation", "crazy paving", "combined"),
        ),
        ("twopath", {"width": 0.1}, ("outside", "lung")),
        ("patchnet", {"width": 4, "patch": 32}, ("none", "lesion")),
    ],
)
def test_a_run_is_opened_and_asked(folder, tmp_path, model, settings, classes):
    short = replace(TRAINING, steps=1, box=None if model == "patchnet" else TRAINING.box)
    run = train_volumes(job(folder, model=model, settings=settings, training=short), tmp_path / "run")
    assert run.state == "finished" and training_remarks(run) == ()
    network = network_of(open_trained(tmp_path / "run"))
    assert network.classes == classes
    assert network.spacing_mm == COARSE and network.intensity is Intensity.HU
    assert network.flat == (model == "patchnet")
    volume = volume_of(chest(7)[0])
    found = predict(network, volume)
    assert found.labels.shape == volume.shape and int(found.labels.max()) < len(classes)


def test_it_learns_what_a_threshold_would(folder, tmp_path):
    """Lungs are black and all else is grey: forty steps are enough."""
    more = replace(TRAINING, steps=40, ema=None, checkpoint_every=40)
    settings = {"width": 4, "levels": 2, "tree": "lungs", "lr": 1e-2}
    train_volumes(job(folder, settings=settings, training=more), tmp_path / "run")
    hu, lungs, _ = chest(9)
    found = predict(network_of(open_trained(tmp_path / "run")), volume_of(hu)).labels
    body = hu > -950  # what lies around it is as black as lung
    both = np.count_nonzero((found > 0) & (lungs > 0) & body)
    assert 2 * both / (np.count_nonzero((found > 0) & body) + np.count_nonzero(lungs)) > 0.9


def test_pictures_make_a_network_for_pictures(tmp_path):
    folder = write_cohort(tmp_path / "set", count=2, intensity="display8")
    once = replace(TRAINING, steps=1)
    train_volumes(job(folder, training=once), tmp_path / "run")
    assert network_of(open_trained(tmp_path / "run")).intensity is Intensity.DISPLAY8
    with pytest.raises(DataError, match="Hounsfield"):
        train_volumes(job(folder, training=replace(once, intensity=Intensity.HU)), tmp_path / "other")


def test_a_network_for_pictures_can_learn_from_hounsfield_units(folder, tmp_path):
    once = replace(TRAINING, steps=1, intensity=Intensity.DISPLAY8)
    run = train_volumes(job(folder, training=once), tmp_path / "run")
    assert run.about["settings"]["training"]["reads"]["intensity"] == "display8"


def test_the_part_to_train_on_is_the_tables(tmp_path):
    folder = write_cohort(tmp_path / "set", split=("train", "test", "train"))
    run = train_volumes(job(folder, training=replace(TRAINING, steps=1)), tmp_path / "run")
    assert len(run.about["settings"]["training"]["scans"]) == 2


def test_another_run_is_not_gone_on_with(folder, tmp_path):
    once = replace(TRAINING, steps=1)
    train_volumes(job(folder, training=once), tmp_path / "run")
    with pytest.raises(UsageError, match="another run"):
        train_volumes(job(folder, training=replace(once, box=(16, 16, 24))), tmp_path / "run")
    with pytest.raises(UsageError, match="another run"):
        train_volumes(job(folder, training=once, settings={**SMALL, "lr": 1e-4}), tmp_path / "run")
    other = write_cohort(tmp_path / "set", count=2)
    with pytest.raises(UsageError, match="another run"):
        train_volumes(job(other, training=once), tmp_path / "run")


def test_what_cannot_be_trained_is_told_before_a_folder_is_there(folder, tmp_path):
    out = tmp_path / "run"
    lungs = write_cohort(tmp_path / "lungs", columns=("lungs",))
    cases = [
        (job(folder, model="unet", settings={}), UsageError, "no network for whole scans"),
        (job(folder, training=replace(TRAINING, box=(16, 16, 15))), UsageError, "multiples of 4"),
        (job(folder, model="twopath", settings={"classes": 3}), UsageError, "of 3 classes"),
        (replace(flat(folder), training=TRAINING), UsageError, "patch"),
        (job(folder, settings={"depth": 3}), UsageError, "no setting 'depth'"),
        (job(tmp_path / "nothing"), DataError, "nothing"),
        (job(lungs, settings={"width": 4, "levels": 3}), DataError, "no scan with ground glass"),
        (flat(lungs), DataError, "no scan with lesion"),
    ]
    for asked, error, told in cases:
        with pytest.raises(error, match=told):
            train_volumes(asked, out)
    with pytest.raises(UsageError, match="no run to go on with"):
        train_volumes(job(folder), out, must_exist=True)
    assert not out.exists()
