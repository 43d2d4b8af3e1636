"""Laws of hazards: the top of the penalised likelihood, by a slow twin, and the truth of simulated stays."""

from __future__ import annotations

import numpy as np
import pytest
from made_stays import simulated

from glasslung.errors import DataError, ShapeError
from glasslung.studies.prognosis.hazardlaw import Seen, fit_law, law_likelihood, resampled_law
from glasslung.studies.prognosis.risks import ILL, times_of

RNG = np.random.default_rng


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


def test_resampled_laws_spread_around_the_law():
    columns, stays = simulated(120)
    law = fit_law(columns, *times_of(stays, ILL), 1.0)
    base, weights = resampled_law(columns, *times_of(stays, ILL), 1.0, stays.patients, draws=15, rng=RNG(0))
    assert base.shape == (15, *law.base.shape) and weights.shape == (15, 2, 2)
    assert 0.03 < weights[:, 0, 0].std() < 0.5
    assert abs(weights[:, 0, 0].mean() - law.weights[0, 0]) < 0.2


def test_more_strength_is_less_weight_and_counts_are_copies():
    columns, stays = simulated(80)
    days, kind = times_of(stays, ILL)
    weak, strong = (np.abs(fit_law(columns, days, kind, one).weights).sum() for one in (0.1, 100.0))
    assert strong < 0.5 * weak
    counts = RNG(0).integers(0, 3, 80)
    often = np.repeat(np.arange(80), counts)
    law = fit_law(columns, days, kind, 1.0, counts=counts)
    copied = fit_law({name: column[often] for name, column in columns.items()}, days[often], kind[often], 1.0)
    moved = (law.mean - copied.mean) / copied.scale  # the copies have scales of their own
    np.testing.assert_allclose(
        law.weights / law.scale[:, None], copied.weights / copied.scale[:, None], rtol=0.15, atol=0.01
    )
    assert np.abs(moved).max() < 0.5


def test_what_was_seen_in_each_interval():
    seen = Seen.of(np.array([1.0, 2.0, 2.0, 9.0, 9.0]), np.array([1, 0, 2, 0, 1]), np.array([0.0, 2, 5]), 2)
    assert seen.there.tolist() == [[True, False], [True, False], [True, False], [True, True], [True, True]]
    assert seen.met[:, :, 0].tolist() == [[True, False]] + [[False, False]] * 4
    assert seen.met[:, :, 1].tolist() == [[False, False]] * 2 + [[True, False]] + [[False, False]] * 2


def test_lines_that_do_not_fit_are_refused():
    columns, stays = simulated(20)
    days, kind = times_of(stays, ILL)
    with pytest.raises(ShapeError, match="must be alike"):
        fit_law(columns, days[:5], kind, 1.0)
    with pytest.raises(DataError, match="0 or more"):
        fit_law(columns, np.where(days > 5, np.nan, days), kind, 1.0)
