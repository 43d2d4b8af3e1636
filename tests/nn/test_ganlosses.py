"""What the players lose, from the formulas, one picture at a time."""

from __future__ import annotations

import math

import pytest
import torch

from glasslung.nn.ganlosses import (
    gradient_penalty,
    loss_of_maker,
    loss_on_made,
    loss_on_real,
    share_right,
    steepness,
)

SCORES = [-3.0, -0.5, 0.0, 0.2, 1.5, 40.0]


def sigma(s: float) -> float:
    return 1 / (1 + math.exp(-s))


SLOW = {
    "logistic": (
        lambda s: -math.log(sigma(s)),
        lambda s: s - math.log(sigma(s)),
        lambda s: -math.log(sigma(s)),
    ),
    "hinge": (lambda s: max(0, 1 - s), lambda s: max(0, 1 + s), lambda s: -s),
    "wasserstein": (lambda s: -s, lambda s: s, lambda s: -s),
}


@pytest.mark.parametrize("kind", SLOW)
def test_losses_are_their_formulas(kind):
    score = torch.tensor(SCORES, dtype=torch.float64)
    for fast, slow in zip((loss_on_real, loss_on_made, loss_of_maker), SLOW[kind], strict=True):
        assert float(fast(score, kind)) == pytest.approx(sum(map(slow, SCORES)) / len(SCORES), abs=1e-12)


def test_a_sure_discriminator_still_moves_the_generator():
    """-log sigma(D) keeps its gradient where log(1 - sigma(D)) has lost it."""
    score = torch.tensor([-30.0], requires_grad=True)
    loss_of_maker(score).backward()
    assert float(score.grad) == pytest.approx(-1.0)


def test_steepness_of_a_quadratic_is_known():
    image = torch.randn(3, 1, 4, 4, dtype=torch.float64)
    found = steepness(lambda x: x.square().flatten(1).sum(1) / 2, image)
    assert torch.allclose(found, image.square().flatten(1).sum(1))


def test_the_penalty_vanishes_for_slope_one_and_looks_between():
    real, made = torch.zeros(2, 1, 3, 3), torch.ones(2, 1, 3, 3)
    share = torch.tensor([0.25, 1.0])
    assert float(gradient_penalty(lambda x: x.flatten(1).sum(1) / 3, real, made, share)) < 1e-9
    seen = []
    gradient_penalty(lambda x: (seen.append(x), x.flatten(1).sum(1))[1], real, made, share)
    at = seen[0].detach().mean((1, 2, 3)).tolist()
    assert at == pytest.approx([0.75, 0.0])


def test_a_penalty_reaches_the_weights():
    weight = torch.ones(9, requires_grad=True)
    real = torch.rand(2, 1, 3, 3)
    steepness(lambda x: x.flatten(1) @ weight, real).mean().backward()
    assert torch.allclose(weight.grad, torch.full((9,), 2.0))


def test_accuracy_counts_both_sides():
    right = share_right(torch.tensor([1.0, -1.0]), torch.tensor([-2.0, -1.0]))
    assert [float(one) for one in right] == [0.5, 1.0]
