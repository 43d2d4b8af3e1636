"""Did the model make something new, or hand back its training pictures? And does it make enough kinds?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glasslung.errors import UsageError
from glasslung.measure.featuresets import (
    FeatureSet,
    check_same_features,
    draw_weights,
    pair_mean,
    share_within,
)
from glasslung.measure.manifolds import pairwise_distances
from glasslung.measure.statistics import Interval, interval_of

FLOOR_PERCENT = 1.0  # of held-out pictures lie as near to a training picture by nature


@dataclass(frozen=True, eq=False)
class Copies:
    """How many made pictures are as near to a training picture as hardly any unseen real one is.

    rate       share of made pictures at `threshold` or nearer: about `expected` when nothing is copied, 1
               when all are copies
    threshold  distance that `floor_percent` of held-out pictures do not exceed
    expected   share of held-out pictures at `threshold` or nearer: what an honest model scores
    nearest    (M,) index of each made picture's nearest training picture; distance (M,) to it
    """

    rate: Interval
    threshold: float
    expected: float
    floor_percent: float
    nearest: np.ndarray
    distance: np.ndarray


def copy_rate(
    made: FeatureSet,
    train: FeatureSet,
    held_out: FeatureSet,
    *,
    rng: np.random.Generator,
    floor_percent: float = FLOOR_PERCENT,
    draws: int = 1000,
    level: float = 0.95,
) -> Copies:
    """Share of made pictures that are suspiciously near to a training picture, with the pictures to look at.

    The threshold is the smallest held-out distance that at least `floor_percent` of the held-out pictures
    reach; with fewer than 100 of them that is their minimum. Held-out patients must not be in training. Both
    made units and held-out patients are resampled; the interval is never narrower than the exact binomial
    one.
    """
    check_same_features(made, train, held_out)
    if not 0 < floor_percent < 100:
        raise UsageError(f"floor_percent must lie between 0 and 100, got {floor_percent}")
    distances = pairwise_distances(made.features, train.features)
    nearest = distances.argmin(1)
    distance = distances[np.arange(len(made)), nearest]
    unseen = pairwise_distances(held_out.features, train.features).min(1)
    rate, threshold = share_within(
        (distance, made.units),
        (unseen, held_out.units),
        floor_percent / 100,
        rng=rng,
        draws=draws,
        level=level,
    )
    expected = float((unseen <= threshold).mean())
    return Copies(rate, threshold, expected, floor_percent, nearest, distance)


def diversity(
    whole: FeatureSet, *, rng: np.random.Generator, draws: int = 1000, level: float = 0.95
) -> Interval:
    """How different the pictures of one set are from one another: mean feature distance of a pair.

    0 all alike; no upper end: read it beside the same figure of real pictures. Pictures of one unit are not
    paired.
    """
    distances = pairwise_distances(whole.features, whole.features)
    value = float(pair_mean(distances, whole.units, np.ones((1, len(whole))))[0])
    drawn = pair_mean(distances, whole.units, draw_weights(whole.units, draws, rng))
    return interval_of(value, drawn, level, whole.count)
