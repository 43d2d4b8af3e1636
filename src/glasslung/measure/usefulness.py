"""What made pictures are worth to somebody who trains on them: train on synthetic, test on real.

One classifier learns a label from made pictures, another from the real ones that the generator learned from;
both are asked about real pictures that neither they nor the generator saw. Made pictures that keep what tells
the classes apart lose little; pictures of a collapsed or wrongly conditioned generator lose much.
Source: Esteban et al. (2017), TSTR.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from glasslung.errors import DataError, ShapeError
from glasslung.measure.lungfeatures import plain_features
from glasslung.measure.ranking import auc_interval, auc_weighted, truth_strata
from glasslung.measure.separability import classifier
from glasslung.measure.statistics import Interval, bootstrap_by_patient

Fitter = Callable[[np.ndarray, np.ndarray, int], Callable[[np.ndarray], np.ndarray]]
"""fit(images (N, S, S), label (N,) bool, seed) -> score(images) (N,), higher = rather labelled True."""

POOLED = 8  # pixels a side


@dataclass(frozen=True, eq=False)
class Labelled:
    """N pictures (N, S, S) float32 in [0, 1], the label of each (N,) bool, and whose it is (N,)."""

    images: np.ndarray
    label: np.ndarray
    units: np.ndarray

    def __post_init__(self) -> None:
        if not len(self.images) == len(self.label) == len(self.units):
            raise ShapeError(
                f"{len(self.images)} pictures need a label and a unit each, got {len(self.label)} and "
                f"{len(self.units)}"
            )
        if self.label.all() or not self.label.any():
            raise DataError("all pictures have the same label; two classes are needed")

    def and_also(self, other: Labelled) -> Labelled:
        """Both sets together."""
        units = [f"{side}{one}" for side, units in ((0, self.units), (1, other.units)) for one in units]
        return Labelled(
            np.concatenate([self.images, other.images]),
            np.concatenate([self.label, other.label]),
            np.array(units),
        )


@dataclass(frozen=True)
class Usefulness:
    """AUCs on real pictures that nobody saw, by what was trained on.

    made    from made pictures alone; real: from real ones alone; both: from all
    lost    real minus made, on the same pictures: 0 nothing is lost
    gained  both minus real: above 0 made pictures help
    """

    made: Interval
    real: Interval
    both: Interval
    lost: Interval
    gained: Interval


def train_on_made(
    made: Labelled,
    real: Labelled,
    test: Labelled,
    *,
    rng: np.random.Generator,
    fit: Fitter | None = None,
    draws: int = 1000,
    level: float = 0.95,
) -> Usefulness:
    """Train the same classifier on made, on real and on all pictures, and test each on real unseen ones.

    test  patients of neither; the intervals resample them, and do not hold the luck of training
    fit   None: `fit_plain`, a logistic classifier on coarse greys
    """
    fitter, seed = fit or fit_plain, int(rng.integers(2**31))
    sets = {"made": made, "real": real, "both": real.and_also(made)}
    scores = {name: fitter(one.images, one.label, seed)(test.images) for name, one in sets.items()}

    def area(name: str) -> Interval:
        return auc_interval(test.label, scores[name], test.units, rng=rng, draws=draws, level=level)

    def apart(more: str, less: str) -> Interval:
        return _difference(test, scores[more], scores[less], rng, draws, level)

    return Usefulness(area("made"), area("real"), area("both"), apart("real", "made"), apart("both", "real"))


def _difference(
    test: Labelled, more: np.ndarray, less: np.ndarray, rng: np.random.Generator, draws: int, level: float
) -> Interval:
    """AUC of one score minus that of another on the same pictures."""

    def statistic(truth: np.ndarray, a: np.ndarray, b: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return auc_weighted(truth, a, weights) - auc_weighted(truth, b, weights)

    return bootstrap_by_patient(
        statistic,
        test.units,
        test.label,
        more,
        less,
        rng=rng,
        draws=draws,
        level=level,
        strata=truth_strata(test.label, np.unique(test.units, return_inverse=True)[1]),
        weighted=True,
    )


def fit_plain(images: np.ndarray, label: np.ndarray, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """A logistic classifier on 8 x 8 mean greys, as many deviations, and eleven plain features."""
    model = classifier("linear", 2 * POOLED**2, seed)
    model.fit(coarse_features(images), label)

    def score(others: np.ndarray) -> np.ndarray:
        found: np.ndarray = model.decision_function(coarse_features(others))
        return found

    return score


def coarse_features(images: np.ndarray) -> np.ndarray:
    """(N, S, S), S a multiple of 8 -> (N, 139): mean and deviation of 8 x 8 squares, and plain features."""
    count, side = len(images), images.shape[1]
    if side % POOLED or images.shape[2] != side:
        raise ShapeError(f"pictures must be square, a multiple of {POOLED} wide, got {images.shape}")
    edge = side // POOLED
    squares = np.asarray(images, np.float64).reshape(count, POOLED, edge, POOLED, edge)
    parts = [squares.mean((2, 4)).reshape(count, -1), squares.std((2, 4)).reshape(count, -1)]
    return np.concatenate([*parts, plain_features(images)], axis=1)
