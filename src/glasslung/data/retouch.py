"""Slices retouched where masks are known: a lobe that has consolidated, gas below the lungs, lungs cut out.

What training sets hold too little of. Each is drawn for one slice, then picture and masks change together.
Grey values are shares of a known window, so that dense lung and air have a known grey.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from glasslung.data.pairaugment import Pairs
from glasslung.errors import UsageError
from glasslung.types import Lesion

DENSE_HU, AIR_HU = (10.0, 70.0), (-1000.0, -850.0)  # lung filled with fluid and cells; gas in the bowel
DETAIL_PX = 2.0  # what is finer than this stays: noise, and what is left of vessels
DETAIL_MOST = 0.1
EDGE_PX = 0.7  # how sharp painted borders are
LEAST_LUNG = 200  # pixels; a smaller part of a lung is none
MARGIN = 0.08  # most of the lungs' size left around them, as croppers leave
GAS_PX = (4.0, 18.0)  # half axes of a gas bubble
GAP_PX = 3  # between gas and lung
NONE = slice(None), slice(None)


@dataclass(frozen=True)
class Retouch:
    """Chances, for one slice, and the window that makes Hounsfield units grey values.

    dense    a part of one lung, or all of it, has consolidated
    gas      bubbles in what is soft tissue
    cut      all outside the lungs is black, as some sets have it
    crop     the picture ends just beyond the lungs
    """

    dense: float = 0.0
    gas: float = 0.0
    cut: float = 0.0
    crop: float = 0.0
    window_hu: tuple[float, float] = (-1000.0, 400.0)

    def __post_init__(self) -> None:
        if not all(0 <= chance <= 1 for chance in (self.dense, self.gas, self.cut, self.crop)):
            raise UsageError("chances lie between 0 and 1")
        if not self.window_hu[0] < self.window_hu[1]:
            raise UsageError("window_hu must rise")

    def grey(self, hu: float) -> float:
        """The grey of so many Hounsfield units, 0 to 1."""
        low, high = self.window_hu
        return float(np.clip((hu - low) / (high - low), 0, 1))


def retouch(pairs: Pairs, how: Retouch, rng: np.random.Generator) -> Pairs:
    """Each slice as chance has it; new arrays. The same number of chances is drawn whatever is known."""
    pictures, lesions, lungs = (np.array(field) for field in (pairs.pictures, pairs.lesions, pairs.lungs))
    chances = rng.random((len(pairs), 4)) < (how.dense, how.gas, how.cut, how.crop)
    for n, (dense, gas, cut, crop) in enumerate(chances):
        known = bool((lungs[n] >= 0).any())
        if dense and known:
            pictures[n], lesions[n] = consolidate(pictures[n], lesions[n], lungs[n], how, rng)
        if gas and known:
            pictures[n] = add_gas(pictures[n], lungs[n], how, rng)
        if (lungs[n] > 0).any():
            pictures[n] = _blackened(pictures[n], lungs[n], bool(cut), bool(crop), rng)
    return Pairs(pictures, lesions, lungs)


def consolidate(
    picture: np.ndarray, lesion: np.ndarray, lung: np.ndarray, how: Retouch, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A picture in which a part of one lung is dense, and its lesion mask; unknown pixels stay unknown.

    picture (S, S) in [0, 1], lesion (S, S) labels of `Lesion`, lung (S, S). The part lies beyond a wavy line
    through the lung; in a third of the cases it is the whole of that lung.
    """
    parts, count = ndimage.label(lung > 0)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    large = np.flatnonzero(sizes >= LEAST_LUNG) + 1
    if not large.size:
        return picture, lesion
    side = parts == int(rng.choice(large))
    region = side & (_half_plane(side, rng) if rng.random() < 2 / 3 else True)
    soft = np.clip(ndimage.gaussian_filter(region.astype(np.float32), EDGE_PX), 0, 1) * (lung > 0)
    detail = np.clip(picture - ndimage.gaussian_filter(picture, DETAIL_PX), -DETAIL_MOST, DETAIL_MOST)
    dense = np.float32(how.grey(rng.uniform(*DENSE_HU))) + np.float32(rng.uniform(0.3, 1)) * detail
    dense = np.maximum(dense, ndimage.gaussian_filter(picture, EDGE_PX) * (picture > dense))  # vessels stay
    drawn = np.where(region, np.int8(Lesion.CONSOLIDATION), lesion)
    return np.clip(picture + soft * (dense - picture), 0, 1).astype(np.float32), drawn.astype(lesion.dtype)


def _half_plane(side: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One side of a wavy line through some pixel of a region, (S, S) bool."""
    rows, columns = np.nonzero(side)
    at = int(rng.integers(len(rows)))
    y, x = np.indices(side.shape, np.float32)
    angle, wave = rng.uniform(0, 2 * np.pi), rng.uniform(8, 40)
    along = (y - rows[at]) * np.cos(angle) + (x - columns[at]) * np.sin(angle)
    across = (x - columns[at]) * np.cos(angle) - (y - rows[at]) * np.sin(angle)
    line = rng.uniform(0, 0.25) * wave * np.sin(2 * np.pi * (across / wave + rng.random()))
    return np.asarray(along > line)


def add_gas(picture: np.ndarray, lung: np.ndarray, how: Retouch, rng: np.random.Generator) -> np.ndarray:
    """A picture with one to three bubbles of gas in soft tissue, at some distance from the lungs."""
    tissue = (picture > how.grey(-150.0)) & (lung == 0)
    near = ndimage.binary_dilation(lung != 0, iterations=GAP_PX)
    places = np.flatnonzero(ndimage.binary_erosion(tissue & ~near, iterations=4))
    if not places.size:
        return picture
    y, x = np.indices(picture.shape, np.float32)
    bubble = np.zeros(picture.shape, bool)
    for _ in range(int(rng.integers(1, 4))):
        row, column = np.unravel_index(int(rng.choice(places)), picture.shape)
        half = rng.uniform(*GAS_PX, 2)
        bubble |= np.square((y - row) / half[0]) + np.square((x - column) / half[1]) < 1
    soft = ndimage.gaussian_filter((bubble & tissue & ~near).astype(np.float32), EDGE_PX) * (lung == 0)
    return np.asarray(picture + soft * (how.grey(rng.uniform(*AIR_HU)) - picture), np.float32)


def _blackened(
    picture: np.ndarray, lung: np.ndarray, cut: bool, crop: bool, rng: np.random.Generator
) -> np.ndarray:
    """Black outside the lungs (only where all of them is known), or beyond a box around them."""
    if cut and (lung >= 0).all():
        picture = picture * (lung > 0)
    if crop:
        box = np.zeros(picture.shape, bool)
        box[_box(lung > 0, rng)] = True
        picture = picture * box
    return picture


def _box(lung: np.ndarray, rng: np.random.Generator) -> tuple[slice, slice]:
    spans = []
    for axis in (1, 0):
        seen = np.flatnonzero(lung.any(axis=axis))
        before, after = rng.uniform(0, MARGIN, 2) * (seen[-1] + 1 - seen[0])
        spans.append(slice(max(0, int(seen[0] - before)), int(seen[-1] + 1 + after)))
    return spans[0], spans[1]
