"""Random fields that belong to a place in the patient, not to a voxel: the same on every grid.

A field is a periodic lattice of normal numbers, smoothed by cubic B-splines. On a grid whose edges follow the
lattice, the smoothing is three small matrix products, so a field costs almost nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

LATTICE_NODES = 32
# Mean over all phases of the sum of squared cubic B-spline weights: 151/315 per axis.
_STD_AFTER_SMOOTHING = (151.0 / 315.0) ** 1.5


@dataclass(frozen=True)
class Field:
    """A smooth random field of mean 0 and standard deviation 1.

    seed     which field
    scale    (z, y, x) distance between lattice nodes, mm: structures are about twice as wide
    """

    seed: tuple[int, ...]
    scale: tuple[float, float, float]

    def on(self, z: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """The field at every crossing of three axes (mm) -> (len(z), len(y), len(x)) float32."""
        nodes = _nodes(self.seed)
        wz, wy, wx = (_weights(axis, scale) for axis, scale in zip((z, y, x), self.scale, strict=True))
        first = np.tensordot(wz, nodes, axes=(1, 0))  # (D, n, n)
        second = np.matmul(wy, first)  # (D, H, n)
        return np.matmul(second, wx.T)


def field(seed: tuple[int, ...], scale: float | tuple[float, float, float]) -> Field:
    """A field with one scale for all axes, or one for each of z, y, x (mm)."""
    return Field(seed, scale if isinstance(scale, tuple) else (scale, scale, scale))


@lru_cache(maxsize=24)
def _nodes(seed: tuple[int, ...]) -> np.ndarray:
    rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed)))
    nodes = rng.standard_normal((LATTICE_NODES,) * 3, dtype=np.float32)
    return nodes / np.float32(_STD_AFTER_SMOOTHING)


def _weights(axis: np.ndarray, scale: float) -> np.ndarray:
    """(n, LATTICE_NODES) cubic B-spline weights of each position, wrapped around the lattice."""
    place = axis.astype(np.float64) / scale
    cell = np.floor(place).astype(np.int64)
    t = place - cell
    parts = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    weights = np.zeros((axis.size, LATTICE_NODES), np.float32)
    rows = np.arange(axis.size)
    for offset, part in enumerate(parts):
        weights[rows, (cell + offset - 1) % LATTICE_NODES] = part / 6.0
    return weights
