"""Can a classifier tell made pictures from real ones? The two-sample test by a classifier.

Source: Lopez-Paz and Oquab (2017).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glasslung.errors import DataError
from glasslung.measure.featuresets import FeatureSet, check_same_features
from glasslung.measure.separability import FOLDS, leakage
from glasslung.measure.statistics import Interval

CHANCE = 0.5


@dataclass(frozen=True)
class TwoSample:
    """How well made pictures are told from real ones that no training saw.

    right  balanced accuracy, 0.5 cannot be told, 1 always told; area: the same as an AUC
    kind   of the classifier; real, made: units of each set
    """

    right: Interval
    area: Interval
    kind: str
    real: int
    made: int

    @property
    def told_apart(self) -> bool:
        """Whether the classifier does better than chance beyond doubt."""
        return self.area.low > CHANCE


def two_sample_test(
    real: FeatureSet,
    made: FeatureSet,
    *,
    rng: np.random.Generator,
    kind: str = "quadratic",
    folds: int = FOLDS,
    draws: int = 1000,
    level: float = 0.95,
) -> TwoSample:
    """Train a classifier on real against made, ask it about folds it never saw, patient by patient.

    real   held-out pictures: of training ones a generator may have copies
    The larger set is thinned to the size of the other one in units, at random: a classifier of few against
    many says little. DataError where a set has fewer units than folds.
    """
    check_same_features(real, made)
    least = min(real.count, made.count)
    if least < folds:
        raise DataError(f"{folds} folds need as many patients and samples, got {real.count} and {made.count}")
    sets = [whole.of_units(rng.permutation(whole.count)[:least]) for whole in (real, made)]
    features = np.concatenate([one.features for one in sets])
    codes = np.repeat([0, 1], [len(one) for one in sets])
    units = np.concatenate([sets[0].units, sets[1].units + sets[0].count])
    found = leakage(features, codes, units, rng=rng, kind=kind, folds=folds, draws=draws, level=level)
    return TwoSample(found.balanced_accuracy, found.mean_auc, kind, sets[0].count, sets[1].count)
