"""Pictures of styles: every slice in three of them, upright, at its own size, and nothing half written."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from glasslung.errors import DataError, UsageError
from glasslung.studies.segmentation.styles import draw_sheets, draw_styles, read_pictures, style_slices
from glasslung.studies.segmentation.training import SegmentJob, SegmentTraining, train_segmenter

TRAINING = SegmentTraining(steps=4, size=32, labelled=2, augment="weak", checkpoint_every=4)
SMALL = {"width": 4, "climb": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four slices of other sizes, as a folder with img/ and multiclass/."""
    rng = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("slices")
    for name in ("img", "multiclass"):
        (root / name).mkdir()
    for n in range(4):
        label = np.zeros((40, 44 + n), np.uint8)
        row, column = rng.integers(5, 20, 2)
        label[row : row + 12, column : column + 12] = 1
        label[row : row + 4, column : column + 4] = 2
        grey = np.array([60, 150, 230])[label] + rng.normal(0, 6, label.shape)
        Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(root / "img" / f"{n}.png")
        Image.fromarray(label).save(root / "multiclass" / f"{n}.png")
    return root


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "stichnet"
    train_segmenter(SegmentJob("stichnet", folder, TRAINING, settings=SMALL), out)
    return out


def test_every_slice_is_drawn_in_every_style(folder, run, tmp_path):
    sheets = draw_styles(run, folder, tmp_path / "out")
    assert [sheet.name for sheet in sheets] == ["styles-1.png"]
    with Image.open(sheets[0]) as sheet:
        assert sheet.width > 1000
    names = {path.name for path in (tmp_path / "out" / "pictures").iterdir()}
    assert names >= {"0-healthy.png", "0-ground-glass.png", "0-consolidation.png", "3-labels.png"}
    with Image.open(tmp_path / "out" / "pictures" / "3-healthy.png") as drawn:
        assert sorted(drawn.size) == [40, 47]
    told = json.loads((tmp_path / "out" / "styles.json").read_text())
    for shares in told["share of the lungs"].values():
        assert sum(shares.values()) == pytest.approx(1, abs=0.01)
    assert isinstance(told["styles"]["collapsed"], bool)
    assert "Research use" in told["disclaimer"]


def test_one_picture_is_enough(folder, run, tmp_path):
    draw_styles(run, folder / "img" / "2.png", tmp_path / "one")
    assert "styles" not in json.loads((tmp_path / "one" / "styles.json").read_text())
    with pytest.raises(UsageError, match="not empty"):
        draw_styles(run, folder, tmp_path / "one")


class Shifted:
    """Styles 20, 40 and 60 greys brighter than the slice; everything is healthy lung."""

    def labels(self, image):
        import torch

        return torch.tensor([0.0, 0, 0, 1]).view(1, 4, 1, 1).expand(len(image), 4, *image.shape[2:])

    def styles(self, image):
        return image.expand(-1, 4, -1, -1)

    def restyle(self, image, style):
        return image + 20 * style / 255


def test_changes_are_added_at_the_slices_own_size(folder):
    slices = read_pictures(folder / "img")
    found, report = style_slices(Shifted(), slices, 32)
    for one, picture in zip(found, slices.pictures, strict=True):
        lighter = one.made["consolidation"].astype(int) - picture
        inside = picture < 255 - 45
        assert np.abs(lighter[inside] - 40).max() <= 1
        assert one.shares["healthy"] == pytest.approx(1)
    assert report is not None and report.collapsed
    assert len(draw_sheets(found * 3)) == 3


def test_what_cannot_be_drawn_is_told(folder, run, tmp_path):
    with pytest.raises(DataError, match="not there"):
        draw_styles(run, tmp_path / "nothing.png", tmp_path / "o")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no picture"):
        draw_styles(run, tmp_path / "empty", tmp_path / "o")
    train_segmenter(SegmentJob("unet", folder, TRAINING, settings=SMALL), tmp_path / "unet")
    with pytest.raises(UsageError, match="has no styles"):
        draw_styles(tmp_path / "unet", folder, tmp_path / "o")
    assert not (tmp_path / "o").exists()
