"""Sheets of slices: what is coloured, what is outlined, how many are shown."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from glasslung.data.montage import LESION_RGB, MOST_TILES, OUTLINE_RGB, TILE_PX, Tile, sheet
from glasslung.types import Lesion


def tile(lesions: bool = True) -> Tile:
    grey = np.full((TILE_PX, TILE_PX), 100, np.uint8)
    lungs = np.zeros_like(grey)
    lungs[50:250, 50:250] = 1
    drawn = np.zeros_like(grey)
    drawn[100:120, 100:120] = Lesion.CONSOLIDATION
    return Tile(grey, lungs, drawn if lesions else None)


def opened(tiles: list[Tile]) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(sheet(tiles))))


def test_lesions_are_coloured_and_lungs_outlined():
    drawn = opened([tile()])
    assert drawn.shape == (TILE_PX, TILE_PX, 3)
    assert tuple(drawn[50, 150]) == OUTLINE_RGB
    wanted = 0.55 * 100 + 0.45 * np.array(LESION_RGB[Lesion.CONSOLIDATION])
    np.testing.assert_allclose(drawn[110, 110], wanted, atol=1)
    assert (drawn[200, 200] == 100).all() and (drawn[10, 10] == 100).all()
    assert (opened([tile(lesions=False)])[110, 110] == 100).all()


def test_many_slices_become_a_spread_in_rows_of_four():
    assert opened([tile()] * 6).shape == (2 * TILE_PX, 4 * TILE_PX, 3)
    assert opened([tile()] * 100).shape == (MOST_TILES // 4 * TILE_PX, 4 * TILE_PX, 3)


def test_a_narrow_slice_keeps_its_proportions():
    flat = Tile(np.full((40, 80), 200, np.uint8), np.zeros((40, 80), np.uint8), None)
    drawn = opened([flat])
    assert (drawn[TILE_PX // 2] == 200).all() and not drawn[: TILE_PX // 4 - 1].any()
