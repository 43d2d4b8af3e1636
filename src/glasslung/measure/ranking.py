"""How well a score puts the sick above the well: the area under the ROC curve, with its interval.

The curve itself is in `roccurves`, the variance and the paired test of DeLong in `delong`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from glasslung.errors import DataError, ShapeError
from glasslung.measure.statistics import Interval, bootstrap_by_patient, patient_codes


def auc(truth: np.ndarray, score: np.ndarray) -> float:
    """Chance that, of one scan with the finding and one without, the first has the higher score.

    truth (N,) bool; score (N,) any scale, higher = more likely to have it.
    1 perfect, 0.5 coin toss, 0 reversed. Equal scores count one half.
    NaN-free input only. Hanley & McNeil, Radiology 1982;143:29-36.
    """
    truth, score = checked_ranking(truth, score)
    if truth.all() or not truth.any():
        raise DataError("an AUC needs scans with and without the finding; all have the same truth")
    return float(auc_weighted(truth, score, np.ones((1, len(truth))))[0])


def auc_weighted(truth: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The AUC under many weightings of the same scans at once, for resampling.

    truth (N,) bool, score (N,), weights (B, N) >= 0 -> (B,). A scan of weight 2 counts as two scans.
    NaN for a weighting that leaves one class without any weight.
    """
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.r_[True, score[order][1:] > score[order][:-1]])
    ordered = weights[:, order]
    with_it = np.add.reduceat(ordered * truth[order], starts, axis=1)
    without = np.add.reduceat(ordered * ~truth[order], starts, axis=1)
    below = np.cumsum(without, axis=1) - without
    wins = (with_it * (below + 0.5 * without)).sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return wins / (with_it.sum(1) * without.sum(1))


def auc_interval(
    truth: np.ndarray,
    score: np.ndarray,
    patients: Sequence[object] | np.ndarray,
    *,
    rng: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
) -> Interval:
    """The AUC and the range that resampled patients give it; all scans of a patient move together.

    truth (N,) bool, score (N,), patients (N,). Patients who only have the finding, who never have it and who
    have both kinds of scan are resampled apart, so no draw loses a class. DataError with fewer than two
    patients of a kind that a class rests on. An AUC of exactly 1 gets the interval [1, 1]: no resample
    can say more.
    """
    truth, score, codes = checked_by_patient(truth, score, patients)
    return bootstrap_by_patient(
        auc_weighted,
        codes,
        truth,
        score,
        rng=rng,
        draws=draws,
        level=level,
        strata=truth_strata(truth, codes),
        weighted=True,
    )


def errors_from_chance(auc_value: float, patients_with: int, patients_without: int) -> float:
    """How many standard errors an AUC lies from 0.5, if the score knew nothing. 0 chance, 2 unusual, 4 rare.

    The error of a score that knows nothing is that of the Mann-Whitney statistic,
    sqrt((m + n + 1) / (12 m n)); m and n are counted in patients, whose scans are not independent.
    """
    m, n = patients_with, patients_without
    if min(m, n) < 1:
        raise DataError("chance needs patients with and without the finding")
    return float(abs(auc_value - 0.5) / np.sqrt((m + n + 1) / (12 * m * n)))


def truth_strata(truth: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """0 patients without the finding, 1 with it in every scan, 2 in some: (N,), (N,) codes -> (N,) int64."""
    scans = np.bincount(codes)
    found = np.bincount(codes, weights=truth)
    return np.where(found == 0, 0, np.where(found == scans, 1, 2))[codes]


def checked_by_patient(
    truth: np.ndarray, score: np.ndarray, patients: Sequence[object] | np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """truth (N,) bool, score (N,) and codes (N,) of the patients; DataError where no interval can be had."""
    truth, score = checked_ranking(truth, score)
    codes = patient_codes(patients)
    if len(codes) != len(truth):
        raise ShapeError(f"{len(codes)} patients for {len(truth)} scans; give one per scan")
    for kind, name in ((truth, "with"), (~truth, "without")):
        if len(np.unique(codes[kind])) < 2:
            raise DataError(f"fewer than two patients {name} the finding: there is no interval here")
    return truth, score, codes


def checked_ranking(truth: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """truth (N,) bool and score (N,) float64 of one length, without NaN; else ShapeError or DataError."""
    truth, score = np.asarray(truth), np.asarray(score, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != score.shape:
        raise ShapeError(f"truth {truth.shape} and score {score.shape} must both be (N,)")
    if truth.dtype != np.bool_:
        if not np.isin(truth, (0, 1)).all():
            raise DataError("truth must be True/False or 0/1, one class against the rest")
        truth = truth.astype(bool)
    if np.isnan(score).any():
        raise DataError(f"{int(np.isnan(score).sum())} scores are not numbers; leave those scans out")
    return truth, score
