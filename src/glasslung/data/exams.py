"""A scan as a classifier sees it: upright slices through the lungs, all else black, lesions beside them.

One exam serves every classifier and every explanation: what is computed on it comes back to the scan's grid
by its `grid`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glasslung.data.boxgrid import BoxGrid, Triple
from glasslung.errors import ShapeError
from glasslung.types import Intensity


@dataclass(frozen=True, eq=False)
class Exam:
    """One scan, ready to be classified.

    image       (S, H, W) uint8: 0 outside the lungs or the low end of the window, 255 its high end
    lungs       (S, H, W) uint8, labels of `Lung`
    lesions     (S, H, W) uint8, labels of `Lesion`; 0 outside the lungs
    spacing_mm  (z, y, x) of these slices, upright; a convention for pictures of unknown size
    grid        where in the upright scan they lie
    intensity   what the scan's grey values were
    """

    image: np.ndarray
    lungs: np.ndarray
    lesions: np.ndarray
    spacing_mm: Triple
    grid: BoxGrid
    intensity: Intensity

    def __post_init__(self) -> None:
        shape = self.image.shape
        if len(shape) != 3 or 0 in shape:
            raise ShapeError(f"an exam needs slices (S, H, W), got {shape}")
        for name in ("image", "lungs", "lesions"):
            array = getattr(self, name)
            if array.shape != shape or array.dtype != np.uint8:
                raise ShapeError(
                    f"an exam's {name} must be {shape} of uint8, got {array.shape} {array.dtype}"
                )

    def __len__(self) -> int:
        return len(self.image)
