"""The course of a patient as a smooth curve with its uncertainty, and what a curve says: peak, slope, bend.

A patient has three scans, not thirty, so a curve of that patient alone would be a guess. The law of a cohort
tells what courses look like: one curve common to all, and how far and how smoothly single patients leave it;
both are Gaussian processes over days, and the patient's own scans bend the curve towards themselves. It is
the mixed model of the field with a smooth curve in the place of a straight line (Rasmussen & Williams,
Gaussian Processes for Machine Learning, 2006, chapter 2; the work is scikit-learn's).

Whatever has a number per scan can be followed: a classifier's score s(t) in log-odds, affected lung in per
cent, a severity score. Limits are of the smooth course, not of a further measurement.

A law is kept as plain numbers (`Law.as_json`, `Law.from_json`), so that one learned on a cohort can travel.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from glasslung.errors import DataError, ShapeError
from glasslung.measure.statistics import Interval, patient_codes

FAR = 1e5  # a distance between patients that the common curve does not notice ...
NEAR = 1e-3  # ... and one that their own curves never bridge
LEAST_SCANS = 8  # of a cohort: below that its law would be this file's prior
SAMPLES = 500  # curves drawn for peak, slope and bend
LEVEL = 0.95
JITTER = 1e-8
FORMAT = "glasslung-course-law"
VERSION = 1


@dataclass(frozen=True, eq=False)
class Law:
    """What courses of one measure look like in a cohort.

    centre, spread   mean and deviation of the values, by which they are standardised
    days, values, patients  the cohort's scans, (N,): the common curve rests on them
    kernel           scikit-learn's, with the fitted spans and variances
    common_days, own_days  how fast the common curve and single patients' departures change, days
    noise            deviation of one measurement around its course, in the measure's unit

    Two laws are the same where their `as_json` is.
    """

    centre: float
    spread: float
    days: np.ndarray
    values: np.ndarray
    patients: np.ndarray
    kernel: Any
    common_days: float
    own_days: float
    noise: float

    def as_json(self) -> dict[str, object]:
        """The law as plain numbers and lists, for json.dumps; patients are numbers from 0, no names."""
        common, own = self.kernel.k1.k1, self.kernel.k1.k2
        return {
            "format": FORMAT,
            "version": VERSION,
            "centre": self.centre,
            "spread": self.spread,
            "common_variance": float(common.k1.constant_value),
            "common_days": self.common_days,
            "own_variance": float(own.k1.constant_value),
            "own_days": self.own_days,
            "noise_variance": float(self.kernel.k2.noise_level),
            "days": [float(day) for day in self.days],
            "values": [float(value) for value in self.values],
            "patients": [int(patient) for patient in self.patients],
        }

    @classmethod
    def from_json(cls, told: Mapping[str, object]) -> Law:
        """The law that `as_json` wrote. DataError for what is no law, of another version, or incomplete."""
        if told.get("format") != FORMAT or told.get("version") != VERSION:
            raise DataError(
                f"not a law of courses: format {told.get('format')!r}, version {told.get('version')!r}; "
                f"{FORMAT!r}, version {VERSION} is read"
            )
        single = {name: _positive(told, name) for name in _POSITIVE}
        days, values = _checked(_listed(told, "days"), _listed(told, "values"))
        patients = _listed(told, "patients")
        if patients.shape != days.shape or (patients != np.floor(patients)).any() or (patients < 0).any():
            raise DataError("a law of courses has one patient, a number from 0, per scan")
        if len(days) < LEAST_SCANS:
            raise DataError(
                f"a law of courses rests on {LEAST_SCANS} scans or more; this one has {len(days)}"
            )
        centre = _number(told, "centre")
        kernel = _kernel_of(**{name: single[name] for name in _POSITIVE if name != "spread"})
        noise = float(np.sqrt(single["noise_variance"])) * single["spread"]
        common, own = single["common_days"], single["own_days"]
        return cls(centre, single["spread"], days, values, patients.astype(int), kernel, common, own, noise)


@dataclass(frozen=True, eq=False)
class Course:
    """A smooth course: days (T,), mean (T,) with limits low and high (T,), in the measure's unit."""

    days: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class Shape:
    """What a course says, each with its 95 % limits.

    peak_day      the day of its highest point between the first and the last day asked about
    open_ended    share of plausible curves that are highest on the first or last of these days: near 1, no
                  peak has been seen
    peak          its height
    slope         change per day on the last day
    bend          second derivative on the last day: below 0 where a rise slows down or a fall speeds up
    """

    peak_day: Interval
    open_ended: float
    peak: Interval
    slope: Interval
    bend: Interval


def fit_law(
    days: np.ndarray, values: np.ndarray, patients: Sequence[object] | np.ndarray, seed: int = 0
) -> Law:
    """The law of a cohort's courses, by the highest likelihood of all scans together.

    days, values, patients (N,), one row per scan, at least 8. DataError for fewer, or values that are all
    the same.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor

    days, values = _checked(days, values)
    codes = patient_codes(patients)
    if len(codes) != len(days):
        raise ShapeError(f"{len(codes)} patients for {len(days)} scans; give one per scan")
    if len(days) < LEAST_SCANS:
        raise DataError(f"{len(days)} scans are too few for the law of a course; {LEAST_SCANS} are needed")
    centre, spread = float(values.mean()), float(values.std())
    if spread == 0:
        raise DataError("all values are the same: there is no course to learn")
    process = GaussianProcessRegressor(_kernel(), alpha=JITTER, n_restarts_optimizer=2, random_state=seed)
    with (
        warnings.catch_warnings()
    ):  # a span at its bound is an answer here: as straight, or as free, as can be
        warnings.simplefilter("ignore", ConvergenceWarning)
        process.fit(_inputs(days, codes), (values - centre) / spread)
    kernel = process.kernel_
    common, own, noise = kernel.k1.k1.k2, kernel.k1.k2.k2, kernel.k2
    return Law(
        centre,
        spread,
        days,
        values,
        codes,
        kernel,
        float(common.length_scale[0]),
        float(own.length_scale[0]),
        float(np.sqrt(noise.noise_level)) * spread,
    )


def smooth(law: Law, days: np.ndarray, values: np.ndarray, at: np.ndarray) -> Course:
    """One patient's course by the cohort's law and by the patient's own scans.

    days, values (n,) of the patient's scans, none at all for a patient about whom nothing is known; the
    patient must not be in the law's cohort. at (T,) days.
    """
    from scipy.stats import norm

    mean, covariance = _posterior(law, days, values, np.asarray(at, float))
    reach = norm.ppf(0.5 + LEVEL / 2) * np.sqrt(np.clip(np.diag(covariance), 0, None))
    return Course(np.asarray(at, float), mean, mean - reach, mean + reach)


def shape_of(
    law: Law,
    days: np.ndarray,
    values: np.ndarray,
    first: float,
    last: float,
    rng: np.random.Generator,
    back: Callable[[np.ndarray], np.ndarray] = np.asarray,
) -> Shape:
    """Peak, slope and bend of a patient's course between two days, from curves drawn at random.

    back  from the law's scale to the measure's, where the law is of a root or a logarithm of it
    """
    if not last > first:
        raise DataError(f"a course runs from an earlier to a later day, got {first:g} to {last:g}")
    at = np.linspace(first, last, 101)
    mean, covariance = _posterior(law, days, values, at)
    root = np.linalg.cholesky(covariance + JITTER * law.spread**2 * 100 * np.eye(len(at)))
    curves = back(mean + rng.normal(size=(SAMPLES, len(at))) @ root.T)
    step = at[1] - at[0]
    top = curves.argmax(1)
    edge = float(((top == 0) | (top == len(at) - 1)).mean())
    wide = 10  # differences over a tenth of the span: the curves' last digits are noise of the root
    slopes = (curves[:, -1] - curves[:, -1 - wide]) / (wide * step)
    bends = (curves[:, -1] - 2 * curves[:, -1 - wide] + curves[:, -1 - 2 * wide]) / (wide * step) ** 2
    return Shape(_limits(at[top]), edge, _limits(curves.max(1)), _limits(slopes), _limits(bends))


def _posterior(
    law: Law, days: np.ndarray, values: np.ndarray, at: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean (T,) and covariance (T, T) of one more patient's course."""
    from sklearn.gaussian_process import GaussianProcessRegressor

    days, values = _checked(days, values)
    other = int(law.patients.max()) + 1
    given = np.concatenate([_inputs(law.days, law.patients), _inputs(days, np.full(len(days), other))])
    known = (np.concatenate([law.values, values]) - law.centre) / law.spread
    process = GaussianProcessRegressor(law.kernel, alpha=JITTER, optimizer=None).fit(given, known)
    mean, covariance = process.predict(_inputs(at, np.full(len(at), other)), return_cov=True)
    covariance = covariance - np.diag(np.full(len(at), law.kernel.k2.noise_level))  # of the course itself
    return mean * law.spread + law.centre, covariance * law.spread**2


def _kernel() -> Any:
    """A curve common to all, each patient's own smooth departure from it, and the noise of a measurement."""
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    def over_days(patients_apart: float) -> Any:
        fixed = (patients_apart * 0.999, patients_apart * 1.001)
        return RBF([8.0, patients_apart], [(2.0, 60.0), fixed])

    variance = (1e-3, 1e2)
    common = ConstantKernel(1.0, variance) * over_days(FAR)
    own = ConstantKernel(0.5, variance) * over_days(NEAR)
    return common + own + WhiteKernel(0.05, (1e-4, 1.0))


def _kernel_of(
    common_variance: float, common_days: float, own_variance: float, own_days: float, noise_variance: float
) -> Any:
    """A fitted kernel, from its numbers."""
    kernel = _kernel()
    kernel.k1.k1.k1.constant_value = common_variance
    kernel.k1.k1.k2.length_scale = [common_days, FAR]
    kernel.k1.k2.k1.constant_value = own_variance
    kernel.k1.k2.k2.length_scale = [own_days, NEAR]
    kernel.k2.noise_level = noise_variance
    return kernel


_POSITIVE = ("spread", "common_variance", "common_days", "own_variance", "own_days", "noise_variance")


def _number(told: Mapping[str, object], name: str) -> float:
    value = told.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise DataError(f"a law of courses needs {name} as a number; got {value!r}")
    return float(value)


def _positive(told: Mapping[str, object], name: str) -> float:
    value = _number(told, name)
    if value <= 0:
        raise DataError(f"a law of courses needs {name} above 0; got {value:g}")
    return value


def _listed(told: Mapping[str, object], name: str) -> np.ndarray:
    values = told.get(name)
    if not isinstance(values, list) or any(
        isinstance(value, bool) or not isinstance(value, int | float) for value in values
    ):
        raise DataError(f"a law of courses needs {name} as a list of numbers")
    return np.asarray(values, float)


def _inputs(days: np.ndarray, codes: np.ndarray) -> np.ndarray:
    return np.stack([np.asarray(days, float), np.asarray(codes, float)], 1)


def _checked(days: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    days, values = np.asarray(days, float), np.asarray(values, float)
    if days.ndim != 1 or days.shape != values.shape:
        raise ShapeError(f"days {days.shape} and values {values.shape} must both be (N,)")
    if not (np.isfinite(days).all() and np.isfinite(values).all()):
        raise DataError("a day or a value is no number; leave that scan out, and say so")
    return days, values


def _limits(drawn: np.ndarray) -> Interval:
    low, middle, high = np.quantile(drawn, [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2])
    return Interval(float(middle), float(low), float(high), LEVEL, len(drawn), 1)
