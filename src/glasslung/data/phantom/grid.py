"""Where the voxels lie: a regular grid in patient space, and windows of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from glasslung.errors import UsageError

SLAB_VOXELS = 700_000  # arrays of a slab stay in the processor's cache: about twice as fast as whole volumes


@dataclass(frozen=True)
class Grid:
    """A box of voxels with its edges along the patient's axes.

    shape   (D, H, W): slices, rows, columns
    first   (z, y, x) of voxel (0, 0, 0), mm in LPS; z = 0 at the carina
    step    (dz, dy, dx) from a voxel to the next, mm; dz < 0 when slices run from head to feet
    """

    shape: tuple[int, int, int]
    first: tuple[float, float, float]
    step: tuple[float, float, float]

    def __post_init__(self) -> None:
        if min(self.shape) < 1 or min(abs(s) for s in self.step) <= 0:
            raise UsageError(
                f"a phantom grid needs a positive shape and steps, got {self.shape} and {self.step}"
            )

    @property
    def axes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Positions along z, y, x, mm, float32."""
        z, y, x = (
            (first + step * np.arange(n)).astype(np.float32)
            for first, step, n in zip(self.first, self.step, self.shape, strict=True)
        )
        return z, y, x

    @property
    def affine(self) -> np.ndarray:
        """Index (d, h, w, 1) to LPS mm: columns of the affine are the steps along z, y, x."""
        affine = np.zeros((4, 4))
        for column, row in enumerate((2, 1, 0)):
            affine[row, column] = self.step[column]
            affine[row, 3] = self.first[column]
        affine[3, 3] = 1.0
        return affine

    @property
    def voxels(self) -> int:
        """How many voxels there are."""
        return self.shape[0] * self.shape[1] * self.shape[2]

    def window(self, z: slice, y: slice, x: slice) -> Grid:
        """The part of the grid inside three index ranges (start and stop given, step 1)."""
        parts = (z, y, x)
        first = tuple(f + s * p.start for f, s, p in zip(self.first, self.step, parts, strict=True))
        shape = tuple(p.stop - p.start for p in parts)
        return Grid(shape, first, self.step)

    def slabs(self) -> Iterator[slice]:
        """Runs of neighbouring slices, each small enough to work on in cache."""
        depth = max(1, SLAB_VOXELS // (self.shape[1] * self.shape[2]))
        for start in range(0, self.shape[0], depth):
            yield slice(start, min(start + depth, self.shape[0]))


def index_range(axis: np.ndarray, low: float, high: float) -> slice:
    """Indices of a rising or falling axis whose positions lie in [low, high]; empty where there are none."""
    if axis[-1] >= axis[0]:
        return slice(int(axis.searchsorted(low, "left")), int(axis.searchsorted(high, "right")))
    turned, n = axis[::-1], axis.size
    return slice(n - int(turned.searchsorted(high, "right")), n - int(turned.searchsorted(low, "left")))
