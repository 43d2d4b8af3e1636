"""How real made pictures are, on stated features: every figure with its interval and what real ones score.

All figures hold for the features they were taken on. Features must see what matters: those of an auto-encoder
do not see blur, those of a classifier that had to tell blurred pictures do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from glasslung.errors import UsageError
from glasslung.measure.copies import FLOOR_PERCENT, Copies, copy_rate, diversity
from glasslung.measure.discrepancy import (
    Frechet,
    SubsetKid,
    frechet,
    kid_by_subsets,
    kid_interval,
    noise_floor,
)
from glasslung.measure.featuresets import FeatureSet
from glasslung.measure.manifolds import NEIGHBOURS, Manifold, manifold_at_equal_counts
from glasslung.measure.statistics import Interval


@dataclass(frozen=True)
class RealismSettings:
    """How realism is measured; the defaults suit some hundred pictures."""

    neighbours: int = NEIGHBOURS  # k of precision, recall, density and coverage
    subset: int | None = None  # of the printed-table form of KID; None: half of the smaller set
    repeats: int = 100  # subsets, as most papers take
    floor_percent: float = FLOOR_PERCENT  # of held-out pictures below the threshold of a copy
    draws: int = 1000  # resamples of each interval: limits are steady to about a tenth of their width
    level: float = 0.95

    def __post_init__(self) -> None:
        if self.neighbours < 1 or self.repeats < 2 or self.draws < 1 or not 0 < self.level < 1:
            raise UsageError("neighbours and draws must be 1 or more, repeats 2 or more, level inside 0 to 1")


@dataclass(frozen=True)
class Realism:
    """All that is measured on one made set against real pictures the model never saw.

    kid          kernel distance, unbiased: 0 like the real ones
    kid_subsets  the same as papers print it
    floor        kernel distance of real halves: within its limits, made cannot be told from real
    manifold     precision, recall, density, coverage at equal counts; real_manifold: of training pictures
    diversity    mean distance of two made pictures; real_diversity: of two real ones
    copies       how many are copies of training pictures, and of which
    frechet      only to be compared at equal counts
    """

    kid: Interval
    kid_subsets: SubsetKid
    floor: Interval
    manifold: Manifold
    real_manifold: Manifold
    diversity: Interval
    real_diversity: Interval
    copies: Copies
    frechet: Frechet


def measure_realism(
    made: FeatureSet,
    train: FeatureSet,
    held_out: FeatureSet,
    *,
    rng: np.random.Generator,
    settings: RealismSettings | None = None,
) -> Realism:
    """Judge a made set by real pictures that neither the model nor the features were trained on.

    made      units: the sample, or the patient whose scan it was made from
    train     the model's training pictures: for copies, and for what real pictures would score in its place
    held_out  the real pictures to compare with, units: patients; at least 2 k + 2 of them
    """
    chosen = settings or RealismSettings()
    sure: dict[str, Any] = {"rng": rng, "draws": chosen.draws, "level": chosen.level}
    return Realism(
        kid=kid_interval(held_out, made, **sure),
        kid_subsets=kid_by_subsets(held_out, made, rng=rng, subset=chosen.subset, repeats=chosen.repeats),
        floor=noise_floor(held_out, rng=rng, splits=chosen.draws, level=chosen.level),
        manifold=manifold_at_equal_counts(held_out, made, k=chosen.neighbours, **sure),
        real_manifold=manifold_at_equal_counts(held_out, train, k=chosen.neighbours, **sure),
        diversity=diversity(made, **sure),
        real_diversity=diversity(held_out, **sure),
        copies=copy_rate(made, train, held_out, floor_percent=chosen.floor_percent, **sure),
        frechet=frechet(held_out, made),
    )
