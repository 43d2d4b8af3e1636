"""Windpipe and main bronchi: air that belongs to neither lung."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from glasslung.data.lungs import morphology as mm
from glasslung.data.lungs.coarse import Coarse

TUBE_AREA_MM2 = (30.0, 900.0)  # cross-section of a windpipe, a child's to a dilated one
TUBE_FILL = 0.55  # of its bounding box; a disc fills 0.79
TUBE_RUN_MM = 25.0  # a windpipe goes on for at least this long
CENTRAL_MM = 45.0  # from the body's middle, sideways
MOST_ML = 90.0  # windpipe and bronchi down to the lobes; more has leaked into a lung
TIGHTER_HU = (-450, -550, -650, -720, -780, -830, -870, -900, -930, -955)


def find_airways(air: np.ndarray, coarse: Coarse, middle_x: float) -> np.ndarray:
    """Windpipe and main bronchi of a coarse chest, or nothing where no windpipe is in sight.

    Grows from a central tube at ever tighter thresholds until the growth no longer leaks into a lung
    (the explosion control of Mori et al., IEEE TMI 2000;19:103-14).
    """
    seed = trachea_of(air, coarse, middle_x)
    if not seed.any():
        return seed
    for threshold in TIGHTER_HU:
        grown = _grow(seed, air & (coarse.hu < threshold))
        if 0 < grown.sum() * coarse.voxel_ml <= MOST_ML:
            break
    else:
        grown = seed
    wall = max(coarse.spacing_mm[1], 2.0) * 1.01
    return (grown | seed) | (mm.dilate(grown, wall, mm.flat(coarse.spacing_mm)) & air)


def trachea_of(air: np.ndarray, coarse: Coarse, middle_x: float) -> np.ndarray:
    """The longest central chain of disc-like air cross-sections: the windpipe above its fork."""
    tubes = np.stack([_tubes_of_slice(s, coarse, middle_x) for s in air])
    labels, _ = mm.pieces(tubes)
    best, best_run = 0, TUBE_RUN_MM
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        run = (box[0].stop - box[0].start) * coarse.spacing_mm[0]
        higher = box[0].stop / air.shape[0]
        if run * higher > best_run:
            best, best_run = label, run * higher
    return np.asarray(labels == best) if best else np.zeros_like(air)


def _tubes_of_slice(air: np.ndarray, coarse: Coarse, middle_x: float) -> np.ndarray:
    labels, _ = ndimage.label(air)
    _, dy, dx = coarse.spacing_mm
    keep = [0]
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        inside = labels[box] == label
        area = inside.sum() * dy * dx
        h, w = inside.shape[0] * dy, inside.shape[1] * dx
        off = abs((box[1].start + box[1].stop - 1) / 2 - middle_x) * dx
        round_enough = inside.mean() >= TUBE_FILL and max(h, w) <= 2.6 * min(h, w) + dx
        if TUBE_AREA_MM2[0] <= area <= TUBE_AREA_MM2[1] and round_enough and off <= CENTRAL_MM:
            keep.append(label)
    return np.isin(labels, keep[1:])


def _grow(seed: np.ndarray, room: np.ndarray) -> np.ndarray:
    labels, count = ndimage.label(room)
    touched = np.zeros(count + 1, bool)
    touched[np.unique(labels[seed])] = True
    touched[0] = False
    return touched[labels]
