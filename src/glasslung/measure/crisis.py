"""The tourist crisis in one number: a model of all ages beside a model that knows one age only.

A model trained on every age decodes age j from latents of patients who were never seen at age j. Where those
lie outside what the decoder was trained on, its pictures of age j are worse than those of a model that knows
age j only. The crisis ratio compares the two: 1 no crisis, 2 twice as far from real pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glasslung.errors import UsageError
from glasslung.measure.discrepancy import kid_draws
from glasslung.measure.featuresets import FeatureSet, draw_weights
from glasslung.measure.statistics import Interval, interval_of

CURED_BELOW = 1.25  # a quarter worse than the single-age model is what the study calls cured


@dataclass(frozen=True)
class CrisisRatio:
    """How much farther from real pictures the model of all ages is than the model of one age.

    ratio       (kid_all - floor) / (kid_single - floor); None where it is undefined, then `reason` says why
    kid_all     kernel distance of the model of all ages from unseen real pictures, floor not taken off
    kid_single  the same of the model trained on this age alone
    floor       what was taken off both: kernel distance of other real pictures of this age; None for 0
    excess      (kid_all - floor) - bound (kid_single - floor): always defined; below 0 within the bound
    bound       the ratio that counts as cured
    The upper limit of the ratio may be infinite.
    """

    ratio: Interval | None
    reason: str
    kid_all: Interval
    kid_single: Interval
    floor: Interval | None
    excess: Interval
    bound: float

    @property
    def reaches_bound(self) -> bool:
        """Whether the ratio's interval reaches the bound or less; False where the ratio is undefined."""
        return self.ratio is not None and self.ratio.low <= self.bound

    @property
    def within_bound(self) -> bool:
        """Whether the whole interval lies within the bound: shown, and not only not excluded."""
        return self.excess.high <= 0


def crisis_ratio(
    real: FeatureSet,
    made_all: FeatureSet,
    made_single: FeatureSet,
    *,
    rng: np.random.Generator,
    other_real: FeatureSet | None = None,
    bound: float = CURED_BELOW,
    draws: int = 2000,
    level: float = 0.95,
) -> CrisisRatio:
    """The crisis ratio of one age, with an interval that is honest where the single-age model is very good.

    real         unseen pictures of this age; units: patients
    made_all     pictures at this age of the model of all ages, from the prior or from other ages' patients
    made_single  pictures of the model of this age alone
    other_real   further real pictures of this age, of other patients (the training fold): their distance is
                 the floor, what a perfect memory would score. None: 0, which the unbiased kernel distance of
                 two halves of one population is on average
    1 no crisis; 2 twice as far. All sets are resampled by unit, `real` in the same draws for every term, so
    what makes these real patients unusual cancels. Where the interval of the denominator reaches 0 the
    single-age model cannot be told from real pictures by so few, and the ratio is undefined: read `excess`
    and the two distances. Training once each, it says nothing of other seeds.
    """
    if not bound > 0:
        raise UsageError(f"the bound of the crisis ratio must be positive, got {bound}")
    weights = draw_weights(real.units, draws, rng)
    all_, all_drawn = _distances(real, made_all, weights, rng)
    single, single_drawn = _distances(real, made_single, weights, rng)
    floor, floor_drawn = _distances(real, other_real, weights, rng) if other_real else (0.0, np.zeros(draws))

    def sure(value: float, drawn: np.ndarray) -> Interval:
        return interval_of(value, drawn, level, real.count)

    above, above_drawn = all_ - floor, all_drawn - floor_drawn
    below, below_drawn = single - floor, single_drawn - floor_drawn
    ratio, reason = ratio_interval(above, below, above_drawn, below_drawn, level, real.count)
    return CrisisRatio(
        ratio=ratio,
        reason=reason,
        kid_all=sure(all_, all_drawn),
        kid_single=sure(single, single_drawn),
        floor=sure(floor, floor_drawn) if other_real else None,
        excess=sure(above - bound * below, above_drawn - bound * below_drawn),
        bound=bound,
    )


def ratio_interval(
    above: float,
    below: float,
    above_drawn: np.ndarray,
    below_drawn: np.ndarray,
    level: float,
    patients: int,
) -> tuple[Interval | None, str]:
    """A ratio of two figures that were resampled together: above / below, or None and the reason.

    above_drawn, below_drawn (B,) from the same draws. Undefined unless the interval of the denominator lies
    above 0: otherwise no limit can be given on either side (Fieller, J R Stat Soc B 1954;16:175-85). Draws
    with a denominator of 0 or less, fewer than (1 - level) / 2 of them then, count as infinitely large.
    """
    usable = ~(np.isnan(above_drawn) | np.isnan(below_drawn))
    lowest = float(np.quantile(below_drawn[usable], (1 - level) / 2)) if usable.any() else -np.inf
    if not (below > 0 and lowest > 0):
        return None, (
            f"the single-age model is {below:.3g} from real pictures, with an interval from {lowest:.3g}: "
            "not distinct from 0, so nothing can be divided by it; use more real patients, or read the excess"
        )
    top, bottom = above_drawn[usable], below_drawn[usable]
    ratios = np.where(bottom > 0, top / np.where(bottom > 0, bottom, 1.0), np.inf * np.sign(top))
    # no interpolation: between a number and infinity there is nothing
    low, high = np.quantile(ratios, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    return Interval(above / below, float(low), float(high), level, int(usable.sum()), patients), ""


def _distances(
    real: FeatureSet, made: FeatureSet, real_weights: np.ndarray, rng: np.random.Generator
) -> tuple[float, np.ndarray]:
    """The kernel distance as it is, and in every draw of the real patients."""
    ones = np.ones((1, len(real))), np.ones((1, len(made)))
    drawn = kid_draws(real, made, real_weights, draw_weights(made.units, len(real_weights), rng))
    return float(kid_draws(real, made, *ones)[0]), drawn
