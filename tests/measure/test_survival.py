"""Curves and chances over time: against definitions, and the truth of simulated patients."""

import numpy as np
import pytest

from glasslung.errors import DataError, UsageError
from glasslung.measure.survival import (
    Cox,
    as_if_observed_on,
    at_risk,
    brier_by_day,
    calibration_by_day,
    competing_incidence,
    cumulative_incidence,
    integrated_brier,
    kaplan_meier,
    log_rank,
)


def simulated(n=400, seed=0, effect=1.0):
    rng = np.random.default_rng(seed)
    risk = rng.normal(size=n)
    true = rng.exponential(12 * np.exp(-effect * risk))
    end = rng.uniform(2, 40, n)
    return risk, np.minimum(true, end), true <= end, true


def test_kaplan_meier_is_the_product_of_its_steps():
    days = np.array([1, 2, 2, 3, 5, 5, 8.0])
    event = np.array([1, 1, 0, 1, 0, 1, 0], bool)
    curve = kaplan_meier(days, event)
    steps = [1 - 1 / 7, 1 - 1 / 6, 1 - 1 / 4, 1 - 1 / 3]
    for day, expected in zip([1, 2, 3, 5], np.cumprod(steps), strict=True):
        assert curve.at(day) == pytest.approx(expected)
    assert curve.at(0) == 1
    assert curve.at(100) == pytest.approx(np.prod(steps))
    assert (curve.patients, curve.events) == (7, 4)
    assert at_risk(days, [0, 2, 5, 9]) == [7, 6, 3, 0]
    inside = (curve.low <= curve.share) & (curve.share <= curve.high)
    assert inside.all()


def test_log_rank_is_the_two_by_two_sum():
    risk, days, event, _ = simulated(80, 3)
    group = risk > 0
    seen = expected = spread = 0.0
    for day in np.unique(days[event]):
        there, now = days >= day, (days == day) & event
        n, d, one = there.sum(), now.sum(), (there & group).sum()
        seen += (now & group).sum()
        expected += d * one / n
        spread += d * (one / n) * (1 - one / n) * (n - d) / max(n - 1, 1)
    found = log_rank(days, event, group)
    assert found.statistic == pytest.approx((seen - expected) ** 2 / spread, rel=1e-6)
    assert found.freedom == 1
    assert found.p < 0.001


def test_cox_finds_the_hazard_that_was_drawn():
    risk, days, event, true = simulated(3000, 1, effect=0.7)
    model = Cox({"risk": risk}, days, event, ridge=0.0)
    (one,) = model.hazards()
    assert one.low < np.exp(0.7) < one.high
    order = np.argsort(risk)
    assert (np.diff(model.risk({"risk": risk})[order]) >= 0).all()
    chance = model.chance_by({"risk": risk}, 7.0)
    assert chance.mean() == pytest.approx((true <= 7).mean(), abs=0.03)


def test_incidences_of_competing_events_and_none_add_up_to_one():
    rng = np.random.default_rng(4)
    days, kind = np.ceil(rng.exponential(6, 200)), rng.integers(0, 3, 200)
    one, two = (cumulative_incidence(days, kind, which) for which in (1, 2))
    free = kaplan_meier(days, kind > 0)
    for day in (1, 3, 7, 20):
        assert one.at(day) + two.at(day) + free.at(day) == pytest.approx(1)
    assert one.at(20) < 1 - kaplan_meier(days, kind == 1).at(20)


def test_incidence_agrees_with_lifelines_where_no_two_events_coincide():
    from lifelines import AalenJohansenFitter

    rng = np.random.default_rng(5)
    days, kind = rng.exponential(6, 120), rng.integers(0, 3, 120)
    fitted = AalenJohansenFitter(calculate_variance=False).fit(days, kind, event_of_interest=1)
    ours = cumulative_incidence(days, kind, 1)
    for day in (1.0, 4.0, 9.0):
        assert ours.at(day) == pytest.approx(float(fitted.predict(day)), abs=1e-9)


def test_brier_without_censoring_is_the_mean_square_and_with_it_stays_there():
    risk, days, event, true = simulated(4000, 2)
    chance = 1 - np.exp(-7 / (12 * np.exp(-risk)))
    ended = np.ones(len(true), bool)
    plain = float(((true <= 7) - chance).__pow__(2).mean())
    assert brier_by_day(chance, true, ended, 7) == pytest.approx(plain)
    assert brier_by_day(chance, days, event, 7) == pytest.approx(plain, abs=0.01)
    assert brier_by_day(np.full(len(true), 0.5), true, ended, 7) == pytest.approx(0.25)
    with pytest.raises(UsageError):
        brier_by_day(risk * 5, days, event, 7)


def test_true_chances_are_calibrated_and_halved_ones_are_not():
    risk, days, event, _ = simulated(3000, 6)
    chance = 1 - np.exp(-7 / (12 * np.exp(-risk)))
    for one in calibration_by_day(chance, days, event, 7):
        assert one.low - 0.02 <= one.predicted <= one.high + 0.02
    worst = calibration_by_day(chance / 2, days, event, 7)[-1]
    assert worst.predicted < worst.low


def test_what_tells_nothing_is_refused():
    _, days, event, _ = simulated(20)
    with pytest.raises(DataError, match="in one"):
        log_rank(days, event, np.zeros(20))
    nobody = np.zeros(20, bool)
    with pytest.raises(DataError, match="nobody met"):
        log_rank(days, nobody, np.arange(20) % 2)
    with pytest.raises(DataError, match="nobody met"):
        Cox({"a": np.arange(20.0)}, days, nobody)
    with pytest.raises(DataError, match="before day 0"):
        kaplan_meier(-days, event)


def competing(n=300, seed=5):
    """Days and kinds of two events and of ends of observation, no two on one day."""
    rng = np.random.default_rng(seed)
    first, second, end = rng.exponential(10, n), rng.exponential(6, n), rng.uniform(3, 25, n)
    days = np.minimum(np.minimum(first, second), end)
    return days, np.where(end <= days, 0, np.where(first <= days, 1, 2))


def test_limits_of_an_incidence_are_lifelines():
    from lifelines import AalenJohansenFitter

    days, kind = competing(120)
    ours = cumulative_incidence(days, kind, 1)
    theirs = AalenJohansenFitter(calculate_variance=True).fit(days, kind, event_of_interest=1)
    spread = np.sqrt(theirs.variance_.to_numpy().reshape(-1))
    for day in (2.0, 5.0, 9.0):
        row = theirs.cumulative_density_.index.searchsorted(day, side="right") - 1
        share = float(theirs.cumulative_density_.iloc[row, 0])
        assert ours.at(day) == pytest.approx(share)
        width = 1.96 * spread[row] / abs(share * np.log(share))
        place = np.searchsorted(ours.days, day, side="right") - 1
        assert ours.low[place] == pytest.approx(share ** np.exp(width), rel=1e-6)
        assert ours.high[place] == pytest.approx(share ** np.exp(-width), rel=1e-6)


def test_limits_of_an_incidence_cover_the_truth():
    inside = 0
    for seed in range(100):
        curve = cumulative_incidence(*competing(80, seed), 1)
        truth = (1 / 10) / (1 / 10 + 1 / 6) * (1 - np.exp(-(1 / 10 + 1 / 6) * 4.0))
        place = np.searchsorted(curve.days, 4.0, side="right") - 1
        inside += bool(curve.low[place] <= truth <= curve.high[place])
    assert 88 <= inside <= 100


def test_chances_from_hazards_of_events_that_compete():
    days = np.linspace(0.01, 12, 1200)
    hazards = np.stack([[rate * days] for rate in (1 / 10, 1 / 6)])
    for of, rate in ((1, 1 / 10), (2, 1 / 6)):
        found = competing_incidence(hazards, of)[0]
        truth = rate / (1 / 10 + 1 / 6) * (1 - np.exp(-(1 / 10 + 1 / 6) * days))
        np.testing.assert_allclose(found, truth, atol=1e-9)
    with pytest.raises(UsageError, match="never fall"):
        competing_incidence(hazards[..., ::-1], 1)


def test_who_met_another_event_never_meets_this_one():
    days, kind = competing(200)
    never = kind != 0
    days, kind = days[never], kind[never]  # nobody's observation ended otherwise
    seen, event = as_if_observed_on(days, kind, 1)
    for day in (2.0, 5.0, 9.0):
        assert 1 - kaplan_meier(seen, event).at(day) == pytest.approx(
            cumulative_incidence(days, kind, 1).at(day)
        )
        chance = np.full(len(days), 0.3)
        happened = (kind == 1) & (days <= day)
        assert brier_by_day(chance, seen, event, day) == pytest.approx(((happened - 0.3) ** 2).mean())


def test_the_integrated_brier_is_the_mean_over_the_days():
    risk, days, event, _ = simulated(150, 2)
    at = [2.0, 4.0, 9.0]
    chances = np.stack([1 / (1 + np.exp(-risk - day / 10)) for day in at], 1)
    scores = [brier_by_day(chances[:, n], days, event, day) for n, day in enumerate(at)]
    slow = ((scores[0] + scores[1]) / 2 * 2 + (scores[1] + scores[2]) / 2 * 5) / 7
    assert integrated_brier(chances, days, event, at) == pytest.approx(slow)
    with pytest.raises(UsageError, match="two or more"):
        integrated_brier(chances[:, :1], days, event, at[:1])


def test_a_cox_model_tells_hazards_and_how_well_it_fits_others():
    risk, days, event, _ = simulated(600, 4)
    model = Cox({"risk": risk[:400]}, days[:400], event[:400])
    others = {"risk": risk[400:]}
    grown = model.cumulative_hazard(others, [1.0, 5.0, 10.0])
    assert grown.shape == (200, 3) and (np.diff(grown, axis=1) >= 0).all()
    np.testing.assert_allclose(1 - np.exp(-grown[:, 1]), model.chance_by(others, 5.0), rtol=1e-6)
    wrong = {"risk": -risk[400:]}
    assert model.likelihood(others, days[400:], event[400:]) > model.likelihood(
        wrong, days[400:], event[400:]
    )


def test_a_column_that_never_varies_is_left_out_of_a_cox_model():
    risk, days, event, _ = simulated(200, 6)
    same = np.ones(200)
    model = Cox({"risk": risk, "same": same}, days, event)
    assert model.names == ("risk",) and [one.name for one in model.hazards()] == ["risk"]
    alone = Cox({"risk": risk}, days, event)
    np.testing.assert_allclose(model.risk({"risk": risk, "same": same}), alone.risk({"risk": risk}))
    with pytest.raises(DataError, match="same for all"):
        Cox({"same": same}, days, event)


def test_a_cox_model_without_a_maximum_says_so():
    risk, days, event, _ = simulated(40, 7)
    with pytest.raises(DataError, match="no maximum"):
        Cox({"risk": risk, "again": risk}, days, event, ridge=0.0)
