"""Lesions of two scans of one patient, laid on one another: what is new, grown, shrunk or gone.

A lesion here is a place, not a component of one mask: what touches anything of the other scan's is one with
it, so lesions that flowed together are one lesion that grew, not one gone and one grown. Volumes are those on
the later scan's grid, the earlier ones' after registration, so that breath does not count as growth.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

import numpy as np
from scipy import ndimage

from glasslung.errors import ShapeError, UsageError

CHANGED = 0.25  # of a lesion's volume: what two drawings of one lesion differ by, and two breaths
LEAST_ML = 0.1  # a sphere of 6 mm: smaller ones come and go with the threshold


class Fate(StrEnum):
    """What became of a lesion."""

    NEW = "new"
    GROWN = "grown"
    STEADY = "steady"
    SHRUNK = "shrunk"
    RESOLVED = "resolved"


class Tissue(IntEnum):
    """Labels of a change map."""

    NONE = 0
    STAYED = 1
    APPEARED = 2
    CLEARED = 3


@dataclass(frozen=True)
class LesionChange:
    """One lesion over two scans.

    before_ml, after_ml   volume; 0 where it was not there
    centre   (d, h, w) of the later scan's grid
    parts_before, parts_after   separate pieces: more before than after have flowed together
    """

    fate: Fate
    before_ml: float
    after_ml: float
    centre: tuple[float, float, float]
    parts_before: int
    parts_after: int


@dataclass(frozen=True, eq=False)
class FollowUp:
    """All lesions, the largest first, and the change map (D, H, W) uint8 with the labels of `Tissue`.

    left_out_ml  in lesions too small to be told apart, in either scan
    """

    lesions: tuple[LesionChange, ...]
    tissue: np.ndarray
    left_out_ml: float

    def total_ml(self, fate: Fate) -> float:
        """Volume gained (new, grown) or lost (shrunk, resolved) by lesions of a fate; all of steady ones."""
        chosen = [one for one in self.lesions if one.fate is fate]
        if fate is Fate.STEADY:
            return float(sum(one.after_ml for one in chosen))
        return float(sum(abs(one.after_ml - one.before_ml) for one in chosen))

    def count(self, fate: Fate) -> int:
        """How many lesions met a fate."""
        return sum(one.fate is fate for one in self.lesions)


def follow_up(
    after: np.ndarray,
    before: np.ndarray,
    voxel_ml: float,
    *,
    seen: np.ndarray | None = None,
    changed: float = CHANGED,
    least_ml: float = LEAST_ML,
) -> FollowUp:
    """Compare the lesions of two scans on the later scan's grid.

    after, before  (D, H, W), anything above 0 is lesion; `before` brought over by `data.registration.bring`
    voxel_ml       of the later scan
    seen           (D, H, W) bool: lung that both scans show; lesions outside are left out, as they have
                   nothing to be compared with. None: everything
    ShapeError for masks of different grids.
    """
    after, before = np.asarray(after) > 0, np.asarray(before) > 0
    if after.shape != before.shape or after.ndim != 3:
        raise ShapeError(
            f"lesions of two scans must be (D, H, W) alike, got {after.shape} and {before.shape}"
        )
    if not (voxel_ml > 0 and 0 < changed < 1 and least_ml >= 0):
        raise UsageError("voxel_ml must be above 0, changed between 0 and 1, least_ml 0 or more")
    if seen is not None:
        after, before = after & seen, before & seen
    tissue, box = np.zeros(after.shape, np.uint8), _box(after | before)
    after, before, into = after[box], before[box], tissue[box]  # whole scans would cost gigabytes
    places, count = ndimage.label(after | before, np.ones((3, 3, 3)))
    volumes = [
        voxel_ml * np.bincount(places[mask], minlength=count + 1)[1:].astype(float)
        for mask in (before, after)
    ]
    large = np.maximum(*volumes)
    kept = np.flatnonzero(large >= least_ml)
    left = float(large[large < least_ml].sum())
    parts = [_parts(mask, places, count) for mask in (before, after)]
    centres = ndimage.center_of_mass(places > 0, places, kept + 1) if len(kept) else []
    found = []
    for n, centre in zip(kept, centres, strict=True):
        was, now = float(volumes[0][n]), float(volumes[1][n])
        d, h, w = (float(x + side.start) for x, side in zip(centre, box, strict=True))
        fate = _fate(was, now, changed, least_ml)
        found.append(LesionChange(fate, was, now, (d, h, w), int(parts[0][n]), int(parts[1][n])))
    found.sort(key=lambda one: max(one.before_ml, one.after_ml), reverse=True)
    into[after & before] = Tissue.STAYED
    into[after & ~before] = Tissue.APPEARED
    into[before & ~after] = Tissue.CLEARED
    return FollowUp(tuple(found), tissue, left)


def _box(mask: np.ndarray) -> tuple[slice, slice, slice]:
    """The least box that holds a mask; one voxel where it is empty."""
    if not mask.any():
        return slice(0, 1), slice(0, 1), slice(0, 1)
    sides = []
    for axis in range(3):
        there = np.flatnonzero(mask.any(tuple(n for n in range(3) if n != axis)))
        sides.append(slice(int(there[0]), int(there[-1]) + 1))
    return sides[0], sides[1], sides[2]


def _fate(was: float, now: float, changed: float, least_ml: float) -> Fate:
    if was < least_ml:
        return Fate.NEW
    if now < least_ml:
        return Fate.RESOLVED
    if now > was * (1 + changed):
        return Fate.GROWN
    return Fate.SHRUNK if now < was * (1 - changed) else Fate.STEADY


def _parts(mask: np.ndarray, places: np.ndarray, count: int) -> np.ndarray:
    """How many separate pieces of a mask lie in each place, (count,)."""
    pieces, n = ndimage.label(mask, np.ones((3, 3, 3)))
    if not n:
        return np.zeros(count, np.int64)
    of_piece = ndimage.maximum(places, pieces, np.arange(1, n + 1)).astype(np.int64)
    return np.bincount(of_piece - 1, minlength=count)
