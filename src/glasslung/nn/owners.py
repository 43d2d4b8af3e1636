"""Who may shape which age: owners vote, tourists conform.

A slice owns the age it was seen at. For later ages nothing is inferred: they are drawn from the prior. At
earlier ages a slice is a tourist: what it says must look like what the owners of that age say, and must not
move the law by which it is judged.

    owner     KL(q(k_g | x) || p(k_g | k_{g-1})), gradient to everything
    future    k_j drawn from p(k_j | k_{j-1}): no divergence by construction
    past      KL(q(k_j | x) || m_j), m_j without gradient: m_j = mixture of owners' posteriors on the coarsest
              levels (an exemplar prior), times the prior below, which owners alone have trained

Source: Tomczak and Welling, VampPrior (2018), and Norouzi et al., Exemplar VAE (2020), for a mixture of
posteriors as the target; the gating is ours.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from glasslung.nn.ladder import Combine, Descent, Gaussian, divergence, merge
from glasslung.nn.matching import Queue


def gate(age: int, group: Tensor) -> Combine:
    """How the evidence about one age is joined with its prior, for slices seen at ages `group` (B,).

    Owners: as ever. Tourists from later ages: the prior counts but gets no gradient. Slices of earlier ages:
    the prior alone.
    """
    shape = (-1, 1, 1, 1)
    owner, future = (group == age).view(shape), (group < age).view(shape)

    def combine(evidence: Gaussian, prior: Gaussian) -> Gaussian:
        law = Gaussian(*(torch.where(owner, part, part.detach()) for part in prior))
        joined = merge(evidence, law)
        mean, logvar = (torch.where(future, p, q) for p, q in zip(prior, joined, strict=True))
        return Gaussian(mean, logvar)

    return combine


def pack(opinion: list[Gaussian]) -> Tensor:
    """Opinions on some levels as rows (B, D): what a queue of exemplars keeps."""
    return torch.cat([part.flatten(1) for gaussian in opinion for part in gaussian], 1)


def unpack(rows: Tensor, like: list[Gaussian]) -> list[Gaussian]:
    """Rows as `pack` made them, as opinions with the shapes of `like`."""
    found, start = [], 0
    for gaussian in like:
        shape = gaussian.mean.shape[1:]
        width = math.prod(shape)
        mean, logvar = (rows[:, start + n * width : start + (n + 1) * width] for n in (0, 1))
        found.append(Gaussian(mean.reshape(-1, *shape), logvar.reshape(-1, *shape)))
        start += 2 * width
    return found


def mixture_divergence(q: list[Gaussian], p: list[Gaussian], exemplars: list[Gaussian]) -> Tensor:
    """An upper bound of KL(q || mixture of the exemplars' posteriors), nats, (B,), on the levels given.

    q, p       posterior and prior of B slices at each level
    exemplars  evidence of K owners at the same levels; joined with p, each gives one posterior
    Hershey and Olsen (2007): -log mean_k exp(-KL(q || c_k)); exact for one exemplar. Only q has a gradient.
    """
    apart: Tensor | float = 0.0
    for posterior, prior, evidence in zip(q, p, exemplars, strict=True):
        batch, count = len(posterior.mean), len(evidence.mean)
        wide = Gaussian(*(part.detach().repeat_interleave(count, 0) for part in prior))
        component = merge(Gaussian(*(part.detach().repeat(batch, 1, 1, 1) for part in evidence)), wide)
        own = Gaussian(*(part.repeat_interleave(count, 0) for part in posterior))
        apart = apart + divergence(own, component).view(batch, count)
    assert isinstance(apart, Tensor)
    return math.log(apart.shape[1]) - torch.logsumexp(-apart, 1)


def gated_divergence(
    descent: Descent, evidence: list[Gaussian], age: int, group: Tensor, memory: Queue, mixed: int
) -> Tensor:
    """The divergence that each slice pays for its latents of one age, nats, (B,); see the head of this file.

    memory  evidence of earlier owners of this age; the owners of this batch are added to it
    mixed   how many levels, from the coarsest, are held against the mixture; the others against the prior
    """
    owner, past = group == age, group > age
    first = len(descent.z) - mixed
    if memory.training:
        memory.push(pack([Gaussian(*(part[owner] for part in g)) for g in evidence[first:]]))
    law = [
        Gaussian(*(torch.where(owner.view(-1, 1, 1, 1), part, part.detach()) for part in g))
        for g in descent.p
    ]
    each = torch.stack([divergence(q, p) for q, p in zip(descent.q, law, strict=True)], 1)
    total = torch.where(owner | past, each.sum(1), 0.0)
    if not past.any() or not int(memory.pushed):
        return total
    rows = past.nonzero()[:, 0]
    q, p = ([Gaussian(*(part[rows] for part in g)) for g in side[first:]] for side in (descent.q, descent.p))
    conform = mixture_divergence(q, p, unpack(memory.seen(), evidence[first:])) + each[rows, :first].sum(1)
    return total.index_copy(0, rows, conform)
