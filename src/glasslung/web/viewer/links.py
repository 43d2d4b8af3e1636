"""Where a place of one scan lies in another scan of the patient: how serial scans are linked.

From head to feet by registration, as far as two neighbouring scans could be laid on one another: `analyze`
kept where each slice of the later scan lay in the earlier one. Otherwise, and across the body always, a place
is taken to lie at the same share of the lungs' extent. Places are millimetres, RAS, as the viewer counts.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.data.formats.reading import read_labels
from glasslung.data.orientation import Orientation, orientation_of, to_upright
from glasslung.types import Geometry, Intensity, Source, Volume
from glasslung.web.viewer.case import Shown, ViewCase

RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
EVEN = 64  # levels told of a pair at most: a course from feet to head bends slowly


def read_mask_volume(path: Path) -> Volume:
    """A label map as a volume of its own, so that it can be turned upright."""
    labels, affine = read_labels(path)
    return Volume(labels, affine, Intensity.DISPLAY8, Source("nifti"), Geometry.MEASURED)


def lungs_extent(shown: Shown) -> dict[str, list[float]] | None:
    """First and last millimetre of the lungs along x, y and z (RAS); None where no lungs were drawn."""
    path = shown.file("lungs")
    if path is None:
        return None
    mask = read_mask_volume(path)
    there = [np.flatnonzero((mask.voxels > 0).any(tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    if not all(len(one) for one in there):
        return None
    corners = np.array([[*corner, 1] for corner in product(*map(_ends, there))])
    places = (RAS @ mask.affine @ corners.T)[:3]
    return {axis: [float(row.min()), float(row.max())] for axis, row in zip("xyz", places, strict=True)}


def _ends(found: np.ndarray) -> tuple[int, int]:
    return int(found[0]), int(found[-1])


def levels(case: ViewCase, n: int) -> list[list[float]] | None:
    """Heights of scan n (first row) and where they lay in scan n - 1, mm; None where that is not known."""
    from glasslung.analyze.following import CHANGE, read_followed
    from glasslung.data import results

    if case.folder is None or n == 0 or not all("lungs" in case.scans[k].layers for k in (n - 1, n)):
        return None
    home = case.folder / "masks" / case.scans[n].name
    if results.read_part(home, CHANGE) is None:
        return None
    found = read_followed(home).levels
    if found is None or found.shape[1] < 2:
        return None
    some = found[:, np.unique(np.linspace(0, found.shape[1] - 1, EVEN).astype(int))]
    heights = [_heights(case.scans[k], row) for k, row in ((n, some[0]), (n - 1, some[1]))]
    return [[round(float(mm), 2) for mm in row] for row in heights]


def _heights(shown: Shown, slices: np.ndarray) -> np.ndarray:
    """Height above the feet, mm, in the middle of upright slices that may lie between two."""
    mask = read_mask_volume(shown.layers["lungs"])
    turned = orientation_of(mask)
    shape = to_upright(mask.voxels, turned).shape
    middle = [np.full(len(slices), (size - 1) / 2) for size in shape[1:]]
    upright = np.stack([slices, *middle])
    file = _in_file_order(upright, turned, shape)
    return np.asarray((mask.affine @ np.vstack([file, np.ones(len(slices))]))[2])


def _in_file_order(places: np.ndarray, turned: Orientation, shape: tuple[int, ...]) -> np.ndarray:
    """Upright places (3, N) -> the file's indices (3, N)."""
    file = np.zeros_like(places, float)
    for axis in range(3):
        file[turned.axes[axis]] = shape[axis] - 1 - places[axis] if turned.flips[axis] else places[axis]
    return file


def link(case: ViewCase, n: int) -> dict[str, Any]:
    """All that the page needs to link scan n with the others."""
    known = levels(case, n)
    how = "" if n == 0 else "registration" if known is not None else "share of the lungs' height"
    return {"extent": lungs_extent(case.scans[n]), "levels": known, "how": how}
