"""Opening a segmenter: what its settings say of it, and what cannot be asked about lesions."""

from __future__ import annotations

import json

import pytest
import torch

from glasslung.errors import DataError, UsageError
from glasslung.predict.opening import identity_of, open_segmenter
from glasslung.types import Intensity
from made_segmenters import GreyNet, grey_segmenter, write_run

HU = {"intensity": "hu", "spacing_mm": [2.0, 1.5, 1.5], "window_hu": [-1000, 400]}


def test_a_run_without_a_word_reads_pictures(tmp_path):
    opened = open_segmenter(write_run(tmp_path / "run"))
    assert opened.name == "run" and opened.intensity is Intensity.DISPLAY8
    assert opened.classes == ("none", "ground glass", "consolidation")
    assert (opened.size, opened.one_window, opened.finds_lungs) == (96, False, False)
    told = opened.ask(torch.rand(2, 1, 64, 96))
    assert told.kinds.shape == (2, 3, 64, 96) and told.lung is None
    assert torch.allclose(told.kinds.sum(1), torch.ones(2, 64, 96))


def test_a_run_for_hounsfield_units_with_lungs_and_crazy_paving(tmp_path):
    reads = HU | {"trained_on": "phantoms", "limits": "no children"}
    opened = open_segmenter(write_run(tmp_path / "run", reads, classes=4, lung_weight=1.0))
    assert opened.intensity is Intensity.HU and opened.spacing_mm == (2.0, 1.5, 1.5)
    assert opened.classes[-1] == "crazy paving" and opened.finds_lungs
    assert (opened.told("trained_on"), opened.told("limits"), opened.told("x")) == (
        "phantoms",
        "no children",
        "",
    )
    told = opened.ask(torch.rand(1, 1, 32, 32))
    assert told.kinds.shape == (1, 4, 32, 32) and told.lung.shape == (1, 32, 32)


def test_a_temperature_flattens_and_keeps_the_order():
    image = torch.rand(1, 1, 32, 32)
    sharp = grey_segmenter(model=GreyNet(sure=5.0)).ask(image).kinds
    flat = grey_segmenter(model=GreyNet(sure=5.0), temperature=4.0).ask(image).kinds
    assert torch.allclose(flat, (sharp.log() / 4).softmax(1), atol=1e-5)
    assert flat.max() < sharp.max() and (flat.argmax(1) == sharp.argmax(1)).all()


def test_the_identity_changes_with_the_weights(tmp_path):
    one, other = write_run(tmp_path / "one"), write_run(tmp_path / "other", width=8)
    assert identity_of(str(one)) != identity_of(str(other))
    assert identity_of(str(one)) == identity_of(str(one))


@pytest.mark.parametrize(
    ("which", "error", "words"),
    [
        ("{tmp}/none", UsageError, "there is no run"),
        ("no-such-weights", DataError, "comes with the package"),
        ("usvae", UsageError, "finds no lesions"),
        ("{tmp}", DataError, "is not a run"),
    ],
)
def test_what_is_no_segmenter(tmp_path, which, error, words):
    with pytest.raises(error, match=words):
        open_segmenter(which.format(tmp=tmp_path))


@pytest.mark.parametrize(
    ("reads", "words"),
    [
        ({"intensity": "suv"}, "reads 'suv'"),
        (HU | {"spacing_mm": [2.0, 1.5]}, "spacing_mm"),
        (HU | {"spacing_mm": [2.0, 0.0, 1.5]}, "spacing_mm"),
        (HU | {"window_hu": [400, -1000]}, "window_hu"),
        (HU | {"window_hu": "wide"}, "window_hu"),
    ],
)
def test_settings_that_make_no_sense(tmp_path, reads, words):
    with pytest.raises(DataError, match=words):
        open_segmenter(write_run(tmp_path / "run", reads))


def test_methods_that_need_more_than_a_slice_or_tell_no_kinds(tmp_path):
    with pytest.raises(UsageError, match="2 classes"):
        open_segmenter(write_run(tmp_path / "two", classes=2))
    about = json.loads((write_run(tmp_path / "run") / "settings.json").read_text())
    (tmp_path / "run" / "settings.json").write_text(json.dumps(about | {"model": "infnetclasses"}))
    with pytest.raises(UsageError, match="finds no lesions in single slices"):
        open_segmenter(tmp_path / "run")


def test_a_run_without_weights(tmp_path):
    run = write_run(tmp_path / "run")
    (run / "weights" / "unet.safetensors").unlink()
    with pytest.raises(DataError, match="no weights yet"):
        open_segmenter(run)
