"""Time until an event when observation may end before it: curves, their comparison, and predicted chances.

Kaplan-Meier, log-rank test and Cox regression are lifelines'. Two things are here: the cumulative incidence
under competing events, because lifelines' estimator breaks ties by chance and days come in whole numbers, and
scores of predicted chances (Brier, calibration), which weigh patients by the chance of having been observed
(Graf et al., Stat Med 1999;18:2529-45). Days count from where the prediction is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from glasslung.errors import DataError, UsageError
from glasslung.measure.concordance import checked, observed_until

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
    would treat a patient who went home as one who could still die there, and is too high.
    """
    days, kind = np.asarray(days, float), np.asarray(kind)
    _, days, happened = checked(np.zeros(len(days)), days, kind != NO_EVENT)
    times = np.unique(days[happened])
    there = (days[None, :] >= times[:, None]).sum(1)
    any_ = ((days[None, :] == times[:, None]) & happened).sum(1)
    this = ((days[None, :] == times[:, None]) & (kind == of)).sum(1)
    free = np.concatenate([[1.0], np.cumprod(1 - any_ / there)])  # of every event, before each time
    share = np.concatenate([[0.0], np.cumsum(free[:-1] * this / there)])
    unknown = np.full(len(share), np.nan)
    return Curve(np.concatenate([[0.0], times]), share, unknown, unknown, len(days), int((kind == of).sum()))


class Cox:
    """A Cox model of some columns: who has how many times whose hazard. Lifelines does the work.

    columns    name -> (N,) numbers; standardise what is to be compared
    ridge      weight of the squared coefficients; a little keeps few events from giving endless ratios
    """

    def __init__(
        self, columns: Mapping[str, np.ndarray], days: np.ndarray, event: np.ndarray, ridge: float = 0.01
    ) -> None:
        from lifelines import CoxPHFitter

        _, days, event = checked(np.zeros(len(days)), days, event)
        if not event.any():
            raise DataError("nobody met the event: no hazard can be estimated")
        self.names = tuple(columns)
        table = _table(columns) | {"days": days, "event": event}
        self._fitted: Any = CoxPHFitter(penalizer=ridge).fit(_frame(table), "days", "event")

    def risk(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """Log of the hazard against the average patient it was fitted on, (N,)."""
        return np.asarray(self._fitted.predict_log_partial_hazard(_frame(_table(columns))), float)

    def chance_by(self, columns: Mapping[str, np.ndarray], day: float) -> np.ndarray:
        """Chance of meeting the event by a day, (N,) in [0, 1]."""
        curves = self._fitted.predict_survival_function(_frame(_table(columns)), times=[day])
        return 1.0 - curves.to_numpy()[0]

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


def _table(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.asarray(column, float) for name, column in columns.items()}


def _frame(table: Mapping[str, np.ndarray]) -> Any:
    import pandas as pd

    return pd.DataFrame(dict(table))
