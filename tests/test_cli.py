"""The command line as a person meets it: a process, its words, its exit code."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from glasslung import __version__


def glasslung(*words: object, **more) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "glasslung", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **more)


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """The single line of a user's mistake; no traceback, exit code 2."""
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.lstrip()[:1].isdigit()]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("glasslung: ")
    return lines[0]


def test_help_names_every_verb_and_what_this_is_not():
    told = glasslung("--help").stdout
    verbs = {line.split()[1] for line in told.splitlines() if line.startswith("│ ") and line[2:3].isalpha()}
    asked = "analyze forecast inspect report phantom cohort split check prepare train runs study"
    assert set(asked.split()) <= verbs
    assert "not a medical device" in " ".join(told.split())


def test_help_loads_nothing_heavy():
    heavy = "{'numpy', 'scipy', 'SimpleITK', 'pandas', 'matplotlib', 'torch'}"
    probe = f"import sys, glasslung.cli; print(len({heavy} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", probe], text=True).strip() == "0"


def test_version():
    assert glasslung("--version").stdout.strip() == f"glasslung {__version__}"


def test_analyze_tells_the_story_and_draws_the_report(course, tmp_path):
    out = tmp_path / "out"
    done = glasslung(
        "analyze", course / "day00.nii.gz", course / "day09.nii.gz", "--days", "0,9", "--out", out
    )
    assert done.returncode == 0, done.stderr
    assert "scan-02, day 9: lungs" in done.stdout
    assert "Not a medical device" in done.stdout
    assert f"report: {out / 'report.html'}" in done.stdout
    assert {p.name for p in out.iterdir()} == {"findings.csv", "masks", "report.html", "story.json"}
    drawn = (out / "report.html").read_bytes()
    (out / "report.html").unlink()
    assert glasslung("report", out).returncode == 0
    assert (out / "report.html").read_bytes() == drawn


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["analyze", "{tmp}/none"], "does not exist"),
        (["analyze", "{tmp}/empty"], "empty"),
        (["analyze", "{tmp}/note.txt"], "note.txt"),
        (["analyze", "{course}/day00.nii.gz", "--days", "zero"], "numbers with commas"),
        (["analyze", "{course}/day00.nii.gz", "--days", "0,,4"], "numbers with commas"),
        (["analyze", "{course}/day00.nii.gz", "--intensity", "suv"], "hu, display8"),
        (["analyze", "{course}/day00.nii.gz", "--forecast", "{tmp}/none"], "there is no run"),
        (["analyze", "{course}/day00.nii.gz", "--seen", "4"], "--forecast"),
        (["forecast", "{course}/day00.nii.gz", "--run", "{tmp}/none"], "there is no run"),
        (["forecast", "{course}/day00.nii.gz", "--run", "{tmp}/empty"], "is not a run"),
        (["forecast", "{course}/day00.nii.gz", "--run", "usvae"], "carries no lung to another age"),
        (["forecast", "{course}/day00.nii.gz", "--days", "5,x"], "numbers with commas"),
        (["forecast", "{course}/day00.nii.gz", "--days", "5,99"], "0 to 14"),
        (["forecast", "{course}/day00.nii.gz", "--out", "{tmp}"], "holds other files"),
        (["report", "{tmp}/empty"], "story.json"),
        (["phantom", "{tmp}/p", "--disease", "measles"], "covid, bacterial, healthy"),
        (["check", "{tmp}/empty"], "cohort.csv"),
        (["cohort", "{tmp}/empty"], "cage"),
        (["split", "{tmp}/none.csv", "--out", "{tmp}/s.csv"], "none.csv"),
        (["prepare", "{tmp}/empty", "--out", "{tmp}/o"], "none of the known layouts"),
        (["prepare", "{tmp}/none.csv", "--out", "{tmp}/o"], "none.csv"),
        (["prepare", "{course}", "--out", "{tmp}/o", "--lungs", "guess"], "auto, table, found, cut-out"),
        (["train", "gan", "--cohort", "{tmp}/empty", "--out", "{tmp}/o", "--steps", "5"], "usvae, cage"),
        (["train", "usvae", "--cohort", "{tmp}/empty", "--out", "{tmp}/o", "--steps", "50"], "known layouts"),
        (
            ["train", "usvae", "--cohort", "{tmp}", "--out", "{tmp}/o", "--steps", "50", "--seed", "-1"],
            "0 or more",
        ),
        (["runs", "{tmp}/none"], "there is no folder"),
        (["study", "progression", "--cohort", "{tmp}/empty", "--out", "{tmp}/o"], "known layouts"),
        (["study", "progression", "--quick", "--out", "{course}"], "holds no study"),
        (["study", "progression", "--quick", "--out", "{tmp}/note.txt/o"], "cannot be written"),
        (["study", "progression", "--quick", "--out", "{tmp}/o", "--seeds", "0"], "one training at least"),
        (["study", "progression", "--quick", "--out", "{tmp}/o", "--minutes", "0"], "needs some time"),
        (["study", "progression", "--quick", "--out", "{tmp}/o", "--methods", "R9"], "no method 'R9'"),
    ],
)
def test_mistakes_end_in_one_line(course, tmp_path, words, told):
    (tmp_path / "empty").mkdir()
    (tmp_path / "note.txt").write_text("not a scan")
    before = sorted(tmp_path.iterdir())
    done = glasslung(*(word.format(tmp=tmp_path, course=course) for word in words), cwd=tmp_path)
    assert told in one_line(done)
    assert sorted(tmp_path.iterdir()) == before


def test_a_phantom_patient_is_dicom_that_analyze_reads(tmp_path):
    assert glasslung("phantom", tmp_path / "p", "--days", "0,6", "--seed", "3").returncode == 0
    folders = sorted((tmp_path / "p").glob("p*"))
    assert len(folders) == 2
    done = glasslung("inspect", *folders)
    assert done.returncode == 0, done.stderr
    assert "dicom, hu, " in done.stdout


def test_ctrl_c_leaves_a_folder_that_the_next_run_finishes(course, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "glasslung", "analyze", str(course / "day00.nii.gz"), "--out", str(out)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        for line in run.stderr:
            if "lungs" in line:
                break
        time.sleep(0.1)
        run.send_signal(signal.SIGINT)
        told = run.stderr.read()
    assert run.returncode == 130, told
    assert "goes on from here" in told
    assert not [p for p in (out / "masks").rglob("*") if out.exists()]
    assert glasslung(*command[3:]).returncode == 0


def test_a_cohort_from_phantom_to_audit(tmp_path):
    done = glasslung("phantom", tmp_path / "c", "--patients", "12", "--days", "2", "--seed", "1")
    assert done.returncode == 0, done.stderr
    done = glasslung(
        "split", tmp_path / "c", "--out", tmp_path / "c" / "again.csv", "--train", "0.5", "--val", "0"
    )
    assert done.returncode == 0, done.stderr
    assert "train: 7 scans of 7 patients" in done.stdout
    done = glasslung("check", tmp_path / "c", "--out", tmp_path / "audit.json")
    assert done.returncode == 0, done.stderr  # phantoms have no leak and no copy
    audit = json.loads((tmp_path / "audit.json").read_text())
    assert (audit["scans"], audit["patients"]) == (12, 12)


def test_a_cohort_from_scans_to_slices_to_a_run(tmp_path):
    from glasslung.data.phantom import draw_cohort, write_cohort

    cohort, slices, run = tmp_path / "c", tmp_path / "slices", tmp_path / "runs" / "small"
    write_cohort(draw_cohort(16, 1), cohort, days=(2.0,), shape=(40, 96, 96))
    done = glasslung("prepare", cohort, "--out", slices)
    assert done.returncode == 0, done.stderr
    assert "12 slices of 12 patients" in done.stdout
    assert "left out: 4 other-label; the reasons are in" in done.stdout
    assert "no run in" in glasslung("runs", tmp_path).stdout
    command = ["train", "usvae", "--cohort", slices, "--out", run, "--steps", "20", "--device", "cpu"]
    settings = ["net=slim", "likelihood=beta", "kl_schedule=warm-up"]
    done = glasslung(*command, "--batch", "4", *(word for one in settings for word in ("--set", one)))
    assert done.returncode == 0, done.stderr
    assert "usvae: 20 steps done" in done.stdout
    listed = glasslung("runs", tmp_path / "runs").stdout.splitlines()
    assert listed[0].split()[:3] == ["run", "study", "model"]
    assert listed[1].split()[0] == "small"
    assert "20/20" in listed[1]


def test_check_fails_on_a_leak(tmp_path):
    rows = ["patient,scan,image,intensity,label,split"]
    for n in range(8):
        grey = np.random.default_rng(n).integers(0, 255, (32, 32), np.uint8)
        Image.fromarray(grey).save(tmp_path / f"{n}.png")
        label, split = "covid" if n < 4 else "healthy", "train" if n % 2 else "test"
        rows.append(f"p{n // 2},s{n},{n}.png,display8,{label},{split}")
    (tmp_path / "cohort.csv").write_text("\n".join(rows) + "\n")
    done = glasslung("check", tmp_path)
    assert done.returncode == 1, done.stderr
    assert "patient" in done.stdout


def test_inspect_goes_on_after_a_scan_that_cannot_be_read(course, tmp_path):
    (tmp_path / "bad.nii.gz").write_bytes(b"\x1f\x8b broken")
    done = glasslung("inspect", tmp_path / "bad.nii.gz", course / "day00.nii.gz")
    assert "bad.nii.gz" in one_line(done)
    assert "day00.nii.gz: nifti, hu, 40 x 96 x 96 voxels" in done.stdout


def test_phantom_options_that_a_cohort_cannot_have(tmp_path):
    told = one_line(glasslung("phantom", tmp_path / "c", "--patients", "3", "--disease", "healthy"))
    assert "one patient" in told
    assert not (tmp_path / "c").exists()
