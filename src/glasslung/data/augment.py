"""Other views of the same lungs: warped as the next patient might lie, re-framed and resized likewise.

Warping a 64 x 64 picture would blur the border between lung and black, and that border decides a good part
of the score. So pictures are warped at their own resolution: the warp is drawn, the warped lungs are framed
as tightly as the real crop frames them, padded to a square, and the 64 x 64 points of the paper's resize
(bilinear, no anti-aliasing, whole grey values) are looked up in the native picture through the warp.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from glasslung.data.batches import GroupBalancedBatches
from glasslung.data.slices import PAPER_SIZE, SliceSet
from glasslung.errors import ShapeError, UsageError

if TYPE_CHECKING:
    from glasslung.nn.batches import SliceBatch

LUNG_GREY = 10  # JPEG rings around the lungs stay below this
TISSUE_GREY = 3  # brightness is changed above this; black stays black
OUTLINE = 48  # points of the lungs' outline that frame the warped picture
FIELD = 5  # the elastic field is drawn on 5 x 5 points and is smooth in between

# standard deviations at strength 1, chosen by looking: lungs that could be another patient's
TURN_RAD, MOST_TURN_RAD = 0.07, 0.2
SHEAR, STRETCH, BEND = 0.05, 0.08, 0.012  # of the side
GAMMA, GAIN = 0.08, 0.06
SHIFT = 0.5  # of a target pixel, uniform: where the sampling grid lies


@dataclass(frozen=True, eq=False)
class NativeSlices:
    """Pictures at their own resolution in one flat buffer, N of them.

    grey     all pixels, row by row, one picture after the other, uint8
    start    (N,) where each picture begins; height, width (N,) in pixels
    outline  (N, 48, 2) convex outline of the lungs, (x, y) in pixels
    margin   (N, 4) black pixels left, above, right and below of it
    """

    grey: np.ndarray
    start: np.ndarray
    height: np.ndarray
    width: np.ndarray
    outline: np.ndarray
    margin: np.ndarray

    @classmethod
    def of(cls, pictures: Sequence[np.ndarray]) -> NativeSlices:
        """From pictures (H, W) uint8 of any sizes."""
        wrong = [p for p in pictures if p.ndim != 2 or p.dtype != np.uint8 or p.size == 0]
        if wrong or not pictures:
            raise ShapeError("warping needs pictures (H, W) uint8, one at least")
        sizes = np.array([p.size for p in pictures])
        framed = [_outline(p) for p in pictures]
        return cls(
            np.concatenate([p.ravel() for p in pictures]),
            np.concatenate([[0], np.cumsum(sizes)[:-1]]),
            np.array([p.shape[0] for p in pictures]),
            np.array([p.shape[1] for p in pictures]),
            np.stack([outline for outline, _ in framed]),
            np.stack([margin for _, margin in framed]),
        )

    def __len__(self) -> int:
        return len(self.start)


def _outline(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Outline (48, 2) and margins (4,) of one picture; of the whole frame where there are no lungs."""
    from scipy.spatial import ConvexHull, QhullError

    height, width = picture.shape
    rows, columns = np.nonzero(picture > LUNG_GREY)
    points = np.stack([columns, rows], 1).astype(np.float32)
    try:
        corners = points[ConvexHull(points).vertices]
    except (QhullError, ValueError):  # fewer than three points, or all on one line
        corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float32)
    low, high = corners.min(0), corners.max(0)
    margin = np.array([low[0], low[1], width - 1 - high[0], height - 1 - high[1]], np.float32)
    return corners[np.linspace(0, len(corners) - 1e-3, OUTLINE).astype(int)], margin


# ------------------------------------------------------------------------------------------ draw, then apply


@dataclass(frozen=True, eq=False)
class Warps:
    """B draws of a warp, to be applied to B pictures.

    matrix    (B, 2, 2) turn, shear, stretch, mirror; acts on (x, y)
    mirrored  (B,) whether left and right are changed
    shift     (B, 2) of the sampling grid, in target pixels
    bend      (B, 5, 5, 2) elastic displacement, share of the side
    gamma     (B,) exponent of the grey values; gain (B,) factor of them
    """

    matrix: np.ndarray
    mirrored: np.ndarray
    shift: np.ndarray
    bend: np.ndarray
    gamma: np.ndarray
    gain: np.ndarray


def draw_warps(count: int, rng: np.random.Generator, strength: float = 1.0) -> Warps:
    """Draw warps; strength scales all but the mirror, and 0 draws none at all, the mirror neither."""
    if strength < 0:
        raise UsageError("the strength of a warp must not be negative")
    turn = np.clip(rng.normal(0, TURN_RAD, count) * strength, -MOST_TURN_RAD, MOST_TURN_RAD)
    lean, tilt = rng.normal(0, SHEAR, (2, count)) * strength
    stretch = np.exp(rng.normal(0, STRETCH, count) * strength)
    mirrored = (rng.random(count) < 0.5) & (strength > 0)
    side = np.where(mirrored, -1.0, 1.0)
    matrix = np.stack(
        [np.cos(turn) * side, -np.sin(turn) + lean, (np.sin(turn) + tilt) * side, np.cos(turn) * stretch], 1
    ).reshape(count, 2, 2)
    return Warps(
        matrix,
        mirrored,
        rng.uniform(-SHIFT / 2, SHIFT / 2, (count, 2)) * (strength > 0),
        rng.normal(0, BEND, (count, FIELD, FIELD, 2)) * strength,
        np.exp(rng.normal(0, GAMMA, count) * strength),
        np.exp(rng.normal(0, GAIN, count) * strength),
    )


def warp_slices(native: NativeSlices, rows: np.ndarray, warps: Warps, size: int = PAPER_SIZE) -> np.ndarray:
    """The pictures `rows` (B,), warped, framed and resized: (B, size, size) float32, whole grey values / 255.

    With a draw of strength 0 it is `data.slices.square_slice`, as long as no side is smaller than `size`.
    """
    places = _places(native, rows, warps, size)
    grey = _look_up(native, rows, places)
    told = 255 * warps.gain[:, None, None] * (grey.clip(0, 255) / 255) ** warps.gamma[:, None, None]
    grey = np.where(grey > TISSUE_GREY, told, grey)
    return (np.rint(grey).clip(0, 255) / 255).astype(np.float32)


def _places(native: NativeSlices, rows: np.ndarray, warps: Warps, size: int) -> np.ndarray:
    """Where in the native pictures each target pixel lies: (B, size, size, 2), (x, y) in native pixels."""
    warped = np.einsum("bij,bpj->bpi", warps.matrix, native.outline[rows])
    margin = native.margin[rows]
    swapped = margin[:, [2, 1, 0, 3]]
    margin = np.where(warps.mirrored[:, None], swapped, margin)
    low, high = warped.min(1) - margin[:, :2], warped.max(1) + margin[:, 2:]
    extent = high - low + 1
    side = extent.max(1, keepdims=True)
    offset = np.floor((side - extent) / 2)
    grid = (np.arange(size) + 0.5) / size
    target = np.stack(np.meshgrid(grid, grid), -1)[None] * side[:, :, None, None]
    target = target - 0.5 + (low - offset + warps.shift * side / size)[:, None, None]
    smooth = _smoothing(size)
    bend = np.einsum("ip,jq,bpqc->bijc", smooth, smooth, warps.bend, optimize=True)
    target = target + bend * side[:, :, None, None]
    return np.einsum("bij,bhwj->bhwi", np.linalg.inv(warps.matrix), target, optimize=True)


def _smoothing(size: int) -> np.ndarray:
    """(size, 5): cubic splines from the points of the elastic field to every target pixel."""
    from scipy.interpolate import CubicSpline

    smooth: np.ndarray = CubicSpline(np.linspace(0, 1, FIELD), np.eye(FIELD))(np.linspace(0, 1, size))
    return smooth


def _look_up(native: NativeSlices, rows: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Grey values between the pixels, bilinear, black outside the picture: (B, size, size) float32."""
    whole = np.floor(places)
    part = (places - whole).astype(np.float32)
    column, row = whole[..., 0].astype(np.int64), whole[..., 1].astype(np.int64)
    shape = (-1, 1, 1)
    start, height = native.start[rows].reshape(shape), native.height[rows].reshape(shape)
    width = native.width[rows].reshape(shape)
    found = np.zeros(column.shape, np.float32)
    for right in (0, 1):
        for below in (0, 1):
            x, y = column + right, row + below
            inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
            grey = native.grey[np.where(inside, start + y * width + x, 0)] * inside
            weight_x = part[..., 0] if right else 1 - part[..., 0]
            weight_y = part[..., 1] if below else 1 - part[..., 1]
            found += grey * weight_x * weight_y
    return found


# ------------------------------------------------------------------------------------------------- a stream


class WarpedBatches(GroupBalancedBatches):
    """As `GroupBalancedBatches`, every slice warped anew; stops and goes on exactly.

    native    the pictures that `slices` were made from, in the same order
    strength  strength(batch number, from 0) of the warps: 1 at first and gentler at the end, for example
    """

    def __init__(
        self,
        slices: SliceSet,
        native: NativeSlices,
        each: int,
        rng: np.random.Generator,
        strength: Callable[[int], float] = lambda number: 1.0,
    ) -> None:
        if len(native) != len(slices):
            raise ShapeError(f"{len(slices)} slices need as many pictures, got {len(native)}")
        super().__init__(slices, each, rng)
        self.native, self.strength, self.number = native, strength, 0

    def __next__(self) -> SliceBatch:
        """The next batch, groups in order."""
        import torch

        from glasslung.nn.batches import SliceBatch

        rows = np.concatenate([self._draw(group) for group in self.rows])
        warps = draw_warps(len(rows), self.rng, self.strength(self.number))
        self.number += 1
        images = torch.from_numpy(warp_slices(self.native, rows, warps, self.slices.size)[:, None])
        known = self.slices.batch(rows)
        return SliceBatch(images, known.group, known.day, known.patient)

    def state(self) -> dict[str, Any]:
        """Where the stream stands, as JSON values."""
        return super().state() | {"number": self.number}

    def restore(self, state: dict[str, Any]) -> None:
        """Go to where `state` was taken."""
        super().restore(state)
        self.number = int(state["number"])
