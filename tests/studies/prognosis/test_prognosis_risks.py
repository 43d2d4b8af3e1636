"""Risk models on simulated stays whose hazards are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from glasslung.data.stays import Stays
from glasslung.errors import DataError, UsageError
from glasslung.measure.concordance import harrells_c
from glasslung.measure.ranking import auc
from glasslung.measure.survival import as_if_observed_on, calibration_by_day, cumulative_incidence
from glasslung.studies.prognosis.hazardlaw import fit_law, law_likelihood, resampled_law
from glasslung.studies.prognosis.risks import ILL, KINDS, LONG, STAY, fit, times_of, usable


def simulated(n=300, seed=0, effect=1.0, each=1):
    """Columns and stays: critical illness and discharge compete; `burden` drives both, `noise` nothing."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n // each), each)
    burden, noise = rng.normal(30, 10, n), rng.normal(0, 3, n)
    risk = effect * (burden - 30) / 10
    ill, home = rng.exponential(20 * np.exp(-risk)), rng.exponential(9 * np.exp(0.7 * risk))
    event_days = np.maximum(np.minimum(ill, home), 0.05)
    event = np.where(ill < home, 1, 2)
    stay = np.where(event == 1, event_days + rng.exponential(8, n), event_days)
    blank = np.full(n, np.nan)
    stays = Stays(
        tuple(f"p{one}" for one in patients),
        tuple(f"s{row}" for row in range(n)),
        ("a",) * n,
        np.full(n, -1),
        np.zeros(n),
        blank,
        blank,
        stay,
        np.ones(n, bool),
        event,
        event_days,
        np.zeros(n, bool),
    )
    return {"burden": burden, "noise": noise}, stays


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


def slow_likelihood(logits, day, kind, edges):
    """Of one scan, from the formula: lived through each interval before, then the event or nothing."""
    total = 0.0
    for start, end, row in zip(edges, edges[1:], logits, strict=False):
        whole = 1 + sum(np.exp(row))
        if kind and start < day <= end:
            return total + np.log(np.exp(row[kind - 1]) / whole)
        if end <= day or (kind and day > end):
            total += np.log(1 / whole)
    return total


def test_a_hazard_law_is_the_best_of_its_kind():
    """No small step away from the fitted law makes the penalised likelihood better: a slow twin says so."""
    columns, stays = simulated(40)
    days, kind = times_of(stays, ILL)
    law = fit_law(columns, days, kind, 1.0, edges=(0, 3, 7, 14))
    x = law.standard(columns)
    slow = [
        slow_likelihood(row.tolist(), day, one, law.edges.tolist())
        for row, day, one in zip(law.base[None] + (x @ law.weights)[:, None], days, kind, strict=True)
    ]
    np.testing.assert_allclose(law_likelihood(law, columns, days, kind), slow)

    def worth(base, weights):
        logits = base[None] + (x @ weights)[:, None]
        fits = sum(
            slow_likelihood(logits[n].tolist(), days[n], kind[n], law.edges.tolist()) for n in range(len(x))
        )
        return fits - (weights**2).sum() - 2.0 * (np.diff(base, axis=0) ** 2).sum() - 1e-3 * (base**2).sum()

    best, rng = worth(law.base, law.weights), RNG(1)
    for _ in range(20):
        moved = [one + rng.normal(0, 0.05, one.shape) for one in (law.base, law.weights)]
        assert worth(*moved) < best


def test_weights_find_the_hazards_that_were_drawn():
    columns, stays = simulated(3000)
    law = fit_law(columns, *times_of(stays, ILL), 0.1)
    ill, home = law.weights[0]
    assert ill == pytest.approx(1.0, abs=0.15) and home == pytest.approx(-0.7, abs=0.12)
    assert np.abs(law.weights[1]).max() < 0.1  # noise


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


def test_resampled_laws_spread_around_the_law():
    columns, stays = simulated(120)
    law = fit_law(columns, *times_of(stays, ILL), 1.0)
    base, weights = resampled_law(columns, *times_of(stays, ILL), 1.0, stays.patients, draws=15, rng=RNG(0))
    assert base.shape == (15, *law.base.shape) and weights.shape == (15, 2, 2)
    assert 0.03 < weights[:, 0, 0].std() < 0.5
    assert abs(weights[:, 0, 0].mean() - law.weights[0, 0]) < 0.2


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
