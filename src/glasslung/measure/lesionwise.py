"""How many lesions were found, how many were missed and how many invented: each lesion counts once.

Overlap scores are decided by the largest lesion; a reader asks whether each one was seen. Definitions, as in
Commowick et al., Sci Rep 2018;8:13650, for lesions that may be parted or joined by either side:

    lesion       a connected component of a mask, in a volume by faces, edges and corners (26 neighbours), in
                 a slice by edges and corners (8); smaller ones than `least_voxels` are left out of both masks
    found        a true lesion of which at least `share` lies under the found mask, in as many parts as may be
    false        a found component of which less than `share` lies on the true mask
    sensitivity  true lesions found of all true lesions
    precision    found components that are not false, of all found components
    F1           the harmonic mean of both; 0 where one of them is 0

Voxels of left-out components count for nothing: neither as truth nor as found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from glasslung.errors import ShapeError, UsageError
from glasslung.measure.overlap import Score, mean_score, pooled_score

SHARE = 0.1  # Commowick et al.: a tenth; any single voxel would let a mask of everything look right


@dataclass(frozen=True, eq=False)
class Detection:
    """Lesions of one scan or slice.

    true_sizes   (T,) voxels of each true lesion, largest first
    seen         (T,) bool, in the same order: whether it was found
    found_sizes  (F,) voxels of each found component, largest first
    false        (F,) bool, in the same order: whether it lies beside the truth
    """

    true_sizes: np.ndarray
    seen: np.ndarray
    found_sizes: np.ndarray
    false: np.ndarray

    @property
    def sensitivity(self) -> float:
        """True lesions found of all; NaN where there is none."""
        return float(self.seen.mean()) if len(self.seen) else float("nan")

    @property
    def precision(self) -> float:
        """Found components on the truth, of all; NaN where nothing was found."""
        return float(1 - self.false.mean()) if len(self.false) else float("nan")

    @property
    def false_positives(self) -> int:
        """Found components beside the truth."""
        return int(self.false.sum())

    @property
    def f1(self) -> float:
        """Harmonic mean of sensitivity and precision; 0 where one side is empty, NaN where both are."""
        if not len(self.seen) and not len(self.false):
            return float("nan")
        both = np.nan_to_num([self.sensitivity, self.precision])
        return float(2 * both.prod() / both.sum()) if both.all() else 0.0


def match_lesions(
    truth: np.ndarray, found: np.ndarray, share: float = SHARE, least_voxels: int = 1
) -> Detection:
    """Match the lesions of two masks by their overlap; see the head of this file.

    truth, found  bool (or 0 / not 0) of one shape, (H, W) or (D, H, W)
    share         above 0 to 1: of a component that must lie on the other mask
    """
    if truth.shape != found.shape or truth.ndim not in (2, 3):
        raise ShapeError(f"truth is {truth.shape} and found is {found.shape}; give slices or volumes alike")
    if not 0 < share <= 1 or least_voxels < 1:
        raise UsageError(f"share must lie in (0, 1] and least_voxels be 1 or more: {share}, {least_voxels}")
    true_parts, true_sizes = _components(truth, least_voxels)
    found_parts, found_sizes = _components(found, least_voxels)
    seen = _covered(true_parts, len(true_sizes), found_parts > 0) >= share * true_sizes
    on_truth = _covered(found_parts, len(found_sizes), true_parts > 0) >= share * found_sizes
    first, second = (np.argsort(-sizes, kind="stable") for sizes in (true_sizes, found_sizes))
    return Detection(true_sizes[first], seen[first], found_sizes[second], ~on_truth[second])


def _components(mask: np.ndarray, least_voxels: int) -> tuple[np.ndarray, np.ndarray]:
    """Components numbered 1 .. n, in an array of the mask's shape, and the voxels of each, (n,)."""
    parts, count = ndimage.label(mask != 0, structure=np.ones((3,) * mask.ndim))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    kept = sizes >= least_voxels
    numbers = np.concatenate([[0], np.where(kept, np.cumsum(kept), 0)])
    return numbers[parts], sizes[kept]


def _covered(parts: np.ndarray, count: int, other: np.ndarray) -> np.ndarray:
    """Voxels of each component that lie on the other mask, (count,)."""
    return np.bincount(parts[other], minlength=count + 1)[1:]


# ------------------------------------------------------------------------------------------ many scans


@dataclass(frozen=True)
class DetectionScores:
    """Figures of many scans or slices, all their lesions together, with intervals over patients.

    false_positives  found components beside the truth per scan (or slice)
    """

    sensitivity: Score
    precision: Score
    f1: Score
    false_positives: Score
    lesions: int
    components: int


def pool_detections(
    detections: Sequence[Detection],
    patients: Sequence[object] | np.ndarray,
    rng: np.random.Generator,
    draws: int = 2000,
) -> DetectionScores:
    """Sensitivity, precision and F1 over all lesions, and false positives per scan."""
    seen = np.array([one.seen.sum() for one in detections], np.float64)
    lesions = np.array([len(one.seen) for one in detections], np.float64)
    false = np.array([one.false_positives for one in detections], np.float64)
    components = np.array([len(one.false) for one in detections], np.float64)
    columns = (seen, lesions, components - false, components)
    return DetectionScores(
        pooled_score(np.divide, columns[:2], patients, rng, draws),
        pooled_score(np.divide, columns[2:], patients, rng, draws),
        pooled_score(_f1, columns, patients, rng, draws),
        mean_score(false, patients, rng, draws),
        int(lesions.sum()),
        int(components.sum()),
    )


def _f1(seen: np.ndarray, lesions: np.ndarray, right: np.ndarray, components: np.ndarray) -> np.ndarray:
    """Harmonic mean of seen / lesions and right / components; 0 where one has no part, NaN without both."""
    sensitivity = np.where(lesions > 0, seen / lesions, 0)
    precision = np.where(components > 0, right / components, 0)
    both = sensitivity + precision
    f1 = np.where(both > 0, 2 * sensitivity * precision / both, 0)
    return np.where(lesions + components > 0, f1, np.nan)
