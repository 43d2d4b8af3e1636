"""The variance of an AUC without resampling, and whether two AUCs of the same patients differ.

DeLong, DeLong & Clarke-Pearson, Biometrics 1988;44:837-45, on midranks as Sun & Xu, IEEE Signal Processing
Letters 2014;21:1389-93, so that N scans cost N log N; patients with several scans after Obuchowski,
Biometrics 1997;53:567-78, which is DeLong's formula where each patient has one.

    V10(x)  for a scan with the finding: share of those without whose score is lower, ties one half
    V01(y)  for a scan without: share of those with whose score is higher, ties one half
    the AUC is the mean of either; its variance comes from how much their sums per patient spread
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from glasslung.errors import DataError, ShapeError
from glasslung.measure.ranking import checked_ranking
from glasslung.measure.statistics import patient_codes


@dataclass(frozen=True)
class DelongArea:
    """An AUC with its standard error and normal limits, cut to [0, 1].

    The limits are too hopeful near 1 and for few patients: an AUC of exactly 1 has no error at all.
    """

    value: float
    error: float
    low: float
    high: float


@dataclass(frozen=True)
class DelongTest:
    """Two AUCs of the same scans.

    difference  second minus first, with its standard error and normal limits
    z, p        difference in standard errors, and the two-sided p-value; None where the error is zero
    """

    first: float
    second: float
    difference: float
    error: float
    low: float
    high: float
    z: float | None
    p: float | None


def delong_area(
    truth: np.ndarray,
    score: np.ndarray,
    patients: Sequence[object] | np.ndarray | None = None,
    level: float = 0.95,
) -> DelongArea:
    """The AUC of a score with its standard error: truth (N,) bool, score (N,), patients (N,).

    patients None: every scan is a patient of its own. DataError with fewer than two patients of a kind.
    """
    areas, covariance = delong_covariance(truth, np.asarray(score)[None], patients)
    value, error = float(areas[0]), float(np.sqrt(covariance[0, 0]))
    reach = _normal_reach(level) * error
    return DelongArea(value, error, max(0.0, value - reach), min(1.0, value + reach))


def delong_test(
    truth: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    patients: Sequence[object] | np.ndarray | None = None,
    level: float = 0.95,
) -> DelongTest:
    """Whether two scores of the same scans separate sick from well differently: (N,), (N,), (N,).

    Compares areas, not thresholds; what makes a patient hard for both cancels. Not meant for a model and
    the same model with something added, fitted on these very scans.
    """
    from scipy.stats import norm

    if np.shape(first) != np.shape(second):
        raise ShapeError(f"scores {np.shape(first)} and {np.shape(second)} must be of the same scans")
    areas, covariance = delong_covariance(truth, np.stack([first, second]), patients)
    difference = float(areas[1] - areas[0])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    error = float(np.sqrt(max(0.0, variance)))
    reach = _normal_reach(level) * error
    z = difference / error if error > 1e-12 else None
    p = float(2 * norm.sf(abs(z))) if z is not None else None
    return DelongTest(
        float(areas[0]), float(areas[1]), difference, error, difference - reach, difference + reach, z, p
    )


def delong_covariance(
    truth: np.ndarray, scores: np.ndarray, patients: Sequence[object] | np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """AUCs of K scores of the same scans, and how they vary together: (N,), (K, N) -> (K,), (K, K)."""
    truth, scores, codes = _checked(truth, scores, patients)
    parts = [_components(truth, score) for score in scores]
    areas = np.array([with_it.mean() for with_it, _ in parts])
    sick = np.stack(
        [_sums(with_it - area, codes[truth], codes) for (with_it, _), area in zip(parts, areas, strict=True)]
    )
    well = np.stack(
        [_sums(without - area, codes[~truth], codes) for (_, without), area in zip(parts, areas, strict=True)]
    )
    many_sick, many_well = int(truth.sum()), int((~truth).sum())
    sick_patients, well_patients = len(np.unique(codes[truth])), len(np.unique(codes[~truth]))
    both = codes.max() + 1
    cross = sick @ well.T
    covariance = (
        sick @ sick.T * sick_patients / (sick_patients - 1) / many_sick**2
        + well @ well.T * well_patients / (well_patients - 1) / many_well**2
        + (cross + cross.T) * both / (both - 1) / (many_sick * many_well)
    )
    return areas, covariance


def _components(truth: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """V10 of the scans with the finding (M,) and V01 of those without (N,), from midranks."""
    from scipy.stats import rankdata

    ranks, sick, well = rankdata(score), score[truth], score[~truth]
    with_it = (ranks[truth] - rankdata(sick)) / len(well)
    without = 1.0 - (ranks[~truth] - rankdata(well)) / len(sick)
    return with_it, without


def _sums(values: np.ndarray, codes: np.ndarray, everyone: np.ndarray) -> np.ndarray:
    """Values of scans summed over each patient: (M,), (M,) -> (patients,), 0 where a patient has none."""
    return np.bincount(codes, weights=values, minlength=int(everyone.max()) + 1)


def _normal_reach(level: float) -> float:
    from scipy.stats import norm

    return float(norm.ppf((1 + level) / 2))


def _checked(
    truth: np.ndarray, scores: np.ndarray, patients: Sequence[object] | np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2 or not len(scores):
        raise ShapeError(f"scores must be (K, N), one row per method, got {scores.shape}")
    pairs = [checked_ranking(truth, score) for score in scores]
    truth = pairs[0][0]
    codes = np.arange(len(truth)) if patients is None else patient_codes(patients)
    if len(codes) != len(truth):
        raise ShapeError(f"{len(codes)} patients for {len(truth)} scans; give one per scan")
    for kind, name in ((truth, "with"), (~truth, "without")):
        if len(np.unique(codes[kind])) < 2:
            raise DataError(f"fewer than two patients {name} the finding: an AUC has no variance here")
    return truth, scores, codes
