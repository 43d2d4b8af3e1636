"""Does the disease grow along a walk through stages? How much dense lung each picture holds, in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from glasslung.errors import ShapeError
from glasslung.measure.featuresets import mean_interval, share_interval
from glasslung.measure.lesionload import opacity_share
from glasslung.measure.statistics import Interval

SLACK = 0.005  # of the lung: a fall of half a per cent is no fall, for greys are whole numbers


@dataclass(frozen=True, eq=False)
class Monotony:
    """What W walks of T steps do.

    loads   (W, T) share of the lung that is dense
    rising  share of walks whose load never falls by more than the slack below what it was before
    rank    mean over walks of Spearman's correlation of load and step: 1 always rising, 0 neither, -1 falling
    change  mean load at the end minus mean load at the beginning
    """

    loads: np.ndarray
    rising: Interval
    rank: Interval
    change: Interval

    @property
    def may_be_called_progression(self) -> bool:
        """Whether the load grows along the way beyond doubt, and falls in hardly any walk."""
        return self.rank.low > 0 and self.change.low > 0 and self.rising.value >= 0.9


def measure_monotony(
    walks: np.ndarray,
    *,
    rng: np.random.Generator,
    load: Callable[[np.ndarray], np.ndarray] = opacity_share,
    slack: float = SLACK,
    draws: int = 1000,
) -> Monotony:
    """Measure W walks of T pictures: (W, T, S, S) in [0, 1], W 2 or more; walks are resampled.

    load  load(images (N, S, S)) -> (N,) what is to grow: by default the share of lung above a fixed grey
    """
    if walks.ndim != 4 or len(walks) < 2 or walks.shape[1] < 3:
        raise ShapeError(f"walks must be (W, T, S, S), W 2 and T 3 or more, got {walks.shape}")
    count, steps = walks.shape[:2]
    loads = load(walks.reshape(count * steps, *walks.shape[2:])).reshape(count, steps)
    before = np.maximum.accumulate(loads, axis=1)
    units = np.arange(count)
    return Monotony(
        loads,
        share_interval((before - loads <= slack).all(1), units, rng=rng, draws=draws),
        mean_interval(np.array([_rank(one) for one in loads]), units, rng=rng, draws=draws),
        mean_interval(loads[:, -1] - loads[:, 0], units, rng=rng, draws=draws),
    )


def _rank(load: np.ndarray) -> float:
    """Spearman's correlation with the step; 0 where nothing changes."""
    from scipy.stats import rankdata

    if np.ptp(load) == 0:
        return 0.0
    return float(np.corrcoef(rankdata(load), np.arange(len(load)))[0, 1])
