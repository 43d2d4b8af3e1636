"""Risk models on simulated stays whose hazards are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_stays import simulated

from glasslung.errors import DataError, UsageError
from glasslung.measure.concordance import harrells_c
from glasslung.measure.ranking import auc
from glasslung.measure.survival import as_if_observed_on, calibration_by_day, cumulative_incidence
from glasslung.studies.prognosis.risks import ILL, KINDS, LONG, STAY, fit, usable

RNG = np.random.default_rng
DAYS = (3.0, 7.0, 14.0)


@pytest.mark.parametrize(
    ("kind", "endpoint"),
    [("cox", ILL), ("cox", STAY), ("competing", ILL), ("hazards", ILL), ("hazards", STAY)],
)
def test_risks_order_patients_nearly_as_the_truth_does(kind, endpoint):
    columns, stays = simulated(250)
    model = fit(kind, columns, stays, endpoint, rng=RNG(0), strengths=KINDS[kind][2][1:2])
    others, ahead = simulated(400, 1)
    if endpoint == ILL:
        days, event, sign = ahead.event_days, ahead.event == 1, 1
    else:
        days, event, sign = ahead.stay, ahead.seen, -1
    found = harrells_c(sign * model.risk(others), days, event)
    best = harrells_c(sign * others["burden"], days, event)
    assert best - 0.03 < found < best + 0.03 and best > 0.55
    chance = model.chance(others, DAYS)
    assert chance.shape == (400, 3) and (chance >= 0).all() and (chance <= 1).all()
    assert (sign * np.diff(chance, axis=1) >= -1e-12).all()


def test_a_logistic_model_parts_long_stays():
    columns, stays = simulated(250)
    model = fit("logistic", columns, stays, rng=RNG(0))
    others, ahead = simulated(400, 1)
    assert auc(ahead.long_stay == 1, model.risk(others)) > 0.97 * auc(ahead.long_stay == 1, others["burden"])
    assert model.endpoint == LONG
    chance = model.chance(others, (7.0,))[:, 0]
    assert abs(chance.mean() - (ahead.long_stay == 1).mean()) < 0.08
    with pytest.raises(UsageError, match="day 7 alone"):
        model.chance(others, DAYS)


@pytest.mark.parametrize("kind", ["competing", "hazards"])
def test_chances_hold_when_discharge_may_come_first(kind):
    columns, stays = simulated(500)
    model = fit(kind, columns, stays, rng=RNG(0), strengths=KINDS[kind][2][:1])
    others, ahead = simulated(600, 1)
    truth = cumulative_incidence(ahead.event_days, ahead.event, 1)
    for column, day in enumerate(DAYS):
        assert abs(model.chance(others, DAYS)[:, column].mean() - truth.at(day)) < 0.05
    days, event = as_if_observed_on(ahead.event_days, ahead.event, 1)
    for group in calibration_by_day(model.chance(others, [7.0])[:, 0], days, event, 7.0, groups=3):
        assert abs(group.predicted - group.observed) < 0.12


def test_strength_is_chosen_by_patients_left_out():
    rng = RNG(3)
    columns, stays = simulated(80, effect=0.0)
    nothing = {f"noise {n}": rng.normal(size=80) for n in range(12)}
    tried = (0.3, 10.0, 100.0)
    assert fit("hazards", nothing, stays, rng=RNG(0), strengths=tried).strength > 1
    columns, stays = simulated(200, effect=1.5)
    assert fit("hazards", columns, stays, rng=RNG(0), strengths=tried).strength < 100


def test_scans_of_one_patient_are_left_out_together():
    from glasslung.studies.prognosis.risks import _folds

    _, stays = simulated(90, each=3)
    folds = _folds(stays, ILL, RNG(0))
    for patient in set(stays.patients):
        assert len({folds[row] for row, name in enumerate(stays.patients) if name == patient}) == 1
    assert np.bincount(folds).tolist() == [18] * 5


def test_what_cannot_be_learned_is_refused():
    columns, stays = simulated(40)
    nobody = replace(stays, event=np.zeros(40, np.int64), seen=np.zeros(40, bool))
    for kind, endpoint in (("cox", ILL), ("competing", ILL), ("hazards", ILL), ("cox", STAY)):
        with pytest.raises(DataError, match="all are censored"):
            fit(kind, columns, nobody, endpoint, rng=RNG(0))
    short = replace(stays, stay=np.full(40, 2.0))
    with pytest.raises(DataError, match="all short"):
        fit("logistic", columns, short, rng=RNG(0))
    holed = columns | {"burden": np.where(np.arange(40) == 3, np.nan, columns["burden"])}
    assert usable(holed, stays, ILL).sum() == 39
    with pytest.raises(DataError, match="1 scans lack"):
        fit("cox", holed, stays, rng=RNG(0))
    with pytest.raises(UsageError, match="risk models are"):
        fit("oracle", columns, stays, rng=RNG(0))
    with pytest.raises(UsageError, match="competing model is of"):
        fit("competing", columns, stays, STAY, rng=RNG(0))
    with pytest.raises(UsageError, match="endpoints are"):
        usable(columns, stays, "rain")
    with pytest.raises(UsageError, match="a column"):
        fit("cox", {}, stays, rng=RNG(0))


def test_only_one_kind_of_event():
    columns, stays = simulated(80)
    ill = replace(stays, event=np.where(stays.event == 1, 1, 0))
    for kind in ("competing", "hazards"):
        chance = fit(kind, columns, ill, rng=RNG(0), strengths=(1.0,)).chance(columns, DAYS)
        assert np.isfinite(chance).all() and (np.diff(chance, axis=1) >= 0).all()
