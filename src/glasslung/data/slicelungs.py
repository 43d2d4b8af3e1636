"""Lungs of single 8-bit slices, by the classical method, with -1 where they are not to be believed.

What an expert drew as lesion is lung. Where nobody drew, dense lung looks like chest wall: what lies in the
hollow of a lung's outline, or where the other lung's mirror image has lung, is then unknown rather than
outside (both lungs dense at the same place still pass for chest wall). A slice with much grey between lung
and soft tissue has lungs whose outline cannot be seen; all of its mask is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from glasslung.data.labelled import LabelledSlices, unknown_like
from glasslung.data.lungs.quality import HAZY_SHARE
from glasslung.data.lungs.segment import find_in_pictures
from glasslung.data.lungs.settings import DEFAULT
from glasslung.types import Progress

HAZY_DRAWN = 0.2
"""Grey left out, as a share of the lungs, where an expert drew the lesions, which are most of that grey."""
SHARE = (0.12, 0.8)  # of the picture: less is a tip of a lung, more is not a chest
LEAST_PIECE = 0.03  # of the picture: smaller parts have no hollow that matters
SEAM = 0.01  # of the side: gaps between what was found and what was drawn


def with_lungs(
    slices: LabelledSlices, rows: Sequence[int] | np.ndarray | None = None, progress: Progress | None = None
) -> LabelledSlices:
    """The same slices, with lungs where they are unknown and can be told; about 0.05 s each.

    rows  only these slices; all by default. Masks that are known already are kept.
    """
    chosen = range(len(slices)) if rows is None else [int(row) for row in rows]
    lungs = list(slices.lungs)
    for done, row in enumerate(chosen):
        if progress:
            progress("lungs of slices", done / len(chosen))
        if not (lungs[row] >= 0).any():
            lungs[row] = lungs_of_slice(slices.pictures[row], slices.lesions[row])
    return slices.with_lungs(lungs)


def lungs_of_slice(picture: np.ndarray, lesion: np.ndarray) -> np.ndarray:
    """(H, W) int8: 1 lung, 0 outside, -1 unknown; wholly unknown where it is not to be believed.

    picture  (H, W) uint8 upright
    lesion   (H, W) int8, labels of `Lesion`, -1 where nobody looked
    """
    found = find_in_pictures(picture[None], DEFAULT)
    drawn = bool((lesion >= 0).any())
    lung = found.mask[0] > 0
    if found.hazy > (HAZY_DRAWN if drawn else HAZY_SHARE):
        return unknown_like(picture)
    whole = _with_lesions(lung, lesion > 0) if drawn else lung
    if not SHARE[0] <= float(whole.mean()) <= SHARE[1]:
        return unknown_like(picture)
    out = whole.astype(np.int8)
    if not drawn:
        hollows = _hollows(lung)
        out[(hollows | _mirrored(hollows)) & ~lung] = -1
    return out


def _with_lesions(lung: np.ndarray, lesion: np.ndarray) -> np.ndarray:
    """Lung and lesion with the seams between them closed; nothing is added that touches neither."""
    steps = max(1, round(SEAM * max(lung.shape)))
    both = np.pad(lung | lesion, steps)
    near = ndimage.binary_dilation(np.pad(lesion, steps), iterations=2 * steps)
    closed = both | (ndimage.binary_closing(both, iterations=steps) & near)
    return np.asarray(closed[steps:-steps, steps:-steps])


def _hollows(lung: np.ndarray) -> np.ndarray:
    """The convex hull of each large part."""
    from skimage.morphology import convex_hull_image

    out = np.zeros(lung.shape, bool)
    labels, _ = ndimage.label(lung)
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        part = labels[box] == label
        if part.sum() >= LEAST_PIECE * lung.size and min(part.shape) > 2:
            out[box] |= convex_hull_image(part)
    return out


def _mirrored(lung: np.ndarray) -> np.ndarray:
    """Left for right about the middle of the lungs; nothing comes from beyond the picture."""
    columns = np.flatnonzero(lung.any(axis=0))
    out = np.zeros_like(lung)
    if columns.size:
        first, last = columns[0], columns[-1] + 1
        out[:, first:last] = lung[:, first:last][:, ::-1]
    return out
