"""Rendering: a patient on a day, as a scan with its truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glasslung.data.phantom.grid import Grid
from glasslung.data.phantom.patient import Patient
from glasslung.data.phantom.scanner import average_slices, finish, noise, scan_grid, sharpen
from glasslung.data.phantom.scene import View, draw_slices
from glasslung.types import Intensity, Lesion, Source, Volume

DEFAULT_SHAPE = (96, 192, 192)


@dataclass(frozen=True, eq=False)
class Chest:
    """One rendered scan and its truth, all on the scan's own grid.

    volume   the scan, HU
    lungs    (D, H, W) uint8, labels of `Lung`: parenchyma with the vessels and lesions in it, without the
             windpipe and main bronchi
    lobes    (D, H, W) uint8, labels of `Lobe`: they share out exactly the voxels of `lungs`
    lesions  (D, H, W) uint8, labels of `Lesion`, inside the lungs
    day      days since the first symptom
    """

    volume: Volume
    lungs: np.ndarray
    lobes: np.ndarray
    lesions: np.ndarray
    day: float
    patient: Patient

    def lesion_ml(self) -> dict[str, float]:
        """Millilitres of each class of lesion, by its name in lower case."""
        counts = np.bincount(self.lesions.ravel(), minlength=len(Lesion))
        return {kind.name.lower(): float(counts[kind]) * self.volume.voxel_ml for kind in Lesion if kind}

    def involvement(self) -> float:
        """Share of the lungs that is lesion, 0 to 1."""
        return float(np.count_nonzero(self.lesions) / max(1, int(np.count_nonzero(self.lungs))))


def render(
    patient: Patient,
    day: float,
    *,
    shape: tuple[int, int, int] | None = DEFAULT_SHAPE,
    spacing: tuple[float, float, float] | None = None,
    disease: bool = True,
    breath: float = 0.0,
    grid: Grid | None = None,
) -> Chest:
    """Scan a phantom patient on a day, with masks of lungs, lobes and lesions.

    day      days since the first symptom; any number, before the disease too
    shape    (D, H, W), default 96 x 192 x 192; None: the site's own number of slices of 192 x 192
    spacing  mm along (D, H, W); None: the site's field of view, the whole chest
    disease  False: the counterfactual, the same scan of the same person never ill
    breath   0 full inspiration, 1 full expiration
    grid     a grid of one's own instead of shape and spacing
    Anatomy is the same voxel for voxel on all days; noise follows patient and day, and is the same with and
    without the disease.
    """
    view = View(grid or scan_grid(patient.body, patient.site, shape, spacing), patient.site, breath)
    ill = patient if disease else patient.without_disease()
    grid = view.grid
    voxels = np.empty(grid.shape, np.int16)
    lungs, lobes, lesions = (np.zeros(grid.shape, np.uint8) for _ in range(3))
    for rows in grid.slabs():
        hu, lesion, lung, lobe = scan_rows(ill, day, view, rows)
        voxels[rows] = finish(hu, grid, view.site)
        lungs[rows], lobes[rows], lesions[rows] = lung, lobe, lesion
    source = Source("phantom", modality="CT", body_part="CHEST", kernel=patient.site.kernel)
    volume = Volume(voxels, grid.affine, Intensity.HU, source)
    return Chest(volume, lungs, lobes, lesions, float(day), ill)


def scan_rows(
    patient: Patient, day: float, view: View, rows: slice
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """HU of some slices as the scanner gives them, not yet rounded; and their lesions, lungs and lobes."""
    grid, site = view.grid, view.site
    wide = slice(max(0, rows.start - view.halo), min(grid.shape[0], rows.stop + view.halo))
    keep = slice(rows.start - wide.start, rows.stop - wide.start)
    hu, lesion, anatomy = draw_slices(patient, day, view, wide)
    hu = average_slices(hu, abs(grid.step[0]), site.thickness_mm)[keep]
    hu = sharpen(hu, site.boost) + noise(_scan_seed(patient, day), range(rows.start, rows.stop), grid, site)
    return hu, lesion[keep], anatomy.lungs[keep], anatomy.lobes[keep]


def _scan_seed(patient: Patient, day: float) -> tuple[int, ...]:
    """What the noise of one scan is drawn from: person, site and day, to a thousandth of a day."""
    site = int.from_bytes(patient.site.name.encode()[:6], "big")
    return patient.seed, site, round(day * 1000) + 10_000_000
