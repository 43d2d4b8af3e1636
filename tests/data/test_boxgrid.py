"""The network's grid: boxes, averages, and the way back."""

from __future__ import annotations

import numpy as np
import pytest

from glasslung.data import boxgrid
from glasslung.errors import UsageError

BOX = (slice(2, 12), slice(4, 20), slice(0, 9))


def test_the_box_around_a_mask_holds_it_and_a_margin():
    mask = np.zeros((20, 20, 20), bool)
    mask[5:7, 0:2, 12] = True
    assert boxgrid.box_around(mask, (1.0, 2.0, 4.0), 3.0) == (slice(2, 10), slice(0, 4), slice(11, 14))
    assert boxgrid.box_around(mask & False, (1, 1, 1), 3.0) is None


def test_the_grid_s_voxels_come_nearest_to_the_target():
    grid = boxgrid.grid_over(BOX, (3.0, 0.7, 0.7), (2.0, 2.0, 2.0))
    assert grid.size == (10, 16, 9) and grid.shape == (15, 6, 3)
    assert boxgrid.grid_over(BOX, (0.01, 1, 1), (2.0, 2.0, 20.0)).shape == (1, 8, 1)


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_averages_are_by_area_and_slabs_do_not_matter(rows):
    voxels = np.random.default_rng(0).integers(-1000, 1000, (14, 22, 10)).astype(np.int16)
    grid = boxgrid.BoxGrid(BOX, (5, 4, 3))
    slow = voxels[BOX].reshape(5, 2, 4, 4, 3, 3).mean((1, 3, 5))
    np.testing.assert_allclose(boxgrid.to_grid(voxels, grid, rows), slow, atol=1e-3)


def test_a_ramp_stays_a_ramp_when_voxels_shrink():
    z = np.arange(14, dtype=np.float32)[:, None, None] * np.ones((1, 22, 10), np.float32)
    found = boxgrid.to_grid(z, boxgrid.BoxGrid(BOX, (20, 8, 3)))
    wanted = np.clip(2 + (np.arange(20) + 0.5) / 2 - 0.5, 2, 11)
    np.testing.assert_allclose(found[:, 0, 0], wanted, atol=1e-5)


def test_labels_go_there_and_back():
    labels = np.random.default_rng(1).integers(0, 4, (14, 22, 10)).astype(np.uint8)
    fine = boxgrid.BoxGrid(BOX, (20, 32, 27))
    there = boxgrid.labels_to_grid(labels, fine)
    assert there.shape == fine.shape
    for run in boxgrid.slabs(10, 4):
        back = boxgrid.labels_from_grid(there, fine, run)
        assert (back == labels[BOX][run]).all()


def test_maps_come_back_linearly_and_slabs_do_not_matter():
    maps = np.random.default_rng(2).random((2, 5, 4, 3)).astype(np.float16)
    grid = boxgrid.BoxGrid(BOX, (5, 4, 3))
    whole = boxgrid.maps_from_grid(maps, grid, slice(0, 10))
    parts = [boxgrid.maps_from_grid(maps, grid, run) for run in boxgrid.slabs(10, 3)]
    np.testing.assert_allclose(np.concatenate(parts, 1), whole, atol=1e-6)
    from scipy import ndimage

    z, y, x = (
        np.clip((np.arange(n) + 0.5) * m / n - 0.5, 0, m - 1)
        for n, m in zip(grid.size, grid.shape, strict=True)
    )
    at = np.meshgrid(z, y, x, indexing="ij")
    slow = np.stack([ndimage.map_coordinates(one.astype(float), at, order=1) for one in maps])
    np.testing.assert_allclose(whole, slow, atol=1e-5)


def test_a_slab_of_no_slices_is_refused():
    with pytest.raises(UsageError, match="one slice"):
        list(boxgrid.slabs(5, 0))
