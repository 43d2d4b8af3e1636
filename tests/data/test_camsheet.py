"""Sheets of maps over days: head up, one scale, warm for the finding, planes of the same heights."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from glasslung.data.camsheet import (
    BAR_PX,
    HEAD_PX,
    HEIGHTS,
    SIDE_PX,
    TILE_PX,
    cam_column,
    cam_sheet,
    laid_over,
)
from glasslung.errors import DataError, ShapeError
from made_volumes import chest, volume_of


def column(heading="day 1", score=2.0, strength=2.0):
    hu, lungs, lesions = chest(0)
    heat = np.where(lesions > 0, strength, 0).astype(np.float32)
    return cam_column(heading, volume_of(hu), lungs, heat, score)


def picture(png):
    return np.asarray(Image.open(io.BytesIO(png)))


def test_a_column_for_each_day_and_a_row_for_each_plane():
    sheet = picture(cam_sheet([column("day 1"), column("day 5", -1.0, -1.0)], 2.0))
    assert sheet.shape == (
        HEAD_PX + (len(HEIGHTS) + 1) * TILE_PX + BAR_PX,
        SIDE_PX + 2 * TILE_PX,
        3,
    )
    one = sheet[HEAD_PX:-BAR_PX, SIDE_PX : SIDE_PX + TILE_PX].astype(int)
    two = sheet[HEAD_PX:-BAR_PX, SIDE_PX + TILE_PX :].astype(int)
    red, blue = one[..., 0] - one[..., 2], two[..., 2] - two[..., 0]
    assert red.max() > 100
    assert 40 < blue.max() < red.max()  # half the log-odds, half the colour
    assert (one[..., 2] - one[..., 0]).max() < 5


def test_planes_run_from_the_head_down_and_the_coronal_one_stands_upright():
    hu, lungs, _ = chest(0)
    heat = np.zeros(hu.shape, np.float32)
    top = np.flatnonzero((lungs > 0).any((1, 2)))[-6:]  # feet first: the last are the apices
    heat[top] = np.where(lungs[top] > 0, 1.0, 0.0)
    found = cam_column("day 1", volume_of(hu), lungs, heat, 1.0)
    assert [one.name for one in found.planes] == ["30% down", "50% down", "70% down", "coronal"]
    loads = [float(one.heat.sum()) for one in found.planes]
    assert loads[0] > 0
    assert loads[2] == 0
    rows = np.flatnonzero(found.planes[3].heat.max(1) > 0.5)
    assert rows.mean() < 0.4 * len(found.planes[3].heat)


def test_a_scan_stored_head_first_gives_the_same_picture():
    hu, lungs, lesions = chest(0)
    heat = np.where(lesions > 0, 1.0, 0).astype(np.float32)
    volume = volume_of(hu)
    affine = volume.affine.copy()
    affine[:3, 3] = affine[:3, 0] * (len(hu) - 1)
    affine[:3, 0] *= -1
    turned = type(volume)(np.ascontiguousarray(hu[::-1]), affine, volume.intensity)
    one = cam_sheet([cam_column("day 1", volume, lungs, heat, 1.0)], 1.0)
    two = cam_sheet([cam_column("day 1", turned, lungs[::-1], heat[::-1], 1.0)], 1.0)
    assert one == two


def test_a_single_slice_has_one_plane():
    hu, lungs, _ = chest(0)
    middle = slice(10, 11)
    one = cam_column("day 1", volume_of(hu[middle]), lungs[middle], np.zeros((1, 40, 44), np.float32), 0.0)
    assert [plane.name for plane in one.planes] == ["50% down"]
    assert picture(cam_sheet([one], 1.0)).shape[0] == HEAD_PX + TILE_PX + BAR_PX


def test_colour_grows_evenly_and_stops_at_the_scale():
    grey = np.zeros((1, 4), np.uint8)
    shown = laid_over(grey, np.array([[0.0, 1.0, 2.0, 4.0]]), 2.0)[0, :, 0].astype(int)
    assert shown[0] == 0
    assert shown[1] == pytest.approx(shown[2] / 2, abs=1)
    assert shown[3] == shown[2]


def test_what_does_not_fit_is_refused():
    hu, lungs, _ = chest(0)
    heat = np.zeros(hu.shape, np.float32)
    with pytest.raises(ShapeError, match="must be alike"):
        cam_column("day 1", volume_of(hu), lungs, heat[1:], 1.0)
    with pytest.raises(DataError, match="no lung"):
        cam_column("day 1", volume_of(hu), 0 * lungs, heat, 1.0)
    with pytest.raises(DataError, match="one day or more"):
        cam_sheet([], 1.0)
    with pytest.raises(DataError, match="above 0"):
        cam_sheet([column()], 0.0)
