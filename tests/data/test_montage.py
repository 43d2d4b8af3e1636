"""Sheets of slices: what is coloured, what is outlined, how many are shown."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from glasslung.data.montage import LEGEND_PX, LESION_RGB, MOST_TILES, OUTLINE_RGB, TILE_PX, Tile, sheet
from glasslung.types import Lesion


def tile(lesions: bool = True) -> Tile:
    grey = np.full((TILE_PX, TILE_PX), 100, np.uint8)
    lungs = np.zeros_like(grey)
    lungs[50:250, 50:250] = 1
    drawn = np.zeros_like(grey)
    drawn[100:120, 100:120] = Lesion.CONSOLIDATION
    return Tile(grey, lungs, drawn if lesions else None)


def opened(tiles: list[Tile]) -> np.ndarray:
    """The slices of a sheet, without its legend."""
    return np.asarray(Image.open(io.BytesIO(sheet(tiles))))[:-LEGEND_PX]


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


def test_slices_keep_their_proportions_in_rows_as_high_as_the_highest():
    flat = Tile(np.full((40, 80), 200, np.uint8), np.zeros((40, 80), np.uint8), None)
    assert opened([flat]).shape == (TILE_PX // 2, TILE_PX, 3)
    beside = opened([flat, tile()])
    assert (beside[TILE_PX // 2, :TILE_PX] == 200).all()
    assert not beside[: TILE_PX // 4 - 1, :TILE_PX].any()


def test_the_legend_has_the_colours_of_what_is_drawn():
    legend = np.asarray(Image.open(io.BytesIO(sheet([tile()]))))[-LEGEND_PX:]
    there = {tuple(int(c) for c in colour) for colour in legend.reshape(-1, 3)}
    assert {OUTLINE_RGB, LESION_RGB[Lesion.CONSOLIDATION]} <= there
    assert LESION_RGB[Lesion.GROUND_GLASS] not in there
