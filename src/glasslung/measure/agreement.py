"""How far readers agree, with each other and with the truth, beyond what chance gives.

Kappa (Cohen, Educ Psychol Meas 1960;20:37-46; weighted: Psychol Bull 1968;70:213-20) is of two readers, that
of Fleiss (Psychol Bull 1971;76:378-82) of as many as all read the same scans, alpha (Krippendorff, Content
Analysis, 2004, chapter 11) of any number who may have left scans out. 1 is perfect, 0 what chance gives.
Each is undefined where nobody ever differs because only one category was ever used.

Intervals resample patients with all their scans. Every figure takes weights (B, N) of the scans, so that all
draws are computed at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from glasslung.errors import DataError, ShapeError
from glasslung.measure.ranking import checked_ranking
from glasslung.measure.statistics import (
    Interval,
    Statistic,
    bootstrap_by_patient,
    share_by_patient,
)

Weighting = Literal["none", "linear", "quadratic"]
Level = Literal["nominal", "ordinal", "interval"]


@dataclass(frozen=True)
class Pair:
    """Two readers on the scans that both read: how many, share on which they agree, and kappa.

    kappa   None where it is undefined: one category alone was used
    """

    first: str
    second: str
    scans: int
    agree: Interval
    kappa: Interval | None


@dataclass(frozen=True)
class Agreement:
    """All readers together.

    pairs     every two of them
    fleiss    of the scans that all read, `complete` of them; None where undefined, or of a single reader
    alpha     Krippendorff's, of all scans that two or more read
    """

    pairs: tuple[Pair, ...]
    complete: int
    fleiss: Interval | None
    alpha: Interval | None


@dataclass(frozen=True)
class ReaderPoint:
    """One reader against the truth: a point for the ROC, (1 - specificity, sensitivity).

    scans   that were read and whose truth is known
    """

    reader: str
    scans: int
    sensitivity: Interval
    specificity: Interval


def agreement(
    ratings: np.ndarray,
    readers: Sequence[str],
    patients: Sequence[object] | np.ndarray,
    *,
    rng: np.random.Generator,
    weighting: Weighting = "none",
    level: Level = "nominal",
    draws: int = 2000,
) -> Agreement:
    """How far R readers agree on N scans.

    ratings (N, R), NaN where a scan was not read; patients (N,)
    weighting  of the pairs' kappa: 'linear' or 'quadratic' forgive neighbours on an ordered scale
    level      of alpha: 'ordinal' for an ordered scale, 'interval' for a probability
    DataError for fewer than two readers, or two who read no scan of two patients in common.
    """
    ratings = _checked(ratings, len(readers))
    names = np.asarray(patients)
    if len(readers) < 2 or len(names) != len(ratings):
        raise DataError(f"agreement needs two readers or more and one patient per scan, got {len(readers)}")
    pairs = []
    for a, b in combinations(range(len(readers)), 2):
        both = ~np.isnan(ratings[:, (a, b)]).any(1)
        first, second, who = ratings[both, a], ratings[both, b], names[both]
        _enough(who, f"{readers[a]} and {readers[b]}")
        agree = share_by_patient(first == second, who, rng=rng, draws=draws)
        kappa = _interval(_kappa_of(first, second, weighting), who, rng, draws)
        pairs.append(Pair(readers[a], readers[b], int(both.sum()), agree, kappa))
    all_read = ~np.isnan(ratings).any(1)
    fleiss = None
    if len(np.unique(names[all_read])) > 1:
        counts = category_counts(ratings[all_read])
        fleiss = _interval((fleiss_weighted, counts), names[all_read], rng, draws)
    shared = (~np.isnan(ratings)).sum(1) > 1
    units, values = coincidences(ratings[shared])
    alpha = _interval(
        (lambda units, weights: alpha_weighted(units, values, level, weights), units),
        names[shared],
        rng,
        draws,
    )
    return Agreement(tuple(pairs), int(all_read.sum()), fleiss, alpha)


def reader_points(
    truth: np.ndarray,
    calls: np.ndarray,
    readers: Sequence[str],
    patients: Sequence[object] | np.ndarray,
    *,
    rng: np.random.Generator,
    draws: int = 2000,
) -> tuple[ReaderPoint, ...]:
    """Each reader's sensitivity and specificity, with intervals by resampling patients.

    truth (N,) bool; calls (N, R) 1 yes, 0 no, NaN not read; patients (N,)
    DataError for a reader who read scans of fewer than two patients with the finding, or without.
    """
    calls = _checked(calls, len(readers))
    truth, _ = checked_ranking(truth, np.zeros(len(calls)))
    names, points = np.asarray(patients), []
    for r, reader in enumerate(readers):
        read = ~np.isnan(calls[:, r])
        sick, well = read & truth, read & ~truth
        for some, words in ((sick, "with"), (well, "without")):
            _enough(names[some], f"{reader} on scans {words} the finding")
        sensitivity = share_by_patient(calls[sick, r] > 0.5, names[sick], rng=rng, draws=draws)
        specificity = share_by_patient(calls[well, r] <= 0.5, names[well], rng=rng, draws=draws)
        points.append(ReaderPoint(reader, int(read.sum()), sensitivity, specificity))
    return tuple(points)


def cohen_kappa(first: np.ndarray, second: np.ndarray, weighting: Weighting = "none") -> float:
    """Cohen's kappa of two readers on the same scans, (N,) each; NaN where it is undefined."""
    statistic, cells = _kappa_of(np.asarray(first, float), np.asarray(second, float), weighting)
    return float(statistic(cells, np.ones((1, len(cells))))[0])


def fleiss_kappa(ratings: np.ndarray) -> float:
    """Fleiss' kappa of R readers who all read the same N scans: ratings (N, R) without NaN."""
    ratings = _checked(ratings, np.shape(ratings)[1])
    if np.isnan(ratings).any():
        raise DataError("Fleiss' kappa needs every scan read by every reader; use Krippendorff's alpha")
    return float(fleiss_weighted(category_counts(ratings), np.ones((1, len(ratings))))[0])


def krippendorff_alpha(ratings: np.ndarray, level: Level = "nominal") -> float:
    """Krippendorff's alpha of R readers on N scans, (N, R), NaN where a scan was not read."""
    ratings = _checked(ratings, np.shape(ratings)[1])
    units, values = coincidences(ratings[(~np.isnan(ratings)).sum(1) > 1])
    return float(alpha_weighted(units, values, level, np.ones((1, len(units))))[0])


# ------------------------------------------------------------------------------- all draws at once


def fleiss_weighted(counts: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Fleiss' kappa under many weightings: counts (N, K) of readers by category, weights (B, N) -> (B,)."""
    readers = counts.sum(1)[0]
    agreeing = (counts * (counts - 1)).sum(1) / (readers * (readers - 1))
    total = weights.sum(1)
    seen = (weights @ agreeing) / total
    shares = (weights @ counts) / (readers * total)[:, None]
    return _beyond_chance(1 - seen, 1 - (shares**2).sum(1))


def alpha_weighted(units: np.ndarray, values: np.ndarray, level: Level, weights: np.ndarray) -> np.ndarray:
    """Krippendorff's alpha under many weightings.

    units (N, K, K) pairs of values within each scan, as `coincidences` gives them; values (K,) rising;
    weights (B, N) -> (B,)
    """
    count = len(values)
    pairs = (weights @ units.reshape(len(units), -1)).reshape(-1, count, count)
    total = pairs.sum(2)
    apart = _apart(values, level, total)
    observed = (pairs * apart).sum((1, 2))
    everything = total.sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = (total[:, :, None] * total[:, None, :] * apart).sum((1, 2)) / (everything - 1)
    return _beyond_chance(observed, expected)


def category_counts(ratings: np.ndarray) -> np.ndarray:
    """(N, R) ratings without NaN -> (N, K): how many readers chose each of the K values that occur."""
    values = np.unique(ratings)
    return np.asarray((ratings[:, :, None] == values).sum(1), np.float64)


def coincidences(ratings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of values within each scan, each reader counting once: ((N, K, K), values (K,)).

    ratings (N, R), two or more of each row not NaN
    """
    if not len(ratings):
        raise DataError("no scan was read by two readers; there is nothing to agree on")
    values = np.unique(ratings[~np.isnan(ratings)])
    chosen = (ratings[:, :, None] == values).sum(1).astype(np.float64)
    pairs = chosen[:, :, None] * chosen[:, None, :]
    diagonal = np.arange(len(values))
    pairs[:, diagonal, diagonal] -= chosen
    return pairs / (chosen.sum(1) - 1)[:, None, None], values


def _kappa_of(first: np.ndarray, second: np.ndarray, weighting: Weighting) -> tuple[Statistic, np.ndarray]:
    """A statistic of cells (N, K * K) under weights (B, N), and these cells."""
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ShapeError(f"two readers' ratings must be (N,), got {first.shape} and {second.shape}")
    values = np.unique(np.concatenate([first, second]))
    count = len(values)
    codes = np.searchsorted(values, first) * count + np.searchsorted(values, second)
    cells = np.zeros((len(first), count * count))
    cells[np.arange(len(first)), codes] = 1.0
    steps = np.abs(np.subtract.outer(np.arange(count), np.arange(count))).astype(float)
    cost = {"none": (steps > 0).astype(float), "linear": steps, "quadratic": steps**2}[weighting]

    def statistic(cells: np.ndarray, weights: np.ndarray) -> np.ndarray:
        table = (weights @ cells).reshape(-1, count, count)
        total = table.sum((1, 2))
        expected = table.sum(2)[:, :, None] * table.sum(1)[:, None, :] / total[:, None, None]
        return _beyond_chance((table * cost).sum((1, 2)), (expected * cost).sum((1, 2)))

    return statistic, cells


def _apart(values: np.ndarray, level: Level, total: np.ndarray) -> np.ndarray:
    """Squared distances of values: (K, K), or (B, K, K) where they depend on how often each occurs."""
    if level == "nominal":
        return (values[:, None] != values).astype(float)
    if level == "interval":
        return np.asarray((values[:, None] - values) ** 2)
    middle = np.cumsum(total, 1) - total / 2  # ranks of the categories' middles
    return np.asarray((middle[:, :, None] - middle[:, None, :]) ** 2)


def _beyond_chance(observed: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """1 - observed / expected disagreement; NaN where chance would never disagree."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(expected > 1e-12, 1 - observed / expected, np.nan)


def _interval(
    statistic_and_rows: tuple[Statistic, np.ndarray],
    patients: np.ndarray,
    rng: np.random.Generator,
    draws: int,
) -> Interval | None:
    """The figure with its interval; None where it is undefined on these scans or on too many draws."""
    statistic, rows = statistic_and_rows
    if np.isnan(statistic(rows, np.ones((1, len(rows))))[0]):
        return None
    try:
        return bootstrap_by_patient(statistic, patients, rows, rng=rng, draws=draws, weighted=True)
    except DataError:
        return None


def _checked(ratings: np.ndarray, readers: int) -> np.ndarray:
    ratings = np.asarray(ratings, np.float64)
    if ratings.ndim != 2 or ratings.shape[1] != readers or not ratings.size:
        raise ShapeError(f"ratings must be (scans, readers) of {readers} readers, got {ratings.shape}")
    return ratings


def _enough(patients: np.ndarray, who: str) -> None:
    if len(np.unique(patients)) < 2:
        raise DataError(f"{who}: scans of fewer than two patients were read; there is no interval")
