"""What a loss eats: frozen records with one aligned line per field, which refuse to be wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from glasslung.errors import ShapeError

if TYPE_CHECKING:
    from torch import Tensor, device


@dataclass(frozen=True, eq=False)
class SliceBatch:
    """A batch of axial CT slices with what is known about each.

    image    (B, 1, H, W) float32   0 = black (outside the lungs), 1 = the brightest grey value
    group    (B,)         int64     age of the disease: 0 healthy, 1 .. 3; the index of the group
    day      (B,)         float32   days on the cohort's own axis; NaN if unknown
    patient  (B,)         int64     index into the cohort, for patient-level scores
    """

    image: Tensor
    group: Tensor
    day: Tensor
    patient: Tensor

    def __post_init__(self) -> None:
        if self.image.ndim != 4 or self.image.shape[1] != 1:
            raise ShapeError(f"slices must be (B, 1, H, W), got {tuple(self.image.shape)}")
        expected = (self.image.shape[0],)
        for name in ("group", "day", "patient"):
            shape = tuple(getattr(self, name).shape)
            if shape != expected:
                raise ShapeError(f"{expected[0]} slices need {name} of shape {expected}, got {shape}")

    def to(self, device: device, channels_last: bool = False) -> SliceBatch:
        """The same batch on another device; channels_last lays pixels out as CPU convolutions like them."""
        import torch

        layout = torch.channels_last if channels_last else torch.preserve_format
        image = self.image.to(device, memory_format=layout)
        return SliceBatch(image, self.group.to(device), self.day.to(device), self.patient.to(device))

    def __len__(self) -> int:
        return int(self.image.shape[0])
