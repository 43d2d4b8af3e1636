"""Streams of axial slices out of whole scans, for networks that read scans slice by slice.

Scans lie on the network's grid, with what is known of lungs and lesions: phantoms know everything, real scans
have classical lungs where these are to be believed. A slice is drawn by what it shows (nothing of the lungs,
healthy lung, each class of lesion), so that a consolidated lobe is met as often as ground glass. Slices come
whole, anywhere in a square: as Hounsfield units in a fixed window, or in the look of 8-bit pictures.

`MixedBatches` puts several streams into one batch; `in_window` and `placed` bring labelled pictures of
another window and frame into such a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from scipy import ndimage

from glasslung.data.boxgrid import box_around, grid_over, labels_to_grid, to_grid
from glasslung.data.labelbatches import batch_of
from glasslung.data.labelled import UNKNOWN, unknown_like
from glasslung.data.orientation import orientation_of, to_upright, upright_spacing_mm
from glasslung.data.pairaugment import Pairs
from glasslung.data.slicelungs import lungs_of_slice
from glasslung.data.slicewindows import AIR_GREY, TISSUE_GREY
from glasslung.data.volumebatches import Scan
from glasslung.errors import DataError, UsageError
from glasslung.types import Lesion, Volume

if TYPE_CHECKING:
    from glasslung.nn.batches import LabelledBatch

Augment = Callable[[Pairs, np.random.Generator], Pairs]

KINDS = ("no lung", "no lesion", "ground glass", "consolidation", "crazy paving")
LEAST_PX = 40  # of a class, for a slice to count as one that shows it: 1.6 cm2 on a grid of 2 mm
BODY_HU = -300.0  # above it: skin and what is denser
AIR_HU, TISSUE_HU = -1000.0, 40.0  # what `slicewindows` takes dark air and soft tissue for


def _window_of_pictures() -> tuple[float, float]:
    hu_per_grey = (TISSUE_HU - AIR_HU) / (TISSUE_GREY - AIR_GREY)
    return AIR_HU - AIR_GREY * hu_per_grey, AIR_HU + (255 - AIR_GREY) * hu_per_grey


PICTURE_WINDOW = _window_of_pictures()
"""HU that are black and white on pictures made alike by `slicewindows`."""


@dataclass(frozen=True)
class Settings:
    """How slices are drawn and what is done to their grey values."""

    size: int = 192  # of the square: 38 cm on the grid of 2 mm, a wide chest
    spacing_mm: tuple[float, float, float] = (2.0, 2.0, 2.0)
    window_hu: tuple[float, float] = (-1000.0, 400.0)  # what 0 and 1 stand for
    slices: int = 8  # in a batch
    often: tuple[float, ...] = (0.10, 0.20, 0.22, 0.28, 0.20)  # how often each of KINDS is drawn
    shift_hu: float = 15.0  # standard deviation: calibration differs that much
    scale: float = 0.03  # likewise, as a share
    pictures: bool = False  # True: as 8-bit pictures made alike show it, which is not exact
    ends_hu: float = 60.0  # standard deviation of such a picture's window about `PICTURE_WINDOW`
    low_hu: tuple[float, float] = (-1300.0, -950.0)  # where its own window may have cut off, below ...
    high_hu: tuple[float, float] = (80.0, 450.0)  # ... and above

    def __post_init__(self) -> None:
        if self.size < 32 or self.size % 32 or self.slices < 1:
            raise UsageError("size must be a multiple of 32, and slices 1 or more")
        if len(self.often) != len(KINDS) or min(self.often) < 0 or not sum(self.often):
            raise UsageError(f"often has a share for each of {', '.join(KINDS)}")
        if not self.window_hu[0] < self.window_hu[1] or min(self.spacing_mm) <= 0:
            raise UsageError("window_hu must rise and spacing_mm be positive")


@dataclass(frozen=True, eq=False)
class SliceStack:
    """The slices of one scan, upright, on the network's grid.

    hu      (Z, Y, X) int16
    lesion  (Z, Y, X) int8, labels of `Lesion`, -1 unknown
    lung    (Z, Y, X) int8, 1 inside, 0 outside (lesions are inside), -1 unknown
    """

    hu: np.ndarray
    lesion: np.ndarray
    lung: np.ndarray

    def kinds(self) -> np.ndarray:
        """(Z, 5) bool: which of KINDS each slice shows."""
        lung = (self.lung > 0).sum((1, 2))
        each = [(self.lesion == kind).sum((1, 2)) >= LEAST_PX for kind in list(Lesion)[1:]]
        ill = (self.lesion > 0).any((1, 2))
        return np.stack([(self.lung == 0).all((1, 2)), (lung >= LEAST_PX) & ~ill, *each], 1)


def stack_of_scan(scan: Scan) -> SliceStack:
    """A phantom's slices, of which everything is known."""
    lesion = np.maximum(scan.label.astype(np.int8) - 1, 0).astype(np.int8)
    return SliceStack(scan.hu, lesion, (scan.label > 0).astype(np.int8))


def stack_with_lungs(volume: Volume, lungs: np.ndarray, settings: Settings) -> SliceStack:
    """A whole healthy scan with the lungs that somebody drew, (D, H, W), and no lesion anywhere."""
    orientation = orientation_of(volume)
    own = upright_spacing_mm(volume, orientation)
    hu, lung = (to_upright(part, orientation) for part in (volume.voxels, (lungs > 0).astype(np.int8)))
    whole = slice(0, hu.shape[0]), slice(0, hu.shape[1]), slice(0, hu.shape[2])
    grid = grid_over(whole, own, (own[0], *settings.spacing_mm[1:]))
    kept = labels_to_grid(lung, grid)
    none = np.broadcast_to(np.int8(Lesion.NONE), kept.shape)
    return SliceStack(np.rint(to_grid(hu, grid)).astype(np.int16), none, kept)


def stack_of_volume(
    volume: Volume, settings: Settings, clear: int = 0, margin_mm: float = 40.0
) -> SliceStack | None:
    """A real scan's own slices around its lungs, lesions unknown; None where no slice's lungs are told.

    Lungs are those of `slicelungs`, slice by slice: 1 and 0 where they are to be believed, -1 elsewhere.
    clear  so many slices, from the feet: somebody looked, no part of their lungs is dense, and what is not
           found is outside
    """
    orientation = orientation_of(volume)
    own = upright_spacing_mm(volume, orientation)
    hu = to_upright(volume.voxels, orientation)
    low, high = PICTURE_WINDOW
    pictures = np.rint(255 * np.clip((hu - low) / (high - low), 0, 1)).astype(np.uint8)
    lung = np.stack(
        [_lungs_in_body(*one, row < clear) for row, one in enumerate(zip(pictures, hu, strict=True))]
    )
    box = box_around(lung > 0, own, margin_mm)
    if box is None:
        return None
    told = np.flatnonzero((lung >= 0).any((1, 2)))
    whole = slice(int(told[0]), int(told[-1]) + 1), box[1], box[2]
    grid = grid_over(whole, own, (own[0], *settings.spacing_mm[1:]))
    on_grid = np.rint(to_grid(hu, grid)).astype(np.int16)
    kept = labels_to_grid(lung, grid)
    return SliceStack(on_grid, np.broadcast_to(np.int8(UNKNOWN), kept.shape), kept)


def _lungs_in_body(picture: np.ndarray, hu: np.ndarray, clear: bool) -> np.ndarray:
    """`lungs_of_slice` of what lies in the box around the body; what is beyond it is known to be outside."""
    parts, count = ndimage.label(ndimage.binary_opening(hu > BODY_HU, iterations=2))
    if not count:
        return np.full(hu.shape, UNKNOWN, np.int8)
    body = ndimage.find_objects(parts)[int(np.argmax(np.bincount(parts.ravel())[1:]))]
    seen = picture[body]
    inner = lungs_of_slice(seen, np.zeros(seen.shape, np.int8) if clear else unknown_like(seen))
    lung = np.full(hu.shape, 0 if (inner >= 0).any() else UNKNOWN, np.int8)
    lung[body] = inner
    return lung


# ------------------------------------------------------------------------------------------------ streams


class Stream(Protocol):
    """What `MixedBatches` puts together, and what it is."""

    def __next__(self) -> LabelledBatch: ...

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: dict[str, Any]) -> None: ...


class ScanSliceBatches:
    """Endless batches of slices: what a slice shows is drawn first, then a scan that has it, then a slice.

    Stops and goes on exactly: `state` holds the generator.

    stacks   on the settings' grid
    rng      numpy generator; it is owned by this stream from now on
    augment  other views, drawn from the same generator
    """

    def __init__(
        self,
        stacks: Sequence[SliceStack],
        settings: Settings,
        rng: np.random.Generator,
        augment: Augment | None = None,
    ) -> None:
        if not stacks:
            raise DataError("slices are drawn from scans; give one at least")
        self.stacks, self.settings, self.rng, self.augment = list(stacks), settings, rng, augment
        shown = [stack.kinds() for stack in self.stacks]
        self.holders = [
            {n: np.flatnonzero(kinds[:, kind]) for n, kinds in enumerate(shown) if kinds[:, kind].any()}
            for kind in range(len(KINDS))
        ]
        share = np.array(
            [often * bool(held) for often, held in zip(settings.often, self.holders, strict=True)]
        )
        if not share.sum():
            raise DataError(f"no scan holds a slice with any of {', '.join(KINDS)}; give others")
        self.share = share / share.sum()

    def __iter__(self) -> ScanSliceBatches:
        return self

    def __next__(self) -> LabelledBatch:
        """The next batch."""
        return batch_of(self.next_pairs())

    def next_pairs(self) -> Pairs:
        """The next batch as arrays."""
        drawn = [self._draw() for _ in range(self.settings.slices)]
        pictures, lesions, lungs = (np.stack(field) for field in zip(*drawn, strict=True))
        pairs = Pairs(pictures, lesions, lungs)
        return pairs if self.augment is None else self.augment(pairs, self.rng)

    def _draw(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        held = self.holders[int(self.rng.choice(len(KINDS), p=self.share))]
        number = int(self.rng.choice(list(held)))
        stack, row = self.stacks[number], int(self.rng.choice(held[number]))
        picture = grey_of(stack.hu[row], self.settings, self.rng)
        lesion, lung = (np.asarray(mask[row]) for mask in (stack.lesion, stack.lung))
        return place(picture, lesion, lung, self.settings.size, self.rng)

    def state(self) -> dict[str, Any]:
        """Where the stream stands, as JSON values."""
        return {"rng": self.rng.bit_generator.state, "stacks": len(self.stacks)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go to where `state` was taken; it must be of the same scans."""
        if state["stacks"] != len(self.stacks):
            raise UsageError(
                f"the run was fed {state['stacks']} scans, now {len(self.stacks)}; give the same"
            )
        self.rng.bit_generator.state = state["rng"]


class MixedBatches:
    """Endless batches that hold one batch of each of several streams, in that order."""

    def __init__(self, streams: Sequence[Stream]) -> None:
        if not streams:
            raise UsageError("a mixture needs one stream at least")
        self.streams = list(streams)

    def __iter__(self) -> MixedBatches:
        return self

    def __next__(self) -> LabelledBatch:
        """The next batch."""
        import torch

        from glasslung.nn.batches import LabelledBatch

        parts = [next(stream) for stream in self.streams]
        return LabelledBatch(
            torch.cat([part.image for part in parts]),
            torch.cat([part.lesion for part in parts]),
            torch.cat([part.lung for part in parts]),
        )

    def state(self) -> dict[str, Any]:
        """Where every stream stands, as JSON values."""
        return {"streams": [stream.state() for stream in self.streams]}

    def restore(self, state: dict[str, Any]) -> None:
        """Go to where `state` was taken; it must be of as many streams."""
        if len(state["streams"]) != len(self.streams):
            raise UsageError("the run was fed another number of streams; give the same")
        for stream, one in zip(self.streams, state["streams"], strict=True):
            stream.restore(one)


# ------------------------------------------------------------------------------------- frames and greys


def grey_of(hu: np.ndarray, settings: Settings, rng: np.random.Generator) -> np.ndarray:
    """HU of one slice as a network sees them, 0 to 1, float32: calibration, and a picture's window, drawn."""
    scale, shift = 1 + settings.scale * rng.standard_normal(), settings.shift_hu * rng.standard_normal()
    seen = (hu.astype(np.float32) + 1000) * np.float32(scale) - 1000 + np.float32(shift)
    low, high = settings.window_hu
    if not settings.pictures:
        return np.clip((seen - low) / (high - low), 0, 1).astype(np.float32)
    own = rng.uniform(*settings.low_hu), rng.uniform(*settings.high_hu)
    ends = np.array(PICTURE_WINDOW) + settings.ends_hu * rng.standard_normal(2)
    share = (np.clip(seen, *own) - ends[0]) / (ends[1] - ends[0])
    return np.asarray(np.rint(255 * np.clip(share, 0, 1)) / 255, np.float32)


def place(
    picture: np.ndarray, lesion: np.ndarray, lung: np.ndarray, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A slice anywhere in a square of `size`: black, no lung and no lesion around it where these are known.

    What is longer than the square is cut, anywhere.
    """
    target, source = [], []
    for length in picture.shape:
        room = size - length
        at = int(rng.integers(0, abs(room) + 1))
        target.append(slice(at, at + length) if room >= 0 else slice(0, size))
        source.append(slice(0, length) if room >= 0 else slice(at, at + size))
    fields = []
    for field, known in ((picture, True), (lesion, (lesion >= 0).any()), (lung, (lung >= 0).any())):
        square = np.full((size, size), 0 if known else UNKNOWN, field.dtype)
        square[target[0], target[1]] = field[source[0], source[1]]
        fields.append(square)
    return fields[0], fields[1], fields[2]


def placed(pairs: Pairs, size: int, rng: np.random.Generator) -> Pairs:
    """Framed slices anywhere in squares of another size."""
    drawn = [
        place(*fields, size, rng) for fields in zip(pairs.pictures, pairs.lesions, pairs.lungs, strict=True)
    ]
    pictures, lesions, lungs = (np.stack(field) for field in zip(*drawn, strict=True))
    return Pairs(pictures, lesions, lungs)


def in_window(pictures: np.ndarray, window_hu: tuple[float, float]) -> np.ndarray:
    """Pictures made alike by `slicewindows`, 0 to 1, as a window in Hounsfield units shows them, float32."""
    low, high = PICTURE_WINDOW
    hu = low + (high - low) * pictures
    share = np.clip((hu - window_hu[0]) / (window_hu[1] - window_hu[0]), 0, 1)
    return np.where(pictures > 0, share, 0).astype(np.float32)  # padding stays black


def hazed(lesions: np.ndarray) -> np.ndarray:
    """Lesion masks whose experts did not know crazy paving: their ground glass may be either (`HAZE`)."""
    from glasslung.nn.batches import HAZE

    return np.where(lesions == Lesion.GROUND_GLASS, HAZE, lesions).astype(np.int8)
