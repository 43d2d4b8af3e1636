"""A classifier that reads the whole body, in a story: one network, and the folds of a cross-validation."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from glasslung.analyze import MaskMaking, Settings, analyze
from glasslung.data.formats import write_mask, write_volume
from glasslung.data.phantom import draw_patient, render
from glasslung.data.story import read_story
from glasslung.files import write_json
from glasslung.predict.folds import FOLDS, FORMAT
from glasslung.predict.operating import OPERATING
from glasslung.report.page import write_report
from made_classifiers import told, write_classifier

READS = {"lesions_by": "none", "frame": "body"}
TINY = {"width": 0.125, "depth": 8}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    truth = render(draw_patient(4, severity=0.7), 9, shape=(40, 96, 96))
    write_volume(truth.volume, folder / "scan.nii.gz")
    write_mask(truth.lungs, truth.volume, folder / "lungs.nii.gz")
    return folder


@pytest.fixture(scope="module")
def folds(tmp_path_factory) -> Path:
    """Two tiny networks as they are drawn, as cross-validation leaves them."""
    folder = tmp_path_factory.mktemp("folds")
    for seed in range(2):
        write_classifier(folder / f"fold-0{seed}", "i3d", TINY, reads=READS)
    write_json(folder / OPERATING, told(familiar=None, reads=READS))
    lines = [{"folder": f"fold-0{n}", "scans": 4, "auc": 0.5} for n in range(2)]
    write_json(folder / FOLDS, {"format": FORMAT, "model": "i3d", "folds": lines, "best": "fold-01"})
    return folder


@pytest.mark.parametrize("which", ["fold-00", ""])
def test_a_story_tells_what_it_saw_and_where_without_lesions_being_drawn(drawn, folds, tmp_path, which):
    masks = MaskMaking("none", lungs=(drawn / "lungs.nii.gz",))
    out = tmp_path / "out"
    story = analyze([drawn / "scan.nii.gz"], out, Settings(masks=masks, classifier=str(folds / which)))
    said = story.scans[0].diagnosis
    assert read_story(out) == story and said.explanation.method == "Grad-CAM"
    assert said.explanation.error is None and "whole body" in said.shown
    heat = np.asarray(nibabel.load(out / said.explanation.map).dataobj)
    assert heat.shape == (96, 96, 40) and np.isfinite(heat).all() and np.abs(heat).max() > 0
    page = write_report(out).read_text()
    assert "saw the whole body between -1350 and 150 HU" in page
    assert "its values are no parts of the log-odds" in page and "of which only the outline" not in page
