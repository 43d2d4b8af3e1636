"""Verbs about models."""

from __future__ import annotations

import json

import pytest
from made_cohort import write_folder, write_table
from verb_process import glasslung_here, refused

from made_patients import write_patients, write_pictures
from made_volumes import write_cohort as write_volumes

TO = ["--cohort", "{tmp}/empty", "--out", "{tmp}/o", "--steps", "5"]
SMALL = ["--steps", "4", "--size", "32", "--set", "width=4", "--device", "cpu"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train", "gan", "--cohort", "{tmp}/empty", "--out", "{tmp}/o", "--steps", "5"], "usvae, cage"),
        (["train", "usvae", "--cohort", "{tmp}/empty", "--out", "{tmp}/o", "--steps", "50"], "known layouts"),
        (
            ["train", "usvae", "--cohort", "{tmp}", "--out", "{tmp}/o", "--steps", "50", "--seed", "-1"],
            "0 or more",
        ),
        (["train", "usvae", *TO, "--batch", "4,4,2"], "takes one number"),
        (["train", "usvae", *TO, "--batch", "four"], "whole numbers with commas"),
        (["train", "usvae", *TO, "--healthy", "{tmp}"], "--healthy is not for usvae"),
        (["train", "usvae", *TO, "--size", "64"], "--size is not for usvae"),
        (["train", "cage", *TO, "--augment", "weak"], "--augment is not for cage"),
        (["train", "unet", *TO], "none of the known layouts"),
        (["train", "unet", *TO, "--mirror"], "--mirror is not for unet"),
        (["train", "unet", *TO, "--split-seed", "0"], "--split-seed is not for unet"),
        (["train", "unet", *TO, "--batch", "4,4,2,1"], "like 4,4,2"),
        (["train", "unet", *TO, "--batch", "4", "--healthy", "{tmp}"], "--batch 4,0,2"),
        (["train", "unet", *TO, "--ema", "2"], "is no decay"),
        (["train", "unet", *TO, "--resume"], "no run to go on with"),
        (["train", "unet3d", *TO], "none of the known layouts"),
        (["train", "unet3d", *TO, "--size", "64"], "--size is not for unet3d; give the edges of its boxes"),
        (["train", "twopath", *TO, "--healthy", "{tmp}"], "--healthy is not for twopath"),
        (["train", "unet3d", *TO, "--box", "64,64"], "--box: give three numbers"),
        (["train", "unet3d", *TO, "--spacing", "2,0,2"], "--spacing: give three numbers above 0"),
        (["train", "unet3d", *TO, "--reads", "grey"], "one of hu, display8"),
        (["train", "unet3d", *TO, "--batch", "4,4"], "takes one number, its boxes"),
        (["train", "patchnet", *TO, "--augment", "weak"], "--augment is not for patchnet"),
        (["train", "unet3d", *TO, "--resume"], "no run to go on with"),
        (["train", "unet", *TO, "--box", "4,4,4"], "--box is not for unet"),
        (["train", "usvae", *TO, "--reads", "hu"], "--reads is not for usvae"),
        (["train", "netvlad", *TO], "none of the known layouts"),
        (["train", "netvlad", *TO, "--box", "4,4,4"], "--box is not for netvlad"),
        (["train", "netvlad", *TO, "--mirror"], "--mirror is not for netvlad; its scans are varied by"),
        (["train", "netvlad", *TO, "--batch", "3"], "takes one even number, half of it"),
        (["train", "netvlad", *TO, "--augment", "wild"], "views are one of auto, usual, strong, none"),
        (["train", "slicewise", *TO, "--set", "pool=max"], "pool is one of mean, top"),
        (["train", "unet", *TO, "--cvae", "5"], "--cvae is not for unet; only classifiers of scans have it"),
        (["train", "usvae", *TO, "--patience", "0"], "--patience is not for usvae"),
        (
            ["train", "unet", *TO, "--folds", "5"],
            "--folds is not for unet; only classifiers of scans have it",
        ),
        (["train", "i3d", *TO, "--folds", "1"], "needs 2 folds or more"),
        (["train", "i3d", *TO, "--folds", "5"], "none of the known layouts"),
        (["train", "i3d", *TO, "--folds", "5", "--resume"], "--folds goes on by itself"),
        (["train", "i3d", *TO, "--frame", "head"], "choose one of auto, lungs, body"),
        (["train", "i3d", *TO, "--start", "{tmp}/empty"], "no weights to begin from"),
        (["train", "i3d", *TO, "--set", "width=0"], "width lies above 0"),
        (["evaluate", "usvae", "{tmp}", "--part", "val"], "--part is for classifiers"),
        (["runs", "{tmp}/none"], "there is no folder"),
        (["evaluate", "{tmp}/none", "{tmp}"], "there is no run"),
        (["evaluate", "usvae", "{tmp}/empty"], "none of the known layouts"),
        (["evaluate", "agetransport", "{tmp}"], "cannot be scored here"),
        (["evaluate", "usvae", "{tmp}", "--out", "{tmp}"], "is there already"),
    ],
)
def test_mistakes_end_in_one_line(tmp_path, words, told):
    assert told in refused(words, tmp_path)


def test_a_cohort_from_scans_to_slices_to_a_run(tmp_path):
    from glasslung.data.phantom import draw_cohort, write_cohort

    cohort, slices, run = tmp_path / "c", tmp_path / "slices", tmp_path / "runs" / "small"
    write_cohort(draw_cohort(16, 1), cohort, days=(2.0,), shape=(40, 96, 96))
    done = glasslung_here("prepare", cohort, "--out", slices)
    assert done.returncode == 0, done.stderr
    assert "12 slices of 12 patients" in done.stdout
    assert "left out: 4 other-label; the reasons are in" in done.stdout
    assert "no run in" in glasslung_here("runs", tmp_path).stdout
    command = ["train", "usvae", "--cohort", slices, "--out", run, "--steps", "20", "--device", "cpu"]
    settings = ["net=slim", "likelihood=beta", "kl_schedule=warm-up"]
    done = glasslung_here(*command, "--batch", "4", *(word for one in settings for word in ("--set", one)))
    assert done.returncode == 0, done.stderr
    assert "usvae: 20 steps done" in done.stdout
    listed = glasslung_here("runs", tmp_path / "runs").stdout.splitlines()
    assert listed[0].split()[:3] == ["run", "study", "model"]
    assert listed[1].split()[0] == "small"
    assert "20/20" in listed[1]


def test_a_segmenter_from_slices_to_scores(tmp_path):
    run, out = tmp_path / "run", tmp_path / "scores"
    command = ["train", "unet", "--cohort", write_folder(tmp_path / "set"), "--out", run, *SMALL]
    done = glasslung_here(*command, "--batch", "2", "--augment", "weak")
    assert done.returncode == 0, done.stderr
    assert "unet: 4 steps done" in done.stdout
    training = json.loads((run / "settings.json").read_text())["settings"]["training"]
    assert (training["labelled"], training["unlabelled"], training["healthy"]) == (2, 0, 0)
    assert (training["size"], training["augment"], training["ema"]) == (32, "weak", 0.99)
    done = glasslung_here("evaluate", run, tmp_path / "set", "--out", out)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("The model was trained on 6 of these 6 slices") == 1
    assert "Not a medical device" in done.stdout
    assert f"figures: {out / 'evaluation.json'}" in done.stdout
    assert json.loads((out / "evaluation.json").read_text())["method"] == "unet"


def test_a_batch_has_the_kinds_its_method_learns_from(tmp_path):
    cohort, healthy = write_table(tmp_path / "set"), write_table(tmp_path / "well", 0, 0, 2)
    for model, words, kinds in (
        ("meanteacher", [], (8, 4, 0)),
        ("unet", ["--healthy", healthy, "--ema", "0"], (8, 0, 2)),
        ("unet", ["--batch", "1,2,1"], (1, 2, 1)),
    ):
        run = tmp_path / f"{model}{len(words)}{kinds[0]}"
        done = glasslung_here("train", model, "--cohort", cohort, "--out", run, *SMALL, *words)
        assert done.returncode == 0, done.stderr
        training = json.loads((run / "settings.json").read_text())["settings"]["training"]
        assert (training["labelled"], training["unlabelled"], training["healthy"]) == kinds
        assert training["ema"] == (None if "--ema" in words else 0.99)


def test_a_network_for_whole_scans_from_a_cohort_to_scores(tmp_path):
    run, out = tmp_path / "run", tmp_path / "scores"
    cohort = write_volumes(tmp_path / "set", columns=("lungs",))
    command = ["train", "twopath", "--cohort", cohort, "--out", run, "--steps", "2", "--device", "cpu"]
    own = ["--spacing", "6,5,5", "--box", "16,16,16", "--batch", "1", "--set", "width=0.1"]
    done = glasslung_here(*command, *own)
    assert done.returncode == 0, done.stderr
    assert "twopath: 2 steps done" in done.stdout
    assert "2 of 3 scans have no lesion mask" in done.stdout
    training = json.loads((run / "settings.json").read_text())["settings"]["training"]
    assert training["reads"]["spacing_mm"] == [6.0, 5.0, 5.0] and training["ema"] == 0.99
    assert "2/2" in glasslung_here("runs", tmp_path).stdout
    done = glasslung_here("evaluate", run, cohort, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "The model was trained on 3 of these 3 scans" in done.stdout
    assert "lungs, all voxels together" in done.stdout
    assert (out / "masks" / "s0" / "lungs.nii.gz").is_file()
    told = json.loads((out / "evaluation.json").read_text())
    assert (told["kind"], told["method"]) == ("volumes", "twopath")


def test_a_classifier_from_a_cohort_of_pictures_to_scores(tmp_path):
    folder = write_pictures(tmp_path / "pictures")
    small = ["--size", "32", "--set", "width=8", "--set", "clusters=4", "--device", "cpu", "--cvae", "2"]
    run = ["--cohort", folder, "--out", tmp_path / "run", "--steps", "4", "--look-every", "2"]
    told = glasslung_here("train", "netvlad", *run, *small, "--batch", "4", "--lesions", "none").stdout
    assert "netvlad: 4 steps done" in told
    found = glasslung_here("evaluate", tmp_path / "run", folder, "--out", tmp_path / "scores").stdout
    assert "part 'test' of the table. Left out: train (8), val (4)" in found
    assert "AUC" in found and "sensitivity" in found
    kept = json.loads((tmp_path / "scores" / "evaluation.json").read_text())
    assert kept["kind"] == "diagnosis" and kept["data"]["scans"] == 4
    assert (tmp_path / "scores" / "predictions.csv").read_text().count("\n") == 5


def test_labels_that_look_exchanged_are_told_after_training(tmp_path):
    import numpy as np

    from glasslung.data.formats import write_mask
    from made_volumes import chest, volume_of

    cohort = write_volumes(tmp_path / "set", count=1)
    hu, _, lesions = chest(0)
    swapped = np.array([0, 2, 1, 3], np.uint8)[lesions]
    write_mask(swapped, volume_of(hu), cohort / "s0" / "lesions.nii.gz")
    small = ["--spacing", "6,5,5", "--box", "8,8,8", "--set", "width=2", "--set", "levels=2"]
    done = glasslung_here(
        "train", "unet3d", "--cohort", cohort, "--out", tmp_path / "run", "--steps", "1", *small
    )
    assert done.returncode == 0, done.stderr
    assert "may be exchanged" in done.stdout


def test_a_mask_of_another_scan_ends_in_one_line(tmp_path):
    from glasslung.data.formats import write_mask
    from made_volumes import chest, volume_of

    cohort = write_volumes(tmp_path / "set", count=1)
    hu, lungs, _ = chest(0)
    write_mask(lungs[1:], volume_of(hu[1:]), cohort / "s0" / "lungs.nii.gz")
    words = ["train", "unet3d", "--cohort", "{cohort}", "--out", "{tmp}/run", "--steps", "1"]
    assert "scan 's0': lungs.nii.gz: the mask has" in refused(words, tmp_path, cohort=cohort)


def test_folds_are_trained_told_and_scored_as_one(tmp_path):
    cohort, out = write_patients(tmp_path / "patients", 16, ()), tmp_path / "folds"
    small = ["--steps", "2", "--size", "32", "--set", "width=4", "--set", "stages=2", "--look-every", "2"]
    command = ["train", "slicewise", "--cohort", cohort, "--out", out, *small, "--lesions", "given"]
    done = glasslung_here(*command, "--batch", "2", "--device", "cpu", "--folds", "2")
    assert done.returncode == 0, done.stderr
    assert "fold-01" in done.stdout and "out of fold: AUC" in done.stdout
    done = glasslung_here("evaluate", out, cohort)
    assert done.returncode == 0, done.stderr
    assert "2 folds, one by one" in done.stdout
