"""Plain pictures made alike, so that what told their source is gone; and lungs nobody can find."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from glasslung.data.lungs.pictures import STACK_SLICES, boxes_of, cut_out, lies_on_side
from glasslung.data.sliceviews import View, tell_view
from glasslung.data.slicewindows import VOTERS, air_and_tissue, rewindowed
from glasslung.types import Lung

LYING = 0.9  # width over height of lungs that lie on their side; upright ones have 1.2 to 2
SECOND = 0.2  # of the larger lung: less is a part of it that was cut off
STAND_IN = (0.6, 0.8)  # of the frame's height and width: about where a chest shows its lungs


def standardised(grey: np.ndarray) -> np.ndarray:
    """Pictures of one scan (z, y, x) uint8 as if seen through one window: dark air at 18, soft tissue at 212.

    Lungs that were cut out already show no soft tissue, and pictures without contrast no air: these stay.
    """
    asked = np.unique(np.linspace(0, len(grey) - 1, min(VOTERS, len(grey))).astype(int))
    if cut_out(grey[asked[len(asked) // 2]][None]) is not None:
        return grey
    ends = air_and_tissue(
        [np.ascontiguousarray(grey[z][box]) for z, box in zip(asked, boxes_of(grey[asked]), strict=True)]
    )
    return grey if ends is None else rewindowed(grey, *ends)


def view_of_pictures(grey: np.ndarray, lungs: np.ndarray) -> View:
    """How the pictures (z, y, x) of one scan lie, whose lungs (z, y, x) are known.

    A stack is voted on. Of a few pictures, from a paper for example, the brightest end is often not the
    spine: they are believed to lie on their side only where their lungs are plainly taller than wide, and
    never on their front.
    """
    shown = np.flatnonzero(lungs.any(axis=(1, 2)))
    if not shown.size:
        return View.UPRIGHT
    told = tell_view([np.ascontiguousarray(grey[z]) for z in shown])
    if len(grey) >= STACK_SLICES:
        return told
    whole = np.asarray(lungs.any(axis=0))
    high, wide = (np.ptp(np.flatnonzero(whole.any(axis=axis))) + 1 for axis in (1, 0))
    if wide > LYING * high or not _two_lungs(whole) or not lies_on_side(lungs > 0):
        return View.UPRIGHT
    return told if told in (View.FRONT_LEFT, View.FRONT_RIGHT) else View.FRONT_LEFT


def _two_lungs(whole: np.ndarray) -> bool:
    """Whether there is a second lung: one alone is taller than wide however it lies."""
    labels, count = ndimage.label(whole)
    sizes = np.sort(np.bincount(labels.ravel())[1:])
    return count > 1 and bool(sizes[-2] >= SECOND * sizes[-1])


def stand_in_lungs(grey: np.ndarray) -> np.ndarray:
    """Where lungs would lie in pictures (D, H, W) in which none can be found, labels of `Lung`, uint8.

    An ellipse in the middle of each picture, inside its frame: the same for every picture, so that it tells
    nothing of a scan but that its lungs were not found.
    """
    out = np.zeros(grey.shape, np.uint8)
    for z, (rows, columns) in enumerate(boxes_of(grey)):
        y, x = np.ogrid[rows, columns]
        high, wide = rows.stop - rows.start, columns.stop - columns.start
        down = (y - (rows.start + rows.stop - 1) / 2) / (STAND_IN[0] * high / 2)
        across = (x - (columns.start + columns.stop - 1) / 2) / (STAND_IN[1] * wide / 2)
        out[z][rows, columns] = np.where(down**2 + across**2 <= 1, np.uint8(Lung.UNSIDED), np.uint8(0))
    return out
