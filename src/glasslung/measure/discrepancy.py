"""How far apart two sets of pictures lie, seen through features: kernel distance and Frechet distance.

The kernel distance is unbiased: two sets drawn from one population score 0 on average, whatever their size,
so it can be used with a hundred pictures. The Frechet distance cannot, and says its counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glasslung.errors import DataError, UsageError
from glasslung.measure.featuresets import (
    FeatureSet,
    check_same_features,
    draw_halves,
    draw_weights,
    pair_mean,
)
from glasslung.measure.statistics import Interval, interval_of

KERNEL_DEGREE = 3  # Binkowski et al. (2018), section 4
LARGEST_SUBSET = 1000  # Binkowski et al. (2018) use subsets of 1000; smaller sets are halved


def polynomial_kernel(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(x . y / F + 1)^3 of every pair: (N, F), (M, F) -> (N, M). Binkowski et al. (2018), eq. 7."""
    return (first @ second.T / first.shape[1] + 1.0) ** KERNEL_DEGREE


def kid(real: FeatureSet, made: FeatureSet) -> float:
    """How unlike the real pictures the made ones are: the kernel distance, squared, without bias.

    0 on average when both come from one population (so it may be a little negative); it grows without
    bound, and only values on the same features can be compared. Pictures of one unit are never paired.
    Binkowski et al., Demystifying MMD GANs, ICLR 2018 (arXiv 1801.01401).
    """
    ones = np.ones((1, len(real))), np.ones((1, len(made)))
    return float(kid_draws(real, made, *ones)[0])


def kid_draws(
    real: FeatureSet, made: FeatureSet, real_weights: np.ndarray, made_weights: np.ndarray
) -> np.ndarray:
    """The kernel distance under many weightings at once: weights (B, N) and (B, M) -> (B,).

    Mean kernel over pairs of real pictures of different units, plus the same over made ones, less twice the
    mean over real-made pairs. Pairs of one unit stay out, also when a draw takes that unit twice.
    """
    check_same_features(real, made)
    inside_real = pair_mean(polynomial_kernel(real.features, real.features), real.units, real_weights)
    inside_made = pair_mean(polynomial_kernel(made.features, made.features), made.units, made_weights)
    across = ((real_weights @ polynomial_kernel(real.features, made.features)) * made_weights).sum(1)
    return inside_real + inside_made - 2 * across / (real_weights.sum(1) * made_weights.sum(1))


def kid_interval(
    real: FeatureSet,
    made: FeatureSet,
    *,
    rng: np.random.Generator,
    draws: int = 1000,
    level: float = 0.95,
) -> Interval:
    """The kernel distance and how far other patients and other samples would have moved it.

    Both sets are resampled by unit, independently of each other: do not give reconstructions of the very
    patients they are compared with. Where the sets are alike the interval is wider than it need be (by up
    to a factor of the square root of 3), never too narrow. `patients` of the result counts the real ones.
    """
    drawn = kid_draws(real, made, draw_weights(real.units, draws, rng), draw_weights(made.units, draws, rng))
    return interval_of(kid(real, made), drawn, level, real.count)


@dataclass(frozen=True)
class SubsetKid:
    """The kernel distance as most papers print it: mean and spread over random subsets.

    mean, deviation  over `repeats` subsets of `subset` units from each set, drawn without replacement
    The deviation tells the spread at that subset size; it is not a standard error of the mean.
    """

    mean: float
    deviation: float
    subset: int
    repeats: int


def subset_size(real: FeatureSet, made: FeatureSet) -> int:
    """Half of the smaller set's units, at most 1000: so that subsets differ from one another."""
    return min(LARGEST_SUBSET, min(real.count, made.count) // 2)


def kid_by_subsets(
    real: FeatureSet,
    made: FeatureSet,
    *,
    rng: np.random.Generator,
    subset: int | None = None,
    repeats: int = 100,
) -> SubsetKid:
    """The kernel distance over random subsets, for comparison with printed tables.

    subset  units drawn from each set; None: see `subset_size`
    UsageError when the sets are too small for it. Binkowski et al. (2018), section 4.
    """
    subset = subset_size(real, made) if subset is None else subset
    if not 2 <= subset <= min(real.count, made.count):
        raise UsageError(
            f"subsets of {subset} cannot be drawn from {real.count} real and {made.count} made units; "
            "choose 2 or more, and at most the smaller of the two"
        )
    scores = kid_draws(
        real, made, _draw_subsets(real, subset, repeats, rng), _draw_subsets(made, subset, repeats, rng)
    )
    return SubsetKid(float(scores.mean()), float(scores.std(ddof=1)), subset, repeats)


def noise_floor(
    real: FeatureSet, *, rng: np.random.Generator, splits: int = 500, level: float = 0.95
) -> Interval:
    """What real pictures score against real ones: one half of the patients against the other half.

    value is the mean over random divisions, low and high its percentiles. The kernel distance being unbiased,
    the mean is 0 but for chance; the limits are what counts: a made set between them cannot be told from
    real pictures by halves of this many patients. At least four patients.
    """
    if real.count < 4:
        raise DataError(f"a noise floor needs four patients to make two halves, got {real.count}")
    first = draw_halves(real.units, splits, rng)
    scores = kid_draws(real, real, first, 1.0 - first)
    return interval_of(float(scores.mean()), scores, level, real.count)


@dataclass(frozen=True)
class Frechet:
    """A Frechet distance with the counts it rests on; it may be compared only at equal counts."""

    distance: float
    real: int
    made: int
    features: int

    def __str__(self) -> str:
        return f"{self.distance:.3g} ({self.real} real, {self.made} made, {self.features} features)"


def frechet(real: FeatureSet, made: FeatureSet) -> Frechet:
    """The distance between two clouds of features, each taken for a Gaussian.

    |m1 - m2|^2 + trace(C1 + C2 - 2 (C1 C2)^(1/2)). 0 equal; biased upwards the more, the fewer pictures: with
    fewer pictures than features it says little, so the counts come along. Heusel et al., NeurIPS 2017.
    """
    check_same_features(real, made)
    means = real.features.mean(0) - made.features.mean(0)
    first, second = np.atleast_2d(np.cov(real.features.T)), np.atleast_2d(np.cov(made.features.T))
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    # eigenvalues of C1 C2 are those of the symmetric root C2 root: no complex square root is needed
    mixed = np.sqrt(np.clip(np.linalg.eigvalsh(root @ second @ root), 0, None)).sum()
    distance = float(means @ means + np.trace(first) + np.trace(second) - 2 * mixed)
    return Frechet(max(0.0, distance), len(real), len(made), real.features.shape[1])


def _draw_subsets(whole: FeatureSet, subset: int, repeats: int, rng: np.random.Generator) -> np.ndarray:
    """(repeats, N) of 0 and 1: `subset` units in each row."""
    order = rng.permuted(np.tile(np.arange(whole.count), (repeats, 1)), axis=1)
    return (order < subset)[:, whole.units].astype(np.float64)
