"""Do made pictures look real one by one, and do they cover all that is real? Neighbourhoods in feature space.

Every picture of a set gets a ball that reaches to its k-th nearest neighbour among the other units; the balls
together stand for the set. All four shares depend on k and on the counts: compare them only at equal ones
(`manifold_at_equal_counts`), and beside what real pictures score against real ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from glasslung.errors import UsageError
from glasslung.measure.featuresets import (
    FeatureSet,
    check_same_features,
    draw_weights,
    feature_set,
    share_interval,
)
from glasslung.measure.statistics import Interval, interval_of

NEIGHBOURS = 5  # Naeem et al. (2020) for density and coverage; Kynkaanniemi et al. (2019) use 3 with 50,000


@dataclass(frozen=True)
class Manifold:
    """What neighbourhoods say about a made set.

    precision  share of made pictures inside a ball of a real one: 1 all look real, 0 none
    recall     share of real pictures inside a ball of a made one: 1 all that is real can be made
    density    mean number of real balls a made picture lies in, over k: 1 as dense as real, may exceed 1
    coverage   share of real pictures whose ball holds a made one
    k          which neighbour a ball reaches to; real, made: pictures in each set
    Intervals resample the pictures that are judged; the balls they are judged by stay as they are.
    """

    precision: Interval
    recall: Interval
    density: Interval
    coverage: Interval
    k: int
    real: int
    made: int


def measure_manifold(
    real: FeatureSet,
    made: FeatureSet,
    *,
    rng: np.random.Generator,
    k: int = NEIGHBOURS,
    draws: int = 1000,
    level: float = 0.95,
) -> Manifold:
    """Precision, recall, density and coverage of a made set, each with its interval.

    Kynkaanniemi et al., NeurIPS 2019 (arXiv 1904.06991); Naeem et al., ICML 2020 (arXiv 2002.09797). With
    few pictures precision and recall favour the set whose outliers make wide balls; density and coverage
    are sturdier. UsageError when a set has no k other units.
    """
    check_same_features(real, made)
    distances = pairwise_distances(real.features, made.features)
    real_reach, made_reach = reach(real, k), reach(made, k)
    in_real = distances <= real_reach[:, None]
    in_made = distances <= made_reach[None, :]
    crowding = in_real.sum(0) / k
    weights = draw_weights(made.units, draws, rng)
    drawn = weights @ crowding / weights.sum(1)

    def share(hits: Any, units: np.ndarray) -> Interval:
        return share_interval(hits, units, rng=rng, draws=draws, level=level)

    return Manifold(
        precision=share(in_real.any(0), made.units),
        recall=share(in_made.any(1), real.units),
        density=interval_of(float(crowding.mean()), drawn, level, made.count),
        coverage=share(in_real.any(1), real.units),
        k=k,
        real=len(real),
        made=len(made),
    )


def manifold_at_equal_counts(
    real: FeatureSet,
    made: FeatureSet,
    *,
    rng: np.random.Generator,
    k: int = NEIGHBOURS,
    repeats: int = 50,
    draws: int = 1000,
    level: float = 0.95,
) -> Manifold:
    """The same, recall and coverage with no more made pictures than real ones: means over random subsets.

    Five times as many made pictures lie closer to each other, their balls shrink, and recall falls, though
    nothing about them has changed; coverage rises. Precision and density depend on the real balls alone.
    """
    whole = measure_manifold(real, made, rng=rng, k=k, draws=draws, level=level)
    if len(made) <= len(real):
        return whole
    recalled, covered = np.zeros(len(real)), np.zeros(len(real))
    real_reach = reach(real, k)
    for _ in range(repeats):
        rows = rng.choice(len(made), len(real), replace=False)
        part = feature_set(made.features[rows], made.units[rows])
        distances = pairwise_distances(real.features, part.features)
        recalled += (distances <= reach(part, k)[None, :]).any(1)
        covered += (distances <= real_reach[:, None]).any(1)
    shares = (
        share_interval(hits / repeats, real.units, rng=rng, draws=draws, level=level)
        for hits in (recalled, covered)
    )
    recall, coverage = shares
    return replace(whole, recall=recall, coverage=coverage, made=len(real))


def reach(whole: FeatureSet, k: int) -> np.ndarray:
    """Distance of each picture to its k-th nearest neighbour among other units, (N,)."""
    distances = pairwise_distances(whole.features, whole.features)
    distances[whole.units[:, None] == whole.units[None, :]] = np.inf
    if not 1 <= k < whole.count:
        raise UsageError(
            f"{whole.count} patients or samples give no picture a neighbour number {k}; choose k from "
            f"1 to {whole.count - 1}"
        )
    return np.partition(distances, k - 1, axis=1)[:, k - 1]


def pairwise_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Euclidean distance of every pair, (N, F), (M, F) -> (N, M); exactly 0 for equal rows."""
    from scipy.spatial.distance import cdist

    distances: np.ndarray = cdist(first, second)
    return distances
