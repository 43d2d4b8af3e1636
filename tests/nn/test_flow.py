"""Flow matching: its error from the formula, ways that lead back, and the shortest pairs."""

from __future__ import annotations

import itertools

import pytest
import torch

from glasslung.nn.flow import Velocity, carry, flow_error, pair_by_transport


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Swirl(torch.nn.Module):
    """A field whose way is known: du/ds = a u + c, with a = 0.7."""

    def forward(self, u: torch.Tensor, s: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        return 0.7 * u + condition


def test_the_error_is_the_formula():
    u, noise, c = (torch.randn(4, 3, generator=generator(n)) for n in range(3))
    s = torch.tensor([0.0, 0.2, 0.9, 1.0])
    found = flow_error(Swirl(), noise, u, s, c)
    for row in range(4):
        at = (1 - s[row]) * noise[row] + s[row] * u[row]
        expected = ((0.7 * at + c[row]) - (u[row] - noise[row])).square().mean()
        assert float(found[row]) == pytest.approx(float(expected), rel=1e-5)


def test_heun_follows_a_known_way_and_comes_back():
    start, c = torch.randn(5, 3, generator=generator()).double(), torch.full((5, 3), 0.4).double()
    true = (start + c / 0.7) * torch.exp(torch.tensor(0.7).double()) - c / 0.7
    errors = [float((carry(Swirl(), start, c, steps) - true).abs().max()) for steps in (5, 10)]
    assert errors[1] < errors[0] / 3.4  # second order: half the step, a quarter of the error
    back = carry(Swirl(), carry(Swirl(), start, c, 20), c, 20, forth=False)
    assert float((back - start).abs().max()) < 1e-3


def test_an_untrained_flow_leaves_all_where_it_is():
    field = Velocity(6, 2, 16, 2, generator())
    u = torch.randn(3, 6, generator=generator(1))
    assert torch.equal(carry(field, u, torch.zeros(3, 2), 4), u)


def test_a_flow_learns_two_conditions_and_swaps_them():
    """Condition 0 lies around -2, condition 1 around +2, both with spread 0.5; a swap keeps the order."""
    field, rng = Velocity(1, 1, 32, 2, generator()), generator(1)
    optimiser = torch.optim.Adam(field.parameters(), 3e-3)
    condition = torch.tensor([[0.0], [1.0]]).repeat(64, 1)
    for _ in range(250):
        u = 4 * condition - 2 + 0.5 * torch.randn(128, 1, generator=rng)
        noise, s = torch.randn(128, 1, generator=rng), torch.rand(128, generator=rng)
        optimiser.zero_grad()
        flow_error(field, noise, u, s, condition).mean().backward()
        optimiser.step()
    with torch.no_grad():
        made = carry(field, torch.randn(128, 1, generator=rng), condition, 20)
        assert float(made[0::2].mean()) == pytest.approx(-2, abs=0.3)
        assert float(made[1::2].mean()) == pytest.approx(2, abs=0.3)
        assert float(made[1::2].std()) == pytest.approx(0.5, abs=0.25)
        low, zero, one = torch.tensor([[-2.5], [-2.0], [-1.5]]), torch.zeros(3, 1), torch.ones(3, 1)
        noise = carry(field, low, zero, 20, forth=False)
        assert torch.allclose(carry(field, noise, zero, 20), low, atol=0.05)
        moved = carry(field, noise, one, 20)[:, 0]
        assert (moved.diff() > 0).all()
        assert float(moved[1]) == pytest.approx(2, abs=0.4)


def test_pairs_are_the_shortest_together():
    noise, data = torch.randn(5, 3, generator=generator()), torch.randn(5, 3, generator=generator(1))
    rows = pair_by_transport(noise, data)
    assert sorted(rows.tolist()) == list(range(5))
    best = min(
        float((noise[list(order)] - data).square().sum()) for order in itertools.permutations(range(5))
    )
    assert float((noise[rows] - data).square().sum()) == pytest.approx(best, rel=1e-5)
