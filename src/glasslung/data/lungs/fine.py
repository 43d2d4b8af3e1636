"""The edge at full resolution: where the coarse answer leaves room, the scan's own grey values decide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from glasslung.data.lungs.coarse import Coarse
from glasslung.data.lungs.settings import Settings

FAT_HU = -100.0  # the edge never moves past the middle of fat
_CROSS = ndimage.generate_binary_structure(2, 1)


@dataclass(frozen=True, eq=False)
class CoarseAnswer:
    """What the coarse reasoning hands over, all (z, y, x) on the coarse grid.

    sides    uint8 labels of `Lung`: aerated, filled and recovered lung
    sure     bool: lung that grey values have no say in (inside, and recovered dense parts)
    airways  bool
    edge_hu  the lung's edge
    """

    sides: np.ndarray
    sure: np.ndarray
    airways: np.ndarray
    edge_hu: float


def refine(
    hu: np.ndarray, answer: CoarseAnswer, coarse: Coarse, settings: Settings, stacked: bool = True
) -> np.ndarray:
    """Labels (z, y, x) uint8 on the fine grid, slice by slice, so that memory stays small.

    stacked=False where neighbouring slices do not fit on one another.
    """
    out = np.zeros(hu.shape, np.uint8)
    reach = _reach(answer.sides, stacked)
    fz = coarse.factors[0]
    limit = ring_hu(answer.edge_hu, coarse, settings)
    for z in range(answer.sides.shape[0]):
        if not reach[z].any():
            continue
        box = _box(reach[z])
        fine_box = _fine_box(box, coarse, hu.shape)
        shape = out[0][fine_box].shape
        labels, sure, airways = (_up(a[z][box], coarse, shape) for a in (reach, answer.sure, answer.airways))
        room = np.where(airways, 0, labels)
        for k in range(z * fz, min((z + 1) * fz, hu.shape[0])):
            out[k][fine_box] = _draw(hu[k][fine_box], room, sure, answer.edge_hu, limit)
    return out


def ring_hu(edge_hu: float, coarse: Coarse, settings: Settings) -> float:
    """Up to which HU a voxel beside the lung still counts: the pleura's share of a voxel, never fat.

    A voxel of s mm is half lung at the edge; with p mm of pleura counted as lung it needs p/s less.
    """
    voxel_mm = coarse.spacing_mm[1] / coarse.factors[1]
    contrast = 2.0 * (settings.tissue_hu - edge_hu)
    return float(max(edge_hu, min(edge_hu + settings.pleura_mm / voxel_mm * contrast, FAT_HU)))


def _draw(hu: np.ndarray, room: np.ndarray, sure: np.ndarray, edge_hu: float, limit: float) -> np.ndarray:
    """One slice: what is dark or sure inside the room, and the ring of partly filled voxels round it."""
    lung = (room > 0) & ((hu < edge_hu) | sure)
    lung |= ndimage.binary_dilation(lung, _CROSS) & (hu < limit)
    return np.where(lung, room, 0).astype(np.uint8)


def _reach(sides: np.ndarray, stacked: bool) -> np.ndarray:
    """The labels grown by one coarse voxel: where the fine edge may lie."""
    footprint = ndimage.generate_binary_structure(3, 1) if stacked else _CROSS[None]
    grown = ndimage.maximum_filter(sides, footprint=footprint)
    return np.where(sides > 0, sides, grown)


def _box(mask: np.ndarray) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _fine_box(box: tuple[slice, slice], coarse: Coarse, shape: tuple[int, ...]) -> tuple[slice, slice]:
    rows, columns = (
        slice(b.start * f, min(b.stop * f, n))
        for b, f, n in zip(box, coarse.factors[1:], shape[1:], strict=True)
    )
    return rows, columns


def _up(mask: np.ndarray, coarse: Coarse, shape: tuple[int, ...]) -> np.ndarray:
    fine = np.repeat(np.repeat(mask, coarse.factors[1], axis=0), coarse.factors[2], axis=1)
    return fine[: shape[0], : shape[1]]
