"""Single lung slices, made fast: masked, cropped to the lungs, padded to a square."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from glasslung.data.phantom.anatomy import Body, frame_of
from glasslung.data.phantom.chest import scan_rows
from glasslung.data.phantom.grid import Grid
from glasslung.data.phantom.patient import Patient
from glasslung.data.phantom.scanner import HIGHEST_HU, LOWEST_HU, Site, scan_grid
from glasslung.data.phantom.scene import View
from glasslung.data.phantom.thorax import draw_lungs
from glasslung.data.windows import lung_grey
from glasslung.errors import UsageError
from glasslung.types import Progress

FINER = (
    2  # a slice is drawn with twice the rows and columns, then averaged: what scaling down a large slice does
)
_LOOK_MM = 3.0  # with which pixels the lungs are looked for before the slice is drawn


@dataclass(frozen=True, eq=False)
class Slices:
    """N square slices of lungs, everything outside the lungs taken away.

    hu       (N, S, S) int16, -1024 outside the lungs
    grey     (N, S, S) uint8: the lung window as 1 to 255, 0 outside the lungs
    lungs    (N, S, S) uint8, labels of `Lung`
    lesions  (N, S, S) uint8, labels of `Lesion`
    patient  (N,) index into the patients that were given
    day      (N,) float
    pixel_mm (N,) size of a pixel
    """

    hu: np.ndarray
    grey: np.ndarray
    lungs: np.ndarray
    lesions: np.ndarray
    patient: np.ndarray
    day: np.ndarray
    pixel_mm: np.ndarray


def slices(
    patients: Sequence[Patient],
    days: Sequence[float],
    size: int = 64,
    level: float = 0.5,
    disease: bool = True,
    progress: Progress | None = None,
) -> Slices:
    """One axial lung slice of every patient on every day, patient by patient.

    size      rows and columns
    level     which slice: 0 the lowest of the scan, 1 the highest, 0.5 the middle one
    disease   False: the counterfactual, nobody ever ill
    progress  told which patient is being drawn, and how much is done
    Anatomy and lesions are those of `render`; the noise is the slice's own. The crop is the same on all days.
    """
    if size < 8 or not 0 <= level <= 1 or not len(patients) or not len(days):
        raise UsageError("slices need patients, days, a size of 8 or more and a level from 0 to 1")
    rows = []
    for n, patient in enumerate(patients):
        if progress:
            progress(f"drawing {patient.name}", n / len(patients))
        rows += [(*slice_of(patient, day, size, level, disease), n, day) for day in days]
    hu, lungs, lesions, pixel, index, on = zip(*rows, strict=True)
    volume = np.stack(hu)
    mask = np.stack(lungs)
    return Slices(
        volume,
        lung_grey(volume, mask),
        mask,
        np.stack(lesions),
        np.array(index),
        np.array(on, float),
        np.array(pixel),
    )


def slice_of(
    patient: Patient, day: float, size: int = 64, level: float = 0.5, disease: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """One lung slice: HU int16, lungs and lesions uint8, each (size, size), and the pixel's size in mm."""
    grid = lung_grid(patient.body, patient.site, size, level)
    ill = patient if disease else patient.without_disease()
    hu, lesion, lung, _ = scan_rows(ill, day, View(grid, patient.site, all=False), slice(0, 1))
    lungs = _coarser_label(lung[0])
    lesions = np.where(lungs > 0, _coarser_label(lesion[0]), 0).astype(np.uint8)
    mean = hu[0].reshape(size, FINER, size, FINER).mean(axis=(1, 3))
    cut = np.where(lungs > 0, np.clip(np.rint(mean), LOWEST_HU, HIGHEST_HU), LOWEST_HU).astype(np.int16)
    return cut, lungs, lesions, abs(grid.step[1]) * FINER


@lru_cache(maxsize=64)
def lung_grid(body: Body, site: Site, size: int, level: float) -> Grid:
    """The grid of one slice: the smallest square around its lungs."""
    scan = scan_grid(body, site)
    ends = sorted((scan.first[0], scan.first[0] + scan.step[0] * (scan.shape[0] - 1)))
    z = ends[0] + level * (ends[1] - ends[0])
    look = Grid((1, 80, 110), (z, -120.0, -165.0), (site.slice_mm, _LOOK_MM, _LOOK_MM))
    inside = draw_lungs(body, frame_of(body, look, site.thickness_mm)).inside_mm[0] > 0
    if not inside.any():
        raise UsageError(f"there is no lung at level {level}; take one nearer to 0.5")
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    edge = (max(np.ptp(rows), np.ptp(columns)) + 1) * _LOOK_MM
    pixel = float(edge / (size * FINER))
    y = -120.0 + _LOOK_MM * (rows[0] + rows[-1]) / 2
    x = -165.0 + _LOOK_MM * (columns[0] + columns[-1]) / 2
    half = pixel * (size * FINER - 1) / 2
    return Grid(
        (1, size * FINER, size * FINER), (z, float(y) - half, float(x) - half), (site.slice_mm, pixel, pixel)
    )


def _coarser_label(label: np.ndarray) -> np.ndarray:
    """Half as many rows and columns: the largest label where at least half of the four pixels carry one."""
    n = label.shape[0] // FINER
    blocks = label.reshape(n, FINER, n, FINER)
    return np.where((blocks > 0).sum(axis=(1, 3)) * 2 >= FINER**2, blocks.max(axis=(1, 3)), 0).astype(
        np.uint8
    )
