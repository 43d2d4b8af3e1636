"""Endless batches of labelled, unlabelled and healthy slices, framed alike; and the way back to each slice.

A slice is padded with black to a square and resized: by area where it shrinks, between pixels where it
grows; masks take the nearest label. What is padded on is outside the lungs and without lesion where these are
known, unknown where they are not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from glasslung.data.labelled import UNKNOWN, Kind, LabelledSlices
from glasslung.data.pairaugment import Pairs
from glasslung.data.resampling import resample, resample_labels
from glasslung.errors import DataError, ShapeError, UsageError

if TYPE_CHECKING:
    from glasslung.nn.batches import LabelledBatch

LEAST_SIZE = 32  # networks halve a slice five times

Augment = Callable[[Pairs, np.random.Generator], Pairs]
"""augment(pairs, rng) -> other views of the same slices, masks moved along."""


# ------------------------------------------------------------------------------------ to and from squares


def square_picture(picture: np.ndarray, size: int) -> np.ndarray:
    """(H, W) uint8 -> (size, size) uint8, padded with black on both sides."""
    square = _padded(picture, np.uint8(0))
    return np.rint(resample(square, size, size)).clip(0, 255).astype(np.uint8)


def square_labels(mask: np.ndarray, size: int) -> np.ndarray:
    """(H, W) int8 -> (size, size) int8; the padding is 0 where anything of the mask is known, else -1."""
    fill = np.int8(0 if (mask >= 0).any() else UNKNOWN)
    return resample_labels(_padded(mask, fill), size, size)


def from_square(maps: np.ndarray, height: int, width: int) -> np.ndarray:
    """Maps (..., S, S) of a framed slice -> (..., height, width) float32 on the slice's own grid.

    Where they sum to 1 over a leading axis they still do.
    """
    if maps.ndim < 2 or maps.shape[-1] != maps.shape[-2]:
        raise ShapeError(f"maps of framed slices are (..., S, S), got {maps.shape}")
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    return resample(maps, side, side)[..., top : top + height, left : left + width]


def _padded(picture: np.ndarray, fill: np.generic) -> np.ndarray:
    height, width = picture.shape
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    square = np.full((side, side), fill, picture.dtype)
    square[top : top + height, left : left + width] = picture
    return square


def to_native(probabilities: np.ndarray, slices: LabelledSlices, row: int) -> np.ndarray:
    """A model's maps (..., S, S) of slice `row` -> (..., H, W) as the slice's file lies."""
    return slices.native(from_square(probabilities, *slices.pictures[row].shape), row)


class SquareSlices:
    """Slices framed at one size, each when it is first asked for and then kept.

    At 256 pixels a slice takes 64 KB, one with masks 192 KB.
    """

    def __init__(self, slices: LabelledSlices, size: int) -> None:
        if size < LEAST_SIZE or size % LEAST_SIZE:
            raise UsageError(f"slices are framed at a multiple of {LEAST_SIZE} pixels, got {size}")
        self.slices, self.size = slices, size
        self._pictures: dict[int, np.ndarray] = {}
        self._lesions: dict[int, np.ndarray] = {}
        self._lungs: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.slices)

    def pairs(self, rows: np.ndarray) -> Pairs:
        """Pictures and masks of some slices, (B, S, S) each."""
        pictures = np.stack([self.picture(int(row)) for row in rows])
        return Pairs(
            pictures.astype(np.float32) / np.float32(255),
            np.stack([self._mask(self._lesions, self.slices.lesions, int(row)) for row in rows]),
            np.stack([self._mask(self._lungs, self.slices.lungs, int(row)) for row in rows]),
        )

    def picture(self, row: int) -> np.ndarray:
        """(S, S) uint8."""
        if row not in self._pictures:
            self._pictures[row] = square_picture(self.slices.pictures[row], self.size)
        return self._pictures[row]

    def _mask(self, kept: dict[int, np.ndarray], masks: tuple[np.ndarray, ...], row: int) -> np.ndarray:
        if row not in kept:
            mask = masks[row]
            constant = mask.strides == (0, 0)  # nothing known, or no lesion at all: no memory is spent
            square = (self.size, self.size)
            kept[row] = np.broadcast_to(mask[0, 0], square) if constant else square_labels(mask, self.size)
        return kept[row]

    def with_masks_of(self, slices: LabelledSlices) -> SquareSlices:
        """The same pictures with the masks of `slices`, guessed ones for example; pictures stay framed."""
        if slices.names != self.slices.names:
            raise DataError("other masks must be of the same slices in the same order")
        other = SquareSlices(slices, self.size)
        if all(a is b for a, b in zip(slices.pictures, self.slices.pictures, strict=True)):
            other._pictures = self._pictures
        return other

    def batch(self, rows: np.ndarray) -> LabelledBatch:
        """Some slices as a model eats them, as they are."""
        return batch_of(self.pairs(rows))


def batch_of(pairs: Pairs) -> LabelledBatch:
    """Pictures and masks as tensors."""
    import torch

    from glasslung.nn.batches import LabelledBatch

    return LabelledBatch(
        torch.from_numpy(np.ascontiguousarray(pairs.pictures, np.float32)[:, None]),
        torch.from_numpy(pairs.lesions.astype(np.int64)),
        torch.from_numpy(pairs.lungs.astype(np.int64)),
    )


# ------------------------------------------------------------------------------------------------ streams


@dataclass(frozen=True)
class BatchPlan:
    """How many slices of each kind are in a batch, in this order."""

    labelled: int = 4
    """Drawn by an expert, or guessed by a model (`Kind.PSEUDO`). 4: two cores take a step a second at 256."""
    unlabelled: int = 0
    """None: a supervised run."""
    healthy: int = 0
    """Of healthy people: without lesion everywhere."""

    def __post_init__(self) -> None:
        if min(self.labelled, self.unlabelled, self.healthy) < 0 or not len(self):
            raise UsageError("a batch needs one slice at least, and no kind less than 0")

    def __len__(self) -> int:
        return self.labelled + self.unlabelled + self.healthy


POOLS = {
    "labelled": (Kind.LABELLED, Kind.PSEUDO),
    "unlabelled": (Kind.UNLABELLED,),
    "healthy": (Kind.HEALTHY,),
}


class LabelledBatches:
    """Endless batches: labelled slices first, then unlabelled, then healthy ones, as the plan says.

    Each slice of a kind comes once before any comes again, across the ends of batches. Stops and goes on
    exactly: `state` holds the generator and what is left of every pass, as plain JSON.

    squares  the slices, framed
    rng      numpy generator; it is owned by this stream from now on
    rows     only these slices: those to learn from in one fold; all by default
    augment  optional, drawn from the same generator; `pairaugment.augmenter` makes one
    """

    def __init__(
        self,
        squares: SquareSlices,
        plan: BatchPlan,
        rng: np.random.Generator,
        rows: np.ndarray | None = None,
        augment: Augment | None = None,
    ) -> None:
        self.squares, self.plan, self.rng, self.augment = squares, plan, rng, augment
        allowed = np.arange(len(squares)) if rows is None else np.asarray(rows, np.int64)
        self.pools = {
            name: np.intersect1d(squares.slices.of_kind(*kinds), allowed) for name, kinds in POOLS.items()
        }
        for name, pool in self.pools.items():
            if getattr(plan, name) and not len(pool):
                raise DataError(
                    f"no slice is {name}, and a batch needs {getattr(plan, name)}; add some, or ask for 0"
                )
        self.left: dict[str, list[int]] = {name: [] for name in POOLS}

    def __iter__(self) -> LabelledBatches:
        return self

    def __next__(self) -> LabelledBatch:
        """The next batch, on the processor's memory."""
        return batch_of(self.next_pairs()[0])

    def next_pairs(self) -> tuple[Pairs, np.ndarray]:
        """The next batch as arrays, and which slices they are, (B,) indices."""
        rows = np.concatenate([self._draw(name) for name in POOLS]).astype(np.int64)
        pairs = self.squares.pairs(rows)
        return (pairs if self.augment is None else self.augment(pairs, self.rng)), rows

    def _draw(self, name: str) -> np.ndarray:
        drawn: list[int] = []
        while len(drawn) < getattr(self.plan, name):
            if not self.left[name]:
                self.left[name] = self.rng.permutation(self.pools[name]).tolist()
            take = getattr(self.plan, name) - len(drawn)
            drawn += self.left[name][:take]
            self.left[name] = self.left[name][take:]
        return np.array(drawn, np.int64)

    def state(self) -> dict[str, Any]:
        """Where the stream stands, as JSON values."""
        return {
            "rng": self.rng.bit_generator.state,
            "left": {name: list(rows) for name, rows in self.left.items()},
            "fed": self._fed(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go to where `state` was taken; it must be of the same slices and plan."""
        if state["fed"] != self._fed():
            raise UsageError(
                f"the run was fed {state['fed']}, now {self._fed()}; give the same slices and batches"
            )
        self.rng.bit_generator.state = state["rng"]
        self.left = {name: list(state["left"][name]) for name in POOLS}

    def _fed(self) -> dict[str, list[int]]:
        """Of each kind: how many in a batch, of how many."""
        return {name: [getattr(self.plan, name), len(pool)] for name, pool in self.pools.items()}
