"""What a risk is worth on patients nobody learned from, one landmark each, as plain JSON.

A triple is [value, low, high], 95 % by resampling patients; null where a figure is not defined.
A risk is higher for who stays longer, or falls critically ill sooner.

    score_stay -> {'patients', 'long', 'open': not seen to leave, 'harrell', 'uno': C of the length of stay,
        'auc': of 7 days or more, 'brier', 'calibration': [[predicted, observed, low, high, patients]],
        'log_rank': {'p', 'reversed': high risk left sooner, 'high', 'low': patients},
        'groups': {'days', 'seen', 'high'}}
    score_ill  -> {'patients', 'events', 'by day 14', 'harrell', 'uno', 'auc': by day 14, 'brier',
        'predicted', 'observed': means of the chances and of what happened by day 14}
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from glasslung.data.stays import CRITICAL, LONG_STAY_DAYS, NOTHING, Stays
from glasslung.errors import DataError
from glasslung.measure.concordance import (
    c_difference,
    c_interval,
    harrells_c_weighted,
    unos_c_weighted,
)
from glasslung.measure.ranking import auc_interval
from glasslung.measure.statistics import Interval, bootstrap_by_patient
from glasslung.measure.survival import brier_by_day, calibration_by_day, log_rank
from glasslung.studies.prognosis.risks import HORIZON

JUST_BELOW = 0.02  # days: a stay of 7.0 days is long, so what is over by then has ended before
Triple = list[float]


def first_landmarks(stays: Stays, rows: np.ndarray) -> np.ndarray:
    """(N,) bool: of these rows the earliest of each patient: a log-rank test wants patients, not scans."""
    chosen: dict[str, int] = {}
    for row in sorted(np.flatnonzero(rows), key=lambda one: stays.day[one]):
        chosen.setdefault(stays.patients[row], int(row))
    out = np.zeros(len(stays), bool)
    out[list(chosen.values())] = True
    return out


def score_stay(
    stays: Stays, risk: np.ndarray, chance: np.ndarray | None, high: np.ndarray, seed: int, draws: int
) -> dict[str, Any]:
    """All figures of a risk of staying long, (N,), on N patients.

    chance  (N,) of staying 7 days or more; None where the risk has no such unit
    high    (N,) bool: who is called high risk, by a cut that was chosen elsewhere
    """
    who = stays.patients
    known = stays.long_stay >= 0
    long = stays.long_stay[known] == 1
    both = 0 < int(long.sum()) < len(long)
    told: dict[str, Any] = {
        "patients": len(set(who)),
        "long": int(long.sum()),
        "open": int((~stays.seen).sum()),
        "harrell": _c(harrells_c_weighted, -risk, stays.stay, stays.seen, who, seed, draws),
        "uno": _c(unos_c_weighted, -risk, stays.stay, stays.seen, who, seed, draws),
        "auc": None,
        "brier": None,
        "calibration": [],
        "log_rank": log_rank_of(stays, high),
        "groups": {
            "days": [round(float(day), 2) for day in stays.stay],
            "seen": [bool(one) for one in stays.seen],
            "high": [bool(one) for one in high],
        },
    }
    if both:
        names = np.array(who)[known]
        told["auc"] = _triple(auc_interval(long, risk[known], names, rng=_rng(seed), draws=draws))
    if chance is not None:
        told |= _calibrated(stays, chance, seed, draws)
    return told


def score_ill(
    stays: Stays, risk: np.ndarray, chance: np.ndarray | None, seed: int, draws: int
) -> dict[str, Any]:
    """Figures of a risk of critical illness, (N,), on N patients.

    chance  (N,) of falling critically ill by day 14; None where the risk has no such unit
    C counts discharge as the end of observation; AUC and Brier score know it for what it is: whoever went
    home did not fall ill. They leave out who was not observed for 14 days without either.
    """
    ill, who = stays.event == CRITICAL, stays.patients
    by_then = ill & (stays.event_days <= HORIZON)
    known = by_then | (stays.event != NOTHING) | (stays.event_days >= HORIZON)
    names = np.array(who)[known]
    told: dict[str, Any] = {
        "patients": len(set(who)),
        "events": int(ill.sum()),
        "by day 14": int(by_then.sum()),
        "harrell": _c(harrells_c_weighted, risk, stays.event_days, ill, who, seed, draws),
        "uno": _c(unos_c_weighted, risk, stays.event_days, ill, who, seed, draws),
        "auc": None,
        "brier": None,
        "predicted": None,
    }
    if 0 < by_then[known].sum() < known.sum():
        told["auc"] = _triple(auc_interval(by_then[known], risk[known], names, rng=_rng(seed), draws=draws))
    if chance is not None:
        errors = (chance[known] - by_then[known]) ** 2
        told["brier"] = _triple(_mean(errors, names, seed, draws))
        told["predicted"] = float(chance[known].mean())
        told["observed"] = float(by_then[known].mean())
    return told


def _mean(values: np.ndarray, patients: np.ndarray, seed: int, draws: int) -> Interval:
    def mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return np.asarray((weights * values).sum(1) / weights.sum(1))

    return bootstrap_by_patient(mean, patients, values, rng=_rng(seed), draws=draws, weighted=True)


def compare(
    stays: Stays, first: np.ndarray, second: np.ndarray, ill: bool, seed: int, draws: int
) -> Triple | None:
    """How much higher the second risk's C is than the first's, on the same resamples; None: not defined.

    ill  False: of a long stay; True: of critical illness
    """
    days, event = (stays.event_days, stays.event == CRITICAL) if ill else (stays.stay, stays.seen)
    risks = (first, second) if ill else (-first, -second)
    try:
        found = c_difference(
            harrells_c_weighted, *risks, days, event, stays.patients, rng=_rng(seed), draws=draws
        )
    except DataError:
        return None
    return _triple(found)


def _calibrated(stays: Stays, chance: np.ndarray, seed: int, draws: int) -> dict[str, Any]:
    """Whether chances of a long stay mean what they say: Brier score with limits, and groups."""
    day = LONG_STAY_DAYS - JUST_BELOW
    over = np.clip(1 - chance, 0, 1)

    def brier(chance: np.ndarray, days: np.ndarray, seen: np.ndarray) -> float:
        return brier_by_day(chance, days, seen, day)

    found = bootstrap_by_patient(
        brier, stays.patients, over, stays.stay, stays.seen, rng=_rng(seed), draws=min(draws, 500)
    )
    groups = calibration_by_day(over, stays.stay, stays.seen, day)
    return {
        "brier": _triple(found),
        "calibration": [
            [1 - one.predicted, 1 - one.observed, 1 - one.high, 1 - one.low, one.patients] for one in groups
        ][::-1],
    }


def log_rank_of(stays: Stays, high: np.ndarray) -> dict[str, Any]:
    """The log-rank test between high risk and low, (N,) bool, and whether high risk left sooner."""
    counts = {"high": int(high.sum()), "low": int((~high).sum())}
    if not min(counts.values()) or not stays.seen.any():
        return {"p": None, "reversed": False, **counts}
    sooner = float(_weighted_c(high.astype(float), stays)) > 0.5  # the test does not say who stays longer
    return {"p": log_rank(stays.stay, stays.seen, high).p, "reversed": sooner, **counts}


def _weighted_c(risk: np.ndarray, stays: Stays) -> float:
    """Harrell's C of leaving first; NaN where no pair counts."""
    return float(harrells_c_weighted(risk, stays.stay, stays.seen, np.ones((1, len(risk))))[0])


def _c(
    statistic: Callable[..., np.ndarray],
    risk: np.ndarray,
    days: np.ndarray,
    event: np.ndarray,
    patients: Sequence[str],
    seed: int,
    draws: int,
) -> Triple | None:
    """A C with its limits; None where too few met the event for one."""
    try:
        return _triple(c_interval(statistic, risk, days, event, patients, rng=_rng(seed), draws=draws))
    except DataError:
        return None


def _triple(found: Interval) -> Triple:
    return [found.value, found.low, found.high]


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)
