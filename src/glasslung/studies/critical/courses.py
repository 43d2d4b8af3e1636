"""When critical illness comes, looked at from day 1: a risk score among those who are still well then.

Two in three events of the CAGE set fall before day 1: whoever is critical on the day of the scan is not
foreseen but seen. So the clock starts at day 1 (the landmark), with the patients who are observed beyond it
without an event. Days seem to be the time to critical illness, cut off at 14; a time without event is taken
as the end of observation, and nobody wrote down why it ended. Cox models are learned and asked in the outer
folds of the classification, on out-of-fold image scores: nobody's risk knows that patient's course.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from glasslung.errors import DataError
from glasslung.measure.concordance import (
    c_difference,
    c_interval,
    harrells_c,
    harrells_c_weighted,
    unos_c_weighted,
)
from glasslung.measure.survival import Cox, kaplan_meier, log_rank
from glasslung.studies.critical.ground import CriticalGround
from glasslung.studies.critical.nested import Deal

LANDMARK = 1.0  # day
HORIZON = 14.0  # days: where the set's times are cut off
RIDGE = 0.05  # of the Cox model: some 30 events for three columns
AGE_SEX, IMAGE, BOTH = "age and sex", "image alone", "image, age, sex"


@dataclass(frozen=True, eq=False)
class Landmark:
    """Those who were well and observed past the landmark: rows of the ground, days from there, event."""

    rows: np.ndarray
    days: np.ndarray
    event: np.ndarray


def at_landmark(ground: CriticalGround, day: float = LANDMARK) -> Landmark:
    """The patients at risk after a day; DataError with fewer than five events among them."""
    rows = np.flatnonzero(np.isfinite(ground.days) & (ground.days > day))
    event = ground.event[rows]
    if event.sum() < 5:
        raise DataError(
            f"{int(event.sum())} events after day {day:g}: too few for a course; all others are censored or "
            "critically ill before it"
        )
    return Landmark(rows, ground.days[rows] - day, event)


def risks_of(ground: CriticalGround, past: Landmark, deal: Deal, image: np.ndarray) -> dict[str, np.ndarray]:
    """Out-of-fold log hazards of the landmark's patients by each set of columns, (M,).

    image  (N,) out-of-fold image log-odds. A Cox model of the other folds' patients answers for each fold.
    """
    fold = deal.fold[past.rows]
    columns = {"image": image[past.rows], "age": ground.age[past.rows] / 10, "male": ground.male[past.rows]}
    sets = {AGE_SEX: ("age", "male"), BOTH: ("image", "age", "male")}
    found = {name: np.zeros(len(past.rows)) for name in sets}
    for number in np.unique(fold):
        train, test = fold != number, fold == number
        for name, wanted in sets.items():
            middle = {one: np.nanmedian(columns[one][train]) for one in wanted}
            filled = {one: np.where(np.isfinite(columns[one]), columns[one], middle[one]) for one in wanted}
            mine = {one: column[train] for one, column in filled.items()}
            cox = Cox(mine, past.days[train], past.event[train], RIDGE)
            found[name][test] = cox.risk({one: column[test] for one, column in filled.items()})
    return {IMAGE: image[past.rows]} | found


def courses(
    ground: CriticalGround, deals: list[Deal], rng: np.random.Generator, draws: int
) -> dict[str, Any]:
    """C with intervals, their differences, log-rank of the median split and its curves.

    Risks are averaged over the deals, each brought to ranks first; `spread` are the C of single deals.
    """
    past = at_landmark(ground)
    each = [risks_of(ground, past, deal, deal.log_odds) for deal in deals]
    risk = {name: np.mean([_ranks(one[name]) for one in each], axis=0) for name in each[0]}
    patients = ground.patients[past.rows]
    uno = partial(unos_c_weighted, tau=HORIZON - LANDMARK)
    rows = {
        name: {
            "harrell": asdict(
                c_interval(harrells_c_weighted, mine, past.days, past.event, patients, rng=rng, draws=draws)
            ),
            "uno": asdict(c_interval(uno, mine, past.days, past.event, patients, rng=rng, draws=draws)),
            "spread": [harrells_c(one[name], past.days, past.event) for one in each],
        }
        for name, mine in risk.items()
    }
    gains = {
        name: asdict(
            c_difference(
                harrells_c_weighted,
                risk[AGE_SEX],
                risk[name],
                past.days,
                past.event,
                patients,
                rng=rng,
                draws=draws,
            )
        )
        for name in (IMAGE, BOTH)
    }
    return {
        "landmark": LANDMARK,
        "patients": len(past.rows),
        "events": int(past.event.sum()),
        "before": int((ground.event & (ground.days <= LANDMARK)).sum()),
        "no_day": int((~np.isfinite(ground.days)).sum()),
        "risks": rows,
        "gains": gains,
        "split": {name: split_at_median(risk[name], past) for name in (IMAGE, AGE_SEX)},
        "like_scans": like_scans(ground, past, risk, rng, draws),
    }


def like_scans(
    ground: CriticalGround,
    past: Landmark,
    risk: Mapping[str, np.ndarray],
    rng: np.random.Generator,
    draws: int,
) -> dict[str, Any] | None:
    """Harrell's C among scans of the usual length, where length tells little; None with under 5 events."""
    near = ground.one_scanner()[past.rows]
    if past.event[near].sum() < 5:
        return None
    who, days, event = ground.patients[past.rows][near], past.days[near], past.event[near]
    found = {
        name: asdict(c_interval(harrells_c_weighted, mine[near], days, event, who, rng=rng, draws=draws))
        for name, mine in risk.items()
    }
    return {"patients": int(near.sum()), "events": int(event.sum()), "harrell": found}


def split_at_median(risk: np.ndarray, past: Landmark) -> dict[str, Any]:
    """The half with the higher risk against the other: log-rank, and what a curve needs to be drawn."""
    high = risk > np.median(risk)
    tested = log_rank(past.days, past.event, high)
    groups: Mapping[str, np.ndarray] = {"higher risk": high, "lower risk": ~high}
    told: dict[str, Any] = {"p": tested.p, "statistic": tested.statistic, "groups": {}}
    for name, mine in groups.items():
        end = kaplan_meier(past.days[mine], past.event[mine])
        told["groups"][name] = {
            "days": past.days[mine].tolist(),
            "event": past.event[mine].tolist(),
            "free_at_end": end.at(HORIZON - LANDMARK),
        }
    return told


def _ranks(risk: np.ndarray) -> np.ndarray:
    from scipy.stats import rankdata

    return np.asarray(rankdata(risk) / len(risk))
