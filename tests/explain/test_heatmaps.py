"""Maps to look at: their sum is kept, they lie where relevance lies, and files give them back."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest

from glasslung.data.boxgrid import BoxGrid
from glasslung.data.exams import Exam
from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.explain import heatmaps
from glasslung.explain.lrp import Relevance
from glasslung.predict.exams import make_exam
from glasslung.types import Intensity, Volume


def made_exam(slices=5, size=32):
    """Lungs are a disc, brighter where there is a lesion."""
    y, x = np.mgrid[:size, :size]
    disc = np.broadcast_to(
        (y - size / 2) ** 2 + (x - size / 2) ** 2 < (0.4 * size) ** 2, (slices, size, size)
    )
    lesions = np.zeros((slices, size, size), np.uint8)
    lesions[1:3, 10:15, 16:22] = 1
    image = np.where(disc, np.where(lesions > 0, 180, 60), 0).astype(np.uint8)
    lungs = np.where(disc, np.where(x < size / 2, 1, 2), 0).astype(np.uint8)
    grid = BoxGrid((slice(0, slices), slice(0, size), slice(0, size)), (slices, size, size))
    return Exam(image, lungs, lesions, (3.0, 2.0, 2.0), grid, Intensity.HU)


def relevance_of(exam, values, shown=None):
    zero = np.zeros(exam.image.shape, np.float32)
    shown = np.arange(len(exam)) if shown is None else shown
    return Relevance(values.astype(np.float32), zero, 1.0, "conserving", (), shown)


def test_smoothing_keeps_the_sum_and_the_place():
    exam = made_exam()
    point = np.zeros(exam.image.shape)
    point[2, 16, 12] = 3.0
    wide = heatmaps.smoothed(point, exam)
    assert wide.sum() == pytest.approx(3.0, rel=1e-3)
    assert np.unravel_index(wide.argmax(), wide.shape) == (2, 16, 12)
    assert not wide[[0, 1, 3, 4]].any()
    rows = np.arange(32) - 16
    spread_mm = 2.0 * np.sqrt((wide[2].sum(1) * rows**2).sum() / wide.sum())
    assert spread_mm == pytest.approx(heatmaps.SIGMA_MM, rel=0.05)
    assert np.array_equal(heatmaps.smoothed(point, exam, 0.0), point.astype(np.float32))


def test_slices_that_were_not_shown_look_like_their_neighbour():
    exam = made_exam()
    values = np.zeros(exam.image.shape)
    values[0], values[4] = 1.0, -1.0
    seen = heatmaps.shown_map(relevance_of(exam, values, np.array([0, 4])), exam, 0.0)
    assert np.sign(seen[:, 16, 16]).tolist() == [1, 1, 1, -1, -1]


def test_a_map_comes_back_to_the_scan_and_out_of_its_file(tmp_path, chest):
    volume, lungs = chest
    exam = make_exam(volume, lungs, np.zeros_like(lungs), 32)
    values = np.where(exam.lungs == 1, 1.0, np.where(exam.lungs == 2, -0.25, 0.0))
    on_scan = heatmaps.scan_map(relevance_of(exam, values), exam, volume, 0.0)
    assert on_scan.shape == volume.shape
    assert np.median(on_scan[lungs == 1]) == pytest.approx(1.0)
    assert np.median(on_scan[lungs == 2]) == pytest.approx(-0.25)
    heatmaps.write_relevance(on_scan, volume, tmp_path / "relevance.nii.gz")
    back = np.asarray(nibabel.load(tmp_path / "relevance.nii.gz").dataobj).transpose(2, 1, 0)
    np.testing.assert_allclose(back, on_scan, atol=1 / 32767)
    heatmaps.write_relevance(np.zeros(volume.shape), volume, tmp_path / "none.nii")


@pytest.fixture
def chest():
    lungs = np.zeros((6, 24, 24), np.uint8)
    lungs[:, 6:18, 3:10], lungs[:, 6:18, 13:20] = 1, 2
    voxels = np.where(lungs > 0, -800, 40).astype(np.int16)
    return Volume(voxels, np.diag([4.0, 8.0, 8.0, 1.0]), Intensity.HU), lungs


def test_an_overlay_shows_the_strongest_slices_in_two_colours():
    exam = made_exam()
    values = np.zeros(exam.image.shape)
    values[1, 10:15, 16:22], values[3, 16:20, 8:12] = 1.0, -2.0
    picture = heatmaps.overlay_slices(exam, values, 2)
    assert picture.dtype == np.uint8
    assert picture.shape == (heatmaps.TILE_PX + heatmaps.STRIP_PX, 2 * heatmaps.TILE_PX, 3)
    left, right = picture[:288, :288].astype(int), picture[:288, 288:].astype(int)
    assert (left[..., 2] - left[..., 0]).max() > 100  # slice 3, nearer the head, is shown first: blue
    assert (right[..., 0] - right[..., 2]).max() > 100  # slice 1: orange
    assert heatmaps.overlay_slices(exam, np.zeros_like(values), 8).shape[1] == 4 * heatmaps.TILE_PX


def test_what_does_not_fit_is_refused(tmp_path, chest):
    exam, (volume, _) = made_exam(), chest
    with pytest.raises(ShapeError, match="give one for each slice"):
        heatmaps.smoothed(np.zeros((1, 2, 3)), exam)
    with pytest.raises(ShapeError, match="give one for each slice"):
        heatmaps.overlay_slices(exam, np.zeros((1, 2, 3)))
    with pytest.raises(UsageError, match="negative"):
        heatmaps.smoothed(np.zeros(exam.image.shape), exam, -1.0)
    with pytest.raises(UsageError, match="at least one slice"):
        heatmaps.overlay_slices(exam, np.zeros(exam.image.shape), 0)
    with pytest.raises(UsageError, match=r"\.nii\.gz"):
        heatmaps.write_relevance(np.zeros(volume.shape), volume, tmp_path / "map.png")
    with pytest.raises(ShapeError, match="on its grid"):
        heatmaps.write_relevance(np.zeros((1, 2, 3)), volume, tmp_path / "map.nii")
    with pytest.raises(DataError, match="no numbers"):
        heatmaps.write_relevance(np.full(volume.shape, np.nan), volume, tmp_path / "map.nii")
