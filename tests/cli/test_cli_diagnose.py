"""`glasslung diagnose` as a person types it: the answer, what it stands on, what cannot be asked."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from verb_process import glasslung_here, refused

from glasslung.data.formats import read_scan, write_mask, write_volume
from glasslung.data.phantom import draw_patient, render
from glasslung.types import Intensity, Volume
from made_classifiers import write_classifier

SMALL = (40, 96, 96)
FLAT = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1.0]])


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Scans and masks to ask about, and classifiers of both kinds of grey values."""
    folder = tmp_path_factory.mktemp("made")
    truth = render(draw_patient(4, severity=0.7), 9, shape=SMALL)
    volume = truth.volume
    write_volume(volume, folder / "scan.nii.gz")
    write_mask(truth.lungs, volume, folder / "lungs.nii.gz")
    write_mask(truth.lesions, volume, folder / "lesions.nii.gz")
    write_mask(np.zeros(SMALL, np.uint8), volume, folder / "none.nii.gz")
    half = Volume(volume.voxels[:20].copy(), FLAT, Intensity.HU)
    write_mask(np.ones(half.shape, np.uint8), half, folder / "half.nii.gz")
    solid = np.where(truth.lungs > 0, 40, volume.voxels).astype(np.int16)
    solid[:, 20:70, 15:80] = np.maximum(solid[:, 20:70, 15:80], 40)  # no gas in the airways either
    write_volume(Volume(solid, volume.affine, Intensity.HU), folder / "belly.nii.gz")
    one = Volume(volume.voxels[20:21].copy(), volume.affine, Intensity.HU)
    write_volume(one, folder / "one.nii.gz")
    holes = nibabel.load(folder / "scan.nii.gz")
    voxels = holes.get_fdata().astype(np.float32)
    voxels[40:50, 40:50, 20] = np.nan
    nibabel.save(nibabel.Nifti1Image(voxels, holes.affine), folder / "nan.nii.gz")
    (folder / "note.txt").write_text("no scan")
    write_classifier(folder / "vlad", "netvlad")
    write_classifier(folder / "of-pictures", reads={"intensity": "display8"})
    write_classifier(folder / "unread")
    (folder / "unread" / "weights" / "operating.json").unlink()
    return folder


ASK = ("--classifier", "{made}/vlad", "--lungs", "{made}/lungs.nii.gz", "--lesions", "{made}/lesions.nii.gz")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["{made}/absent", *ASK], "does not exist"),
        (["{made}/note.txt", *ASK], "note.txt"),
        (["{made}/nan.nii.gz", *ASK], "no numbers"),
        (["{made}/belly.nii.gz", "--classifier", "{made}/vlad", "--segmenter", "lesions-hu"], "o lung"),
        (["{made}/scan.nii.gz", *ASK[:2], "--lesions", "{made}/half.nii.gz"], "geometry"),
        (["{made}/scan.nii.gz", *ASK[:2], "--lesions", "{made}/absent"], "--lesions"),
        (["{made}/scan.nii.gz", *ASK[:2], "--lungs", "{made}/none.nii.gz"], "none.nii.gz"),
        (["{made}/scan.nii.gz", *ASK[:2], "--segmenter", "none"], "goes by lesions"),
        (["{made}/scan.nii.gz", "--classifier", "none"], "no classifier was to be asked"),
        (["{made}/scan.nii.gz", "--classifier", "{made}/absent"], "there is no run"),
        (["{made}/scan.nii.gz", "--classifier", "{made}"], "is not a run"),
        (["{made}/scan.nii.gz", "--classifier", "lesions-hu"], "classifies no scans"),
        (["{made}/scan.nii.gz", "--classifier", "{made}/unread", *ASK[4:]], "operating.json"),
        (["{made}/scan.nii.gz", "--classifier", "{made}/of-pictures", *ASK[4:]], "reads display8"),
        (["{made}/scan.nii.gz", *ASK, "--out", "{made}"], "holds other files"),
        (["{made}/scan.nii.gz", *ASK[:2], "--lesion-labels", "1=ground glass"], "--lesions FILE"),
    ],
)
def test_what_cannot_be_asked_ends_in_one_line(made, tmp_path, words, told):
    assert told in refused(["diagnose", *words], tmp_path, made=made)


def test_the_answer_never_stands_alone(made, tmp_path):
    out = tmp_path / "out"
    words = [word.format(made=made) for word in ASK]
    done = glasslung_here("diagnose", made / "scan.nii.gz", *words, "--out", out)
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    text = " ".join(rest).replace("\u00a0", " ")
    assert first.startswith("COVID-19 ")
    assert "%; with confidence: " in first.replace("\u00a0", "")
    for part in (
        "validation scans with the nearest figures",
        "operating point (Youden on validation)",
        "training scans",
        "temperature 2.00",
        "of the relevance for COVID-19 lies in lesions",
        "It learned from phantom chests.",
        "no clinical instrument",
        "Not a medical device",
        "given by hand or another program, and it learned with those of lesions-hu",
    ):
        assert part in text, part
    assert {path.name for path in out.iterdir()} == {"diagnosis.json", "relevance.nii.gz", "overlay.png"}
    record = json.loads((out / "diagnosis.json").read_text())
    assert record["lesions by"] == "given" and record["diagnosis"]["explanation"]["error"] < 0.01


def test_a_mask_without_any_lesion_and_a_single_slice_are_asked_and_doubted(made, tmp_path):
    empty = [word.format(made=made) for word in (*ASK[:4], "--lesions", "{made}/none.nii.gz")]
    done = glasslung_here("diagnose", made / "scan.nii.gz", *empty, "--no-explain")
    assert done.returncode == 0, done.stderr
    assert (
        "doubt: The mask of lesions that was given is empty" in done.stdout and "relevance" not in done.stdout
    )
    one = read_scan(made / "one.nii.gz")
    write_mask((one.voxels < -500).astype(np.uint8), one, tmp_path / "marked.nii.gz")
    words = ("--classifier", made / "vlad", "--lesions", tmp_path / "marked.nii.gz", "--no-explain")
    done = glasslung_here("diagnose", made / "one.nii.gz", *words)
    assert done.returncode == 0, done.stderr
    assert "doubt: It is one slice" in done.stdout


def test_analyze_asks_too_and_says_so(made, tmp_path):
    words = [word.format(made=made) for word in ASK]
    done = glasslung_here("analyze", made / "scan.nii.gz", *words, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "by vlad; with confidence: " in done.stdout
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Is it COVID-19?" in page and 'class="heat"' in page
