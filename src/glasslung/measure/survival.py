"""Time until an event when observation may end before it: curves, their comparison, and predicted chances.

Kaplan-Meier, log-rank test and Cox regression are lifelines'. Two things are here: the cumulative incidence
under competing events, because lifelines' estimator breaks ties by chance and days come in whole numbers, and
scores of predicted chances (Brier, calibration), which weigh patients by the chance of having been observed
(Graf et al., Stat Med 1999;18:2529-45). Days count from where the prediction is made.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from glasslung.errors import DataError, UsageError
from glasslung.measure.concordance import checked, observed_until

SAME = 1e-6  # a column whose values lie nearer together is the same for all
NO_EVENT = 0  # code of a patient whose observation ended without any event


@dataclass(frozen=True, eq=False)
class Curve:
    """A survival curve, or a cumulative incidence.

    days       (T,) rising, from 0
    share      (T,) still without the event (or, of an incidence, with it) from that day on
    low, high  (T,) 95 % limits; NaN where no formula gives them
    patients, events  how many
    """

    days: np.ndarray
    share: np.ndarray
    low: np.ndarray
    high: np.ndarray
    patients: int
    events: int

    def at(self, day: float) -> float:
        """The share at a day."""
        return float(self.share[np.searchsorted(self.days, day, side="right") - 1])


@dataclass(frozen=True)
class Comparison:
    """A log-rank test: chi-squared statistic, degrees of freedom, p under equal hazards."""

    statistic: float
    freedom: int
    p: float


@dataclass(frozen=True)
class Hazard:
    """One column of a Cox model: hazard ratio for one unit more, with its 95 % limits and p."""

    name: str
    ratio: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class CalibrationGroup:
    """Patients of like predicted risk: what was predicted by a day, and what happened (Kaplan-Meier)."""

    patients: int
    predicted: float
    observed: float
    low: float
    high: float


def kaplan_meier(days: np.ndarray, event: np.ndarray) -> Curve:
    """The share of patients still without the event, day by day.

    days (N,) to the event or the end of observation; event (N,) bool. 95 % limits by Greenwood on the
    log-log scale. Kaplan & Meier, JASA 1958;53:457-81.
    """
    from lifelines import KaplanMeierFitter

    _, days, event = checked(np.zeros(len(days)), days, event)
    fitted = KaplanMeierFitter().fit(days, event)
    limits = fitted.confidence_interval_survival_function_.to_numpy()
    curve = fitted.survival_function_
    return Curve(
        curve.index.to_numpy(float),
        curve.to_numpy()[:, 0],
        limits[:, 0],
        limits[:, 1],
        len(days),
        int(event.sum()),
    )


def at_risk(days: np.ndarray, at: Sequence[float]) -> list[int]:
    """How many patients are still observed just before each day: the row beneath a Kaplan-Meier plot."""
    return [int((np.asarray(days) >= day).sum()) for day in at]


def log_rank(days: np.ndarray, event: np.ndarray, group: np.ndarray) -> Comparison:
    """Whether two or more groups meet the event at different rates. group (N,) of any names.

    DataError for a single group. Mantel, Cancer Chemother Rep 1966;50:163-70.
    """
    from lifelines.statistics import multivariate_logrank_test

    _, days, event = checked(np.zeros(len(days)), days, event)
    names = np.unique(group)
    if len(names) < 2:
        raise DataError("a log-rank test compares two groups or more, and all patients are in one")
    if not event.any():
        raise DataError("nobody met the event: there is nothing to compare")
    found = multivariate_logrank_test(days, np.asarray(group), event)
    return Comparison(float(found.test_statistic), len(names) - 1, float(found.p_value))


def cumulative_incidence(days: np.ndarray, kind: np.ndarray, of: int) -> Curve:
    """Chance of having met one event by a day when another (death, discharge) may come first.

    kind (N,) int: 0 observation ended, 1, 2, ... which event. Aalen & Johansen 1978. One minus Kaplan-Meier
    would treat a patient who went home as one who could still die there, and is too high. 95 % limits by the
    delta method (Marubini & Valsecchi, Analysing Survival Data, 1995, section 10.2) on the log-log scale.
    """
    days, kind = np.asarray(days, float), np.asarray(kind)
    _, days, happened = checked(np.zeros(len(days)), days, kind != NO_EVENT)
    times = np.unique(days[happened])
    there = (days[None, :] >= times[:, None]).sum(1)
    any_ = ((days[None, :] == times[:, None]) & happened).sum(1)
    this = ((days[None, :] == times[:, None]) & (kind == of)).sum(1)
    free = np.concatenate([[1.0], np.cumprod(1 - any_ / there)])  # of every event, before each time
    share = np.concatenate([[0.0], np.cumsum(free[:-1] * this / there)])
    spread = np.concatenate([[0.0], np.sqrt(_incidence_variance(there, any_, this, free, share))])
    low, high = _log_log_limits(share, spread)
    return Curve(np.concatenate([[0.0], times]), share, low, high, len(days), int((kind == of).sum()))


def competing_incidence(hazards: np.ndarray, of: int) -> np.ndarray:
    """Chance of one event by each day, where cumulative hazards of all are known.

    hazards (C, N, T) of each event at the same rising days; of: 1, 2, ... which event. Between two days the
    hazards are taken as constant: each event gets its share of those who meet any. Returns (N, T), 0 to 1.
    """
    steps = np.diff(hazards, prepend=0.0, axis=2)
    if (steps < -1e-9).any():
        raise UsageError("cumulative hazards never fall")
    all_ = steps.sum(0)
    free = np.exp(-np.concatenate([np.zeros_like(all_[:, :1]), np.cumsum(all_, 1)[:, :-1]], 1))
    share = np.divide(steps[of - 1], all_, out=np.zeros_like(all_), where=all_ > 0)
    return np.asarray(np.cumsum(free * -np.expm1(-all_) * share, 1))


def as_if_observed_on(days: np.ndarray, kind: np.ndarray, of: int) -> tuple[np.ndarray, np.ndarray]:
    """Days and event as a figure of one event reads them, when another may come first.

    Who met another event first never meets this one, and so is observed without it for ever: beyond the last
    day of all. Harrell's C, Uno's C, the AUC at a day, Brier scores and calibration then speak of the chance
    of the event by a day (Wolbers et al., Epidemiology 2009;20:555-61). Without this, who went home only
    ends observation, and they speak of the event's hazard. Exact where no observation ended otherwise; with
    censoring, its curve counts those patients as observed for longer than they were.
    """
    days, kind = np.asarray(days, float), np.asarray(kind)
    other = (kind != NO_EVENT) & (kind != of)
    return np.where(other, days.max(initial=0.0) + 1.0, days), kind == of


class Cox:
    """A Cox model of some columns: who has how many times whose hazard. Lifelines does the work.

    columns    name -> (N,) numbers; standardise what is to be compared
    ridge      weight of the squared coefficients; a little keeps few events from giving endless ratios
    A column that is the same for all patients tells nothing and is left out: `names` are those that are read.
    DataError where none is left, nobody met the event, or no maximum is found.
    """

    def __init__(
        self, columns: Mapping[str, np.ndarray], days: np.ndarray, event: np.ndarray, ridge: float = 0.01
    ) -> None:
        from lifelines import CoxPHFitter
        from lifelines.exceptions import ConvergenceError
        from scipy.linalg import LinAlgWarning

        _, days, event = checked(np.zeros(len(days)), days, event)
        if not event.any():
            raise DataError("nobody met the event: no hazard can be estimated")
        given = _table(columns)
        self.names = tuple(name for name, column in given.items() if np.ptp(column) > SAME)
        if not self.names:
            raise DataError("every column is the same for all patients: no hazard can be estimated")
        table = self._read(columns) | {"days": days, "event": event}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", LinAlgWarning)  # an answer of no more digits than noise
                self._fitted: Any = CoxPHFitter(penalizer=ridge).fit(_frame(table), "days", "event")
        except (ConvergenceError, LinAlgWarning, np.linalg.LinAlgError) as problem:
            raise DataError(
                "a Cox model of these columns has no maximum: two say the same, or one tells the event "
                "outright; leave one out, or raise the ridge"
            ) from problem

    def _read(self, columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: column for name, column in _table(columns).items() if name in self.names}

    def risk(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """Log of the hazard against the average patient it was fitted on, (N,)."""
        return np.asarray(self._fitted.predict_log_partial_hazard(_frame(self._read(columns))), float)

    def chance_by(self, columns: Mapping[str, np.ndarray], day: float) -> np.ndarray:
        """Chance of meeting the event by a day, (N,) in [0, 1]."""
        curves = self._fitted.predict_survival_function(_frame(self._read(columns)), times=[day])
        return 1.0 - curves.to_numpy()[0]

    def cumulative_hazard(self, columns: Mapping[str, np.ndarray], days: Sequence[float]) -> np.ndarray:
        """Expected number of events by each day if nothing else could happen, (N, T), by Breslow."""
        found = self._fitted.predict_cumulative_hazard(_frame(self._read(columns)), times=list(days))
        return np.asarray(found.to_numpy().T, float)

    def likelihood(self, columns: Mapping[str, np.ndarray], days: np.ndarray, event: np.ndarray) -> float:
        """Log partial likelihood per patient of others than it was fitted on: higher is better."""
        _, days, event = checked(np.zeros(len(days)), days, event)
        table = _frame(self._read(columns) | {"days": days, "event": event})
        return float(self._fitted.score(table, scoring_method="log_likelihood"))

    def hazards(self) -> tuple[Hazard, ...]:
        """Each column's hazard ratio."""
        told = self._fitted.summary
        names = ("exp(coef)", "exp(coef) lower 95%", "exp(coef) upper 95%", "p")
        return tuple(Hazard(one, *(float(told.loc[one, name]) for name in names)) for one in self.names)


def brier_by_day(chance: np.ndarray, days: np.ndarray, event: np.ndarray, day: float) -> float:
    """Mean squared error of predicted chances of the event by a day. 0 perfect, 0.25 always one half.

    chance (N,) in [0, 1]. Patients whose observation ended before the day count through those who stayed.
    """
    chance, days, event = checked(chance, days, event)
    if ((chance < 0) | (chance > 1)).any():
        raise UsageError("a Brier score needs chances between 0 and 1")
    ones = np.ones((1, len(days)))
    by_then, beyond = event & (days <= day), days > day
    until_event = observed_until(days, event, days, ones)[0]
    until_day = observed_until(days, event, np.array([np.nextafter(day, np.inf)]), ones)[0, 0]
    if beyond.any() and until_day <= 0:
        raise DataError(f"nobody is observed up to day {day:g}")
    weight = np.where(by_then, 1 / np.maximum(until_event, 1e-12), 0.0) + np.where(
        beyond, 1 / max(until_day, 1e-12), 0.0
    )
    return float((weight * (by_then - chance) ** 2).mean())


def integrated_brier(chances: np.ndarray, days: np.ndarray, event: np.ndarray, at: Sequence[float]) -> float:
    """The mean of the Brier score over a stretch of days: 0 perfect, 0.25 always one half.

    chances (N, T) of the event by each of the T rising days `at`; by trapezoids over their span, divided by
    it. Graf et al., Stat Med 1999;18:2529-45. UsageError for fewer than two days.
    """
    if len(at) < 2 or (np.diff(at) <= 0).any() or chances.shape != (len(days), len(at)):
        raise UsageError("an integrated Brier score needs chances by two or more rising days")
    scores = [brier_by_day(chances[:, n], days, event, day) for n, day in enumerate(at)]
    return float(np.trapezoid(scores, at) / (at[-1] - at[0]))


def calibration_by_day(
    chance: np.ndarray, days: np.ndarray, event: np.ndarray, day: float, groups: int = 4
) -> tuple[CalibrationGroup, ...]:
    """Predicted chances of the event by a day beside what happened, in groups of like prediction."""
    chance, days, event = checked(chance, days, event)
    found = []
    for rows in np.array_split(np.argsort(chance, kind="stable"), groups):
        if not len(rows):
            continue
        curve = kaplan_meier(days[rows], event[rows])
        place = np.searchsorted(curve.days, day, side="right") - 1
        observed, low, high = 1 - curve.share[place], 1 - curve.high[place], 1 - curve.low[place]
        found.append(
            CalibrationGroup(len(rows), float(chance[rows].mean()), float(observed), float(low), float(high))
        )
    return tuple(found)


def _incidence_variance(
    there: np.ndarray, any_: np.ndarray, this: np.ndarray, free: np.ndarray, share: np.ndarray
) -> np.ndarray:
    """Variance of a cumulative incidence at each time, (T,), from the counts at all times."""
    left = np.maximum(
        there - any_, 1
    )  # nobody is left after the last event of all; its first term is 0 there
    ahead = share[1:, None] - share[None, 1:]  # (T, T): what comes after each earlier time
    past = np.tri(len(there), dtype=bool)
    first = ahead**2 * (any_ / (there * left))
    second = free[:-1] ** 2 * this * (there - this) / there**3
    third = ahead * free[:-1] * this / there**2
    return np.maximum(np.where(past, first + second - 2 * third, 0.0).sum(1), 0.0)


def _log_log_limits(share: np.ndarray, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % limits of shares from their standard errors, which stay between 0 and 1."""
    inside = (share > 0) & (share < 1)
    safe = np.where(inside, share, 0.5)
    width = 1.96 * spread / np.abs(safe * np.log(safe))
    low, high = safe ** np.exp(width), safe ** np.exp(-width)
    return np.where(inside, low, share), np.where(inside, high, share)


def _table(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.asarray(column, float) for name, column in columns.items()}


def _frame(table: Mapping[str, np.ndarray]) -> Any:
    import pandas as pd

    return pd.DataFrame(dict(table))
