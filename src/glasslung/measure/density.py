"""How dense the lung is: the Hounsfield bands, and how much lung lies in each.

The bands are fixed cuts of one histogram, so they partition the lung: every voxel is in exactly one, vessels
and airway walls included (what disease adds without vessels is `opacity`). They depend on breathing, slice
thickness, kernel and contrast medium; only like scans compare.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from glasslung.errors import ShapeError
from glasslung.types import Intensity, Volume

EMPHYSEMA_HU = (
    -950
)  # Gevenois et al., Am J Respir Crit Care Med 1996;154:187-92: at and below is emphysema-like
AERATED_HU = -700  # Colombi et al., Radiology 2020;296:E86-96: well aerated lung is -950 to -700 HU
GROUND_GLASS_HU = -300  # no agreed cut exists between ground glass and consolidation; a common convention
CONSOLIDATED_HU = 200  # above any consolidation, also an enhancing one: calcium, metal, contrast in vessels


class Band(NamedTuple):
    """A range of density: above `over_hu`, up to and including `to_hu`."""

    name: str
    over_hu: int | None
    to_hu: int | None


BANDS = (
    Band("emphysema-like", None, EMPHYSEMA_HU),
    Band("aerated", EMPHYSEMA_HU, AERATED_HU),
    Band("ground-glass", AERATED_HU, GROUND_GLASS_HU),
    Band("consolidated", GROUND_GLASS_HU, CONSOLIDATED_HU),
    Band("very dense", CONSOLIDATED_HU, None),
)
_EDGES_HU = np.array([band.to_hu for band in BANDS[:-1]], dtype=np.int16)


def band_of(hu: np.ndarray) -> np.ndarray:
    """The number of each voxel's band in BANDS, uint8, any shape of HU."""
    return np.searchsorted(_EDGES_HU, hu, side="left").astype(np.uint8)


def band_counts(volume: Volume, labels: np.ndarray, most: int) -> np.ndarray | None:
    """Voxels in each band of each labelled region; None for 8-bit input, which has no HU.

    labels (D, H, W) uint8, 0 = outside, up to `most` -> (most + 1, bands) int64. Row 0 is left at zero: what
    is outside is not counted.
    """
    if labels.shape != volume.shape:
        raise ShapeError(f"labels are {labels.shape}, the scan {volume.shape}; they must share one grid")
    if volume.intensity is not Intensity.HU:
        return None
    inside = labels > 0
    cells = labels[inside].astype(np.intp) * len(BANDS) + band_of(volume.voxels[inside])
    return np.bincount(cells, minlength=(most + 1) * len(BANDS)).reshape(most + 1, len(BANDS))
