"""One slice of a scan, cut down to its lung field, and what makes such a slice unfit.

Zammit et al. (U-SVAE and CAGE), V.A: the lungs by segmentation, opening and closing against noise, the crop
to the lung field, the middlemost slice; then slices without the lungs in full view were removed by hand. Here
the removal is by rules, each with its reason.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from glasslung.data.lungs import morphology as mm
from glasslung.data.orientation import orientation_of, to_upright, upright_spacing_mm
from glasslung.data.windows import lung_grey
from glasslung.errors import DataError
from glasslung.types import Intensity, Volume

SEEN_GREY = 10  # above what JPEG and resizing leave of black
LEAST_SHARE = (
    0.13  # of the square: the released slices' fragments have 0.11 and less, whole lungs 0.15 and more
)
LEAST_DEPTH = (
    0.15  # widest disc inside, of the square's side: fragments have 0.125 and less, lungs 0.19 and more
)
LEAST_IN_TWO = 0.9  # of the lung lies in its two largest pieces: of lungs 0.94 and more
LEAST_CM2 = 60.0  # of lung in a middle slice: an adult's lungs have 150 to 350
MOST_ON_BORDER = 0.05  # of the lung field's outline may lie on the border of the picture
MOST_OBLONG = 1.2  # pixels longer than that would distort the lungs: not an axial slice
MIDDLES = ("scan", "lungs")


class UnfitError(DataError):
    """A scan gives no slice worth learning from; `reason` is short and stable, for machines."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True)
class FieldSettings:
    """How the lung field of a scan becomes one slice."""

    middle: str = "scan"
    """The paper's: the middle of the scan. 'lungs': of the lungs, for scans with much neck or belly."""
    opening_mm: float = 1.5
    """Radius, or a pixel where that is more: noise and strands of the mask thinner than 3 mm go; a lung's
    anterior tip is thicker."""
    closing_mm: float = 5.0
    """Radius: vessels and small bronchi at the field's edge, up to 1 cm wide, are lung again."""
    least_piece: float = 0.05
    """Of the largest piece; what is smaller goes: a speck by the table would widen the crop."""


def cut_slice(volume: Volume, lungs: np.ndarray, settings: FieldSettings) -> np.ndarray:
    """The middle slice of a scan: outside the lungs 0, inside 1 to 255, cropped to the lung field.

    lungs  (D, H, W), 0 outside
    Returns (h, w) uint8, front at the top, the patient's right on the left. HU are shown in the lung window.
    Raises UnfitError when the slice shows no lung, little of it, or only a part.
    """
    orientation = orientation_of(volume)
    spacing = upright_spacing_mm(volume, orientation)
    if max(spacing[1:]) > MOST_OBLONG * min(spacing[1:]):
        raise UnfitError("not-axial", f"its pixels are {spacing[1]:.2g} x {spacing[2]:.2g} mm")
    mask = to_upright(lungs, orientation)
    level = middle_level(mask, settings.middle)
    field = tidy(mask[level], settings, spacing)
    _check_field(field, spacing, volume.has_ml)
    picture = to_upright(volume.voxels, orientation)[level]
    if volume.intensity is Intensity.HU:
        grey = lung_grey(picture, field)
    else:
        grey = np.where(field, np.maximum(picture, 1), 0).astype(np.uint8)
    return np.ascontiguousarray(grey[_box(field)])


def middle_level(mask: np.ndarray, middle: str) -> int:
    """The index of the middle slice, from the feet; of two in the middle, the one nearer the head.

    The released code takes the floor of the mean slice number, and scans are numbered from the head.
    """
    if middle == "scan":
        return len(mask) - 1 - (len(mask) - 1) // 2
    shown = np.flatnonzero(mask.any(axis=(1, 2)))
    if not len(shown):
        raise UnfitError("no-lung", "no lung was found in the scan")
    return int(shown[0] + shown[-1] + 1) // 2


def tidy(field: np.ndarray, settings: FieldSettings, spacing_mm: mm.Spacing) -> np.ndarray:
    """A lung field (H, W) bool after opening and closing, its holes filled and its specks gone.

    field  labels of the lungs, each closed by itself: closing both at once would bridge them at the front
    """
    flat, opening_mm = mm.flat(spacing_mm), max(settings.opening_mm, *spacing_mm[1:])
    closed = np.zeros((1, *field.shape), bool)
    for side in np.unique(field[field > 0]):
        opened = mm.open_(field[None] == side, opening_mm, flat)
        closed |= mm.fill_slices(mm.close(opened, settings.closing_mm, flat))
    labels, sizes = mm.pieces(closed[0])
    return np.asarray((sizes >= max(1.0, settings.least_piece * sizes.max()))[labels])


def _check_field(field: np.ndarray, spacing_mm: mm.Spacing, measured: bool) -> None:
    if not field.any():
        raise UnfitError("no-lung", "no lung was found in the middle slice")
    area = float(np.count_nonzero(field)) * spacing_mm[1] * spacing_mm[2] / 100
    if measured and area < LEAST_CM2:
        raise UnfitError("too-little-lung", f"the middle slice shows {area:.0f} cm2 of lung")
    border = sum(np.count_nonzero(edge) for edge in (field[0], field[-1], field[1:-1, 0], field[1:-1, -1]))
    height, width = (one.stop - one.start for one in _box(field))
    if border > MOST_ON_BORDER * 2 * (height + width):
        raise UnfitError("cut-off", f"{border} pixels of the lung field lie on the border of the picture")


def _box(field: np.ndarray) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(field.any(axis=1)), np.flatnonzero(field.any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def check_square(square: np.ndarray) -> None:
    """Refuse a prepared slice (S, S) uint8 that is a fragment or shows too little lung (UnfitError)."""
    seen = np.pad(square > SEEN_GREY, 3)
    lung = ndimage.binary_fill_holes(ndimage.binary_closing(seen))[3:-3, 3:-3]
    share = float(lung.mean())
    if share < LEAST_SHARE:
        raise UnfitError("too-little-lung", f"lung fills {share:.1%} of the square, whole lungs 15 % or more")
    labels, _ = ndimage.label(lung, np.ones((3, 3)))
    sizes = np.sort(np.bincount(labels.ravel())[1:])[::-1]
    in_two = float(sizes[:2].sum() / sizes.sum())
    if in_two < LEAST_IN_TWO:
        raise UnfitError("fragment", f"only {in_two:.0%} of it lies in its two largest pieces")
    depth = (2 * float(ndimage.distance_transform_edt(np.pad(lung, 1)).max()) - 1) / len(square)
    if depth < LEAST_DEPTH:
        raise UnfitError("fragment", f"it is a strand, nowhere wider than {depth:.1%} of the square's side")
