"""How sure a figure is: intervals by resampling patients, and how strongly two columns go together.

Scans of one patient resemble each other, so they are never resampled apart: a draw takes patients with
replacement and every scan of a patient comes along. Intervals are percentile intervals (Efron & Tibshirani,
An Introduction to the Bootstrap, 1993, chapter 13); they are too narrow below about 20 patients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from glasslung.errors import DataError, ShapeError, UsageError

CHUNK_CELLS = 4_000_000  # draws x scans held at once: 32 MB of float64
USABLE_SHARE = 0.9  # of the draws must give a number, or the interval would describe other data

Statistic = Callable[..., Any]  # (*arrays) -> float, or (*arrays, weights) -> (B,)


@dataclass(frozen=True)
class Interval:
    """A figure and the range that resampled patients give it.

    value     on the data as they are
    low, high percentile limits, same unit as value
    level     share of the draws between them: 0.95
    draws     resamples that gave a number
    patients  that were resampled
    """

    value: float
    low: float
    high: float
    level: float
    draws: int
    patients: int

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"

    def excludes(self, value: float) -> bool:
        """Whether `value` (0 for a difference, 0.5 for an AUC) lies outside the interval."""
        return not self.low <= value <= self.high


def patient_codes(patients: Sequence[object] | np.ndarray) -> np.ndarray:
    """Number the patients 0, 1, ... in sorted order: (N,) of any names -> (N,) int64.

    Sorted, so the same rows in another order give every patient the same number.
    """
    return np.unique(np.asarray(patients), return_inverse=True)[1].astype(np.int64).reshape(-1)


def draw_patients(
    codes: np.ndarray, draws: int, rng: np.random.Generator, strata: np.ndarray | None = None
) -> np.ndarray:
    """How often each patient is taken in each draw: codes (N,) -> counts (draws, patients) int64.

    strata  (N,) one value per scan, the same for all scans of a patient; each stratum keeps its number of
            patients in every draw. None: one stratum.
    """
    patients = int(codes.max()) + 1
    groups = np.zeros(patients, dtype=np.int64)
    if strata is not None:
        numbered = patient_codes(strata)
        groups[codes] = numbered
        if (groups[codes] != numbered).any():
            raise DataError("a patient lies in two strata; stratify by something that is one per patient")
    counts = np.zeros((draws, patients), dtype=np.int64)
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        counts[:, members] = rng.multinomial(
            len(members), np.full(len(members), 1 / len(members)), size=draws
        )
    return counts


def bootstrap_by_patient(
    statistic: Statistic,
    patients: Sequence[object] | np.ndarray,
    *arrays: np.ndarray,
    rng: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
    strata: np.ndarray | None = None,
    weighted: bool = False,
) -> Interval:
    """How far a figure would move had other patients of the same kind been seen.

    statistic  called as statistic(*arrays) -> float, on rows repeated as drawn; with weighted=True as
               statistic(*arrays, weights) -> (B,), weights (B, N) >= 0: all draws at once, much faster
    patients   (N,) whose scan each row is; rows of one patient move together
    arrays     each (N, ...): truth, scores, ...
    strata     (N,) or None: see `draw_patients`; needed where a draw may lose a whole class
    NaN from the statistic means "undefined on this draw"; DataError if more than a tenth of the draws are.
    """
    codes = _checked_codes(patients, arrays, draws, level)
    arrays = tuple(np.asarray(array) for array in arrays)
    whole = statistic(*arrays, np.ones((1, len(codes))))[0] if weighted else statistic(*arrays)
    counts = draw_patients(codes, draws, rng, strata)
    each = _weighted_draws if weighted else _looped_draws
    drawn = each(statistic, codes, arrays, counts)
    return interval_of(float(whole), drawn, level, counts.shape[1])


def paired_difference(
    statistic: Statistic,
    patients: Sequence[object] | np.ndarray,
    truth: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    *,
    rng: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
    strata: np.ndarray | None = None,
) -> Interval:
    """How much better the second method is than the first on the same patients: second minus first.

    statistic(truth, score) -> float; truth, first, second (N, ...). Both methods meet the same draws, so what
    makes a patient hard for both cancels. An interval that excludes 0 speaks for a true difference.
    """

    def difference(truth: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
        return statistic(truth, second) - statistic(truth, first)

    return bootstrap_by_patient(
        difference, patients, truth, first, second, rng=rng, draws=draws, level=level, strata=strata
    )


def interval_of(value: float, drawn: np.ndarray, level: float, patients: int) -> Interval:
    """Percentile limits of the draws (B,), undefined ones (NaN) left out and counted out."""
    usable = drawn[~np.isnan(drawn)]
    if np.isnan(value) or len(usable) < USABLE_SHARE * len(drawn):
        raise DataError(
            f"the figure is undefined on {len(drawn) - len(usable)} of {len(drawn)} resamples of {patients} "
            "patients; there are too few patients of one class for an interval"
        )
    low, high = np.quantile(usable, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), level, len(usable), patients)


def exact_limits(hits: int, tries: int, level: float = 0.95) -> tuple[float, float]:
    """Clopper and Pearson's limits of a share: 10 of 10 is 0.69 to 1. Biometrika 1934;26:404-13."""
    from scipy.stats import binomtest

    limits = binomtest(hits, tries).proportion_ci(level, method="exact")
    return float(limits.low), float(limits.high)


def share_by_patient(
    hits: np.ndarray,
    patients: Sequence[object] | np.ndarray,
    *,
    rng: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
) -> Interval:
    """A share of scans, 0 to 1, with its interval: hits (N,) bool, patients (N,), at least two of them.

    Where all or none are hits, resampling has no more to say; then the limit that is not the share itself is
    the exact one (`exact_limits`) of as many tries as there are patients.
    """

    def shares(hits: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return (weights * hits).sum(1) / weights.sum(1)

    found = bootstrap_by_patient(
        shares, patients, np.asarray(hits, bool), rng=rng, draws=draws, level=level, weighted=True
    )
    if found.value not in (0.0, 1.0):
        return found
    low, high = exact_limits(int(found.value) * found.patients, found.patients, level)
    return Interval(found.value, low, high, found.level, found.draws, found.patients)


@dataclass(frozen=True)
class McNemar:
    """Who is right where the other is wrong.

    only_first, only_second  patients for whom more of their scans are called right by one method alone
    p                        exact two-sided p-value: such a split, or a more uneven one, by luck
    """

    only_first: int
    only_second: int
    p: float


def mcnemar(
    truth: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    patients: Sequence[object] | np.ndarray | None = None,
) -> McNemar:
    """Whether one method calls more scans right than another on the same scans: McNemar's exact test.

    truth, first, second (N,) bool: the finding, and what each method calls. patients (N,): a patient with
    several scans counts once, for the method that is right in more of them, and not at all where they draw;
    None: every scan is a patient of its own. p is 1 where the methods never differ.
    McNemar, Psychometrika 1947;12:153-7.
    """
    from scipy.stats import binomtest

    truth, first, second = (np.asarray(array, dtype=bool) for array in (truth, first, second))
    if not truth.shape == first.shape == second.shape or truth.ndim != 1:
        raise ShapeError(f"truth {truth.shape}, first {first.shape} and second {second.shape} must be (N,)")
    codes = np.arange(len(truth)) if patients is None else patient_codes(patients)
    if len(codes) != len(truth) or len(truth) == 0:
        raise ShapeError(f"{len(codes)} patients for {len(truth)} scans; give one per scan")
    lead = np.bincount(codes, weights=(first == truth).astype(int) - (second == truth).astype(int))
    only_first, only_second = int((lead > 0).sum()), int((lead < 0).sum())
    differing = only_first + only_second
    p = float(binomtest(only_first, differing, 0.5).pvalue) if differing else 1.0
    return McNemar(only_first, only_second, p)


def cramers_v(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """How strongly two columns of categories go together: 0 not at all, 1 one tells the other.

    first, second (N,) integer codes; weights (B, N), one row of scan weights per draw -> (B,).
    Bias-corrected (Bergsma, J Korean Stat Soc 2013;42:323-8), so two unrelated columns give about 0 however
    many categories they have. 0 where a column has one value only. Weights are counts of scans.
    """
    table = _contingency(first, second, weights)
    totals = table.sum((1, 2))
    rows, columns = table.sum(2), table.sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = rows[:, :, None] * columns[:, None, :] / totals[:, None, None]
        cells = np.where(expected > 0, (table - expected) ** 2 / expected, 0.0)
        phi2 = cells.sum((1, 2)) / totals
        r, c = (rows > 0).sum(1), (columns > 0).sum(1)
        phi2 = np.maximum(0.0, phi2 - (r - 1) * (c - 1) / (totals - 1))
        shrunk = np.minimum(r - (r - 1) ** 2 / (totals - 1), c - (c - 1) ** 2 / (totals - 1)) - 1
        v = np.sqrt(np.minimum(1.0, phi2 / shrunk))
    return np.where(np.minimum(r, c) < 2, 0.0, v)


def cramers_v_interval(
    first: Sequence[object] | np.ndarray,
    second: Sequence[object] | np.ndarray,
    patients: Sequence[object] | np.ndarray,
    *,
    rng: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
) -> Interval:
    """Cramer's V of two columns (N,) of categories, with the interval from resampling patients.

    0 unrelated, 0.1 weak, 0.3 moderate, 0.5 strong, 1 one column tells the other. See `cramers_v`.
    """
    return bootstrap_by_patient(
        cramers_v,
        patients,
        patient_codes(first),
        patient_codes(second),
        rng=rng,
        draws=draws,
        level=level,
        weighted=True,
    )


def _contingency(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(N,) codes, (N,) codes, (B, N) weights -> (B, categories of first, categories of second)."""
    rows, columns = int(first.max()) + 1, int(second.max()) + 1
    cells = np.zeros((len(first), rows * columns))
    cells[np.arange(len(first)), first * columns + second] = 1.0
    return (weights @ cells).reshape(len(weights), rows, columns)


def _checked_codes(
    patients: Sequence[object] | np.ndarray, arrays: tuple[np.ndarray, ...], draws: int, level: float
) -> np.ndarray:
    codes = patient_codes(patients)
    lengths = [len(array) for array in arrays]
    if any(length != len(codes) for length in lengths):
        raise ShapeError(f"{len(codes)} patients but arrays of {lengths}; give one row per scan in each")
    if len(codes) == 0 or codes.max() < 1:
        raise DataError("an interval by patient needs at least two patients")
    if draws < 1 or not 0 < level < 1:
        raise UsageError(f"draws must be at least 1 and level between 0 and 1, got {draws} and {level}")
    return codes


def _weighted_draws(
    statistic: Statistic, codes: np.ndarray, arrays: tuple[np.ndarray, ...], counts: np.ndarray
) -> np.ndarray:
    step = max(1, CHUNK_CELLS // len(codes))
    parts = [
        statistic(*arrays, counts[start : start + step][:, codes].astype(np.float64))
        for start in range(0, len(counts), step)
    ]
    return np.concatenate(parts)


def _looped_draws(
    statistic: Statistic, codes: np.ndarray, arrays: tuple[np.ndarray, ...], counts: np.ndarray
) -> np.ndarray:
    rows = np.arange(len(codes))
    drawn = np.empty(len(counts))
    for number, count in enumerate(counts):
        taken = np.repeat(rows, count[codes])
        drawn[number] = statistic(*(array[taken] for array in arrays))
    return drawn
