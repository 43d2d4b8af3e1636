"""Where in the lungs: both, right, left, and the thirds of each side.

Thirds are cut by two planes that both lungs share, across the body, so that each third holds a third of the
lung volume (both lungs together, every slice counted whole). Two reasons against thirds of equal height: the
apex would be a sliver whose per cent jumps with a few voxels, and one noisy slice at the bottom of a mask
would move both planes. The Chest Imaging Platform's thirds are cut the same way: on its reference label map
the two definitions place every slice alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glasslung.data.orientation import orientation_of, to_upright, upright_spacing_mm
from glasslung.errors import DataError, ShapeError
from glasslung.types import Lobe, Lung, Lungs, Volume

# Fewer slices with lung than this, or a slab lower than this, is not a chest that could be cut into thirds.
THIRDS_MIN_SLICES = 10
THIRDS_MIN_HEIGHT_MM = 100.0

LEVELS = ("lower", "middle", "upper")
SIDES = {Lung.RIGHT: "right", Lung.LEFT: "left"}
LOBE_NAMES = {
    Lobe.RIGHT_UPPER: "right upper lobe",
    Lobe.RIGHT_MIDDLE: "right middle lobe",
    Lobe.RIGHT_LOWER: "right lower lobe",
    Lobe.LEFT_UPPER: "left upper lobe",
    Lobe.LEFT_LOWER: "left lower lobe",
}
# Zones from the top down, right before left, as a report lists them.
ZONES = tuple(f"{side} {level} third" for side in ("right", "left") for level in reversed(LEVELS))


@dataclass(frozen=True, eq=False)
class Regions:
    """The lung's parts as one label volume, and which labels make up which named region.

    labels   (D, H, W) uint8, 0 outside the lungs; the scan's own grid
    members  region name -> labels that belong to it. Every lung voxel has exactly one label, so what is
    counted
             per label adds up over regions
    """

    labels: np.ndarray
    members: dict[str, tuple[int, ...]]

    def mask(self, name: str) -> np.ndarray:
        """(D, H, W) bool, the region of that name; DataError names those there are."""
        if name not in self.members:
            raise DataError(f"there is no region {name!r} on this scan; there are {', '.join(self.members)}")
        return np.isin(self.labels, self.members[name])


def regions_of(volume: Volume, lungs: Lungs) -> Regions:
    """The named regions of the lungs: both lungs, each side, the thirds of each side; only what can be known.

    Sides are known when no lung voxel is `Lung.UNSIDED`. Without sides the thirds are of both lungs together
    ('upper third'). Thirds need at least THIRDS_MIN_SLICES slices with lung and, where the spacing is
    measured, lungs THIRDS_MIN_HEIGHT_MM high; else there are none. A side without a voxel is left out.
    """
    if lungs.mask.shape != volume.shape:
        raise ShapeError(
            f"the lung mask is {lungs.mask.shape}, the scan {volume.shape}; give the scan's own mask"
        )
    levels = _levels(volume, lungs.mask)
    if levels is None:
        labels = lungs.mask.astype(np.uint8, copy=True)
    else:
        # label = 3 * (lung - 1) + level + 1: right 1-3, left 4-6, unsided 7-9, from the bottom up
        labels = np.where(lungs.mask > 0, 3 * (lungs.mask.astype(np.uint8) - 1) + levels + 1, 0).astype(
            np.uint8
        )
    present = {int(label) for label in np.flatnonzero(label_counts(labels))}
    return Regions(labels, _members(present, thirds=levels is not None))


def lobe_regions(lobes: np.ndarray) -> Regions:
    """The five lobes as regions, from a lobe mask (D, H, W) with the labels of `Lobe`."""
    if lobes.size and int(lobes.max()) > max(Lobe):
        raise DataError(
            f"a lobe mask has labels 0 to {max(Lobe)}, got {int(lobes.max())}; see glasslung.types.Lobe"
        )
    counts = label_counts(lobes, most=max(Lobe))
    return Regions(
        lobes.astype(np.uint8, copy=False),
        {name: (int(lobe),) for lobe, name in LOBE_NAMES.items() if counts[lobe]},
    )


def label_counts(labels: np.ndarray, most: int = 0) -> np.ndarray:
    """Voxels of each label, (at least most + 1,) int64, with the outside (label 0) counted as 0.

    Only what is inside is looked at: counting widens to 8 bytes a voxel, which a whole scan should not pay.
    """
    return np.bincount(labels[labels > 0], minlength=most + 1)


def third_of_slices(lung_voxels: np.ndarray) -> np.ndarray:
    """(Z,) lung voxels per slice, from the feet up -> (Z,) 0 lower, 1 middle, 2 upper third of the volume.

    A slice belongs to the third in which the middle of its own volume lies, so turning the stack over turns
    the answer over.
    """
    below = np.cumsum(lung_voxels) - lung_voxels
    middle = (below + lung_voxels / 2.0) / max(int(lung_voxels.sum()), 1)
    return np.minimum(np.floor(3.0 * middle), 2).astype(np.uint8)


def _levels(volume: Volume, mask: np.ndarray) -> np.ndarray | None:
    """The third of each slice, shaped to broadcast over the file's axes; None where thirds mean nothing."""
    orientation = orientation_of(volume)
    per_slice = np.count_nonzero(to_upright(mask, orientation), axis=(1, 2))
    slices = np.flatnonzero(per_slice)
    if len(slices) < THIRDS_MIN_SLICES:
        return None
    height_mm = (slices[-1] - slices[0] + 1) * upright_spacing_mm(volume, orientation)[0]
    if volume.has_ml and height_mm < THIRDS_MIN_HEIGHT_MM:
        return None
    levels = third_of_slices(per_slice)
    if orientation.flips[0]:
        levels = levels[::-1]
    shape = [1, 1, 1]
    shape[orientation.axes[0]] = len(levels)
    return levels.reshape(shape)


def _members(present: set[int], thirds: bool) -> dict[str, tuple[int, ...]]:
    """Region name -> labels, both lungs first, then sides, then thirds from the top down."""
    parts = {
        lung: [3 * (lung - 1) + level + 1 for level in range(3)] if thirds else [int(lung)]
        for lung in Lung
        if lung
    }
    unsided = not present.isdisjoint(parts[Lung.UNSIDED])
    members: dict[str, tuple[int, ...]] = {"both lungs": tuple(sorted(present))} if present else {}
    if not unsided:
        for lung, side in SIDES.items():
            members[f"{side} lung"] = tuple(parts[lung])
    if thirds and not unsided:
        for lung, side in SIDES.items():
            members |= {f"{side} {LEVELS[n]} third": (parts[lung][n],) for n in (2, 1, 0)}
    if thirds and unsided:
        members |= {f"{LEVELS[n]} third": tuple(labels[n] for labels in parts.values()) for n in (2, 1, 0)}
    return {name: labels for name, labels in members.items() if not present.isdisjoint(labels)}
