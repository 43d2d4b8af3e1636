"""Verbs about many patients."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from verb_process import glasslung_here, one_line, refused


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["phantom", "{tmp}/p", "--disease", "measles"], "covid, bacterial, healthy"),
        (["check", "{tmp}/empty"], "cohort.csv"),
        (["cohort", "{tmp}/empty"], "cage"),
        (["split", "{tmp}/none.csv", "--out", "{tmp}/s.csv"], "none.csv"),
        (["prepare", "{tmp}/empty", "--out", "{tmp}/o"], "none of the known layouts"),
        (["prepare", "{tmp}/none.csv", "--out", "{tmp}/o"], "none.csv"),
        (["prepare", "{course}", "--out", "{tmp}/o", "--lungs", "guess"], "auto, table, found, cut-out"),
    ],
)
def test_mistakes_end_in_one_line(course, tmp_path, words, told):
    assert told in refused(words, tmp_path, course=course)


def test_a_phantom_patient_is_dicom_that_analyze_reads(tmp_path):
    assert glasslung_here("phantom", tmp_path / "p", "--days", "0,6", "--seed", "3").returncode == 0
    folders = sorted((tmp_path / "p").glob("p*"))
    assert len(folders) == 2
    done = glasslung_here("inspect", *folders)
    assert done.returncode == 0, done.stderr
    assert "dicom, hu, " in done.stdout


def test_phantom_options_that_a_cohort_cannot_have(tmp_path):
    told = one_line(glasslung_here("phantom", tmp_path / "c", "--patients", "3", "--disease", "healthy"))
    assert "one patient" in told
    assert not (tmp_path / "c").exists()


def test_a_cohort_from_phantom_to_audit(tmp_path):
    done = glasslung_here("phantom", tmp_path / "c", "--patients", "12", "--days", "2", "--seed", "1")
    assert done.returncode == 0, done.stderr
    done = glasslung_here(
        "split", tmp_path / "c", "--out", tmp_path / "c" / "again.csv", "--train", "0.5", "--val", "0"
    )
    assert done.returncode == 0, done.stderr
    assert "train: 7 scans of 7 patients" in done.stdout
    done = glasslung_here("check", tmp_path / "c", "--out", tmp_path / "audit.json")
    assert done.returncode == 0, done.stderr  # phantoms have no leak and no copy
    audit = json.loads((tmp_path / "audit.json").read_text())
    assert (audit["scans"], audit["patients"]) == (12, 12)


def test_check_fails_on_a_leak(tmp_path):
    rows = ["patient,scan,image,intensity,label,split"]
    for n in range(8):
        grey = np.random.default_rng(n).integers(0, 255, (32, 32), np.uint8)
        Image.fromarray(grey).save(tmp_path / f"{n}.png")
        label, split = "covid" if n < 4 else "healthy", "train" if n % 2 else "test"
        rows.append(f"p{n // 2},s{n},{n}.png,display8,{label},{split}")
    (tmp_path / "cohort.csv").write_text("\n".join(rows) + "\n")
    done = glasslung_here("check", tmp_path)
    assert done.returncode == 1, done.stderr
    assert "patient" in done.stdout
