"""How well a risk score puts first those who meet the event first: Harrell's C, Uno's C, the AUC at a day.

All three compare pairs of patients and count how often the one with the higher risk met the event earlier.
They differ in which pairs count where observation ended before the event (censoring):

    Harrell's C   pairs of which it is known who was first. Depends on how long patients were observed: two
                  cohorts with the same patients and other censoring get other figures.
    Uno's C       pairs whose first event lies before day `tau`, weighted by one over the squared chance of
                  having been observed that long: free of the cohort's censoring, as far as censoring has
                  nothing to do with risk.
    AUC at day t  patients with the event by day t against those without one by then, the former weighted by
                  one over the chance of having been observed up to their event.

A pair of equal risks counts one half; of two equal times the one with the event was first; two events at the
same time make no pair. Risk is higher = worse. 0.5 coin toss, 1 perfect, 0 reversed.

Harrell, Lee & Mark, Stat Med 1996;15:361-87. Uno et al., Stat Med 2011;30:1105-17. Uno et al., JASA
2007;102:527-37.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.measure.statistics import Interval, bootstrap_by_patient

CHUNK = 64  # resamples at once: each holds a few rows of as many numbers as there are scans
Patients = Sequence[object] | np.ndarray


def harrells_c(risk: np.ndarray, days: np.ndarray, event: np.ndarray) -> float:
    """Among pairs of which it is known who met the event first, how often that one had the higher risk.

    risk (N,) higher = worse; days (N,) to the event or the end of observation, 0 or more; event (N,) bool.
    DataError where no pair counts.
    """
    risk, days, event = checked(risk, days, event)
    return _defined(harrells_c_weighted(risk, days, event, np.ones((1, len(risk))))[0])


def harrells_c_weighted(
    risk: np.ndarray, days: np.ndarray, event: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Harrell's C under many weightings of the same patients at once: weights (B, N) -> (B,)."""
    pairs = earlier(days, event).astype(np.float64)
    return _share(_won(risk) * pairs, pairs, weights, weights)


def unos_c(risk: np.ndarray, days: np.ndarray, event: np.ndarray, tau: float | None = None) -> float:
    """Harrell's C made free of how long patients were observed.

    tau  day before which an event must lie to count; None: the last day on which some patient was still
         observed, which needs no choice but lets late, rare patients weigh much
    DataError where no pair counts.
    """
    risk, days, event = checked(risk, days, event)
    return _defined(unos_c_weighted(risk, days, event, np.ones((1, len(risk))), tau)[0])


def unos_c_weighted(
    risk: np.ndarray, days: np.ndarray, event: np.ndarray, weights: np.ndarray, tau: float | None = None
) -> np.ndarray:
    """Uno's C under many weightings, each with its own estimate of censoring: weights (B, N) -> (B,)."""
    pairs = (earlier(days, event) & (days < _last(days, tau))[:, None]).astype(np.float64)
    observed = observed_until(days, event, days, weights)  # (B, N)
    first = weights * np.where(observed > 0, 1.0 / np.maximum(observed, 1e-12) ** 2, 0.0)
    return _share(_won(risk) * pairs, pairs, first, weights)


def auc_at_day(risk: np.ndarray, days: np.ndarray, event: np.ndarray, day: float) -> float:
    """How well the risk parts those with the event by a day from those without one by then.

    Patients whose observation ended before that day without an event belong to neither. DataError where one
    of the two groups is empty.
    """
    risk, days, event = checked(risk, days, event)
    return _defined(auc_at_day_weighted(risk, days, event, np.ones((1, len(risk))), day)[0])


def auc_at_day_weighted(
    risk: np.ndarray, days: np.ndarray, event: np.ndarray, weights: np.ndarray, day: float
) -> np.ndarray:
    """The AUC at a day under many weightings: weights (B, N) -> (B,)."""
    pairs = ((event & (days <= day))[:, None] & (days > day)[None, :]).astype(np.float64)
    observed = observed_until(days, event, days, weights)
    first = weights * np.where(observed > 0, 1.0 / np.maximum(observed, 1e-12), 0.0)
    return _share(_won(risk) * pairs, pairs, first, weights)


def c_interval(
    statistic: Callable[..., np.ndarray],
    risk: np.ndarray,
    days: np.ndarray,
    event: np.ndarray,
    patients: Patients,
    *,
    rng: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
) -> Interval:
    """A C and the range that resampled patients give it.

    statistic  `harrells_c_weighted`, or another of this file with its day or tau bound to it
    patients   (N,) whose scan each row is; rows of one patient move together
    """
    risk, days, event = checked(risk, days, event)
    return bootstrap_by_patient(
        statistic, patients, risk, days, event, rng=rng, draws=draws, level=level, weighted=True
    )


def c_difference(
    statistic: Callable[..., np.ndarray],
    first: np.ndarray,
    second: np.ndarray,
    days: np.ndarray,
    event: np.ndarray,
    patients: Patients,
    *,
    rng: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
) -> Interval:
    """How much better the second risk score is than the first on the same patients: second minus first.

    Both meet the same resamples. An interval that excludes 0 speaks for a true difference.
    """
    first, days, event = checked(first, days, event)
    second, days, event = checked(second, days, event)

    def difference(
        first: np.ndarray, second: np.ndarray, days: np.ndarray, event: np.ndarray, weights: np.ndarray
    ) -> np.ndarray:
        return statistic(second, days, event, weights) - statistic(first, days, event, weights)

    return bootstrap_by_patient(
        difference, patients, first, second, days, event, rng=rng, draws=draws, level=level, weighted=True
    )


def earlier(days: np.ndarray, event: np.ndarray) -> np.ndarray:
    """Whether the row's patient is known to have met the event before the column's: (N,), (N,) -> (N, N)."""
    later = days[None, :] > days[:, None]
    outlived = (days[None, :] == days[:, None]) & ~event[None, :]
    return event[:, None] & (later | outlived)


def observed_until(days: np.ndarray, event: np.ndarray, at: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Chance of being observed up to just before a day, whatever happens: Kaplan-Meier of the censoring.

    days, event (N,); at (M,) days; weights (B, N) -> (B, M), 1 before the first censoring. Of equal days,
    events come before censorings.
    """
    times = np.unique(days[~event])
    if not len(times):
        return np.ones((len(weights), len(at)))
    left = (~event)[None, :] & (days[None, :] == times[:, None])  # (T, N)
    there = (days[None, :] > times[:, None]) | left
    at_risk = weights @ there.T.astype(np.float64)  # (B, T)
    gone = weights @ left.T.astype(np.float64)
    steps = 1.0 - np.divide(gone, at_risk, out=np.zeros_like(gone), where=at_risk > 0)
    curve = np.concatenate([np.ones((len(weights), 1)), np.cumprod(steps, 1)], 1)
    return np.asarray(curve[:, np.searchsorted(times, at, side="left")])


def checked(
    risk: np.ndarray, days: np.ndarray, event: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Float, float and bool arrays of one length without gaps; ShapeError or DataError otherwise."""
    risk, days, event = np.asarray(risk, float), np.asarray(days, float), np.asarray(event)
    if not (risk.ndim == 1 and risk.shape == days.shape == event.shape):
        raise ShapeError(f"risk {risk.shape}, days {days.shape} and event {event.shape} must be (N,) alike")
    if not (np.isfinite(risk).all() and np.isfinite(days).all()):
        raise DataError("a risk or a day is no number; leave those patients out, and say so")
    if (days < 0).any():
        raise DataError(f"{int((days < 0).sum())} times lie before day 0; count days from where risk is told")
    if not np.isin(event, (0, 1)).all():
        raise DataError("event must be True/False or 0/1: met the event, or observation ended before it")
    return risk, days, event.astype(bool)


def _won(risk: np.ndarray) -> np.ndarray:
    """1 where the row's risk is higher than the column's, 0.5 where it is the same: (N,) -> (N, N)."""
    return (risk[:, None] > risk[None, :]) + 0.5 * (risk[:, None] == risk[None, :])


def _share(won: np.ndarray, pairs: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Weighted pairs won over weighted pairs; first (B, N) weighs rows, second columns -> (B,), NaN at 0."""
    found = []
    for start in range(0, len(first), CHUNK):
        rows, columns = first[start : start + CHUNK], second[start : start + CHUNK]
        good, all_ = (((rows @ table) * columns).sum(1) for table in (won, pairs))
        found.append(np.divide(good, all_, out=np.full(len(rows), np.nan), where=all_ > 0))
    return np.concatenate(found)


def _last(days: np.ndarray, tau: float | None) -> float:
    if tau is None:
        return float(days.max()) + 1.0
    if not tau > 0:
        raise UsageError(f"tau {tau:g}: a day after day 0")
    return tau


def _defined(value: float) -> float:
    if np.isnan(value):
        raise DataError("no pair of patients can be compared: nobody met the event before another's last day")
    return float(value)
