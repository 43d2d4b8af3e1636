"""How well a found mask matches a true one: overlap, volume, and distance between surfaces.

Every score of two masks has a case that the formula leaves open, and papers fill it in silently. Here it is
named. Both masks empty: the caller chooses by `BothEmpty`. Only one empty: overlap scores are 0 (nothing was
hit), the surface distance is infinite. So no mean over cases hides a missed or an invented lesion.

Many pictures: `count_overlaps` once, then scores of each picture under any rule (`scores_each`), their mean
with its 1.96 standard errors and an interval over patients (`mean_score`), and the scores of all pixels taken
together (`pooled_scores`), which a few large lesions decide and to which no rule for empty masks matters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from scipy import ndimage

from glasslung.errors import DataError, ShapeError
from glasslung.measure.statistics import Interval, bootstrap_by_patient

Spacing = tuple[float, ...]
SCORES = ("f1", "iou", "precision", "recall")
Z95 = 1.96  # standard errors on each side that papers print as a 95 % interval


class BothEmpty(StrEnum):
    """What a score is when neither mask has a voxel."""

    UNDEFINED = "undefined"  # NaN: the case has nothing to score; leave it out with nanmean and say how many
    PERFECT = "perfect"  # as good as can be: an empty answer to an empty truth is right
    ZERO = "zero"  # as bad as can be: the rule of released code, where nothing hit (TP = 0) scores 0


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
    0 (perfect), infinite (zero) or NaN.
    """
    distances = _surface_distances(truth, found, spacing_mm)
    if distances is None:
        return _open_case(truth, found, both_empty, perfect=0.0, worst=np.inf)
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
        return _open_case(truth, found, both_empty, perfect=1.0, worst=0.0)
    near = np.concatenate(distances) <= tolerance_mm
    return float(near.mean())


# ------------------------------------------------------------------------------------------ many pictures


@dataclass(frozen=True, eq=False)
class Counts:
    """Pixels of N pictures (or voxels of N scans).

    both        (N,) int64  in the true mask and in the found one (TP)
    only_truth  (N,) int64  missed (FN)
    only_found  (N,) int64  invented (FP)
    """

    both: np.ndarray
    only_truth: np.ndarray
    only_found: np.ndarray

    def __len__(self) -> int:
        return len(self.both)


@dataclass(frozen=True)
class Score:
    """A figure over many pictures, and how sure it is.

    value       the mean over pictures, or the figure of all pixels together; NaN where nothing is defined
    half_width  1.96 standard errors over pictures, as papers print it; NaN for a single picture, None for
                figures that are no mean over pictures. It takes every picture for a patient of its own.
    interval    by resampling patients; None where there are too few
    images      that count
    undefined   pictures left out, having nothing to score
    """

    value: float
    half_width: float | None
    interval: Interval | None
    images: int
    undefined: int = 0

    def __str__(self) -> str:
        if self.interval is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} [{self.interval.low:.3f}, {self.interval.high:.3f}]"

    def as_dict(self) -> dict[str, Any]:
        """For JSON; null where a number is not defined."""
        limits = None if self.interval is None else [self.interval.low, self.interval.high]
        return {
            "value": _rounded(self.value),
            "se196": _rounded(self.half_width),
            "interval": None if limits is None else [_rounded(limit) for limit in limits],
            "images": self.images,
            "undefined": self.undefined,
        }


def count_overlaps(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> Counts:
    """Count the pixels of every (truth, found), each pair of one shape of its own."""
    each = [_counts(truth, found) for truth, found in pairs]
    if not each:
        raise DataError("there is not a single picture to score")
    both, only_truth, only_found = np.array(each, np.int64).T
    return Counts(both, only_truth, only_found)


def scores_each(counts: Counts, both_empty: BothEmpty = BothEmpty.UNDEFINED) -> dict[str, np.ndarray]:
    """f1 (Dice), iou, precision and recall of every picture: name -> (N,) float64, NaN where undefined."""
    empty = counts.both + counts.only_truth + counts.only_found == 0
    open_value = _empty_value(both_empty, perfect=1.0, worst=0.0)
    return {
        name: np.where(empty, open_value, part / np.maximum(whole, 1))
        for name, (part, whole) in _ratios(counts.both, counts.only_truth, counts.only_found).items()
    }


def mean_score(
    values: np.ndarray,
    patients: Sequence[object] | np.ndarray,
    rng: np.random.Generator,
    draws: int = 2000,
) -> Score:
    """The mean over pictures of a score, with 1.96 standard errors and an interval over patients.

    values    (N,), NaN where undefined: left out and counted; or (N, K): the mean over K classes of each
              class's own mean, for which there is no standard error
    patients  (N,) whose picture each is
    """
    defined = ~np.isnan(values)
    value = float(_means(values, np.ones((1, len(values))))[0])
    half_width = None
    if values.ndim == 1:
        known = values[defined]
        spread = known.std(ddof=1) if len(known) > 1 else np.nan
        half_width = float(Z95 * spread / np.sqrt(max(len(known), 1)))
        images = len(known)
    else:
        images = int(defined.any(1).sum())
    interval = _interval(_means, patients, (values,), rng, draws)
    return Score(value, half_width, interval, images, len(values) - images)


def pooled_scores(
    counts: Counts, patients: Sequence[object] | np.ndarray, rng: np.random.Generator, draws: int = 2000
) -> dict[str, Score]:
    """The scores of all pixels of all pictures taken as one mask, with intervals over patients."""
    columns = (counts.both, counts.only_truth, counts.only_found)
    return {name: pooled_score(_share_of(name), columns, patients, rng, draws) for name in SCORES}


def pooled_score(
    figure: Callable[..., np.ndarray],
    columns: Sequence[np.ndarray],
    patients: Sequence[object] | np.ndarray,
    rng: np.random.Generator,
    draws: int = 2000,
) -> Score:
    """A figure of sums over all pictures, with its interval over patients.

    figure   of the sums of the columns, each (B,) -> (B,); NaN where undefined
    columns  each (N,): what is counted on every picture
    """

    def pooled(*parts: np.ndarray) -> np.ndarray:
        *each, weights = parts
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(figure(*(weights @ column for column in each)))

    value = float(pooled(*columns, np.ones((1, len(columns[0]))))[0])
    interval = _interval(pooled, patients, tuple(columns), rng, draws)
    return Score(value, None, interval, len(columns[0]))


def _share_of(name: str) -> Callable[..., np.ndarray]:
    def share(both: np.ndarray, only_truth: np.ndarray, only_found: np.ndarray) -> np.ndarray:
        part, whole = _ratios(both, only_truth, only_found)[name]
        return np.asarray(part / whole)

    return share


def _ratios(both: Any, only_truth: Any, only_found: Any) -> dict[str, tuple[Any, Any]]:
    """Part and whole of each score in SCORES, element by element."""
    return {
        "f1": (2 * both, 2 * both + only_truth + only_found),
        "iou": (both, both + only_truth + only_found),
        "precision": (both, both + only_found),
        "recall": (both, both + only_truth),
    }


def _means(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted means of what is defined, then over classes: (N,) or (N, K), weights (B, N) -> (B,)."""
    defined = ~np.isnan(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (weights @ np.where(defined, values, 0.0)) / (weights @ defined.astype(np.float64))
    return np.asarray(means if values.ndim == 1 else means.mean(1))


def _interval(
    statistic: Callable[..., np.ndarray],
    patients: Sequence[object] | np.ndarray,
    arrays: tuple[np.ndarray, ...],
    rng: np.random.Generator,
    draws: int,
) -> Interval | None:
    """The interval over patients; None where they are too few, or too few of them have something to score."""
    try:
        return bootstrap_by_patient(statistic, patients, *arrays, rng=rng, draws=draws, weighted=True)
    except ShapeError:
        raise
    except DataError:
        return None


def _rounded(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), 4)


# ---------------------------------------------------------------------------------------------- two masks


def _counts(truth: np.ndarray, found: np.ndarray) -> tuple[int, int, int]:
    """Voxels in both masks, only in the truth, only in what was found."""
    if truth.shape != found.shape:
        raise ShapeError(f"truth is {truth.shape} and found is {found.shape}; put both on one grid first")
    truth, found = truth != 0, found != 0
    both = int(np.count_nonzero(truth & found))
    return both, int(np.count_nonzero(truth)) - both, int(np.count_nonzero(found)) - both


def _ratio(part: int, whole: int, both_empty: BothEmpty, either: int) -> float:
    if either == 0:
        return _empty_value(both_empty, perfect=1.0, worst=0.0)
    return part / whole if whole else 0.0


def _empty_value(both_empty: BothEmpty, perfect: float, worst: float) -> float:
    """What the score of two empty masks is under a rule."""
    values = {BothEmpty.PERFECT: perfect, BothEmpty.ZERO: worst, BothEmpty.UNDEFINED: float("nan")}
    return values[both_empty]


def _open_case(
    truth: np.ndarray, found: np.ndarray, both_empty: BothEmpty, perfect: float, worst: float
) -> float:
    if truth.any() or found.any():
        return worst
    return _empty_value(both_empty, perfect, worst)


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
