"""Corrected stories as a cohort, and a network that learns from it."""

import shutil

import numpy as np
import pytest

from glasslung.data.cohort import read_cohort
from glasslung.data.corrections import keep_correction
from glasslung.data.sources import detect_source, open_cohort
from glasslung.data.story import read_story
from glasslung.data.volumecohort import read_labelled_scan
from glasslung.errors import DataError
from made_views import drawn, write_made_story


def correct(story, n, who="A"):
    """Scan n's lesions, all called crazy paving."""
    mask = (3 * (drawn(n)[2] > 0)).astype(np.uint8)
    return keep_correction(story, read_story(story).scans[n], mask, who, "lesions")


@pytest.fixture
def folder(tmp_path):
    """Two stories of one patient, as they share a scan; one of them corrected twice."""
    write_made_story(tmp_path / "here")
    correct(tmp_path / "here", 1)
    correct(tmp_path / "here", 2)
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    correct(tmp_path / "there", 2, "B")
    return tmp_path


def test_corrected_scans_alone_with_their_latest_mask(folder):
    assert detect_source(folder) == "stories"
    cohort = open_cohort(folder)
    assert [(case.scan, case.extra["corrected_by"]) for case in cohort.cases] == [
        ("here-scan-02", "A"),
        ("there-scan-03", "B"),
    ]
    assert {case.patient for case in cohort.cases} == {"here"}  # the stories share scans
    assert "2 scan(s) without a correction" in cohort.note
    labelled = read_labelled_scan(cohort, cohort.cases[0])
    assert np.array_equal(labelled.lesions, 3 * (drawn(1)[2] > 0))
    assert np.array_equal(labelled.volume.voxels, drawn(1)[0].voxels)


def test_stories_without_corrections_or_copies_are_told(tmp_path):
    write_made_story(tmp_path / "one", keep=False)
    with pytest.raises(DataError, match="no corrected scan"):
        open_cohort(tmp_path)
    correct(tmp_path / "one", 0)
    with pytest.raises(DataError, match="glasslung view"):
        open_cohort(tmp_path / "one")


def test_the_two_commands_that_learn_from_corrections(folder, monkeypatch):
    from typer.testing import CliRunner

    from glasslung.cli import app

    table, run = folder / "corrected.csv", folder / "run"
    done = CliRunner().invoke(app, ["cohort", str(folder), "--out", str(table)], catch_exceptions=False)
    assert done.exit_code == 0 and "2 scans of 1 patients" in done.output
    assert [case.lesions is not None for case in read_cohort(table).cases] == [True, True]
    tiny = ["--set", "width=4", "--set", "levels=3", "--box", "16,16,16", "--spacing", "6,5,5"]
    asked = ["train", "unet3d", "--cohort", str(table), "--out", str(run), "--steps", "1", "--batch", "1"]
    done = CliRunner().invoke(app, [*asked, *tiny], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert (run / "weights" / "unet3d.safetensors").is_file()
