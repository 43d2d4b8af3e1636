"""Lungs in plain pictures: 8-bit slices whose window, spacing and position nobody wrote down.

Grey values are first stretched so that soft tissue lies at 40 and dark air at -1000: not Hounsfield units,
but enough for what follows, which looks at contrast and shape. A stack that shows whole upright slices is
then treated as a scan; anything else (cropped slice by slice, patient on the side, one picture out of a
paper) is treated slice by slice. Pictures of lungs that were cut out already are taken at their word.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from glasslung.data.lungs import morphology as mm
from glasslung.data.lungs.coarse import Coarse, coarsen
from glasslung.data.lungs.morphology import Spacing
from glasslung.data.lungs.settings import Settings
from glasslung.data.lungs.sides import tell_sides
from glasslung.data.lungs.thorax import edge_hu, find_thorax, interior_air
from glasslung.types import Lung

BLACK = 6  # JPEG noise on black
WHITE = 245
FRAME_SHARE = 0.97  # of a row or column: a figure's frame
CUT_OUT_BLACK = 0.2  # least share of black round lungs that were cut out
CUT_OUT_SOLID = 0.88  # a body or a picture fills its convex hull, two lungs leave the mediastinum out
FRAME_FILL = 0.12  # of its bounding box: a crescent of lung fills more, air along a frame less
STACK_SLICES = 10  # fewer pictures are not a chest
SECTION_SHARE = 0.010  # of the picture: a lung's section is larger, a windpipe's smaller
ISLAND_SHARE = 0.12  # of the slice's largest piece: bowel gas and bronchi are smaller than a second lung
MOST_FRAMES = 3  # noise moves the frame of a few slices by a pixel; slices cropped one by one differ all
SLICE_MM = 5.0  # assumed distance of the slices of a stack
HAZY_HU = -130.0  # clearly less than soft tissue on the stretched scale
PICTURE_HU = (-1000.0, 40.0)  # where dark air and soft tissue are put


@dataclass(frozen=True, eq=False)
class Sections:
    """Lung sections found slice by slice.

    lung        (z, y, x) bool on the coarse grid, one coarse slice per picture
    edge_hu     the lung's edge on the stretched scale
    one_frame   whether all pictures show the same frame, so that slices fit on one another
    hazy        grey between lung and soft tissue that was left out, as a share of the lung
    """

    lung: np.ndarray
    coarse: Coarse
    edge_hu: float
    one_frame: bool
    hazy: float

    @property
    def is_scan(self) -> bool:
        """Whether the stack can be treated as a scan: enough whole slices, upright."""
        return len(self.lung) >= STACK_SLICES and self.one_frame and not lies_on_side(self.lung)


def assumed_spacing_mm(grey: np.ndarray, settings: Settings) -> Spacing:
    """Spacing of a picture stack (z, y, x) that is taken to show a chest's width."""
    widest = max(box[1].stop - box[1].start for box in boxes_of(grey))
    pixel = settings.picture_width_mm / max(widest, 1)
    return SLICE_MM, pixel, pixel


def boxes_of(grey: np.ndarray) -> list[tuple[slice, slice]]:
    """The part of each slice inside black padding and white frames; all of a slice that is nothing else."""
    return [_box_of(picture) for picture in grey]


def _box_of(picture: np.ndarray) -> tuple[slice, slice]:
    rows, columns = slice(0, picture.shape[0]), slice(0, picture.shape[1])
    for is_frame in (_is_padding, _is_white, _is_padding):
        inside = picture[rows, columns]
        y, x = np.flatnonzero(~is_frame(inside, 1)), np.flatnonzero(~is_frame(inside, 0))
        if y.size and x.size:
            rows = slice(rows.start + int(y[0]), rows.start + int(y[-1]) + 1)
            columns = slice(columns.start + int(x[0]), columns.start + int(x[-1]) + 1)
    return rows, columns


def _is_padding(picture: np.ndarray, axis: int) -> np.ndarray:
    return np.asarray((picture <= BLACK).all(axis=axis))


def _is_white(picture: np.ndarray, axis: int) -> np.ndarray:
    return np.asarray((picture >= WHITE).mean(axis=axis) > FRAME_SHARE)


def stretch(grey: np.ndarray) -> np.ndarray:
    """Grey values on a scale where soft tissue is 40 and dark air -1000, int16 (z, y, x).

    The two are the medians on both sides of Otsu's threshold over what is not padding, the darker one
    moved down by the noise below it.
    """
    from skimage.filters import threshold_otsu

    seen = np.concatenate([g[box].ravel() for g, box in zip(grey, boxes_of(grey), strict=True)])
    if seen.min() == seen.max():
        return np.full(grey.shape, PICTURE_HU[1], np.int16)
    split = threshold_otsu(seen)
    dark, bright = float(np.percentile(seen[seen <= split], 5)), float(np.median(seen[seen > split]))
    scale = (PICTURE_HU[1] - PICTURE_HU[0]) / max(bright - dark, 1.0)
    return np.clip((grey - dark) * scale + PICTURE_HU[0], -1024, 3000).astype(np.int16)


def cut_out(grey: np.ndarray) -> np.ndarray | None:
    """The lungs of pictures in which everything else was painted black, or None for other pictures.

    A whole picture fills its box and a body is convex; two lungs with nothing between them are neither.
    """
    seen = grey > BLACK
    if 1.0 - float(seen.mean()) < CUT_OUT_BLACK:
        return None
    shown = np.flatnonzero(seen.any(axis=(1, 2)))
    if shown.size == 0:
        return None
    looked_at = shown[np.linspace(0, shown.size - 1, min(5, shown.size)).astype(int)]
    if float(np.median([_solidity(seen[z]) for z in looked_at])) > CUT_OUT_SOLID:
        return None
    closed = [ndimage.binary_closing(np.pad(s, 3), iterations=2)[3:-3, 3:-3] for s in seen]
    return mm.fill_slices(np.stack(closed))


def _solidity(seen: np.ndarray) -> float:
    """Share of its own convex hull that a shape fills once its holes are filled and specks dropped."""
    from skimage.morphology import convex_hull_image

    filled = ndimage.binary_opening(ndimage.binary_fill_holes(seen), iterations=3)
    return float(filled.sum() / convex_hull_image(filled).sum()) if filled.any() else 1.0


def find_sections(hu: np.ndarray, grey: np.ndarray, spacing_mm: Spacing, settings: Settings) -> Sections:
    """Lung sections of a stretched stack, each slice on its own; nothing is averaged across slices."""
    _, h, w = spacing_mm
    flat = coarsen(hu, (settings.coarse_mm, h, w), settings.coarse_mm)
    coarse = Coarse(flat.hu, (spacing_mm[0], *flat.spacing_mm[1:]), flat.factors)
    fine = boxes_of(grey)
    boxes = [
        (_shrink(rows, coarse.factors[1]), _shrink(columns, coarse.factors[2])) for rows, columns in fine
    ]
    edge = edge_hu(find_thorax(coarse), coarse, settings)
    one_frame = len({(b[0].start, b[0].stop, b[1].start, b[1].stop) for b in fine}) <= MOST_FRAMES
    lung = by_slices(coarse, boxes, edge)
    return Sections(lung, coarse, edge, one_frame, _hazy(lung, coarse, boxes, edge))


def _hazy(lung: np.ndarray, coarse: Coarse, boxes: list[tuple[slice, slice]], edge: float) -> float:
    """Grey between lung and tissue, away from the lung's own edge: dense lung, where there is much of it."""
    hazy = 0
    for section, hu, box in zip(lung, coarse.hu, boxes, strict=True):
        grey = ndimage.uniform_filter(hu[box], 3)
        apart = ~ndimage.binary_dilation(section[box], iterations=2)
        hazy += int(np.count_nonzero((grey > edge) & (grey < HAZY_HU) & apart))
    return hazy / max(int(np.count_nonzero(lung)), 1)


def _shrink(span: slice, factor: int) -> slice:
    return slice(-(-span.start // factor), max(span.stop // factor, -(-span.start // factor) + 1))


def by_slices(coarse: Coarse, boxes: list[tuple[slice, slice]], edge_hu: float) -> np.ndarray:
    """Lung sections slice by slice, (z, y, x) bool, on a grid of one coarse slice per picture."""
    out = np.zeros(coarse.hu.shape, bool)
    for z, box in enumerate(boxes):
        one = Coarse(coarse.hu[z : z + 1][(slice(None), *box)], coarse.spacing_mm, (1, 1, 1))
        air = interior_air(find_thorax(one), one, edge_hu)[0]
        out[z][box] = _sections(air)
    return out


def _sections(air: np.ndarray) -> np.ndarray:
    labels, count = ndimage.label(air)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    least = max(SECTION_SHARE * air.size, ISLAND_SHARE * sizes.max(initial=0))
    keep = sizes >= least
    for label, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        box = (rows.stop - rows.start) * (columns.stop - columns.start)
        keep[label] &= sizes[label] >= FRAME_FILL * box
    return keep[labels]


def label_sections(sections: np.ndarray, coarse: Coarse) -> np.ndarray:
    """Sides by radiological convention; UNSIDED where one lung lies above the other in the picture."""
    if not sections.any():
        return sections.astype(np.uint8)
    if lies_on_side(sections):
        return np.where(sections, np.uint8(Lung.UNSIDED), np.uint8(0))
    out = np.zeros(sections.shape, np.uint8)
    for z in np.flatnonzero(sections.any(axis=(1, 2))):
        columns = np.flatnonzero(sections[z].any(axis=0))
        middle = (columns[0] + columns[-1]) / 2
        one = Coarse(coarse.hu[z : z + 1], coarse.spacing_mm, (1, 1, 1))
        out[z] = tell_sides(sections[z : z + 1], one, middle)[0]
    return out


def lies_on_side(sections: np.ndarray) -> bool:
    """Whether the two lungs lie above one another in the picture: the gap between them runs along the rows.

    Compares how much lung the middle rows hold with what the middle columns hold; between the lungs lies
    the mediastinum, so the emptier middle is the gap.
    """
    seen = sections[sections.any(axis=(1, 2))]
    share = []
    for axis in (2, 1):  # profile over rows, then over columns
        profile = np.zeros(20)
        for section in seen:
            line = section.sum(axis=axis - 1).astype(float)
            where = np.flatnonzero(line)
            part = line[where[0] : where[-1] + 1]
            profile += np.interp(np.linspace(0, 1, 20), np.linspace(0, 1, part.size), part)
        share.append(profile[8:12].mean() / max(profile.max(), 1e-9))
    return share[0] < share[1]
