"""Other views of slices and their masks: drawn once, then applied to picture and masks alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glasslung.errors import ShapeError


@dataclass(frozen=True, eq=False)
class Pairs:
    """Slices with their masks.

    pictures  (B, S, S) float32 in [0, 1]
    lesions   (B, S, S) int8, labels of `Lesion`, -1 unknown
    lungs     (B, S, S) int8, 0 outside, 1 inside, -1 unknown
    """

    pictures: np.ndarray
    lesions: np.ndarray
    lungs: np.ndarray

    def __post_init__(self) -> None:
        shapes = {self.pictures.shape, self.lesions.shape, self.lungs.shape}
        if len(shapes) != 1 or self.pictures.ndim != 3:
            raise ShapeError(f"slices and masks must all be (B, S, S), got {sorted(shapes)}")

    def __len__(self) -> int:
        return len(self.pictures)
