"""Other views of slices and their masks: drawn once, then applied to picture and masks alike.

Moves come first (mirror, quarter turns, then a warp: turn, scale, shear, shift, bend, crop), bilinear for
pictures and nearest for masks; then greys (gamma, window, blur, noise); then holes, of which masks know
nothing: a lesion under a hole is still a lesion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from glasslung.data.tiles import cut_at
from glasslung.errors import ShapeError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

FIELD = 5  # the bend is drawn on 5 x 5 points and is smooth in between
UNDO_ROUNDS = 8  # of a fixed point: an error below 0.01 for bends up to 0.02; stronger ones may fold
STILL = 1e-6  # a warp that moves nothing further than this share of the side is none


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
        if len(shapes) != 1 or self.pictures.ndim != 3 or self.pictures.shape[1] != self.pictures.shape[2]:
            raise ShapeError(f"slices and masks must all be (B, S, S), got {sorted(shapes)}")

    def __len__(self) -> int:
        return len(self.pictures)


# ---------------------------------------------------------------------------------------------- policies


@dataclass(frozen=True)
class Policy:
    """How strongly views differ. Chances are of one slice; 0 turns a thing off."""

    mirror: float = 0.0
    """Chance of left to right."""
    upend: float = 0.0
    """Chance of top to bottom."""
    quarter: float = 0.0
    """Chance of a turn by 0, 90, 180 or 270 degrees."""
    turn_deg: float = 0.0
    """Most of a turn, degrees."""
    scale: float = 0.0
    """Most of a change of size, as a share: 0.2 is from 1 / 1.2 to 1.2."""
    shear: float = 0.0
    """Most of a shear, and of a change of the sides' ratio."""
    shift: float = 0.0
    """Most of a shift, share of the side."""
    bend: float = 0.0
    """Standard deviation of the elastic displacement, share of the side."""
    crop: float = 0.0
    """Chance of a square crop that is resized back."""
    crop_side: float = 0.8
    """Of the side: what a crop keeps."""
    gamma: float = 0.0
    """Standard deviation of the logarithm of the greys' exponent."""
    contrast: float = 0.0
    """Most of a change of contrast, as a share."""
    brightness: float = 0.0
    """Most of a change of brightness, of the whole scale."""
    rewindow: float = 0.0
    """Chance of another window: from 0 to 0.06 at the dark end, 0.8 to 2 at the bright end. 2 makes a wide
    window's look out of a lung window's."""
    blur: float = 0.0
    """Chance of a blur of 0.4 to 1.2 pixels per 256."""
    noise: float = 0.0
    """Most of the noise's standard deviation, of the whole scale."""
    cutout: float = 0.0
    """Chance of one black square."""
    cutout_sides: tuple[float, ...] = (1 / 8, 1 / 4, 1 / 2)
    """Of the side: 64, 128 or 256 of a scan's 512 pixels (StichNet's paper)."""


POLICIES = {
    "none": Policy(),
    "weak": Policy(mirror=0.5, turn_deg=10.0, scale=0.1, shift=0.05),
    # StichNet's paper: random flips and cutout
    "paper": Policy(mirror=0.5, upend=0.5, cutout=0.25),
    # its released code; rows of its files run from right to left, so that its vertical flip is our mirror
    "released": Policy(mirror=0.5, quarter=0.5, crop=0.5),
    # for few slices and few steps: views that differ as much as hospitals do, no holes, no other windows
    "moderate": Policy(
        mirror=0.5,
        turn_deg=12.0,
        scale=0.15,
        shear=0.1,
        shift=0.08,
        bend=0.02,
        gamma=0.25,
        contrast=0.15,
        brightness=0.1,
        blur=0.1,
        noise=0.02,
    ),
    "strong": Policy(
        mirror=0.5,
        turn_deg=25.0,
        scale=0.25,
        shear=0.12,
        shift=0.08,
        bend=0.02,
        gamma=0.25,
        contrast=0.2,
        brightness=0.08,
        rewindow=0.25,
        blur=0.2,
        noise=0.04,
        cutout=0.25,
        cutout_sides=(1 / 16, 1 / 8, 1 / 4),
    ),
}


def policy_named(name: str) -> Policy:
    """A policy by its name; UsageError names those there are."""
    if name not in POLICIES:
        raise UsageError(f"no augmentation is called {name!r}; there are {', '.join(POLICIES)}")
    return POLICIES[name]


# ---------------------------------------------------------------------------------------- draw, then apply


@dataclass(frozen=True, eq=False)
class Views:
    """B draws, to be applied to B slices of any size.

    mirrored, upended  (B,) bool
    quarters           (B,) quarter turns against the clock
    matrix             (B, 2, 3) affine, target (x, y) -> source (x, y), both from -1 to 1 over the side
    bend               (B, 5, 5, 2) displacement of the source (x, y), in the same units
    gamma, low, high   (B,) greys become ((grey - low) / (high - low)) ** gamma
    blur               (B,) standard deviation in pixels per 256; 0 for none
    noise              (B,) standard deviation; noise_seed (B,) what its values are drawn from
    holes              (B, 4) top, left, height, width as shares of the side; 0 high for none
    """

    mirrored: np.ndarray
    upended: np.ndarray
    quarters: np.ndarray
    matrix: np.ndarray
    bend: np.ndarray
    gamma: np.ndarray
    low: np.ndarray
    high: np.ndarray
    blur: np.ndarray
    noise: np.ndarray
    noise_seed: np.ndarray
    holes: np.ndarray

    def __len__(self) -> int:
        return len(self.mirrored)

    @property
    def warped(self) -> np.ndarray:
        """(B,) bool: whether anything but mirrors and quarter turns moves."""
        straight = np.abs(self.matrix - np.eye(2, 3)).max(axis=(1, 2)) < STILL
        return ~(straight & (np.abs(self.bend).max(axis=(1, 2, 3)) < STILL))


def draw_views(policy: Policy, count: int, rng: np.random.Generator) -> Views:
    """Draw `count` views. The same number of random values is used whatever comes out."""
    low, high = _draw_window(policy, count, rng)
    return Views(
        mirrored=rng.random(count) < policy.mirror,
        upended=rng.random(count) < policy.upend,
        quarters=np.where(rng.random(count) < policy.quarter, rng.integers(0, 4, count), 0),
        matrix=_draw_matrix(policy, count, rng),
        bend=2 * policy.bend * rng.standard_normal((count, FIELD, FIELD, 2)),
        gamma=np.exp(policy.gamma * rng.standard_normal(count)),
        low=low,
        high=high,
        blur=np.where(rng.random(count) < policy.blur, rng.uniform(0.4, 1.2, count), 0.0),
        noise=policy.noise * rng.random(count),
        noise_seed=rng.integers(0, 2**31, count),
        holes=_draw_holes(policy, count, rng),
    )


def _draw_matrix(policy: Policy, count: int, rng: np.random.Generator) -> np.ndarray:
    turn = np.deg2rad(policy.turn_deg) * rng.uniform(-1, 1, count)
    size = (1 + policy.scale) ** rng.uniform(-1, 1, count)
    lean, ratio = policy.shear * rng.uniform(-1, 1, (2, count))
    shift = 2 * policy.shift * rng.uniform(-1, 1, (count, 2))
    cropped = rng.random(count) < policy.crop
    kept = np.where(cropped, policy.crop_side, 1.0)
    place = np.where(cropped[:, None], (1 - kept[:, None]) * rng.uniform(-1, 1, (count, 2)), 0.0)
    cos, sin = np.cos(turn), np.sin(turn)
    linear = np.stack([cos, -sin + lean, sin, cos * np.exp(ratio)], 1).reshape(count, 2, 2)
    linear = linear * (kept / size)[:, None, None]
    return np.concatenate([linear, (shift + place)[:, :, None]], axis=2)


def _draw_window(policy: Policy, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Dark and bright end: contrast and brightness about the middle, or another window."""
    half = 0.5 / (1 + policy.contrast) ** rng.uniform(-1, 1, count)
    middle = 0.5 - policy.brightness * rng.uniform(-1, 1, count)
    other = rng.random(count) < policy.rewindow
    low, high = rng.uniform(0, 0.06, count), rng.uniform(0.8, 2.0, count)
    return np.where(other, low, middle - half), np.where(other, high, middle + half)


def _draw_holes(policy: Policy, count: int, rng: np.random.Generator) -> np.ndarray:
    """Squares that lie wholly inside the slice."""
    side = np.asarray(policy.cutout_sides)[rng.integers(0, len(policy.cutout_sides), count)]
    place = rng.random((count, 2)) * (1 - side[:, None])
    side = np.where(rng.random(count) < policy.cutout, side, 0.0)
    return np.concatenate([place, side[:, None], side[:, None]], axis=1)


def apply_views(views: Views, pairs: Pairs) -> Pairs:
    """The views of B slices and their masks; new arrays."""
    if len(views) != len(pairs):
        raise ShapeError(f"{len(pairs)} slices need as many draws, got {len(views)}")
    moved = _moved(views, pairs)
    pictures = _greyed(views, moved.pictures)
    for picture, hole in zip(pictures, views.holes, strict=True):
        top, left, height, width = np.rint(hole * picture.shape[0]).astype(int)
        picture[top : top + height, left : left + width] = 0
    return replace(moved, pictures=pictures)


def augmenter(policy: Policy | str, tile: int = 0) -> Callable[[Pairs, np.random.Generator], Pairs]:
    """What `LabelledBatches` takes: draws views by a policy and applies them.

    tile  side in pixels of a tile that is cut out of each view at random (the paper: 64); 0: whole slices
    """
    chosen = policy_named(policy) if isinstance(policy, str) else policy

    def augment(pairs: Pairs, rng: np.random.Generator) -> Pairs:
        pairs = apply_views(draw_views(chosen, len(pairs), rng), pairs)
        return random_tiles(pairs, tile, rng) if tile else pairs

    return augment


def random_tiles(pairs: Pairs, side: int, rng: np.random.Generator) -> Pairs:
    """One tile (side, side) out of each slice, anywhere."""
    size = pairs.pictures.shape[1]
    if not 0 < side <= size:
        raise UsageError(f"a tile of {side} pixels does not fit slices of {size}")
    corners = rng.integers(0, size - side + 1, (len(pairs), 2))
    fields = (pairs.pictures, pairs.lesions, pairs.lungs)
    cut = [
        np.stack(
            [cut_at(one, int(top), int(left), side) for one, (top, left) in zip(f, corners, strict=True)]
        )
        for f in fields
    ]
    return Pairs(*cut)


# -------------------------------------------------------------------------------------------------- moving


def _moved(views: Views, pairs: Pairs) -> Pairs:
    pictures, lesions, lungs = (
        np.stack([_straight(views, n, image) for n, image in enumerate(field)])
        for field in (pairs.pictures, pairs.lesions, pairs.lungs)
    )
    rows = np.flatnonzero(views.warped)
    if len(rows):
        grid = _sources(views, rows, pictures.shape[1])
        pictures[rows] = _sample(pictures[rows, None], grid, "bilinear")[:, 0]
        masks = np.stack([lesions[rows], lungs[rows]], 1)
        fill = np.where((masks >= 0).any(axis=(2, 3), keepdims=True), 0, -1)  # outside the slice
        moved = _sample((masks - fill).astype(np.float32), grid, "nearest") + fill
        lesions[rows], lungs[rows] = moved[:, 0], moved[:, 1]
    return Pairs(pictures, lesions, lungs)


def _straight(views: Views, n: int, image: np.ndarray) -> np.ndarray:
    """Mirror, then upend, then quarter turns, over the last two axes: no pixel is interpolated."""
    image = image[..., ::-1] if views.mirrored[n] else image
    image = image[..., ::-1, :] if views.upended[n] else image
    return np.rot90(image, int(views.quarters[n]), axes=(-2, -1))


def _straight_back(views: Views, n: int, image: np.ndarray) -> np.ndarray:
    image = np.rot90(image, -int(views.quarters[n]), axes=(-2, -1))
    image = image[..., ::-1, :] if views.upended[n] else image
    return image[..., ::-1] if views.mirrored[n] else image


def undo_moves(views: Views, maps: np.ndarray) -> np.ndarray:
    """What was computed on the views, (B, C, S, S), back where the slices lay; float32.

    Mirrors and quarter turns are undone exactly, warps between pixels. What a view did not show is 0.
    """
    maps = np.array(maps, np.float32)
    if maps.ndim != 4 or len(maps) != len(views) or maps.shape[2] != maps.shape[3]:
        raise ShapeError(f"maps of {len(views)} views are (B, C, S, S), got {maps.shape}")
    rows = np.flatnonzero(views.warped)
    if len(rows):
        maps[rows] = _sample(maps[rows], _targets(views, rows, maps.shape[2]), "bilinear")
    return np.stack([_straight_back(views, n, one) for n, one in enumerate(maps)])


def _sources(views: Views, rows: np.ndarray, size: int) -> Tensor:
    """Where each target pixel looks in the source: (B, S, S, 2), (x, y) from -1 to 1."""
    import torch

    matrix = torch.from_numpy(views.matrix[rows].astype(np.float32))
    grid = torch.nn.functional.affine_grid(matrix, [len(rows), 1, size, size], align_corners=False)
    return grid + _bend(views, rows, size).permute(0, 2, 3, 1)


def _bend(views: Views, rows: np.ndarray, size: int) -> Tensor:
    """(B, 2, S, S): the bend at every pixel, by cubic splines."""
    import torch
    from scipy.interpolate import CubicSpline

    smooth = CubicSpline(np.linspace(0, 1, FIELD), np.eye(FIELD))((np.arange(size) + 0.5) / size)
    weights = torch.from_numpy(smooth.astype(np.float32))
    return weights @ torch.from_numpy(views.bend[rows].transpose(0, 3, 1, 2).astype(np.float32)) @ weights.T


def _targets(views: Views, rows: np.ndarray, size: int) -> Tensor:
    """The inverse of `_sources`: where each source pixel was shown, by a fixed point."""
    import torch

    back = np.linalg.inv(views.matrix[rows][:, :, :2])
    linear = torch.from_numpy(back.astype(np.float32))
    shift = torch.from_numpy(views.matrix[rows][:, None, None, :, 2].astype(np.float32))
    still = torch.eye(2, 3).expand(len(rows), 2, 3)
    here = torch.nn.functional.affine_grid(still, [len(rows), 1, size, size], align_corners=False)
    bend = _bend(views, rows, size)
    moved = torch.zeros_like(here)
    for _ in range(UNDO_ROUNDS):
        target = torch.einsum("bij,bhwj->bhwi", linear, here - shift - moved)
        moved = torch.nn.functional.grid_sample(bend, target, padding_mode="border", align_corners=False)
        moved = moved.permute(0, 2, 3, 1)
    return torch.einsum("bij,bhwj->bhwi", linear, here - shift - moved)


def _sample(images: np.ndarray, grid: Tensor, mode: str) -> np.ndarray:
    import torch

    given = torch.from_numpy(np.ascontiguousarray(images, np.float32))
    found: np.ndarray = torch.nn.functional.grid_sample(given, grid, mode=mode, align_corners=False).numpy()
    return found


# --------------------------------------------------------------------------------------------------- greys


def _greyed(views: Views, pictures: np.ndarray) -> np.ndarray:
    """Blurred, seen through another window, noisy: (B, S, S) float32 in [0, 1], a new array."""
    from scipy.ndimage import gaussian_filter

    pictures = pictures.copy()
    for n, picture in enumerate(pictures):
        if views.blur[n] > 0:
            pictures[n] = gaussian_filter(picture, views.blur[n] * len(picture) / 256, mode="nearest")
        if views.low[n] != 0 or views.high[n] != 1:
            pictures[n] = ((pictures[n] - views.low[n]) / (views.high[n] - views.low[n])).clip(0, 1)
        if views.gamma[n] != 1:
            pictures[n] = pictures[n] ** views.gamma[n]
        if views.noise[n] > 0:
            drawn = np.random.default_rng(int(views.noise_seed[n])).standard_normal(picture.shape, np.float32)
            pictures[n] = (pictures[n] + np.float32(views.noise[n]) * drawn).clip(0, 1)
    return pictures
