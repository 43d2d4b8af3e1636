"""Tiles: cut and put together again, every pixel as it was."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasslung.data.tiles import cut_tiles, plan_tiles, stitch_tiles
from glasslung.errors import ShapeError, UsageError


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 150), st.integers(1, 150), st.integers(1, 64), st.data())
def test_stitching_undoes_cutting(height, width, side, data):
    overlap = data.draw(st.integers(0, min(side - 1, side // 2)))
    image = np.random.default_rng(height).random((2, height, width))
    tiling = plan_tiles(height, width, side, overlap)
    assert np.array_equal(stitch_tiles(cut_tiles(image, tiling), tiling), image)


def test_labels_survive_with_their_type():
    mask = np.random.default_rng(0).integers(-1, 4, (100, 130)).astype(np.int8)
    tiling = plan_tiles(100, 130, 64, 16)
    tiles = cut_tiles(mask, tiling, fill=-1)
    assert tiles.dtype == np.int8 and tiles.shape == (len(tiling), 64, 64)
    assert np.array_equal(stitch_tiles(tiles, tiling), mask)


@given(st.integers(64, 300), st.integers(0, 32))
def test_neighbours_share_at_least_the_overlap_and_no_tile_is_needless(length, overlap):
    starts = plan_tiles(length, length, 64, overlap).tops
    steps = np.diff(starts)
    assert starts[0] == 0 and starts[-1] == length - 64
    assert (steps <= 64 - overlap).all() and (steps > 0).all()
    assert 64 + (len(starts) - 2) * (64 - overlap) < length or len(starts) == 1


def test_where_tiles_overlap_the_deeper_one_is_taken():
    tiling = plan_tiles(64, 96, 64, 32)
    tiles = np.stack([np.full((64, 64), n) for n in range(len(tiling))])
    out = stitch_tiles(tiles, tiling)
    assert tiling.lefts == (0, 32)
    assert (out[:, :48] == 0).all() and (out[:, 48:] == 1).all()


def test_what_lies_beyond_a_small_slice_is_the_fill():
    tiles = cut_tiles(np.ones((3, 5), np.int8), plan_tiles(3, 5, 8), fill=-1)
    assert tiles.shape == (1, 8, 8) and (tiles[0, 3:] == -1).all() and (tiles[0, :, 5:] == -1).all()


def test_wrong_tilings_are_refused():
    with pytest.raises(UsageError, match="overlap must be less"):
        plan_tiles(100, 100, 64, 64)
    tiling = plan_tiles(100, 100, 64)
    with pytest.raises(ShapeError, match="tiling is of 100 x 100"):
        cut_tiles(np.zeros((99, 100)), tiling)
    with pytest.raises(ShapeError, match="has 4 tiles"):
        stitch_tiles(np.zeros((3, 64, 64)), tiling)
