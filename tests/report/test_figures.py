"""Figures: the pictures show what the preview holds."""

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from glasslung.data.preview import (
    AS_STORED,
    LUNG_WINDOW,
    SOFT_TISSUE_WINDOW,
    Plane,
    View,
    make_preview,
)
from glasslung.data.previewfile import read_preview, write_preview
from glasslung.report.figures import LESION_RGB, caption, picture, same_again, windowed
from glasslung.types import Lesion, Lung, Lungs, MaskQuality

HU = (LUNG_WINDOW, SOFT_TISSUE_WINDOW)


@pytest.fixture
def view() -> View:
    """An axial plane 60 x 80, 2 mm pixels: two lungs, a ground-glass square in the right one."""
    lungs = np.zeros((60, 80), np.uint8)
    lungs[10:50, 10:35], lungs[10:50, 45:70] = Lung.RIGHT, Lung.LEFT
    opacities = np.zeros_like(lungs)
    opacities[30:40, 15:25] = Lesion.GROUND_GLASS
    grey = np.where(lungs > 0, -850, 40).astype(np.int16)
    return View(Plane.AXIAL, grey, lungs, opacities, 2.0, -42.0, 231, 300, "upper")


def images(page: str) -> dict[str, np.ndarray]:
    """Class -> picture (RGBA) of every image in an SVG."""
    found = {}
    for element in re.findall(r"<image [^>]*>", page):
        data = re.search(r'href="data:image/\w+;base64,([^"]+)"', element)[1]
        name = re.search(r'class="([^"]+)"', element)[1]
        found[name] = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA"))
    return found


@pytest.mark.parametrize("window", [*HU, AS_STORED])
def test_a_window_is_what_its_definition_says(window):
    for value in (-3000, -1350, -600, -1, 0, 40, 100, 239, 255, 3000):
        share = (value - (window.level - window.width / 2)) / window.width
        shown = windowed(np.array([[value]], np.int16), window)[0, 0]
        assert shown == pytest.approx(255 * min(max(share, 0), 1), abs=0.51)


def test_each_window_is_there_and_shows_its_grey_values(view):
    layers = images(picture(view, HU, "p"))
    for name, window in (("w-lung", LUNG_WINDOW), ("w-soft-tissue", SOFT_TISSUE_WINDOW)):
        shown = layers[name][..., 0].astype(int)
        assert np.abs(shown - windowed(view.grey, window)).mean() < 4  # lossy at the lungs' sharp edges
        assert np.abs(shown - windowed(view.grey, window))[20:40, 50:60].max() < 4


def test_the_overlay_colours_the_opacity_and_nothing_else(view):
    overlay = images(picture(view, HU, "p"))["opacity"]
    assert np.array_equal(overlay[..., 3] > 0, view.opacities > 0)
    assert tuple(overlay[35, 20, :3]) == LESION_RGB[Lesion.GROUND_GLASS]


def test_the_outline_runs_along_the_edge_of_the_lungs(view):
    page = picture(view, HU, "p")
    paths = re.findall(r'<path d="([^"]+)" class="outline">', page)
    assert len(paths) == 2
    points = np.array(
        [[float(n) for n in pair.split(",")] for pair in re.findall(r"[\d.]+,[\d.]+", paths[0])]
    )
    assert points.min(axis=0) == pytest.approx([10, 10], abs=0.6)
    assert points.max(axis=0) == pytest.approx([35, 50], abs=0.6)


def test_sides_and_scale_are_marked_only_where_the_file_tells_them(view):
    page = picture(view, HU, "p")
    assert re.findall(r">([^<]+)</text>", page) == ["R", "L", "5\u00a0cm"]
    start, end = re.search(r'd="M([\d.]+),[\d.]+H([\d.]+)" class="scale"', page).groups()
    assert (float(end) - float(start)) * view.pixel_mm == pytest.approx(50.0, abs=0.3)
    assert "<text" not in picture(replace(view, pixel_mm=None, position_mm=None), HU, "p")
    side = picture(replace(view, plane=Plane.SAGITTAL, where="right lung"), HU, "p")
    assert re.findall(r">([^<]+)</text>", side)[:2] == ["A", "P"]


def test_captions_and_labels_tell_the_plane(view):
    assert caption(view) == ("Slice 231 of 300", "upper third, z\u00a0\u221242\u00a0mm")
    assert caption(replace(view, plane=Plane.CORONAL, where=""))[0] == "Coronal"
    assert caption(replace(view, position_mm=None, where="")) == ("Slice 231 of 300", "")
    assert 'aria-label="Slice 231 of 300, upper third' in picture(view, HU, "p")
    assert "no opacity found" in picture(replace(view, opacities=np.zeros_like(view.opacities)), HU, "p")


def test_planes_in_one_frame_have_one_scale(view):
    finer = replace(view, pixel_mm=1.0)
    for shown in (view, finer):
        box = re.search(r'viewBox="([^"]+)"', same_again(shown, "p", (160.0, 200.0)))[1]
        x, y, wide, tall = (float(n) for n in box.split())
        assert (wide * shown.pixel_mm, tall * shown.pixel_mm) == pytest.approx((200.0, 160.0))
        assert (x + wide / 2, y + tall / 2) == pytest.approx((40.0, 30.0), abs=0.1)


@pytest.mark.real
def test_a_real_chest_stands_upright(real, tmp_path):
    """By the reference mask the right lung is on the picture's left; bone lies behind, the apex on top."""
    from glasslung.data.formats import read_scan

    volume = read_scan(real / "chest_ct_hu" / "lung1-001_ct.nii.gz")
    given = read_scan(real / "chest_ct_hu" / "lung1-001_mask.nii.gz", intensity=volume.intensity)
    mask = np.where(given.voxels < 3, given.voxels, 0).astype(np.uint8)
    write_preview(make_preview(volume, Lungs(mask, MaskQuality(True, 1.0)), None), tmp_path / "p.npz")
    preview = read_preview(tmp_path / "p.npz")
    axial, coronal = preview.views[4], preview.views[8]
    assert (axial.plane, coronal.plane) == (Plane.AXIAL, Plane.CORONAL)
    for shown in (axial, coronal):
        right, left = (np.nonzero(shown.lungs == lung)[1].mean() for lung in (Lung.RIGHT, Lung.LEFT))
        assert right < left
    spine_half = windowed(axial.grey, SOFT_TISSUE_WINDOW)[-axial.grey.shape[0] // 3 :]
    front_half = windowed(axial.grey, SOFT_TISSUE_WINDOW)[: axial.grey.shape[0] // 3]
    assert (spine_half > 250).sum() > (front_half > 250).sum()  # more bone behind than in front
    assert (coronal.lungs > 0)[: coronal.lungs.shape[0] // 4].sum() < (coronal.lungs > 0)[
        coronal.lungs.shape[0] // 4 : coronal.lungs.shape[0] // 2
    ].sum()  # narrow at the apex
