"""ROC curves: how many of the sick are found for how many of the well who are called sick, with a band.

The band is pointwise: at each share of false alarms, the share found in the middle 95 % of the resamples by
patient. The false alarms needed to find 95 % of the sick are a single point of the curve; their interval
comes from the same resamples (2000, as in the paper whose table the diagnosis study repeats).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from glasslung.errors import DataError, UsageError
from glasslung.measure.ranking import checked_by_patient, checked_ranking, truth_strata
from glasslung.measure.statistics import (
    Interval,
    bootstrap_by_patient,
    draw_patients,
)

GRID = 101  # points of the band along the false-positive rate: one per cent each
ROUNDING = 1e-9  # sums of weights that should be equal may differ by this share


@dataclass(frozen=True, eq=False)
class RocCurve:
    """A ROC curve: one point for each threshold, from nobody called to everybody called.

    false, true  (K,) shares of those without and with the finding who are called, 0 to 1, never falling
    thresholds   (K,) called from this score on; the first is infinite
    """

    false: np.ndarray
    true: np.ndarray
    thresholds: np.ndarray


@dataclass(frozen=True, eq=False)
class RocBand:
    """The curve on an even grid, and where resampled patients put it.

    false             (G,) share of false alarms, 0 to 1
    true, low, high   (G,) share of the sick who are found there; between points of the curve, a straight line
    """

    false: np.ndarray
    true: np.ndarray
    low: np.ndarray
    high: np.ndarray
    level: float
    draws: int
    patients: int


def roc_curve(truth: np.ndarray, score: np.ndarray) -> RocCurve:
    """Every trade between sick who are found and well who are called sick; truth (N,) bool, score (N,)."""
    from sklearn import metrics

    truth, score = checked_ranking(truth, score)
    if truth.all() or not truth.any():
        raise DataError("a ROC curve needs scans with and without the finding; all have the same truth")
    false, true, thresholds = metrics.roc_curve(truth, score, drop_intermediate=False)
    return RocCurve(false, true, thresholds)


def roc_band(
    truth: np.ndarray,
    score: np.ndarray,
    patients: Sequence[object] | np.ndarray,
    *,
    rng: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
) -> RocBand:
    """The ROC curve with the range that resampled patients give it at each share of false alarms.

    truth (N,) bool, score (N,), patients (N,). Resampled as `ranking.auc_interval` does. Pointwise:
    the whole curve of other patients leaves the band somewhere more often than one time in twenty.
    """
    truth, score, codes = checked_by_patient(truth, score, patients)
    grid = np.linspace(0.0, 1.0, GRID)
    counts = draw_patients(codes, draws, rng, truth_strata(truth, codes))
    drawn = np.stack([_true_on(grid, truth, score, row[codes]) for row in counts.astype(np.float64)])
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    true = _true_on(grid, truth, score, np.ones(len(truth)))
    return RocBand(grid, true, low, high, level, draws, counts.shape[1])


def false_alarms(truth: np.ndarray, score: np.ndarray, sensitivity: float = 0.95) -> float:
    """The smallest share of the well called sick when at least `sensitivity` of the sick are found."""
    truth, score = checked_ranking(truth, score)
    if truth.all() or not truth.any():
        raise DataError("false alarms need scans with and without the finding; all have the same truth")
    return float(_false_weighted(truth, score, np.ones((1, len(truth))), sensitivity)[0])


def false_alarms_interval(
    truth: np.ndarray,
    score: np.ndarray,
    patients: Sequence[object] | np.ndarray,
    *,
    rng: np.random.Generator,
    sensitivity: float = 0.95,
    draws: int = 2000,
    level: float = 0.95,
) -> Interval:
    """`false_alarms` (FPR at 95 % TPR) with the interval that resampled patients give it.

    The threshold is found anew on each resample. With fewer than 20 patients with the finding, 95 % of them
    is all of them, and one hard patient decides.
    """
    truth, score, codes = checked_by_patient(truth, score, patients)
    if not 0 < sensitivity <= 1:
        raise UsageError(f"sensitivity must lie above 0 and at most at 1, got {sensitivity}")

    def weighted(truth: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return _false_weighted(truth, score, weights, sensitivity)

    return bootstrap_by_patient(
        weighted,
        codes,
        truth,
        score,
        rng=rng,
        draws=draws,
        level=level,
        strata=truth_strata(truth, codes),
        weighted=True,
    )


def _false_weighted(
    truth: np.ndarray, score: np.ndarray, weights: np.ndarray, sensitivity: float
) -> np.ndarray:
    """False-positive rate of the first threshold that finds enough: weights (B, N) -> (B,)."""
    false, true = _weighted_curve(truth, score, weights)
    enough = true >= sensitivity - ROUNDING
    return np.take_along_axis(false, enough.argmax(1)[:, None], axis=1)[:, 0]


def _weighted_curve(
    truth: np.ndarray, score: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Points of the curve from the highest score down, equal scores together: (B, N) -> (B, K) twice."""
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.r_[score[order][1:] < score[order][:-1], True])
    ordered = weights[:, order]
    true = np.cumsum(ordered * truth[order], axis=1)[:, ends]
    false = np.cumsum(ordered * ~truth[order], axis=1)[:, ends]
    return false / false[:, -1:], true / true[:, -1:]


def _true_on(grid: np.ndarray, truth: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The curve on a grid of false-positive rates, the upper end of each vertical step: -> (G,)."""
    false, true = (points[0] for points in _weighted_curve(truth, score, weights[None]))
    return np.interp(grid + ROUNDING, np.r_[0.0, false], np.r_[0.0, true])
