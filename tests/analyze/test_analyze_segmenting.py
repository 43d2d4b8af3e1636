"""Masks and maps alone: of a scan, a cohort, single slices; going on where it stopped."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

import glasslung.analyze.segmenting as segmenting
import glasslung.predict.opening
from glasslung.analyze.segmenting import SegmentSettings, segment
from glasslung.data.formats import read_mask, read_scan
from glasslung.data.phantom import draw_patient, render
from glasslung.errors import DataError, UsageError
from glasslung.types import Intensity
from made_segmenters import GreyNet, grey_segmenter

ASKED = SegmentSettings("grey")


@pytest.fixture
def greynet(monkeypatch):
    def open_grey(which):
        if "8bit" in str(which):
            return grey_segmenter(Intensity.DISPLAY8, GreyNet(0.28, 0.55))
        return grey_segmenter()

    monkeypatch.setattr(glasslung.predict.opening, "open_segmenter", open_grey)


@pytest.fixture(scope="module")
def slices(tmp_path_factory):
    """A folder with img/ of six slices of a phantom, head to feet, of two sizes."""
    folder = tmp_path_factory.mktemp("slices")
    (folder / "img").mkdir()
    volume = render(draw_patient(4, severity=0.7), 9, shape=(40, 96, 96)).volume
    for n, z in enumerate((30, 26, 22, 18, 14, 10), start=1):
        grey = np.clip((volume.voxels[z].astype(float) + 1106) / 1373 * 255, 0, 255).astype(np.uint8)
        Image.fromarray(grey[: 96 - n % 2]).save(folder / "img" / f"{n}.png")
    return folder


def picture(path):
    with Image.open(path) as image:
        return np.array(image)


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_one_scan_becomes_a_folder_of_masks(course, tmp_path, greynet):
    out = tmp_path / "masks"
    done = segment(course / "day09.nii.gz", out, ASKED)
    assert {p.name for p in out.iterdir()} == {
        "lungs.nii.gz",
        "lesions.nii.gz",
        "infection.nii.gz",
        "overlay.png",
        "segment.json",
    }
    volume = read_scan(course / "day09.nii.gz")
    lesions = read_mask(out / "lesions.nii.gz", volume)
    record = json.loads((out / "segment.json").read_text())
    both = record["regions"][0]
    assert both["lesions"]["all"]["ml"] == pytest.approx(
        np.count_nonzero(lesions) * volume.voxel_ml, abs=0.01
    )
    assert done.records == (record,) and record["lesions"]["trusted"] in (True, False)
    assert picture(out / "overlay.png").shape[1] == 4 * 320


def test_the_same_again_does_nothing_and_another_network_does_it_anew(course, tmp_path, greynet, monkeypatch):
    out = tmp_path / "masks"
    segment(course / "day09.nii.gz", out, ASKED)
    before = contents(out)
    with monkeypatch.context() as patch:
        patch.setattr(segmenting, "make_masks", lambda *_: pytest.fail("segmented again"))
        segment(course / "day09.nii.gz", out, ASKED)
    assert contents(out) == before
    segment(course / "day09.nii.gz", out, SegmentSettings("none"))
    assert {p.name for p in out.iterdir()} == {"lungs.nii.gz", "overlay.png", "segment.json"}


def test_single_slices_become_pictures(slices, tmp_path, greynet):
    out = tmp_path / "masks"
    done = segment(slices, out, SegmentSettings("lesions-8bit"))
    assert len(done.records) == 6 and not done.failed
    for n in range(1, 7):
        shape = picture(slices / "img" / f"{n}.png").shape
        lungs, lesions, infection = (
            picture(out / what / f"{n}.png") for what in ("lungs", "lesions", "infection")
        )
        assert lungs.shape == lesions.shape == infection.shape == shape
        assert set(np.unique(lesions)) <= {0, 1, 2} and not lesions[lungs == 0].any()
        assert ((infection > 128) <= (lesions > 0)).all()
    assert any(picture(out / "lesions" / f"{n}.png").any() for n in range(1, 7))
    rows = list(csv.DictReader((out / "segment.csv").read_text().splitlines()))
    assert [row["scan"] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert all(row["all_ml"] == "" and float(row["all_percent"]) >= 0 for row in rows)
    assert (out / "overlay.png").is_file()


def test_a_stopped_run_goes_on(slices, tmp_path, greynet, monkeypatch):
    whole = tmp_path / "whole"
    segment(slices, whole, SegmentSettings("lesions-8bit"))
    out, real, asked = tmp_path / "out", segmenting.make_masks, []

    def stops(*words):
        asked.append(1)
        if len(asked) == 4:
            raise KeyboardInterrupt
        return real(*words)

    monkeypatch.setattr(segmenting, "make_masks", stops)
    with pytest.raises(KeyboardInterrupt):
        segment(slices, out, SegmentSettings("lesions-8bit"))
    assert len(list((out / "records").iterdir())) == 3
    segment(slices, out, SegmentSettings("lesions-8bit"))
    assert len(asked) == 4 + 3
    assert contents(out) == contents(whole)


def test_a_slice_that_cannot_be_read_does_not_stop_the_others(slices, tmp_path, greynet):
    import shutil

    shutil.copytree(slices, tmp_path / "in")
    (tmp_path / "in" / "img" / "3.png").write_bytes(b"no picture")
    done = segment(tmp_path / "in", tmp_path / "out", SegmentSettings("lesions-8bit"))
    assert list(done.failed) == ["3"] and len(done.records) == 5


def test_the_scans_of_a_cohort(course, tmp_path, greynet):
    rows = ["patient,scan,image,intensity"]
    rows += [f"p1,d{day},{course / f'day{day}.nii.gz'},hu" for day in ("00", "09")]
    (tmp_path / "cohort.csv").write_text("\n".join(rows) + "\n")
    out = tmp_path / "masks"
    done = segment(tmp_path / "cohort.csv", out, ASKED)
    assert [record["scan"] for record in done.records] == ["p1-d00", "p1-d09"]
    assert (out / "p1-d09" / "lesions.nii.gz").is_file() and (out / "segment.csv").is_file()
    early, late = (record["regions"][0]["lesions"]["all"]["percent"] for record in done.records)
    assert late > early


@pytest.mark.parametrize(
    ("source", "settings", "error", "words"),
    [
        ("none", ASKED, UsageError, "does not exist"),
        ("empty", SegmentSettings("grey", slices=True), UsageError, "holds no pictures"),
        ("empty", ASKED, DataError, "empty"),
        ("note.txt", ASKED, DataError, "note.txt"),
        ("dark.png", SegmentSettings("lesions-8bit"), DataError, "dark.png"),
    ],
)
def test_what_cannot_be_segmented_leaves_nothing(tmp_path, greynet, source, settings, error, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "note.txt").write_text("no scan")
    Image.fromarray(np.full((64, 64), 30, np.uint8)).save(tmp_path / "dark.png")
    with pytest.raises(error, match=words):
        segment(tmp_path / source, tmp_path / "out", settings)
    assert not (tmp_path / "out").exists()


def test_somebody_else_s_folder_is_left_alone(course, tmp_path, greynet):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.doc").write_text("precious")
    with pytest.raises(UsageError, match="holds other files"):
        segment(course / "day09.nii.gz", tmp_path / "out", ASKED)
    with pytest.raises(UsageError, match="lies inside"):
        segment(course, course / "out", ASKED)
    assert (tmp_path / "out" / "thesis.doc").read_text() == "precious"


def test_without_a_network_one_must_be_named(course, tmp_path, monkeypatch):
    monkeypatch.setattr(glasslung.predict.opening, "shipped_for", lambda intensity: None)
    with pytest.raises(UsageError, match="no network for grey values hu ships"):
        segment(course / "day09.nii.gz", tmp_path / "out")
    assert not (tmp_path / "out").exists()
