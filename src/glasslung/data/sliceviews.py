"""How a plain slice lies: pictures of chests on their side are brought upright, and masks back, exactly.

Slices written straight from NIfTI arrays lie on their side: rows run from the patient's right to the left and
columns along the body's depth. Which end is the back tells the spine, the brightest thing in the middle of an
end. What a picture cannot tell is whether it was mirrored: upright pictures are taken to show the patient's
right on the left, lying ones to have the patient's right at the top.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum

import numpy as np

from glasslung.data.lungs.pictures import cut_out, lies_on_side
from glasslung.data.lungs.segment import find_in_pictures
from glasslung.data.lungs.settings import DEFAULT
from glasslung.errors import DataError, ShapeError

BRIGHTEST = 0.2  # of a strip's pixels: a spine fills about this much of the middle of its end
LEAST_SIDE = 24  # pixels: smaller pictures show no chest
VOTERS = 11  # slices asked of a stack: one in fifty is wrong, so their majority is not


class View(StrEnum):
    """Where a picture has the patient's back."""

    UPRIGHT = "back at the bottom"
    PRONE = "back at the top"
    FRONT_LEFT = "back at the right"
    FRONT_RIGHT = "back at the left"


def upright(picture: np.ndarray, view: View) -> np.ndarray:
    """(H, W) as it lies -> front at the top, the patient's right on the left; a view, nothing is copied.

    A lying picture changes its height for its width.
    """
    if view is View.UPRIGHT:
        return picture
    if view is View.PRONE:
        return picture[::-1]
    turned = picture.swapaxes(-1, -2)
    return turned if view is View.FRONT_LEFT else turned[::-1]


def as_it_lay(picture: np.ndarray, view: View) -> np.ndarray:
    """The exact inverse of `upright`, over the last two axes of (..., H, W)."""
    if view is View.UPRIGHT:
        return picture
    if view is View.PRONE:
        return picture[..., ::-1, :]
    turned = picture if view is View.FRONT_LEFT else picture[..., ::-1, :]
    return turned.swapaxes(-1, -2)


def tell_view(pictures: Sequence[np.ndarray]) -> View:
    """How the slices of one stack or set lie, by the vote of some of them: they were written alike.

    pictures  (H, W) uint8 each. The gap between the lungs runs along the body's depth; of its two ends the
    spine's is the brighter one. Lungs that were cut out show no spine: their back is taken to be at the
    bottom, or at the right where they lie on their side. DataError without a picture.
    """
    if not len(pictures):
        raise DataError("no picture was given whose position could be told; give one at least")
    asked = np.unique(np.linspace(0, len(pictures) - 1, min(VOTERS, len(pictures))).astype(int))
    votes = Counter(_view_of(pictures[n]) for n in asked)
    return max(View, key=lambda view: votes[view])


def _view_of(picture: np.ndarray) -> View | None:
    if picture.ndim != 2 or picture.dtype != np.uint8:
        raise ShapeError(f"a slice must be (H, W) uint8, got {picture.shape} {picture.dtype}")
    if min(picture.shape) < LEAST_SIDE:
        return None
    lungs = find_in_pictures(picture[None], DEFAULT).mask > 0
    if not lungs.any():
        return None
    framed = picture[_box(lungs[0])]
    spine = cut_out(picture[None]) is None
    if lies_on_side(lungs):
        left, right = (_bone(framed.T[way]) for way in (slice(None), slice(None, None, -1)))
        return View.FRONT_RIGHT if spine and left > right else View.FRONT_LEFT
    top, bottom = (_bone(framed[way]) for way in (slice(None), slice(None, None, -1)))
    return View.PRONE if spine and top > bottom else View.UPRIGHT


def _box(lungs: np.ndarray) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(lungs.any(axis=1)), np.flatnonzero(lungs.any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _bone(framed: np.ndarray) -> float:
    """Mean of the brightest part of the middle of the upper end."""
    height, width = framed.shape
    strip = np.sort(framed[: -(-height // 3), width // 3 : -(-2 * width // 3)], axis=None)
    return float(strip[-max(1, int(BRIGHTEST * strip.size)) :].mean())
