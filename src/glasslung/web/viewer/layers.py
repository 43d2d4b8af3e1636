"""What the viewer draws out of masks: outlines of the lungs, surfaces in 3D, a list of lesions."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from glasslung.data.orientation import orientation_of, to_upright, upright_spacing_mm
from glasslung.measure.followup import LEAST_ML
from glasslung.types import Lesion, Lung, Volume
from glasslung.web.viewer.links import RAS, read_mask_volume

SURFACE_MM = 2.5  # of the grid on which surfaces are made: below it they grow large and look no better
LISTED = 60  # lesions told one by one
MZ3_FACES, MZ3_VERTICES = 1, 2


# --- outlines -----------------------------------------------------------------------------------------------


def outline(path: Path) -> bytes:
    """The lungs' edge in every axial slice, a gzipped NIfTI of labels: the tissue inside stays in view."""
    from glasslung.data.formats.nifti import nifti_bytes

    mask = read_mask_volume(path)
    axis = orientation_of(mask).axes[0]
    cross = ndimage.generate_binary_structure(2, 1)
    edge = np.zeros_like(mask.voxels)
    for n in range(mask.shape[axis]):
        at: tuple[Any, ...] = tuple(n if k == axis else slice(None) for k in range(3))
        lung = mask.voxels[at] > 0
        if lung.any():
            edge[at] = np.where(lung & ~ndimage.binary_erosion(lung, cross), mask.voxels[at], 0)
    return nifti_bytes(edge, mask.affine, label=True)


# --- lesions ------------------------------------------------------------------------------------------------


def lesions(path: Path, lungs: Path | None, kinds: bool) -> dict[str, Any]:
    """Separate lesions of a mask, the largest first: size, kinds, side, and a place inside each.

    kinds  whether its labels are those of `Lesion`; otherwise they mean nothing
    A place is as deep inside the lesion as one can be, in RAS mm: where a click on the lesion goes.
    """
    mask = read_mask_volume(path)
    sides = None if lungs is None else read_mask_volume(lungs).voxels
    places, count = ndimage.label(mask.voxels > 0, np.ones((3, 3, 3)))
    sizes = np.bincount(places.ravel(), minlength=count + 1)[1:] * mask.voxel_ml
    kept = [int(n) for n in np.argsort(-sizes, kind="stable") if sizes[n] >= LEAST_ML]
    boxes = ndimage.find_objects(places)
    told = [_lesion(mask, places[boxes[n]] == n + 1, boxes[n], sides, kinds) for n in kept[:LISTED]]
    small = [float(size) for n, size in enumerate(sizes) if n not in set(kept)]
    return {
        "lesions": told,
        "count": len(kept),
        "small": len(small),
        "small_ml": round(sum(small), 2),
    }


def _lesion(
    mask: Volume, here: np.ndarray, box: tuple[slice, ...], sides: np.ndarray | None, kinds: bool
) -> dict[str, Any]:
    """One lesion: `here` (bool) is where it lies in its box."""
    depth = ndimage.distance_transform_edt(np.pad(here, 1), sampling=mask.spacing_mm)[1:-1, 1:-1, 1:-1]
    deepest = np.array(np.unravel_index(int(depth.argmax()), here.shape)) + [one.start for one in box]
    centre = (RAS @ mask.affine @ [*deepest, 1.0])[:3]
    counts = np.bincount(mask.voxels[box][here], minlength=len(Lesion)) * mask.voxel_ml
    amounts = {kind.words: round(float(counts[kind]), 2) for kind in Lesion if kind and counts[kind] > 0}
    side = ""
    if sides is not None:
        within = np.bincount(sides[box][here], minlength=len(Lung))
        side = {Lung.RIGHT: "right", Lung.LEFT: "left"}.get(Lung(int(within[1:3].argmax()) + 1), "")
        side = side if within[1:3].any() else ""
    return {
        "mm": [round(float(v), 2) for v in centre],
        "ml": round(float(here.sum()) * mask.voxel_ml, 2),
        "kinds": amounts if kinds else {},
        "side": side,
    }


# --- surfaces -----------------------------------------------------------------------------------------------


def surface(path: Path, label: int | None) -> bytes:
    """The surface of a label (None: of all) for the 3D view, in the mz3 format; b'' where it is empty."""
    from skimage.measure import marching_cubes

    mask = read_mask_volume(path)
    chosen = mask.voxels > 0 if label is None else mask.voxels == label
    if not chosen.any():
        return b""
    turned = orientation_of(mask)
    upright, spacing = to_upright(chosen, turned), upright_spacing_mm(mask, turned)
    steps = tuple(max(1, round(SURFACE_MM / mm)) for mm in spacing)
    coarse = np.pad(_block_means(upright, steps), 1)
    soft = ndimage.gaussian_filter(coarse, 0.7)
    level = min(0.4, 0.6 * float(soft.max()))  # a lesion of few voxels keeps a surface
    points, faces, _, _ = marching_cubes(soft, level)
    fine = (points - 1) * steps + (np.array(steps) - 1) / 2
    file = np.zeros_like(fine)
    for axis in range(3):
        last = upright.shape[axis] - 1
        file[:, turned.axes[axis]] = last - fine[:, axis] if turned.flips[axis] else fine[:, axis]
    places = np.c_[file, np.ones(len(file))] @ (RAS @ mask.affine).T
    return _mz3(places[:, :3], _outward(places[:, :3], faces))


def _block_means(mask: np.ndarray, steps: tuple[int, ...]) -> np.ndarray:
    """Share of each block of voxels that is set; the last blocks are filled up with nothing."""
    short = [(0, -size % step) for size, step in zip(mask.shape, steps, strict=True)]
    whole = np.pad(mask, short).astype(np.float32)
    z, y, x = (size // step for size, step in zip(whole.shape, steps, strict=True))
    return np.asarray(whole.reshape(z, steps[0], y, steps[1], x, steps[2]).mean((1, 3, 5)))


def _outward(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Triangles whose corners run counter-clockwise as seen from outside, whatever the grid's handedness."""
    a, b, c = (points[faces[:, n]] for n in range(3))
    volume = float((a * np.cross(b, c)).sum())
    return faces if volume > 0 else faces[:, ::-1]


def _mz3(points: np.ndarray, faces: np.ndarray) -> bytes:
    """Points (N, 3) and triangles (M, 3) as Surfice's mz3 has them: a head of 16 bytes, faces, points."""
    head = np.array([0x5A4D, MZ3_FACES | MZ3_VERTICES], "<u2").tobytes()
    head += np.array([len(faces), len(points), 0], "<u4").tobytes()
    body = faces.astype("<i4").tobytes() + points.astype("<f4").tobytes()
    return gzip.compress(head + body, 1, mtime=0)
