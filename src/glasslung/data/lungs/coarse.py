"""The coarse copy: a scan at about 2.5 mm for the reasoning that needs the whole chest, and the way back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Coarse:
    """A block-averaged upright scan.

    hu          (z, y, x) float32
    spacing_mm  of the coarse voxels
    factors     fine voxels per coarse voxel along each axis
    """

    hu: np.ndarray
    spacing_mm: tuple[float, float, float]
    factors: tuple[int, int, int]

    @property
    def voxel_ml(self) -> float:
        """Millilitres of one coarse voxel (of an upright box; tilt is ignored here)."""
        return float(np.prod(self.spacing_mm)) / 1000.0


def coarsen(hu: np.ndarray, spacing_mm: tuple[float, float, float], target_mm: float) -> Coarse:
    """Averages whole blocks of voxels as large as fits into `target_mm`.

    hu (z, y, x) any number type. Blocks at the far edges average what is there. Nothing is interpolated.
    """
    f0, f1, f2 = (max(1, int(target_mm / s + 0.1)) for s in spacing_mm)
    factors = (f0, f1, f2)
    slabs = [block_mean(hu[z : z + f0], factors) for z in range(0, hu.shape[0], f0)]
    d, h, w = (s * f for s, f in zip(spacing_mm, factors, strict=True))
    return Coarse(np.stack(slabs), (d, h, w), factors)


def block_mean(slab: np.ndarray, factors: tuple[int, int, int]) -> np.ndarray:
    """One slab of fine slices -> one coarse slice (y, x), the mean of each block."""
    flat = slab.mean(axis=0, dtype=np.float32) if slab.shape[0] > 1 else slab[0].astype(np.float32)
    _, fy, fx = factors
    pad = ((0, -flat.shape[0] % fy), (0, -flat.shape[1] % fx))
    full = np.pad(flat, pad, mode="edge")
    blocks = full.reshape(full.shape[0] // fy, fy, full.shape[1] // fx, fx)
    return blocks.mean(axis=(1, 3), dtype=np.float32)


def spread(coarse: np.ndarray, factors: tuple[int, int, int], shape: tuple[int, int, int]) -> np.ndarray:
    """A coarse mask back on the fine grid, each coarse voxel a block."""
    fine = coarse
    for axis, factor in enumerate(factors):
        if factor > 1:
            fine = np.repeat(fine, factor, axis=axis)
    return fine[: shape[0], : shape[1], : shape[2]]
