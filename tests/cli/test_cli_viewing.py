"""`glasslung view`: a server that can be asked, mistakes told in one line; scans kept by `analyze`."""

import re
import subprocess
import sys
import urllib.request

import numpy as np
import pytest
from typer.testing import CliRunner

from glasslung.analyze import MaskMaking, PrognosisSettings, Settings, analyze
from glasslung.cli import app
from glasslung.data import results
from glasslung.data.corrections import keep_correction
from glasslung.data.formats import read_mask, read_scan
from glasslung.errors import GlasslungError
from glasslung.types import Lesion
from made_views import write_made_story

PLAIN = {"classifier": "none", "prognosis": PrognosisSettings("none")}


def test_a_scan_is_served_until_it_is_stopped(course):
    command = [sys.executable, "-m", "glasslung", "view", str(course / "day09.nii.gz"), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        said = run.stdout.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+/", said).group()
        with urllib.request.urlopen(address + "view.json", timeout=60) as answer:
            assert b'"canSave":false' in answer.read()
        run.terminate()
        told = run.stderr.read()
    assert run.returncode == 130 and "Traceback" not in told


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["{tmp}/none"], "does not exist"),
        (["{tmp}/story"], "--scan SCAN"),
        (["{tmp}/story", "--scan", "{tmp}/none"], "does not exist"),
        (["{tmp}/story", "--port", "99999"], "65535"),
        (["{tmp}/note.txt"], "note.txt"),
    ],
)
def test_mistakes_are_told(tmp_path, more, said):
    write_made_story(tmp_path / "story", keep=False)
    (tmp_path / "note.txt").write_text("no scan")
    asked = [one.format(tmp=tmp_path) for one in more]
    with pytest.raises(GlasslungError, match=said):
        CliRunner().invoke(app, ["view", *asked, "--no-browser"], catch_exceptions=False)


def test_a_kept_scan_is_corrected_and_analysed_again(course, tmp_path):
    source, out = course / "day09.nii.gz", tmp_path / "story"
    story = analyze([source], out, Settings(masks=MaskMaking("none"), keep_scan=True, **PLAIN))
    copy, scan = read_scan(out / "masks" / "scan-01" / "scan.nii.gz"), read_scan(source)
    assert np.array_equal(copy.voxels, scan.voxels) and copy.affine == pytest.approx(scan.affine)
    redrawn = np.where(read_mask(out / story.scans[0].masks["lungs"], scan) == 1, Lesion.CRAZY_PAVING, 0)
    kept = keep_correction(out, story.scans[0], redrawn.astype(np.uint8), "A", "")
    again = analyze([source], tmp_path / "again", Settings(masks=MaskMaking(lesions=(kept.path,)), **PLAIN))
    found = again.scans[0]
    assert found.origin.lesions == "given"
    assert found.region("right lung").lesions["crazy paving"].percent == pytest.approx(100, abs=0.01)
    assert not (tmp_path / "again" / "masks" / "scan-01" / "scan.nii.gz").exists()
    (out / "story.json").unlink()  # as in an analysis that was killed: corrections are no stranger's files
    results.check_output(out, [source])
