"""Balls and discs in millimetres: morphology that means the same on every grid."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

Spacing = tuple[float, float, float]


def dilate(mask: np.ndarray, radius_mm: float, spacing_mm: Spacing) -> np.ndarray:
    """All voxels within `radius_mm` of the mask (Euclidean, anisotropic grids included)."""
    if not mask.any():
        return mask.copy()
    box, inside = _around(mask, radius_mm, spacing_mm)
    out = np.zeros_like(mask)
    out[box] = ndimage.distance_transform_edt(~inside, sampling=spacing_mm) <= radius_mm
    return out


def erode(mask: np.ndarray, radius_mm: float, spacing_mm: Spacing) -> np.ndarray:
    """Voxels farther than `radius_mm` from everything outside the mask; the grid's border is not outside."""
    if mask.all() or not mask.any():
        return mask.copy()
    box, inside = _around(mask, 0.0, spacing_mm)
    out = np.zeros_like(mask)
    out[box] = (
        inside if inside.all() else ndimage.distance_transform_edt(inside, sampling=spacing_mm) > radius_mm
    )
    return out


def close(mask: np.ndarray, radius_mm: float, spacing_mm: Spacing) -> np.ndarray:
    """Fills what a ball of `radius_mm` cannot enter from outside; the grid's border adds nothing."""
    if not mask.any():
        return mask.copy()
    box, inside = _around(mask, 0.0, spacing_mm)
    pad = [int(np.ceil(radius_mm / s)) + 1 for s in spacing_mm]
    wide = np.pad(inside, [(p, p) for p in pad])
    grown = ndimage.distance_transform_edt(~wide, sampling=spacing_mm) <= radius_mm
    closed = ndimage.distance_transform_edt(grown, sampling=spacing_mm) > radius_mm
    out = mask.copy()
    out[box] |= closed[tuple(slice(p, -p) for p in pad)]
    return out


def open_(mask: np.ndarray, radius_mm: float, spacing_mm: Spacing) -> np.ndarray:
    """Removes what is thinner than a ball of `radius_mm`; what the grid's border cuts is not thin."""
    core = erode(mask, radius_mm, spacing_mm)
    return dilate(core, radius_mm, spacing_mm) & mask


def flat(spacing_mm: Spacing) -> Spacing:
    """A spacing that keeps slices apart, so that a ball becomes a disc in each slice."""
    return (1e6, spacing_mm[1], spacing_mm[2])


def fill_slices(mask: np.ndarray) -> np.ndarray:
    """Fills the holes of each slice."""
    return np.stack([ndimage.binary_fill_holes(s) for s in mask])


def pieces(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Connected pieces: labels, and voxels of each label (entry 0 is set to 0)."""
    labels, count = ndimage.label(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    return labels, sizes


def _around(mask: np.ndarray, radius_mm: float, spacing_mm: Spacing) -> tuple[tuple[slice, ...], np.ndarray]:
    """The box of the mask grown by the radius: far from it nothing needs computing."""
    box = []
    for axis, s in enumerate(spacing_mm):
        hit = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        room = int(np.ceil(radius_mm / s)) + 1
        box.append(slice(max(0, int(hit[0]) - room), min(mask.shape[axis], int(hit[-1]) + room + 1)))
    return tuple(box), mask[tuple(box)]
