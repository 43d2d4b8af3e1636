"""Hazards in intervals beside slow twins written from the formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.nn.hazards import checked_edges, incidence, intervals_lived, log_likelihood

EDGES = torch.tensor([0.0, 2.0, 5.0, 9.0], dtype=torch.float64)


def hazards_of(logits):
    """h[k][c] of one scan, from the formula."""
    return [[math.exp(v) / (1 + sum(map(math.exp, row))) for v in row] for row in logits]


def slow_likelihood(logits, day, kind, edges):
    h = hazards_of(logits)
    total = 0.0
    for k in range(len(h)):
        start, end = edges[k], edges[k + 1]
        if kind and start < day <= end:
            return total + math.log(h[k][kind - 1])
        if kind and day > end:
            total += math.log(1 - sum(h[k]))
        if not kind and end <= day:
            total += math.log(1 - sum(h[k]))
    return total


def slow_incidence(logits):
    h, free, so_far, out = hazards_of(logits), 1.0, [0.0] * len(logits[0]), []
    for row in h:
        so_far = [a + free * b for a, b in zip(so_far, row, strict=True)]
        free *= 1 - sum(row)
        out.append(so_far)
    return out


def drawn(n=40, seed=0):
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(-1, 1, (n, 3, 2)))
    days = torch.from_numpy(np.concatenate([[0.0, 2.0, 5.0, 9.0, 11.0], rng.uniform(0, 12, n - 5)]))
    return logits, days, torch.from_numpy(rng.integers(0, 3, n))


def test_likelihood_is_the_formula():
    logits, days, kind = drawn()
    found = log_likelihood(logits, days, kind, EDGES)
    for n in range(len(days)):
        slow = slow_likelihood(logits[n].tolist(), float(days[n]), int(kind[n]), EDGES.tolist())
        # an event on day 0 has no interval of its own: it counts in the first
        if float(days[n]) == 0 and int(kind[n]):
            slow = math.log(hazards_of(logits[n].tolist())[0][int(kind[n]) - 1])
        assert float(found[n]) == pytest.approx(slow, abs=1e-12)


def test_incidence_is_the_formula_and_no_more_than_everybody():
    logits, _, _ = drawn()
    found = incidence(logits)
    for n in range(len(logits)):
        np.testing.assert_allclose(found[n], slow_incidence(logits[n].tolist()), atol=1e-12)
    assert float(found[:, -1].sum(1).max()) <= 1 and bool((found.diff(dim=1) >= 0).all())


def test_all_that_can_happen_sums_to_one():
    logits = drawn()[0][:1]
    day = torch.tensor([1.0, 4.0, 8.0], dtype=torch.float64)
    total = math.exp(float(log_likelihood(logits, torch.tensor([9.0]).double(), torch.tensor([0]), EDGES)))
    for one in day:
        for kind in (1, 2):
            total += math.exp(float(log_likelihood(logits, one[None], torch.tensor([kind]), EDGES)))
    assert total == pytest.approx(1.0)


def test_edges_belong_to_the_interval_they_end():
    assert intervals_lived(torch.tensor([0.0, 1.9, 2.0, 9.0, 20.0]).double(), EDGES).tolist() == [
        0,
        0,
        1,
        3,
        3,
    ]


def test_gradients_flow():
    logits, days, kind = drawn()
    logits.requires_grad_(True)
    log_likelihood(logits, days, kind, EDGES).sum().backward()
    assert bool(torch.isfinite(logits.grad).all()) and float(logits.grad.abs().sum()) > 0


def test_extreme_logits_stay_finite():
    logits = torch.full((2, 3, 2), 400.0, dtype=torch.float64)
    days, kind = torch.tensor([1.0, 9.0]).double(), torch.tensor([1, 0])
    for sign in (1, -1):
        assert bool(torch.isfinite(incidence(sign * logits)).all())
        assert bool(torch.isfinite(log_likelihood(sign * logits, days, kind, EDGES)).all())


@pytest.mark.parametrize("edges", [(0.0,), (1.0, 2.0), (0.0, 2.0, 2.0), (0.0, 3.0, 1.0)])
def test_edges_rise_from_0(edges):
    with pytest.raises(UsageError, match="edges"):
        checked_edges(edges)


def test_what_does_not_fit_is_refused():
    logits, days, kind = drawn()
    with pytest.raises(ShapeError, match="edges"):
        log_likelihood(logits, days, kind, EDGES[:-1])
    with pytest.raises(DataError, match="days"):
        log_likelihood(logits, days - 20, kind, EDGES)
    with pytest.raises(DataError, match="kinds"):
        log_likelihood(logits, days, kind + 1, EDGES)
