"""Owners vote, tourists conform: the gate, the mixture, and who gets a gradient."""

from __future__ import annotations

import math

import torch
from torch.distributions import Normal, kl_divergence

from glasslung.nn.ladder import Descent, Gaussian, merge
from glasslung.nn.matching import Queue
from glasslung.nn.owners import gate, gated_divergence, mixture_divergence, pack, unpack

GROUP = torch.tensor([0, 1, 2, 3])


def gaussian(batch: int, side: int, seed: int, grad: bool = False) -> Gaussian:
    rng = torch.Generator().manual_seed(seed)
    return Gaussian(
        *(torch.randn(batch, 1, side, side, generator=rng).requires_grad_(grad) for _ in range(2))
    )


def test_the_gate_joins_by_role():
    evidence, prior = gaussian(4, 2, 0), gaussian(4, 2, 1, grad=True)
    found, joined = gate(2, GROUP)(evidence, prior), merge(evidence, prior)
    for row in (0, 1):  # seen earlier: the future is drawn from the prior
        assert torch.equal(found.mean[row], prior.mean[row])
        assert torch.equal(found.logvar[row], prior.logvar[row])
    for row in (2, 3):
        assert torch.equal(found.mean[row], joined.mean[row])
    (slope,) = torch.autograd.grad(found.mean.sum(), prior.mean)
    assert (slope[:3] != 0).all()
    assert (slope[3] == 0).all()  # a tourist does not move the law


def test_the_mixture_bound_is_the_formula_and_exact_for_one_exemplar():
    q, p, exemplars = [gaussian(2, 2, 0)], [gaussian(2, 2, 1)], [gaussian(3, 2, 2)]
    found = mixture_divergence(q, p, exemplars)
    for row in range(2):
        apart = []
        for k in range(3):
            c = merge(Gaussian(*(t[k] for t in exemplars[0])), Gaussian(*(t[row] for t in p[0])))
            own = Normal(q[0].mean[row], torch.exp(0.5 * q[0].logvar[row]))
            apart.append(float(kl_divergence(own, Normal(c.mean, torch.exp(0.5 * c.logvar))).sum()))
        slow = -math.log(sum(math.exp(-a) for a in apart) / 3)
        assert abs(float(found[row]) - slow) < 1e-4
        one = [Gaussian(*(t[:1] for t in exemplars[0]))]
        assert abs(float(mixture_divergence(q, p, one)[row]) - apart[0]) < 1e-4


def test_rows_of_a_queue_come_back_as_they_went_in():
    said = [gaussian(3, 4, 0), gaussian(3, 2, 1)]
    for before, after in zip(said, unpack(pack(said), said), strict=True):
        assert torch.equal(before.mean, after.mean)
        assert torch.equal(before.logvar, after.logvar)


def descent(grad_seed: int = 0) -> tuple[Descent, list[Gaussian], list[Gaussian], list[Gaussian]]:
    """Two levels of four slices; q, p and evidence are leaves with a gradient."""
    sides = (4, 2)
    q, p, said = (
        [gaussian(4, side, grad_seed + 10 * n + m, grad=True) for m, side in enumerate(sides)]
        for n in range(3)
    )
    return Descent([g.mean for g in q], [], q, p), q, p, said


def test_what_each_role_pays_and_whom_it_moves():
    down, q, p, said = descent()
    memory = Queue(8, 8)
    paid = gated_divergence(down, said, 1, GROUP, memory, mixed=1)
    full, told = down.kl().detach(), paid.detach()
    assert float(told[0]) == 0  # the future costs nothing
    assert abs(float(told[1] - full[1].sum())) < 1e-5  # the owner pays in full
    law = [Gaussian(*(t.detach() for t in g)) for g in said[1:]]
    owners = [Gaussian(*(t[1:2] for t in law[0]))]
    for row in (2, 3):
        top = mixture_divergence(
            [Gaussian(*(t[row : row + 1] for t in q[1]))],
            [Gaussian(*(t[row : row + 1] for t in p[1]))],
            owners,
        )
        assert abs(float(told[row] - full[row, 0] - top.detach()[0])) < 1e-4
    leaves = [t for side in (p, said) for g in side for t in g]
    slopes = torch.autograd.grad(paid.sum(), leaves, allow_unused=True, retain_graph=True)
    for slope in slopes:
        assert slope is None or (slope[2:] == 0).all()  # neither prior nor owners move for tourists
    assert all((torch.autograd.grad(paid[2], g.mean, retain_graph=True)[0][2] != 0).any() for g in down.q)


def test_only_training_adds_to_the_memory():
    down, _, _, said = descent()
    memory = Queue(8, 8)
    memory.eval()
    paid = gated_divergence(down, said, 1, GROUP, memory, mixed=1)
    assert int(memory.pushed) == 0
    assert torch.allclose(paid[2:], down.kl().sum(1)[2:])  # without a memory: the prior alone
    memory.train()
    gated_divergence(down, said, 1, GROUP, memory, mixed=1)
    assert int(memory.pushed) == 1
