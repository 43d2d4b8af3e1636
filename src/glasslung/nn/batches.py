"""What a loss eats: frozen records with one aligned line per field, which refuse to be wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from glasslung.errors import ShapeError

if TYPE_CHECKING:
    from torch import Tensor, device

HAZE = 4
"""In a lesion mask: ground glass or crazy paving, by an expert who did not tell them apart."""


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


@dataclass(frozen=True, eq=False)
class LabelledBatch:
    """A batch of axial CT slices with what experts drew on some of them. -1 where nobody looked.

    image   (B, 1, H, W) float32   0 = the darkest grey value of its window, 1 = the brightest
    lesion  (B, H, W)    int64     0 none, 1 ground glass, 2 consolidation, 3 crazy paving, 4 one or three
                                   (`HAZE`); -1 unknown
    lung    (B, H, W)    int64     0 outside the lungs, 1 inside (lesions are inside); -1 unknown
    """

    image: Tensor
    lesion: Tensor
    lung: Tensor

    def __post_init__(self) -> None:
        if self.image.ndim != 4 or self.image.shape[1] != 1:
            raise ShapeError(f"slices must be (B, 1, H, W), got {tuple(self.image.shape)}")
        expected = (self.image.shape[0], *self.image.shape[2:])
        for name in ("lesion", "lung"):
            shape = tuple(getattr(self, name).shape)
            if shape != expected:
                raise ShapeError(f"slices {tuple(self.image.shape)} need {name} of {expected}, got {shape}")

    @property
    def labelled(self) -> Tensor:
        """Slices on which lesions were drawn, (B,) bool; one without a lesion counts, all 0."""
        return (self.lesion >= 0).flatten(1).any(1)

    def to(self, device: device, channels_last: bool = False) -> LabelledBatch:
        """The same batch on another device; channels_last lays pixels out as CPU convolutions like them."""
        import torch

        layout = torch.channels_last if channels_last else torch.preserve_format
        image = self.image.to(device, memory_format=layout)
        return LabelledBatch(image, self.lesion.to(device), self.lung.to(device))

    def __len__(self) -> int:
        return int(self.image.shape[0])


@dataclass(frozen=True, eq=False)
class PatchBatch:
    """A batch of boxes cut from scans, for networks that see in three dimensions. -1 where nobody looked.

    image  (B, 1, D, H, W) float32   0 = the darkest grey value of its window, 1 = the brightest
    label  (B, D, H, W)    int64     0 background, then the classes that the network was built for; -1 unknown
    """

    image: Tensor
    label: Tensor

    def __post_init__(self) -> None:
        if self.image.ndim != 5 or self.image.shape[1] != 1:
            raise ShapeError(f"patches must be (B, 1, D, H, W), got {tuple(self.image.shape)}")
        expected = (self.image.shape[0], *self.image.shape[2:])
        if tuple(self.label.shape) != expected:
            raise ShapeError(
                f"patches {tuple(self.image.shape)} need label of {expected}, got {tuple(self.label.shape)}"
            )

    def to(self, device: device, channels_last: bool = False) -> PatchBatch:
        """The same batch on another device; channels_last lays voxels out as CPU convolutions like them."""
        import torch

        layout = torch.channels_last_3d if channels_last else torch.preserve_format
        return PatchBatch(self.image.to(device, memory_format=layout), self.label.to(device))

    def __len__(self) -> int:
        return int(self.image.shape[0])
