"""`glasslung dicom`, and `analyze --dicom`: results beside the scans, and one line where there are none."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pydicom
import pytest
from verb_process import glasslung_here, one_line

from glasslung.data.formats import DicomLabel, read_mask, read_scan, write_volume
from glasslung.data.phantom import draw_patient, render

PLAIN = ("--segmenter", "none", "--classifier", "none", "--prognosis", "none")


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A phantom's scan as DICOM, and its story with DICOM results in it."""
    root = tmp_path_factory.mktemp("dicom")
    volume = render(draw_patient(4, severity=0.7), 9, shape=(32, 72, 72)).volume
    label = DicomLabel("P001", "GLASSLUNG^PHANTOM", dt.datetime(2020, 3, 1))
    write_volume(volume, root / "scan", label)
    done = glasslung_here("analyze", root / "scan", "--out", root / "story", *PLAIN, "--dicom", cwd=root)
    assert done.returncode == 0, done.stderr
    return root


def test_analyze_writes_results_into_the_story_and_names_nobody_elsewhere(told):
    story = told / "story"
    assert sorted(path.name for path in (story / "dicom").iterdir()) == [
        *("report.dcm", "report.pdf", "scan-01-seg.dcm", "scan-01-sr.dcm"),
    ]
    seg = pydicom.dcmread(story / "dicom" / "scan-01-seg.dcm")
    assert seg.PatientID == "P001"
    scan = read_scan(told / "scan")
    lungs = read_mask(story / "masks/scan-01/lungs.nii.gz", scan)
    assert int(seg.pixel_array[: (lungs == 1).any((1, 2)).sum()].sum()) == int(np.sum(lungs == 1))
    for file in story.rglob("*"):
        if file.is_file() and file.parent.name != "dicom":
            content = file.read_bytes()
            assert b"P001" not in content and b"GLASSLUNG^" not in content, file.name


def test_dicom_writes_the_same_from_the_story_and_the_scan(told, tmp_path):
    done = glasslung_here(
        "dicom", told / "story", "--source", told / "scan", "--out", tmp_path / "out", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    written = sorted((told / "story" / "dicom").iterdir())
    assert [p.name for p in written] == [p.name for p in sorted((tmp_path / "out").iterdir())]
    for path in written:
        assert path.read_bytes() == (tmp_path / "out" / path.name).read_bytes(), path.name


def test_results_of_a_scan_that_is_no_dicom_end_in_one_line(told, course, tmp_path):
    done = glasslung_here(
        "dicom", told / "story", "--source", course / "day09.nii.gz", "--out", tmp_path / "out", cwd=tmp_path
    )
    assert done.returncode == 2 and "no scan was given" in one_line(done)
    done = glasslung_here("dicom", tmp_path, "--source", told / "scan", cwd=tmp_path)
    assert done.returncode == 2 and "story.json" in one_line(done)
    done = glasslung_here("dicom", told / "story", "--source", tmp_path / "none", cwd=tmp_path)
    assert done.returncode == 2 and "no such file" in one_line(done)
    assert list(tmp_path.iterdir()) == []
