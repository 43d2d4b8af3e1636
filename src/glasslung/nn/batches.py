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
class PairBatch:
    """A batch of slices twice: as they were, and as they became, on one grid.

    source  (B, 1, H, W) float32   0 = black, 1 = the brightest grey value; the lung before
    target  (B, 1, H, W) float32   the same lung after
    day     (B,)         float32   days between, or of the disease in the target
    """

    source: Tensor
    target: Tensor
    day: Tensor

    def __post_init__(self) -> None:
        if self.source.ndim != 4 or self.source.shape[1] != 1 or self.source.shape != self.target.shape:
            raise ShapeError(
                f"pairs must be (B, 1, H, W) twice, got {tuple(self.source.shape)} and "
                f"{tuple(self.target.shape)}"
            )
        if tuple(self.day.shape) != (len(self.source),):
            raise ShapeError(f"{len(self.source)} pairs need as many days, got {tuple(self.day.shape)}")

    def to(self, device: device, channels_last: bool = False) -> PairBatch:
        """The same batch on another device; channels_last lays pixels out as CPU convolutions like them."""
        import torch

        layout = torch.channels_last if channels_last else torch.preserve_format
        source, target = (one.to(device, memory_format=layout) for one in (self.source, self.target))
        return PairBatch(source, target, self.day.to(device))

    def __len__(self) -> int:
        return int(self.source.shape[0])


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


@dataclass(frozen=True, eq=False)
class SideBatch:
    """A batch of slices cut down to their lungs, each with its lesions as side information.

    image   (B, 1, H, W) float32   0 = outside the lungs or the low end of the window, 1 = its high end
    lesion  (B, 1, H, W) float32   1 in a lesion of any kind, else 0
    label   (B,)         int64     of the scan that the slice is from: 1 has the disease, 0 has not
    """

    image: Tensor
    lesion: Tensor
    label: Tensor

    def __post_init__(self) -> None:
        _check_sides(self.image, self.lesion)
        if tuple(self.label.shape) != (self.image.shape[0],):
            raise ShapeError(
                f"{self.image.shape[0]} slices need as many labels, got {tuple(self.label.shape)}"
            )

    def to(self, device: device, channels_last: bool = False) -> SideBatch:
        """The same batch on another device; channels_last lays pixels out as CPU convolutions like them."""
        import torch

        layout = torch.channels_last if channels_last else torch.preserve_format
        image, lesion = (one.to(device, memory_format=layout) for one in (self.image, self.lesion))
        return SideBatch(image, lesion, self.label.to(device))

    def __len__(self) -> int:
        return int(self.image.shape[0])


@dataclass(frozen=True, eq=False)
class ExamBatch:
    """Some whole scans, each as its slices, one after another: no scan is padded to the length of another.

    image   (S, 1, H, W) float32   slices of all scans, cut down to their lungs, 0 to 1 as in `SideBatch`
    lesion  (S, 1, H, W) float32   1 in a lesion of any kind, else 0
    scan    (S,)         int64     which scan a slice is from: 0, 0, ... 1, ... rising, none without a slice
    label   (V,)         int64     of each scan: 1 has the disease, 0 has not, -1 unknown
    """

    image: Tensor
    lesion: Tensor
    scan: Tensor
    label: Tensor

    def __post_init__(self) -> None:
        _check_sides(self.image, self.lesion)
        slices, scans = int(self.image.shape[0]), int(self.label.numel())
        if tuple(self.scan.shape) != (slices,):
            raise ShapeError(f"{slices} slices need a scan each, got {tuple(self.scan.shape)}")
        steps = self.scan.diff()
        whole = bool(scans and slices) and int(self.scan[0]) == 0 and int(self.scan[-1]) == scans - 1
        if not whole or bool(((steps != 0) & (steps != 1)).any()):
            raise ShapeError(
                f"slices must go scan by scan, 0 to {scans - 1}, with at least one slice of each"
            )

    def to(self, device: device, channels_last: bool = False) -> ExamBatch:
        """The same batch on another device; channels_last lays pixels out as CPU convolutions like them."""
        import torch

        layout = torch.channels_last if channels_last else torch.preserve_format
        image, lesion = (one.to(device, memory_format=layout) for one in (self.image, self.lesion))
        return ExamBatch(image, lesion, self.scan.to(device), self.label.to(device))

    def __len__(self) -> int:
        return int(self.label.numel())


@dataclass(frozen=True, eq=False)
class StayBatch:
    """Some scans with what came after each, for networks that look ahead. P is 1 or 2 scans for each line.

    scans    (V, P, F) float32 features of a trunk that does not learn, or (V, P, 1, T, H, W) whole scans in
             [-1, 1]; of two, the one before comes first
    columns  (V, K) float32   further numbers of each line, in scales near 1; K may be 0
    gap      (V,)   float32   log(1 + days between the two scans); 0 where P is 1
    days     (V,)   float32   days from the scan to what came first, 0 or more
    kind     (V,)   int64     what that was: 0 observation ended, 1, 2, ... which event
    long     (V,)   int64     whether the stay was long: 1 yes, 0 no, -1 unknown
    """

    scans: Tensor
    columns: Tensor
    gap: Tensor
    days: Tensor
    kind: Tensor
    long: Tensor

    def __post_init__(self) -> None:
        shape = tuple(self.scans.shape)
        if len(shape) not in (3, 6) or shape[1] not in (1, 2) or (len(shape) == 6 and shape[2] != 1):
            raise ShapeError(f"scans must be (V, P, F) or (V, P, 1, T, H, W) with P 1 or 2, got {shape}")
        if self.columns.ndim != 2 or len(self.columns) != shape[0]:
            raise ShapeError(f"{shape[0]} lines need columns (V, K), got {tuple(self.columns.shape)}")
        for name in ("gap", "days", "kind", "long"):
            if tuple(getattr(self, name).shape) != (shape[0],):
                raise ShapeError(f"{shape[0]} lines need as many {name}, got {len(getattr(self, name))}")

    def to(self, device: device, channels_last: bool = False) -> StayBatch:
        """The same batch on another device; channels_last changes nothing here: lines are laid out later."""
        parts = (self.scans, self.columns, self.gap, self.days, self.kind, self.long)
        return StayBatch(*(part.to(device) for part in parts))

    def __len__(self) -> int:
        return int(self.scans.shape[0])


def _check_sides(image: Tensor, lesion: Tensor) -> None:
    if image.ndim != 4 or image.shape[1] != 1:
        raise ShapeError(f"slices must be (B, 1, H, W), got {tuple(image.shape)}")
    if lesion.shape != image.shape:
        raise ShapeError(f"slices {tuple(image.shape)} need lesions alike, got {tuple(lesion.shape)}")
