"""Exams whose lesions we drew: two dark lungs, with a bright lesion in the right one of those who are ill."""

from __future__ import annotations

import numpy as np

from glasslung.data.boxgrid import BoxGrid
from glasslung.data.exams import Exam
from glasslung.types import Intensity, Lesion, Lung


def made_exam(seed: int = 0, ill: bool = True, slices: int = 6, size: int = 32) -> Exam:
    """(slices, size, size), pixels of 2 mm; the lesion's upper half is consolidation."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    sides = [((x - at * size) / 0.19) ** 2 + ((y - size / 2) / 0.42) ** 2 < size**2 for at in (0.28, 0.72)]
    lungs = np.where(sides[0], Lung.RIGHT, np.where(sides[1], Lung.LEFT, 0)).astype(np.uint8)
    lungs = np.repeat(lungs[None], slices, 0)
    lesions = np.zeros_like(lungs)
    if ill:
        at = (y - size * 0.5) ** 2 + (x - size * 0.28) ** 2 < (0.13 * size) ** 2
        lesions[1:4, at] = Lesion.GROUND_GLASS
        lesions[2:4, at & (y < size / 2)] = Lesion.CONSOLIDATION
    grey = 50 + rng.integers(0, 20, lungs.shape) + 130 * (lesions > 0)
    image = np.where(lungs > 0, grey, 0).astype(np.uint8)
    grid = BoxGrid((slice(0, slices), slice(0, size), slice(0, size)), (slices, size, size))
    return Exam(image, lungs, lesions, (3.0, 2.0, 2.0), grid, Intensity.HU)
