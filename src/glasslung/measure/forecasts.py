"""Was the forecast right? Errors against the known truth, beside what anyone would have said.

Only where a patient's other days are known (a phantom, or a cohort with follow-up scans) can a forecast be
judged for one patient. Naive forecasts stand beside every method: nothing changes, and everyone changes as
the training patients did on average.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.measure.featuresets import mean_interval
from glasslung.measure.statistics import Interval

NO_CHANGE = "no change"
GROUP_MEAN_CHANGE = "group mean change"


def image_error(truth: np.ndarray, forecast: np.ndarray, lungs: np.ndarray) -> np.ndarray:
    """Mean absolute grey error of each forecast inside the lungs: 0 exact, (N,), unit of the grey values.

    truth, forecast (N, S, S); lungs (N, S, S) bool: the lungs of the truth, so that a forecast that shrinks
    or moves them pays for it. Every slice needs lung. Black background, easy for all, does not count.
    """
    lungs = _checked_lungs(truth, lungs)
    if forecast.shape != truth.shape:
        raise ShapeError(f"forecasts {forecast.shape} do not fit the truth {truth.shape}")
    error = np.abs(np.asarray(forecast, np.float64) - np.asarray(truth, np.float64))
    if not np.isfinite(error).all():
        raise DataError("a forecast or the truth holds NaN or infinite grey values; leave that patient out")
    mean: np.ndarray = (error * lungs).sum((1, 2)) / lungs.sum((1, 2))
    return mean


def volume_error(truth: np.ndarray, forecast: np.ndarray) -> np.ndarray:
    """Absolute error of each forecast lesion volume: (N,), (N,) -> (N,), in ml, or as shares of the lung."""
    truth, forecast = np.asarray(truth, np.float64), np.asarray(forecast, np.float64)
    if truth.ndim != 1 or truth.shape != forecast.shape:
        raise ShapeError(f"volumes {truth.shape} and {forecast.shape} must both be (N,)")
    if not (np.isfinite(truth).all() and np.isfinite(forecast).all()):
        raise DataError("a lesion volume is NaN or infinite; leave that patient out")
    return np.abs(forecast - truth)


# --------------------------------------------------------------------------------------- naive forecasts


def group_mean_change(last: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Every patient changes as the training patients did on average: last + mean(after) - mean(before).

    last (N, ...) of the patients to forecast; before (K, ...), after (L, ...) of training patients at the two
    ages: volumes (N,), or images (N, S, S), changed pixel by pixel and kept in [0, 1]. before and after need
    not be the same patients.
    """
    if last.shape[1:] != before.shape[1:] or last.shape[1:] != after.shape[1:]:
        raise ShapeError(f"{last.shape}, {before.shape} and {after.shape} must agree but for the first axis")
    if len(before) == 0 or len(after) == 0:
        raise DataError("the mean change needs training patients at both ages")
    forecast: np.ndarray = last + (after.mean(0) - before.mean(0))
    if last.ndim == 1:
        return np.maximum(forecast, 0.0)
    return np.clip(forecast, 0.0, 1.0)


def group_grey_change(
    last: np.ndarray,
    lungs: np.ndarray,
    before: tuple[np.ndarray, np.ndarray],
    after: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """Every lung becomes as much brighter as the training patients' lungs did on average; outlines stay.

    last, lungs (N, S, S); before, after: each (images, lungs) of training patients. Images in [0, 1]. The
    harder naive forecast for images: averaging pixel by pixel blurs lungs of other shapes into it.
    """
    lungs = _checked_lungs(last, lungs)
    means = [image_[_checked_lungs(image_, mask)].mean() for image_, mask in (before, after)]
    return np.where(lungs, np.clip(last + (means[1] - means[0]), 0.0, 1.0), last)


# ------------------------------------------------------------------------------------------- comparison


@dataclass(frozen=True)
class ForecastScore:
    """One forecast's mean error, and how it compares with the naive ones on the same patients.

    error    mean over slices, with its interval by patient
    against  naive forecast -> this error minus that one; below 0: better than naive
    """

    name: str
    error: Interval
    against: dict[str, Interval]

    @property
    def beats_all(self) -> bool:
        """Whether it is better than every naive forecast, with intervals that exclude 0."""
        return bool(self.against) and all(difference.high < 0 for difference in self.against.values())


def compare_forecasts(
    errors: Mapping[str, np.ndarray],
    patients: np.ndarray,
    *,
    rng: np.random.Generator,
    naive: Sequence[str] = (NO_CHANGE, GROUP_MEAN_CHANGE),
    draws: int = 2000,
    level: float = 0.95,
) -> tuple[ForecastScore, ...]:
    """All forecasts of the same slices side by side, in the order given.

    errors    name -> (N,) error of each slice, the naive forecasts among them; patients (N,)
    Differences are paired: what makes a patient hard for all cancels.
    """
    missing = [name for name in naive if name not in errors]
    if missing:
        raise UsageError(f"there are no errors of {missing}; there are those of {list(errors)}")
    lengths = {name: np.shape(error) for name, error in errors.items()}
    if set(lengths.values()) != {(len(patients),)}:
        raise ShapeError(f"{len(patients)} patients but errors of {lengths}; give one per slice")

    def sure(values: np.ndarray) -> Interval:
        return mean_interval(values, patients, rng=rng, draws=draws, level=level)

    return tuple(
        ForecastScore(
            name, sure(error), {other: sure(error - errors[other]) for other in naive if other != name}
        )
        for name, error in errors.items()
    )


def _checked_lungs(images: np.ndarray, lungs: np.ndarray) -> np.ndarray:
    if images.ndim != 3 or lungs.shape != images.shape:
        raise ShapeError(f"images {images.shape} and lungs {lungs.shape} must both be (N, S, S)")
    inside = np.asarray(lungs) > 0
    empty = np.flatnonzero(~inside.any((1, 2)))
    if len(empty):
        raise DataError(f"slice {empty[0]} has no lung to measure in; leave that patient out")
    return inside
