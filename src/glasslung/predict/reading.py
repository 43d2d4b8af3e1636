"""What a segmenter of slices says of a scan, on the grid it works on.

A network for Hounsfield units looks at the box of the lungs and a margin, at its own spacing; thicker slices
than it knows are taken one by one. A network for pictures looks at each picture, turned upright, as through
one window and framed as a square: a picture in which the lungs are small is first cut to them, because the
slices it learned from were. Every slice is asked as it is and mirrored, and the mean is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage

from glasslung.data import boxgrid
from glasslung.data.boxgrid import Box, BoxGrid, Triple
from glasslung.data.labelbatches import from_square, square_picture
from glasslung.data.lungs.pictures import PICTURE_HU, STACK_SLICES, boxes_of, cut_out
from glasslung.data.orientation import orientation_of, to_upright
from glasslung.data.sliceviews import View, as_it_lay, tell_view, upright
from glasslung.data.slicewindows import VOTERS, air_and_tissue, rewindowed
from glasslung.predict.opening import Segmenter
from glasslung.types import Geometry, Progress, Volume

if TYPE_CHECKING:
    from torch import Tensor

MULTIPLE = 32  # segmenters halve a slice five times
MARGIN_MM = 25.0  # chest wall around the lungs: what a network needs to know it
BATCH_PIXELS = 8 * 256 * 256  # of slices asked at once: about 0.5 GB of the light U-Net's layers
SMOOTH_MM = 2.0  # deviation across slices: neighbours 5 mm apart hardly touch, of 1 mm three count
MARGIN_SHARE = 0.06  # of the lungs' longer side: how tightly the labelled slices are cut
WIDE_SHARE = 0.75  # pictures in which the lungs fill less than this of both sides are cut to them


@dataclass(frozen=True, eq=False)
class Reading:
    """A segmenter's answer on its working grid, upright.

    grid       a box of the upright scan, and the working grid over it
    spacing_mm of the working grid (as pictures of a chest are taken to have, where none is known)
    infection  (z, y, x) float16: probability of any lesion
    kinds      (z, y, x) uint8, labels of `Lesion`: the likeliest lesion, where there is one
    doubt      (z, y, x) float16: entropy of the classes, 0 sure to 1 (all alike)
    lung       (z, y, x) float16: probability of lung; None from a network without that output
    hu         (z, y, x) float16: densities, clipped to the network's window; of pictures that show a whole
               scan as far as contrast tells them; None of other pictures
    foreign    what in the scan is unlike the slices that the network learned from, a sentence each
    """

    grid: BoxGrid
    spacing_mm: Triple
    infection: np.ndarray
    kinds: np.ndarray
    doubt: np.ndarray
    lung: np.ndarray | None
    hu: np.ndarray | None = None
    foreign: tuple[str, ...] = ()


class _Answer(NamedTuple):
    """The arrays of a `Reading`, of the whole grid or of some slices."""

    infection: np.ndarray
    kinds: np.ndarray
    doubt: np.ndarray
    lung: np.ndarray | None


def read_scan(
    segmenter: Segmenter,
    volume: Volume,
    near: np.ndarray,
    spacing_mm: Triple,
    progress: Progress | None = None,
) -> Reading | None:
    """Ask a network for Hounsfield units about the box around `near`; None where that is empty.

    near        (Z, Y, X) bool, upright: a rough mask of the lungs
    spacing_mm  of the upright scan
    """
    voxels = to_upright(volume.voxels, orientation_of(volume))
    box = boxgrid.box_around(near, spacing_mm, MARGIN_MM)
    if box is None:
        return None
    target = (max(spacing_mm[0], segmenter.spacing_mm[0]), *segmenter.spacing_mm[1:])
    grid = boxgrid.grid_over(_widened(box, near.shape, spacing_mm, target), spacing_mm, target)
    image = boxgrid.to_grid(voxels, grid)
    low, high = segmenter.window_hu
    np.clip((image - low) / (high - low), 0.0, 1.0, out=image)
    asked = np.pad(image, [(0, 0), *((0, -n % MULTIPLE) for n in image.shape[1:])])
    maps = np.empty((len(segmenter.classes) + segmenter.finds_lungs, *image.shape), np.float32)
    per_batch = max(1, BATCH_PIXELS // int(np.prod(asked.shape[1:])))
    for run in boxgrid.slabs(len(asked), per_batch):
        maps[:, run] = _asked(segmenter, asked[run])[..., : image.shape[1], : image.shape[2]]
        _tell(progress, run.stop / len(asked))
    z, y, x = (mm * size / n for mm, size, n in zip(spacing_mm, grid.size, grid.shape, strict=True))
    own = (z, y, x)
    answer = _answer(segmenter, calmed(maps, own[0], axis=1))
    seen = (image * (high - low) + low).astype(np.float16)
    return Reading(grid, own, *answer, seen, _thick(segmenter, spacing_mm))


def _widened(box: Box, shape: tuple[int, ...], spacing_mm: Triple, target_mm: Triple) -> Box:
    """The box, wide enough in rows and columns to fill the multiple that a network needs, if the scan is."""
    parts = [box[0]]
    for axis in (1, 2):
        start, stop = box[axis].start, box[axis].stop
        want = -(-(stop - start) * spacing_mm[axis] / target_mm[axis] // MULTIPLE) * MULTIPLE
        more = max(0, int(want * target_mm[axis] / spacing_mm[axis]) - (stop - start))
        start = max(0, start - more // 2)
        stop = min(shape[axis], stop + more - more // 2)
        parts.append(slice(start, stop))
    return parts[0], parts[1], parts[2]


def _thick(segmenter: Segmenter, spacing_mm: Triple) -> tuple[str, ...]:
    if spacing_mm[0] <= 3.0 * segmenter.spacing_mm[0]:
        return ()
    far, learned = spacing_mm[0], segmenter.spacing_mm[0]
    return (f"slices lie {far:.1f} mm apart, and the network learned from slices {learned:g} mm apart",)


def _asked(segmenter: Segmenter, slices: np.ndarray) -> np.ndarray:
    """Slices (B, H, W) -> class probabilities, and lung behind them: (C or C + 1, B, H, W) float32.

    The mean over each slice as it is and mirrored.
    """
    import torch

    image = torch.from_numpy(np.ascontiguousarray(slices, np.float32))[:, None]

    def ask(given: Tensor) -> Tensor:
        told = segmenter.ask(given.contiguous(memory_format=torch.channels_last))
        maps = told.kinds if told.lung is None else torch.cat([told.kinds, told.lung[:, None]], 1)
        return maps.float()

    with torch.no_grad():
        mean = 0.5 * (ask(image) + ask(image.flip(-1)).flip(-1))
    return np.asarray(mean.transpose(0, 1).numpy())


def _answer(segmenter: Segmenter, maps: np.ndarray) -> _Answer:
    """Maps (C or C + 1, ...) -> what is kept of them."""
    classes = len(segmenter.classes)
    chances = maps[:classes]
    entropy = -np.einsum("c...,c...->...", chances, np.log(chances.clip(1e-6)))
    return _Answer(
        (1.0 - chances[0]).clip(0, 1).astype(np.float16),
        (1 + chances[1:].argmax(0)).astype(np.uint8),
        (entropy / np.log(classes)).clip(0, 1).astype(np.float16),
        maps[classes].astype(np.float16) if segmenter.finds_lungs else None,
    )


def calmed(maps: np.ndarray, step_mm: float, axis: int) -> np.ndarray:
    """Maps averaged lightly over slices that lie `step_mm` apart along an axis."""
    if maps.shape[axis] < 2:
        return maps
    return np.asarray(
        ndimage.gaussian_filter1d(maps, SMOOTH_MM / step_mm, axis=axis, mode="nearest", truncate=2.5)
    )


# ------------------------------------------------------------------------------------------------ pictures


def read_pictures(
    segmenter: Segmenter,
    volume: Volume,
    near: np.ndarray,
    spacing_mm: Triple,
    progress: Progress | None = None,
) -> Reading:
    """Ask a network for 8-bit slices about every slice that shows any of `near`; the grid is the scan's own.

    near        (Z, Y, X) bool, upright: a rough mask of the lungs
    spacing_mm  of the upright scan, or as it is taken to be
    """
    grey = to_upright(volume.voxels, orientation_of(volume))
    frames = _frames(volume, grey, near)
    places = [z for z in range(len(grey)) if near[z].any()]
    pictures = [grey[z][frames[z]] for z in places]
    foreign: tuple[str, ...] = ()
    view = View.UPRIGHT
    if pictures and volume.geometry is Geometry.ASSUMED:
        view = tell_view([np.ascontiguousarray(picture) for picture in pictures])
    if pictures and segmenter.one_window:
        pictures, foreign = _through_one_window(pictures)
    kept = _nothing(segmenter, grey.shape)
    per_batch = max(1, BATCH_PIXELS // segmenter.size**2)
    for run in boxgrid.slabs(len(places), per_batch):
        turned = [upright(picture, view) for picture in pictures[run]]
        squares = np.stack([square_picture(picture, segmenter.size) for picture in turned])
        answers = _asked(segmenter, squares.astype(np.float32) / np.float32(255))
        for n, (z, picture) in enumerate(zip(places[run], turned, strict=True)):
            maps = as_it_lay(from_square(answers[:, n], *picture.shape), view)
            for whole, part in zip(kept, _answer(segmenter, maps), strict=True):
                if whole is not None:
                    whole[z][frames[z]] = part
        _tell(progress, run.stop / len(places))
    z, y, x = grey.shape
    grid = BoxGrid((slice(0, z), slice(0, y), slice(0, x)), (z, y, x))
    if volume.geometry is Geometry.MEASURED:
        for soft in (kept.infection, kept.lung):
            if soft is not None:
                soft[:] = calmed(soft.astype(np.float32), spacing_mm[0], axis=0)
    return Reading(grid, spacing_mm, *kept, _densities(grey, frames), foreign)


def _densities(grey: np.ndarray, frames: Sequence[tuple[slice, slice]]) -> np.ndarray | None:
    """About the densities of pictures that are slices of one scan; None of others or without contrast."""
    if len(grey) < STACK_SLICES or any(frame != frames[0] for frame in frames):
        return None
    asked = np.unique(np.linspace(0, len(grey) - 1, VOTERS).astype(int))
    ends = air_and_tissue([np.ascontiguousarray(grey[z][frames[z]]) for z in asked])
    if ends is None:
        return None
    air, tissue = PICTURE_HU
    scale = (tissue - air) / (ends[1] - ends[0])
    return ((grey.astype(np.float32) - ends[0]) * scale + air).astype(np.float16)


def _nothing(segmenter: Segmenter, shape: tuple[int, ...]) -> _Answer:
    """The answer where nothing was asked: no lung, no lesion, and no doubt about it."""
    lung = np.zeros(shape, np.float16) if segmenter.finds_lungs else None
    return _Answer(np.zeros(shape, np.float16), np.ones(shape, np.uint8), np.zeros(shape, np.float16), lung)


def _frames(volume: Volume, grey: np.ndarray, near: np.ndarray) -> list[tuple[slice, slice]]:
    """Of each upright slice the part that is shown to the network: cut to the lungs where they are small.

    A stack whose pictures have one frame is cut alike everywhere, so that scale does not jump.
    """
    boxes = boxes_of(grey)
    if len({(b[0].start, b[0].stop, b[1].start, b[1].stop) for b in boxes}) <= 3:
        whole = _box(np.asarray(near.any(0)), boxes[len(boxes) // 2])
        return [whole] * len(boxes)
    return [_box(near[z], box) for z, box in enumerate(boxes)]


def _box(lung: np.ndarray, frame: tuple[slice, slice]) -> tuple[slice, slice]:
    """The lungs of a slice and a margin, inside its frame; the frame where they fill it."""
    found = [np.flatnonzero(lung.any(axis=1 - axis)) for axis in (0, 1)]
    if not found[0].size:
        return frame
    sides = [places[-1] + 1 - places[0] for places in found]
    if any(side > WIDE_SHARE * (f.stop - f.start) for side, f in zip(sides, frame, strict=True)):
        return frame
    margin = round(MARGIN_SHARE * max(sides))
    rows, columns = (
        slice(max(f.start, int(places[0]) - margin), min(f.stop, int(places[-1]) + 1 + margin))
        for places, f in zip(found, frame, strict=True)
    )
    return rows, columns


def _through_one_window(pictures: Sequence[np.ndarray]) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """The pictures of one scan as the network learned to see them, and what stood against that."""
    asked = np.unique(np.linspace(0, len(pictures) - 1, min(VOTERS, len(pictures))).astype(int))
    some = [np.ascontiguousarray(pictures[n]) for n in asked]
    if cut_out(some[len(some) // 2][None]) is not None:
        return list(pictures), (
            "everything outside the lungs was painted black, and the network learned from whole slices",
        )
    ends = air_and_tissue(some)
    if ends is None:
        return list(pictures), (
            "air and soft tissue cannot be told apart in the pictures, so their window is not known",
        )
    return [rewindowed(np.ascontiguousarray(picture), *ends) for picture in pictures], ()


def _tell(progress: Progress | None, share: float) -> None:
    if progress is not None:
        progress("lesions", share)
