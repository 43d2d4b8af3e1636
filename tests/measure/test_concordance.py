"""Pairs in the order of their events: against loops from the definitions, lifelines, and known risks."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lifelines.utils import concordance_index

from glasslung.data.phantom.outcome import c_index
from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.measure.concordance import (
    auc_at_day,
    auc_at_day_weighted,
    c_difference,
    c_interval,
    harrells_c,
    harrells_c_weighted,
    observed_until,
    unos_c,
    unos_c_weighted,
)


def people(n, seed, ties=False):
    rng = np.random.default_rng(seed)
    risk = rng.normal(size=n)
    true = rng.exponential(10 * np.exp(-risk))
    end = rng.exponential(15, size=n)
    days, event = np.minimum(true, end), true <= end
    if ties:
        days, risk = np.ceil(days / 2), np.round(risk)
    return risk, days, event


def slow_before(days, event, at):
    """Kaplan-Meier of the censoring just before a day, from its definition."""
    share = 1.0
    for time in sorted(set(days[~event])):
        if time >= at:
            break
        left = sum(d == time and not e for d, e in zip(days, event, strict=True))
        there = sum(d > time or (d == time and not e) for d, e in zip(days, event, strict=True))
        share *= 1 - left / there
    return share


def slow_c(risk, days, event, weight=lambda i: 1.0, counts=lambda i: True):
    won = all_ = 0.0
    for i in range(len(risk)):
        for j in range(len(risk)):
            first = event[i] and (days[i] < days[j] or (days[i] == days[j] and not event[j]))
            if first and counts(i):
                all_ += weight(i)
                won += weight(i) * (1.0 if risk[i] > risk[j] else 0.5 if risk[i] == risk[j] else 0.0)
    return won / all_


@given(st.integers(5, 40), st.integers(0, 10_000), st.booleans())
def test_harrells_c_is_lifelines_and_the_phantoms(n, seed, ties):
    risk, days, event = people(n, seed, ties)
    if not event.any() or np.isnan(c_index(risk, days, event)):
        with pytest.raises(DataError):
            harrells_c(risk, days, event)
        return
    found = harrells_c(risk, days, event)
    assert found == pytest.approx(slow_c(risk, days, event))
    assert found == pytest.approx(c_index(risk, days, event))
    if not ties:  # lifelines counts two events at one time as a pair of one half
        assert found == pytest.approx(concordance_index(days, -risk, event))


@given(st.integers(8, 30), st.integers(0, 10_000), st.booleans(), st.sampled_from([None, 6.0]))
def test_unos_c_is_its_definition(n, seed, ties, tau):
    risk, days, event = people(n, seed, ties)
    last = np.inf if tau is None else tau
    try:
        expected = slow_c(
            risk,
            days,
            event,
            weight=lambda i: slow_before(days, event, days[i]) ** -2,
            counts=lambda i: days[i] < last,
        )
    except ZeroDivisionError:
        with pytest.raises(DataError):
            unos_c(risk, days, event, tau)
        return
    assert unos_c(risk, days, event, tau) == pytest.approx(expected)


@pytest.mark.parametrize("ties", [False, True])
def test_auc_at_a_day_is_its_definition(ties):
    risk, days, event = people(60, 4, ties)
    won = all_ = 0.0
    for i in range(60):
        for j in range(60):
            if event[i] and days[i] <= 8 < days[j]:
                weight = 1 / slow_before(days, event, days[i])
                all_ += weight
                won += weight * (1.0 if risk[i] > risk[j] else 0.5 if risk[i] == risk[j] else 0.0)
    assert auc_at_day(risk, days, event, 8) == pytest.approx(won / all_)


def test_without_censoring_all_three_agree_with_plain_counting():
    risk, days, _ = people(50, 1)
    ended = np.ones(50, bool)
    assert unos_c(risk, days, ended) == pytest.approx(harrells_c(risk, days, ended))
    from sklearn.metrics import roc_auc_score

    day = float(np.median(days))
    assert auc_at_day(risk, days, ended, day) == pytest.approx(roc_auc_score(days <= day, risk))


def test_unos_c_does_not_move_with_the_censoring_where_harrells_does():
    rng = np.random.default_rng(0)
    risk = rng.normal(size=1500)
    true = rng.weibull(0.7, 1500) * 10 * np.exp(-0.8 * risk)
    full = unos_c(risk, true, np.ones(1500, bool), tau=8)
    end = rng.uniform(0, 14, 1500)
    days, event = np.minimum(true, end), true <= end
    assert abs(unos_c(risk, days, event, tau=8) - full) < 0.02


@pytest.mark.parametrize(
    "statistic",
    [harrells_c_weighted, unos_c_weighted, partial(auc_at_day_weighted, day=6.0)],
    ids=["harrell", "uno", "auc"],
)
def test_a_weight_is_a_patient_more(statistic):
    risk, days, event = people(25, 7)
    counts = np.random.default_rng(2).integers(0, 3, 25)
    rows = np.repeat(np.arange(25), counts)
    repeated = statistic(risk[rows], days[rows], event[rows], np.ones((1, len(rows))))
    np.testing.assert_allclose(statistic(risk, days, event, counts[None].astype(float)), repeated)


def test_censoring_curve_against_its_loop():
    _, days, event = people(40, 3, ties=True)
    found = observed_until(days, event, days, np.ones((1, 40)))[0]
    np.testing.assert_allclose(found, [slow_before(days, event, day) for day in days])


def test_intervals_hold_the_value_and_a_better_score_wins():
    risk, days, event = people(120, 9)
    noise = risk + np.random.default_rng(1).normal(size=120) * 2
    who = np.arange(120)
    rng = np.random.default_rng
    one = c_interval(harrells_c_weighted, risk, days, event, who, rng=rng(0), draws=300)
    assert one.low < one.value < one.high
    gain = c_difference(harrells_c_weighted, noise, risk, days, event, who, rng=rng(0), draws=300)
    assert gain.low > 0
    same = c_difference(unos_c_weighted, risk, risk, days, event, who, rng=rng(0), draws=50)
    assert (same.low, same.high) == (0, 0)


def test_what_cannot_be_compared_is_refused():
    risk, days, event = people(10, 0)
    with pytest.raises(DataError, match="before day 0"):
        harrells_c(risk, days - 100, event)
    with pytest.raises(DataError, match="no pair"):
        harrells_c(risk, days, np.zeros(10, bool))
    with pytest.raises(DataError, match="no number"):
        harrells_c(np.full(10, np.nan), days, event)
    with pytest.raises(DataError, match="True/False"):
        harrells_c(risk, days, np.arange(10))
    with pytest.raises(ShapeError):
        harrells_c(risk[:5], days, event)
    with pytest.raises(UsageError):
        unos_c(risk, days, event, tau=0)
