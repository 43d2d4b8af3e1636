"""How well a found mask matches a true one: overlap, volume, and distance between surfaces.

Every score of two masks has a case that the formula leaves open, and papers fill it in silently. Here it is
named. Both masks empty: the caller chooses by `BothEmpty`. Only one empty: overlap scores are 0 (nothing was
hit), the surface distance is infinite. So no mean over cases hides a missed or an invented lesion.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from scipy import ndimage

from glasslung.errors import DataError, ShapeError

Spacing = tuple[float, ...]


class BothEmpty(StrEnum):
    """What a score is when neither mask has a voxel."""

    UNDEFINED = "undefined"  # NaN: the case has nothing to score; leave it out with nanmean and say how many
    PERFECT = "perfect"  # as good as can be: an empty answer to an empty truth is right


def dice(truth: np.ndarray, found: np.ndarray, both_empty: BothEmpty = BothEmpty.UNDEFINED) -> float:
    """Overlap of two masks: twice what they share over what they have together. 1 equal, 0 disjoint.

    truth, found: bool (or 0 / not 0) of one shape. Dice, Ecology 1945;26:297-302.
    """
    both, only_truth, only_found = _counts(truth, found)
    return _ratio(2 * both, 2 * both + only_truth + only_found, both_empty, only_truth + only_found + both)


def jaccard(truth: np.ndarray, found: np.ndarray, both_empty: BothEmpty = BothEmpty.UNDEFINED) -> float:
    """Overlap of two masks: what they share over what either has. 1 equal, 0 disjoint; dice / (2 - dice)."""
    both, only_truth, only_found = _counts(truth, found)
    return _ratio(both, both + only_truth + only_found, both_empty, both + only_truth + only_found)


def sensitivity(truth: np.ndarray, found: np.ndarray, both_empty: BothEmpty = BothEmpty.UNDEFINED) -> float:
    """Share of the true mask that was found, 0 to 1; 0 when something was found in an empty truth."""
    both, only_truth, only_found = _counts(truth, found)
    return _ratio(both, both + only_truth, both_empty, both + only_truth + only_found)


def precision(truth: np.ndarray, found: np.ndarray, both_empty: BothEmpty = BothEmpty.UNDEFINED) -> float:
    """Share of what was found that is true, 0 to 1; 0 when nothing was found of a real truth."""
    both, only_truth, only_found = _counts(truth, found)
    return _ratio(both, both + only_found, both_empty, both + only_truth + only_found)


def volume_error_ml(truth: np.ndarray, found: np.ndarray, voxel_ml: float) -> float:
    """Found minus true volume in millilitres: above 0 too much was found. 0 when both are empty."""
    _, only_truth, only_found = _counts(truth, found)
    return (only_found - only_truth) * voxel_ml


def hausdorff95_mm(
    truth: np.ndarray, found: np.ndarray, spacing_mm: Spacing, both_empty: BothEmpty = BothEmpty.UNDEFINED
) -> float:
    """How far the two surfaces lie apart, leaving out the worst 5 per cent: 0 equal, large far apart, mm.

    The larger of the two directed 95th percentiles (truth to found, found to truth), over surface voxels:
    those with a face to the outside, the edge of the array being outside. Distances are between voxel centres
    on a grid of right angles, so a tilted stack's are approximate. Only one mask empty: infinite; both empty:
    0 (perfect) or NaN.
    """
    distances = _surface_distances(truth, found, spacing_mm)
    if distances is None:
        return _open_case(truth, found, both_empty, perfect=0.0, one_empty=np.inf)
    return float(max(np.percentile(directed, 95) for directed in distances))


def surface_dice(
    truth: np.ndarray,
    found: np.ndarray,
    spacing_mm: Spacing,
    tolerance_mm: float,
    both_empty: BothEmpty = BothEmpty.UNDEFINED,
) -> float:
    """Share of both surfaces that lies within a tolerance of the other: 1 acceptable everywhere, 0 nowhere.

    Surface voxels as in `hausdorff95_mm`, each counted once. Nikolov et al., arXiv:1809.04430; they weigh
    surface elements by their area, here each voxel counts alike.
    """
    if tolerance_mm < 0:
        raise DataError(f"the tolerance must be 0 mm or more, got {tolerance_mm}")
    distances = _surface_distances(truth, found, spacing_mm)
    if distances is None:
        return _open_case(truth, found, both_empty, perfect=1.0, one_empty=0.0)
    near = np.concatenate(distances) <= tolerance_mm
    return float(near.mean())


def _counts(truth: np.ndarray, found: np.ndarray) -> tuple[int, int, int]:
    """Voxels in both masks, only in the truth, only in what was found."""
    if truth.shape != found.shape:
        raise ShapeError(f"truth is {truth.shape} and found is {found.shape}; put both on one grid first")
    truth, found = truth != 0, found != 0
    both = int(np.count_nonzero(truth & found))
    return both, int(np.count_nonzero(truth)) - both, int(np.count_nonzero(found)) - both


def _ratio(part: int, whole: int, both_empty: BothEmpty, either: int) -> float:
    if either == 0:
        return 1.0 if both_empty is BothEmpty.PERFECT else float("nan")
    return part / whole if whole else 0.0


def _open_case(
    truth: np.ndarray, found: np.ndarray, both_empty: BothEmpty, perfect: float, one_empty: float
) -> float:
    if truth.any() or found.any():
        return one_empty
    return perfect if both_empty is BothEmpty.PERFECT else float("nan")


def _surface_distances(
    truth: np.ndarray, found: np.ndarray, spacing_mm: Spacing
) -> tuple[np.ndarray, np.ndarray] | None:
    """From each true surface voxel to the found surface, and the reverse; None where one mask is empty."""
    _counts(truth, found)  # refuses unequal shapes
    truth, found = truth != 0, found != 0
    if not truth.any() or not found.any():
        return None
    box = ndimage.find_objects((truth | found).astype(np.uint8))[0]
    surfaces = [_surface(np.pad(mask[box], 1)) for mask in (truth, found)]
    to_truth, to_found = (ndimage.distance_transform_edt(~s, sampling=spacing_mm) for s in surfaces)
    return to_found[surfaces[0]], to_truth[surfaces[1]]


def _surface(mask: np.ndarray) -> np.ndarray:
    """The voxels of a mask that share a face with the outside."""
    return mask & ~ndimage.binary_erosion(mask)
