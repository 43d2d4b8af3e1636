"""Slices cut into tiles that a network can eat, and put together again exactly."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from glasslung.errors import ShapeError, UsageError

PAPER_TILE = 64  # StichNet's paper: networks see 64 x 64 pixels of the full resolution


@dataclass(frozen=True)
class Tiling:
    """Where the tiles of one slice lie.

    height, width  of the slice
    side           of a tile, pixels
    tops, lefts    first rows and first columns; every top is combined with every left, tops first
    """

    height: int
    width: int
    side: int
    tops: tuple[int, ...]
    lefts: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.tops) * len(self.lefts)


def plan_tiles(height: int, width: int, side: int = PAPER_TILE, overlap: int = 0) -> Tiling:
    """As few tiles as cover a slice with neighbours that share `overlap` pixels or more, evenly spread.

    A slice smaller than a tile gets one tile that reaches beyond it.
    """
    if side < 1 or not 0 <= overlap < side or min(height, width) < 1:
        raise UsageError(
            f"tiles of {side} pixels with {overlap} shared do not tile {height} x {width}; "
            "the overlap must be less than the side"
        )
    return Tiling(height, width, side, _starts(height, side, overlap), _starts(width, side, overlap))


def _starts(length: int, side: int, overlap: int) -> tuple[int, ...]:
    free = max(0, length - side)
    count = 1 + -(-free // (side - overlap))
    return tuple(np.rint(np.linspace(0, free, count)).astype(int).tolist())


def cut_tiles(image: np.ndarray, tiling: Tiling, fill: float = 0) -> np.ndarray:
    """(..., H, W) -> (tiles, ..., side, side); what lies beyond the slice is `fill`."""
    if image.shape[-2:] != (tiling.height, tiling.width):
        raise ShapeError(f"the tiling is of {tiling.height} x {tiling.width} pixels, the slice {image.shape}")
    side = tiling.side
    more = [(0, 0)] * (image.ndim - 2) + [(0, max(0, side - tiling.height)), (0, max(0, side - tiling.width))]
    padded = np.pad(image, more, constant_values=fill)
    return np.stack([cut_at(padded, top, left, side) for top in tiling.tops for left in tiling.lefts])


def cut_at(image: np.ndarray, top: int, left: int, side: int) -> np.ndarray:
    """One tile (..., side, side) of (..., H, W)."""
    return image[..., top : top + side, left : left + side]


def stitch_tiles(tiles: np.ndarray, tiling: Tiling) -> np.ndarray:
    """(tiles, ..., side, side) -> (..., H, W): each pixel comes from the tile in which it lies deepest.

    The exact inverse of `cut_tiles`, for labels as well as for probabilities, with any overlap.
    """
    if len(tiles) != len(tiling) or tiles.shape[-2:] != (tiling.side, tiling.side):
        raise ShapeError(f"the tiling has {len(tiling)} tiles of {tiling.side} pixels, got {tiles.shape}")
    out = np.empty((*tiles.shape[1:-2], tiling.height, tiling.width), tiles.dtype)
    rows = _shares(tiling.tops, tiling.side, tiling.height)
    columns = _shares(tiling.lefts, tiling.side, tiling.width)
    for n, (top, rows_of) in enumerate(zip(tiling.tops, rows, strict=True)):
        for m, (left, columns_of) in enumerate(zip(tiling.lefts, columns, strict=True)):
            tile = tiles[n * len(tiling.lefts) + m]
            y = slice(rows_of.start - top, rows_of.stop - top)
            x = slice(columns_of.start - left, columns_of.stop - left)
            out[..., rows_of, columns_of] = tile[..., y, x]
    return out


def _shares(starts: tuple[int, ...], side: int, length: int) -> list[slice]:
    """The part of an axis that each tile answers for: borders halfway through what two tiles share."""
    borders = [(before + side + after) // 2 for before, after in pairwise(starts)]
    return [slice(a, b) for a, b in pairwise([0, *borders, length])]
