"""The grid of a network: a box of a scan at the network's own spacing, and the way back.

Both grids share the box's edges, so a voxel's place never shifts. Where voxels grow they are averaged by
area, which keeps noise from folding into texture; where they shrink they are interpolated between centres.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from glasslung.data.resampling import resample, resampling
from glasslung.errors import UsageError

Box = tuple[slice, slice, slice]
Triple = tuple[float, float, float]


@dataclass(frozen=True)
class BoxGrid:
    """A box of an upright scan, and the network's grid over it.

    box     where it lies in the scan: three index ranges, start and stop given
    shape   voxels of the network's grid over the same box
    """

    box: Box
    shape: tuple[int, int, int]

    @property
    def size(self) -> tuple[int, int, int]:
        """Voxels of the scan in the box, along (z, y, x)."""
        z, y, x = (part.stop - part.start for part in self.box)
        return z, y, x


def grid_over(box: Box, spacing_mm: Triple, target_mm: Triple) -> BoxGrid:
    """The grid over a box whose voxels come nearest to `target_mm`; at least one voxel each way."""
    z, y, x = (
        max(1, round((part.stop - part.start) * own / target))
        for part, own, target in zip(box, spacing_mm, target_mm, strict=True)
    )
    return BoxGrid(box, (z, y, x))


def box_around(mask: np.ndarray, spacing_mm: Triple, margin_mm: float) -> Box | None:
    """The smallest box that holds all of an upright mask and a margin; None where the mask is empty."""
    parts = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        places = np.flatnonzero(mask.any(axis=others))
        if not places.size:
            return None
        margin = int(np.ceil(margin_mm / spacing_mm[axis]))
        parts.append(
            slice(max(0, int(places[0]) - margin), min(mask.shape[axis], int(places[-1]) + 1 + margin))
        )
    return parts[0], parts[1], parts[2]


def slabs(length: int, rows: int) -> Iterator[slice]:
    """Runs of at most `rows` neighbours that cover `length`."""
    if rows < 1:
        raise UsageError("a slab holds one slice at least")
    for start in range(0, length, rows):
        yield slice(start, min(start + rows, length))


def to_grid(voxels: np.ndarray, grid: BoxGrid, rows: int = 16) -> np.ndarray:
    """Grey values (Z, Y, X) of the box on the network's grid, float32; `rows` slices at a time."""
    part = voxels[grid.box]
    weights = resampling(grid.size[0], grid.shape[0])
    out = np.zeros(grid.shape, np.float32)
    for run in slabs(grid.size[0], rows):
        flat = resample(part[run], *grid.shape[1:])
        for row in np.flatnonzero(weights[:, run].any(1)):
            out[row] += np.tensordot(weights[row, run], flat, 1)
    return out


def labels_to_grid(labels: np.ndarray, grid: BoxGrid) -> np.ndarray:
    """Labels (Z, Y, X) of the box on the network's grid: that of the nearest voxel."""
    return _pick(
        labels[grid.box], [nearest(own, new) for own, new in zip(grid.size, grid.shape, strict=True)]
    )


def labels_from_grid(labels: np.ndarray, grid: BoxGrid, run: slice) -> np.ndarray:
    """Labels on the network's grid -> slices `run` of the box on the scan's grid, the nearest voxel's."""
    z, y, x = (nearest(own, new) for own, new in zip(grid.shape, grid.size, strict=True))
    return _pick(labels, [z[run], y, x])


def maps_from_grid(maps: np.ndarray, grid: BoxGrid, run: slice) -> np.ndarray:
    """Maps (C, z, y, x) on the network's grid -> (C, rows, Y, X) float32, slices `run` of the box."""
    weights = resampling(grid.shape[0], grid.size[0])[run]
    used = np.flatnonzero(weights.any(0))
    few = slice(int(used[0]), int(used[-1]) + 1)
    mixed = np.einsum("rk,ckyx->cryx", weights[:, few], maps[:, few].astype(np.float32), optimize=True)
    return resample(mixed, *grid.size[1:])


def nearest(length: int, size: int) -> np.ndarray:
    """For each of `size` voxels the index of the nearest of `length` over the same extent."""
    return np.minimum(((np.arange(size) + 0.5) * length / size).astype(np.int64), length - 1)


def _pick(labels: np.ndarray, index: list[np.ndarray]) -> np.ndarray:
    z, y, x = index
    return np.ascontiguousarray(labels[z[:, None, None], y[:, None], x])
