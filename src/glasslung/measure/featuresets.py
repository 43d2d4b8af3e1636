"""Sets of pictures as numbers: one row of features for each, and what may be resampled on its own.

Two pictures of one patient, or two made from one patient's scan, are not two independent pieces of evidence:
they share a unit, are drawn together, and never count as a pair of strangers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from glasslung.errors import DataError, ShapeError
from glasslung.measure.statistics import (
    Interval,
    bootstrap_by_patient,
    draw_patients,
    interval_of,
    patient_codes,
)

ROUNDING = 1e-12  # of sums of weights: 95 of 100 rows must count as 95 per cent


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """N pictures described by F numbers each.

    features  (N, F) float64, finite
    units     (N,) int64, 0, 1, ... without gaps: whose picture each row is (patient, or sample of its own)
    """

    features: np.ndarray
    units: np.ndarray

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or self.units.shape != self.features.shape[:1]:
            raise ShapeError(
                f"features must be (N, F) with one unit per row, got {self.features.shape} and "
                f"{self.units.shape}"
            )
        if not np.isfinite(self.features).all():
            row = int(np.flatnonzero(~np.isfinite(self.features).all(1))[0])
            raise DataError(f"row {row} of the features holds NaN or infinity; leave that picture out")
        if len(self) == 0 or self.units.max() < 1:
            raise DataError("a set of features needs pictures of at least two patients or two samples")

    def __len__(self) -> int:
        return len(self.features)

    @property
    def count(self) -> int:
        """Number of units: patients, or samples."""
        return int(self.units.max()) + 1

    def of_units(self, chosen: np.ndarray) -> FeatureSet:
        """The pictures of some of the units, given by number."""
        rows = np.isin(self.units, chosen)
        return feature_set(self.features[rows], self.units[rows])


def feature_set(features: np.ndarray, units: Sequence[object] | np.ndarray | None = None) -> FeatureSet:
    """Features (N, F) of any real type -> FeatureSet.

    units  (N,) patient of each row, any names; None: every row stands alone (samples drawn from a prior)
    """
    features = np.asarray(features, dtype=np.float64)
    codes = np.arange(len(features)) if units is None else patient_codes(units)
    return FeatureSet(features, codes.astype(np.int64))


def check_same_features(*sets: FeatureSet) -> None:
    """ShapeError unless all sets are described by equally many numbers."""
    widths = [one.features.shape[1] for one in sets]
    if len(set(widths)) > 1:
        raise ShapeError(f"the sets have {widths} features; describe all of them by the same features")


def draw_weights(units: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """How often each row is taken in each draw of units with replacement: (N,) -> (draws, N) float64."""
    return draw_patients(units, draws, rng)[:, units].astype(np.float64)


def draw_halves(units: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Rows in the first half of each random division of the units: (N,) -> (draws, N) of 0 and 1."""
    count = int(units.max()) + 1
    order = rng.permuted(np.tile(np.arange(count), (draws, 1)), axis=1)
    return (order < count // 2)[:, units].astype(np.float64)


def pair_mean(values: np.ndarray, units: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over pairs of rows of different units: values (N, N), units (N,), weights (B, N) -> (B,).

    A row of weight 2 counts as two rows, which are never paired with each other: a row that a bootstrap
    draws twice must not be compared with itself. NaN where no pair is left.
    """
    apart = (units[:, None] != units[None, :]).astype(np.float64)
    total = ((weights @ (values * apart)) * weights).sum(1)
    pairs = ((weights @ apart) * weights).sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return total / pairs


def share_interval(
    hits: np.ndarray, units: np.ndarray, *, rng: np.random.Generator, draws: int = 2000, level: float = 0.95
) -> Interval:
    """What share of the rows has a property: hits (N,) bool, units (N,) -> share 0 to 1 with its interval.

    Units are resampled; the interval is at least as wide as the exact binomial one for as many independent
    units (Clopper & Pearson, Biometrika 1934;26:404-13), because no resample of 0 hits in 30 shows a hit.
    """
    hits = np.asarray(hits, dtype=np.float64)
    weights = draw_weights(units, draws, rng)
    drawn = weights @ hits / weights.sum(1)
    count = int(units.max()) + 1
    value = float(hits.mean())
    resampled = interval_of(value, drawn, level, count)
    low, high = exact_share_limits(value * count, count, level)
    return Interval(value, min(low, resampled.low), max(high, resampled.high), level, draws, count)


def exact_share_limits(hits: float, count: int, level: float) -> tuple[float, float]:
    """Clopper-Pearson limits of a share of `hits` in `count`; hits need not be whole (clustered rows)."""
    from scipy.stats import beta

    tail = (1 - level) / 2
    low = 0.0 if hits <= 0 else float(beta.ppf(tail, hits, count - hits + 1))
    high = 1.0 if hits >= count else float(beta.ppf(1 - tail, hits + 1, count - hits))
    return low, high


def mean_interval(
    values: np.ndarray,
    units: Sequence[object] | np.ndarray,
    *,
    rng: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
) -> Interval:
    """The mean of one number per row, (N,), with its interval; rows of one unit (N,) are drawn together."""

    def mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        means: np.ndarray = weights @ values / weights.sum(1)
        return means

    values = np.asarray(values, np.float64)
    return bootstrap_by_patient(mean, units, values, rng=rng, draws=draws, level=level, weighted=True)


def share_within(
    values: tuple[np.ndarray, np.ndarray],
    reference: tuple[np.ndarray, np.ndarray],
    share: float,
    *,
    rng: np.random.Generator,
    draws: int = 1000,
    level: float = 0.95,
) -> tuple[Interval, float]:
    """What part of some values lies within the range that a share of reference values keeps to.

    values, reference  each (values (N,), units (N,)); share 0 to 1
    Returns the part with its interval, and the limit: the smallest reference value that at least `share` of
    the references do not exceed. Both sides are resampled, so the limit's own uncertainty is in the
    interval, which is never narrower than the exact binomial one.
    """
    (judged, units), (known, known_units) = values, reference
    limit = float(weighted_quantile(known, np.ones((1, len(known))), share)[0])
    limits = weighted_quantile(known, draw_weights(known_units, draws, rng), share)
    weights = draw_weights(units, draws, rng)
    drawn = (weights * (judged[None, :] <= limits[:, None])).sum(1) / weights.sum(1)
    count = int(units.max()) + 1
    value = float((judged <= limit).mean())
    resampled = interval_of(value, drawn, level, count)
    low, high = exact_share_limits(value * count, count, level)
    low, high = min(low, resampled.low), max(high, resampled.high)
    return Interval(value, low, high, level, draws, count), limit


def weighted_quantile(values: np.ndarray, weights: np.ndarray, share: float) -> np.ndarray:
    """The smallest value that at least `share` of the weight does not exceed: (N,), (B, N) -> (B,)."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[:, order], axis=1) / weights.sum(1, keepdims=True)
    quantiles: np.ndarray = values[order][(reached >= share - ROUNDING).argmax(1)]
    return quantiles
