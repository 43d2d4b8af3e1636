"""How much dense lung the slices of an age hold: made beside real ones, and one patient before and after.

Load is the share of lung pixels that are dense, counted in two ways: above a fixed grey, and above the
slice's own median by so many of its own deviations. The second forgets brightness, which differs between the
healthy and the diseased slices of the released set for reasons other than disease.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glasslung.errors import DataError, ShapeError
from glasslung.measure.featuresets import draw_halves, draw_weights, mean_interval, share_interval
from glasslung.measure.lungfeatures import BRIGHT_GREY, FRINGE_GREY, checked_images
from glasslung.measure.statistics import Interval, interval_of, patient_codes

GLASS_GREY = 110 / 255  # ground glass and denser: -700 HU in the window of our slices. Of the thresholds
# that were tried its share followed the true share of lesions in phantoms best
DEVIATIONS = 2.0  # above the median: about 2 per cent of a healthy lung's grey values, if they were Gaussian
MAD_TO_DEVIATION = 1.4826  # median absolute deviation of a Gaussian to its standard deviation


def opacity_share(
    images: np.ndarray, above: float = BRIGHT_GREY, lung_above: float = FRINGE_GREY
) -> np.ndarray:
    """Share of each slice's lung that is brighter than a fixed grey: (N, S, S) in [0, 1] -> (N,), 0 to 1.

    A slice without lung has a load of 0.
    """
    checked_images(images)
    lungs = images > lung_above
    return (lungs & (images > above)).sum((1, 2)) / np.maximum(lungs.sum((1, 2)), 1)


def relative_opacity_share(
    images: np.ndarray, deviations: float = DEVIATIONS, lung_above: float = FRINGE_GREY
) -> np.ndarray:
    """Share of each slice's lung that stands out of its own grey: (N, S, S) in [0, 1] -> (N,), 0 to 1.

    Above the median of the lung pixels by `deviations` robust standard deviations (1.4826 times the median
    absolute deviation). Twice as bright a slice has the same load. A lung that is dense throughout has
    little: it does not stand out of itself.
    """
    checked_images(images)
    return np.array([_standing_out(image[image > lung_above], deviations) for image in images])


def _standing_out(grey: np.ndarray, deviations: float) -> float:
    if grey.size == 0:
        return 0.0
    middle = np.median(grey)
    spread = MAD_TO_DEVIATION * np.median(np.abs(grey - middle))
    return float((grey > middle + deviations * spread).mean())


@dataclass(frozen=True)
class LoadDistance:
    """How far the made slices' loads are from the real ones', as distributions.

    distance  Wasserstein-1: the load that must be moved on average, 0 the same; never negative, so by chance
              alone it lies above 0
    floor     the same between two halves of the real patients: chance alone, at half their number
    """

    distance: Interval
    floor: Interval


def load_distance(
    real: np.ndarray,
    real_units: np.ndarray,
    made: np.ndarray,
    made_units: np.ndarray,
    *,
    rng: np.random.Generator,
    draws: int = 1000,
    level: float = 0.95,
) -> LoadDistance:
    """Wasserstein-1 distance between the loads of real and made slices, with interval and floor.

    real (N,), made (M,) loads; units (N,), (M,): patient or sample of each. Four real patients at least.
    Read an interval that lies within the floor's as no difference seen.
    """
    codes, others = patient_codes(real_units), patient_codes(made_units)
    real, made = np.asarray(real, np.float64), np.asarray(made, np.float64)
    if real.shape != codes.shape or made.shape != others.shape:
        raise ShapeError(f"loads {real.shape} and {made.shape} need one unit each")
    if len(real) == 0 or codes.max() < 3 or len(made) == 0 or others.max() < 1:
        raise DataError("loads of four real patients and two made samples are needed at least")
    ones = np.ones((1, len(real))), np.ones((1, len(made)))
    value = float(wasserstein(real, made, *ones)[0])
    drawn = wasserstein(real, made, draw_weights(codes, draws, rng), draw_weights(others, draws, rng))
    half = draw_halves(codes, draws, rng)
    chance = wasserstein(real, real, half, 1.0 - half)
    patients = int(codes.max()) + 1
    return LoadDistance(
        interval_of(value, drawn, level, patients), interval_of(float(chance.mean()), chance, level, patients)
    )


def wasserstein(
    first: np.ndarray, second: np.ndarray, first_weights: np.ndarray, second_weights: np.ndarray
) -> np.ndarray:
    """Wasserstein-1 distance of two weighted samples, many weightings at once.

    first (N,), second (M,), weights (B, N) and (B, M) -> (B,): the area between the two cumulative
    distributions, in the unit of the values.
    """
    values = np.concatenate([first, second])
    order = np.argsort(values, kind="stable")
    signed = np.concatenate(
        [
            first_weights / first_weights.sum(1, keepdims=True),
            -second_weights / second_weights.sum(1, keepdims=True),
        ],
        axis=1,
    )
    apart = np.abs(np.cumsum(signed[:, order], axis=1)[:, :-1])
    area: np.ndarray = apart @ np.diff(values[order])
    return area


@dataclass(frozen=True)
class PairedChange:
    """What happened to one measure of the same patients: mean change, share that rose, and a sign test.

    p  two-sided, of as many patients rising as falling; patients without change are left out of it
    """

    mean: Interval
    risen: Interval
    p: float


def paired_change(
    before: np.ndarray,
    after: np.ndarray,
    patients: np.ndarray,
    *,
    rng: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
) -> PairedChange:
    """After minus before, patient by patient: does the load rise when a healthy lung is taken to an ill age?

    before, after (N,) of the same slices; patients (N,). The sign test takes each patient's mean change once.
    """
    from scipy.stats import binomtest

    change = np.asarray(after, np.float64) - np.asarray(before, np.float64)
    codes = patient_codes(patients)

    interval = mean_interval(change, codes, rng=rng, draws=draws, level=level)
    by_patient = np.bincount(codes, weights=change) / np.bincount(codes)
    risen, fallen = int((by_patient > 0).sum()), int((by_patient < 0).sum())
    p = float(binomtest(risen, risen + fallen).pvalue) if risen + fallen else 1.0
    return PairedChange(interval, share_interval(change > 0, codes, rng=rng, draws=draws, level=level), p)
