"""Was the forecast right? Errors against the known truth, beside what anyone would have said.

Only where a patient's other days are known (a phantom, or a cohort with follow-up scans) can a forecast be
judged for one patient. Naive forecasts stand beside every method: nothing changes, and everyone changes as
the training patients did on average.

The mean change of pictures is taken place by place over lung alone. On 150 phantom people it came nearer in
grey than one shift for the whole lung wherever the disease moved much (0.128 beside 0.131 from never ill to
late), as near as a mean over everyone's pixels, and mostly nearer than both in the dense share: it is the
hardest of the three to beat, so it is the one that is here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.measure.featuresets import draw_weights
from glasslung.measure.lungfeatures import FRINGE_GREY
from glasslung.measure.statistics import Interval, interval_of, patient_codes

NO_CHANGE = "no change"
GROUP_MEAN_CHANGE = "group mean change"
GROUP_MEAN_LOAD = "group mean change of the share"
OPAQUE_GREY = 0.5  # on the lung window (-1350 to 150 HU): -600 HU, denser than lung, lighter than a vessel


def image_error(truth: np.ndarray, forecast: np.ndarray, lungs: np.ndarray) -> np.ndarray:
    """Root mean square grey error of each forecast inside the lungs: 0 exact, (N,), unit of the grey values.

    truth, forecast (N, S, S); lungs (N, S, S) bool: the lungs of the truth, so that a forecast that shrinks
    or moves them pays for it. Every slice needs lung. Black background, easy for all, does not count.
    """
    lungs = _checked_lungs(truth, lungs)
    if forecast.shape != truth.shape:
        raise ShapeError(f"forecasts {forecast.shape} do not fit the truth {truth.shape}")
    square = np.square(np.asarray(forecast, np.float64) - np.asarray(truth, np.float64))
    if not np.isfinite(square).all():
        raise DataError("a forecast or the truth holds NaN or infinite grey values; leave that patient out")
    mean: np.ndarray = (square * lungs).sum((1, 2)) / lungs.sum((1, 2))
    return np.sqrt(mean)


def opaque_within(images: np.ndarray, lungs: np.ndarray, above: float = OPAQUE_GREY) -> np.ndarray:
    """Share of known lungs that is dense: lesions, and the vessels that are always there. (N,), 0 to 1.

    images (N, S, S) in [0, 1]; lungs (N, S, S) bool, those of the truth: a forecast cannot choose its own.
    """
    lungs = _checked_lungs(images, lungs)
    share: np.ndarray = ((images > above) & lungs).sum((1, 2)) / lungs.sum((1, 2))
    return share


def volume_error(truth: np.ndarray, forecast: np.ndarray) -> np.ndarray:
    """Absolute error of each forecast lesion volume: (N,), (N,) -> (N,), in ml, or as shares of the lung."""
    truth, forecast = np.asarray(truth, np.float64), np.asarray(forecast, np.float64)
    if truth.ndim != 1 or truth.shape != forecast.shape:
        raise ShapeError(f"volumes {truth.shape} and {forecast.shape} must both be (N,)")
    if not (np.isfinite(truth).all() and np.isfinite(forecast).all()):
        raise DataError("a lesion volume is NaN or infinite; leave that patient out")
    return np.abs(forecast - truth)


# --------------------------------------------------------------------------------------- naive forecasts


def group_mean_change(
    last: np.ndarray, before: np.ndarray, after: np.ndarray, lung_above: float = FRINGE_GREY
) -> np.ndarray:
    """Every lung changes, place by place, as the lungs of the training patients did on average: (N, S, S).

    last (N, S, S) of the patients to forecast; before (K, S, S), after (L, S, S) of training patients at the
    two ages, not necessarily the same ones; all in [0, 1]. The means are those of lung pixels (above
    `lung_above`) of each place, so the difference is one of density, not of how often there is lung; at a
    place where a group never has lung it is the mean of all its lung. Outlines stay.
    """
    if last.shape[1:] != before.shape[1:] or last.shape[1:] != after.shape[1:]:
        raise ShapeError(f"{last.shape}, {before.shape} and {after.shape} must agree but for the first axis")
    change = _lung_mean(after, lung_above) - _lung_mean(before, lung_above)
    return np.where(last > lung_above, np.clip(last + change, 0.0, 1.0), last)


def _lung_mean(images: np.ndarray, lung_above: float) -> np.ndarray:
    """Mean grey of the lungs at each place, (S, S)."""
    lung = images > lung_above
    if not lung.any():
        raise DataError("the mean change needs training slices with lung at both ages")
    count = lung.sum(0)
    return np.where(count > 0, (images * lung).sum(0) / np.maximum(count, 1), images[lung].mean())


def group_mean_load(last: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Every patient's volume, or share, changes as the training patients' did on average, never below 0.

    last (N,) of the patients to forecast; before (K,), after (L,) of training patients at the two ages.
    """
    if not last.ndim == before.ndim == after.ndim == 1:
        raise ShapeError(f"{last.shape}, {before.shape} and {after.shape} must be one number per patient")
    if len(before) == 0 or len(after) == 0:
        raise DataError("the mean change needs training patients at both ages")
    return np.maximum(last + (after.mean() - before.mean()), 0.0)


def add_change(
    last: np.ndarray, shown: np.ndarray, carried: np.ndarray, lung_above: float = FRINGE_GREY
) -> np.ndarray:
    """The slice as it was seen plus what a method thinks will change, in its lungs: (N, S, S).

    shown, carried (N, S, S): the method's picture of the slice now, and then. What an auto-encoder cannot
    show (fine vessels) stays as it was seen, and counts neither for nor against the forecast.
    """
    if not last.shape == shown.shape == carried.shape:
        raise ShapeError(f"{last.shape} seen, {shown.shape} shown and {carried.shape} carried must be alike")
    return np.where(last > lung_above, np.clip(last + (carried - shown), 0.0, 1.0), last)


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
    Differences are paired, and all forecasts meet the same resamples: what makes a patient hard for all
    cancels.
    """
    missing = [name for name in naive if name not in errors]
    if missing:
        raise UsageError(f"there are no errors of {missing}; there are those of {list(errors)}")
    lengths = {name: np.shape(error) for name, error in errors.items()}
    if set(lengths.values()) != {(len(patients),)}:
        raise ShapeError(f"{len(patients)} patients but errors of {lengths}; give one per slice")
    codes = patient_codes(patients)
    if len(codes) == 0 or codes.max() < 1 or draws < 1 or not 0 < level < 1:
        raise UsageError(
            "forecasts are compared on two patients or more, draws 1 or more, level inside 0 to 1"
        )
    weights = draw_weights(codes, draws, rng)
    drawn = {name: weights @ np.asarray(error, np.float64) / weights.sum(1) for name, error in errors.items()}

    def sure(name: str, other: str | None = None) -> Interval:
        value = float(np.mean(errors[name] if other is None else errors[name] - errors[other]))
        spread = drawn[name] if other is None else drawn[name] - drawn[other]
        return interval_of(value, spread, level, int(codes.max()) + 1)

    return tuple(
        ForecastScore(name, sure(name), {other: sure(name, other) for other in naive if other != name})
        for name in errors
    )


def _checked_lungs(images: np.ndarray, lungs: np.ndarray) -> np.ndarray:
    if images.ndim != 3 or lungs.shape != images.shape:
        raise ShapeError(f"images {images.shape} and lungs {lungs.shape} must both be (N, S, S)")
    inside = np.asarray(lungs) > 0
    empty = np.flatnonzero(~inside.any((1, 2)))
    if len(empty):
        raise DataError(f"slice {empty[0]} has no lung to measure in; leave that patient out")
    return inside
