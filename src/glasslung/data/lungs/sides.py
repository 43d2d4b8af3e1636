"""Right from left: the aerated lungs chosen among all air in the body, and told apart where they touch."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from glasslung.data.lungs import morphology as mm
from glasslung.data.lungs.coarse import Coarse
from glasslung.data.lungs.settings import Settings
from glasslung.types import Lung

GAS_HU = -935.0  # bowel and stomach gas: darker than any lung but an emphysematous one
GAS_CORE_MM = 4.0  # gas is thick; an air bronchogram is not
LOWER_PART = 0.45  # of the lungs' height: where stomach and colon can lie
ISLAND_MM = 15.0  # an aerated island low in the chest is lung only this near to a lung
GAS_MOST_ML = 700.0  # a darker region larger than a full stomach is an emphysematous lung
LOBE_SHARE = 0.12  # of all lung: the least that counts as a lung of its own when two are joined
NECK_MM = (1.0, 2.0, 3.0, 4.5, 6.0, 8.0, 10.0, 13.0)  # half-widths of the bridge between touching lungs


def choose_lungs(air: np.ndarray, coarse: Coarse, settings: Settings) -> np.ndarray:
    """The pieces of interior air that are lung: large ones, and aerated islands that are not bowel gas."""
    labels, sizes = mm.pieces(air)
    ml = sizes * coarse.voxel_ml
    keep = ml >= settings.smallest_piece_ml
    if not keep.any():
        return np.zeros_like(air)
    largest = int(ml.argmax())
    near = mm.dilate((ml >= LOBE_SHARE * ml.sum())[labels], ISLAND_MM, coarse.spacing_mm)
    z = np.flatnonzero((labels == largest).any(axis=(1, 2)))
    limit = z[0] + LOWER_PART * (z[-1] - z[0])
    boxes = ndimage.find_objects(labels)
    for label in np.flatnonzero(keep):
        box = boxes[label - 1]
        low = (box[0].start + box[0].stop) / 2 < limit
        if label != largest and ml[label] < GAS_MOST_ML and low:
            piece = labels[box] == label
            keep[label] = bool((near[box] & piece).any()) and not _is_gas(piece, coarse.hu[box], coarse)
    return keep[labels]


def _is_gas(piece: np.ndarray, hu: np.ndarray, coarse: Coarse) -> bool:
    core = mm.erode(np.pad(piece, 1), GAS_CORE_MM, coarse.spacing_mm)[1:-1, 1:-1, 1:-1]
    return bool(np.median(hu[core]) < GAS_HU) if core.any() else bool(np.percentile(hu[piece], 20) < GAS_HU)


def middle_of(body: np.ndarray) -> float:
    """The body's middle along x: the median over slices of half-way between its flanks."""
    spans = [np.flatnonzero(s.any(axis=0)) for s in body]
    centres = [(s[0] + s[-1]) / 2 for s in spans if s.size]
    return float(np.median(centres)) if centres else body.shape[2] / 2


def tell_sides(lung: np.ndarray, coarse: Coarse, middle_x: float) -> np.ndarray:
    """Labels the lungs RIGHT and LEFT on an upright grid, splitting a joined pair at its neck."""
    labels, sizes = mm.pieces(lung)
    total = sizes.sum()
    sides = np.zeros(lung.shape, np.uint8)
    if not total:
        return sides
    for label in np.flatnonzero(sizes >= LOBE_SHARE * total):
        piece = labels == label
        for part in _parts(piece, coarse, total, middle_x):
            sides[part] = _side(part, middle_x)
    rest = lung & (sides == 0)
    return _join_nearest(sides, rest, coarse)


def _side(part: np.ndarray, middle_x: float) -> int:
    centre = float(np.average(np.arange(part.shape[2]), weights=part.sum(axis=(0, 1))))
    return int(Lung.RIGHT if centre < middle_x else Lung.LEFT)


def _parts(piece: np.ndarray, coarse: Coarse, total: int, middle_x: float) -> list[np.ndarray]:
    """One piece, or the two lungs it consists of."""
    columns = piece.sum(axis=(0, 1))
    right = columns[: int(middle_x)].sum()
    if min(right, columns.sum() - right) < LOBE_SHARE * total:
        return [piece]
    depth = ndimage.distance_transform_edt(piece, sampling=coarse.spacing_mm)
    for half_width in NECK_MM:
        cores, sizes = mm.pieces(depth > half_width)
        big = np.flatnonzero(sizes >= LOBE_SHARE * max(sizes.sum(), 1))
        sided = {_side(cores == b, middle_x) for b in big}
        if len(sided) == 2:
            return _flood(piece, depth, cores, big, middle_x)
    half = np.arange(piece.shape[2]) < middle_x
    return [piece & half, piece & ~half]


def _flood(
    piece: np.ndarray, depth: np.ndarray, cores: np.ndarray, big: np.ndarray, middle_x: float
) -> list[np.ndarray]:
    """Grows the two cores back over the piece; they meet at the neck, where the piece is thinnest."""
    from skimage.segmentation import watershed

    markers = np.zeros(piece.shape, np.int32)
    for core in big:
        markers[cores == core] = _side(cores == core, middle_x)
    flooded = watershed(-depth, markers, mask=piece)
    return [flooded == side for side in (1, 2)]


def _join_nearest(sides: np.ndarray, rest: np.ndarray, coarse: Coarse) -> np.ndarray:
    """Small pieces take the side of the nearest lung."""
    if rest.any() and sides.any():
        nearest = ndimage.distance_transform_edt(
            sides == 0, sampling=coarse.spacing_mm, return_distances=False, return_indices=True
        )
        sides[rest] = sides[tuple(nearest)][rest]
    return sides
