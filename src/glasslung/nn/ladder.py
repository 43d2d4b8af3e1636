"""A ladder of Gaussian latents, coarse to fine, with the same crush on the way up and on the way down.

Notation  level n = 1 (finest) .. N (coarsest); z_n (B, 1, S/2^n, S/2^n) its latent; q posterior, p prior
          e_n = FilterExpand_n(z_n); evidence_n = FilterCrush_n(d_n), what the image alone says about level n
Order     every list below is finest first: index n - 1

    p(z_N) = N(0, I);  p(z_n | z_{n+1}) = FilterCrush_n(Infer_n(e_{n+1}))
    q(z_n) is proportional to evidence_n x p(z_n): precisions add

Source: Zammit et al., U-SVAE (the "U-Shared" ladder); Soenderby et al., Ladder VAE (2016) for the merge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from glasslung.errors import UsageError
from glasslung.nn.density import gaussian_kl, gaussian_log_prob
from glasslung.nn.parts import PAPER, Parts

ACTIVE_VARIANCE = (
    0.01  # a latent is in use when its posterior mean varies by more than this: Burda et al. (2016)
)
COLLAPSED_NATS = 0.01  # per latent number: below it a level carries less than one hundredth of a nat each


class Gaussian(NamedTuple):
    """A Gaussian per latent number: mean and log-variance, each (B, 1, h, w)."""

    mean: Tensor
    logvar: Tensor

    def draw(self, rng: torch.Generator, temperature: float = 1.0) -> Tensor:
        """One sample; temperature scales the standard deviation, 0 gives the mean."""
        noise = torch.randn(self.mean.shape, generator=rng, device=self.mean.device, dtype=self.mean.dtype)
        return self.mean + temperature * torch.exp(0.5 * self.logvar) * noise

    def log_prob(self, z: Tensor) -> Tensor:
        """log density of z, nats, (B,)."""
        return gaussian_log_prob(z, self.mean, self.logvar)

    def float(self) -> Gaussian:
        """In float32: latents are drawn and compared in full precision also under bfloat16."""
        return Gaussian(self.mean.float(), self.logvar.float())


def merge(one: Gaussian, other: Gaussian) -> Gaussian:
    """What two independent opinions say together: precisions add, means are weighted by them.

    Written with a softplus, so that no variance is formed: 1 / (e^-a + e^-b) in logarithms.
    """
    logvar = -torch.logaddexp(-one.logvar, -other.logvar)
    share = torch.sigmoid(other.logvar - one.logvar)  # of the first opinion
    return Gaussian(share * one.mean + (1 - share) * other.mean, logvar)


def divergence(q: Gaussian, p: Gaussian) -> Tensor:
    """KL(q || p) in closed form, nats, (B,)."""
    return gaussian_kl(q.mean, q.logvar, p.mean, p.logvar)


class Descent(NamedTuple):
    """One way down the ladder; each field is a list, finest level first.

    z        the samples, (B, 1, h, w)
    e        their expansions, (B, f, h, w): what the decoder reads
    q, p     posterior and prior that each sample was drawn under, given the levels above; q is p where
             nothing was seen
    """

    z: list[Tensor]
    e: list[Tensor]
    q: list[Gaussian]
    p: list[Gaussian]

    def kl(self) -> Tensor:
        """KL(q || p) of each level in closed form, given the sampled levels above: (B, N) nats."""
        return torch.stack([divergence(q, p) for q, p in zip(self.q, self.p, strict=True)], 1)

    def sampled_kl(self) -> Tensor:
        """log q(z) - log p(z) of each level at the drawn sample, the paper's estimate: (B, N) nats."""
        terms = [q.log_prob(z) - p.log_prob(z) for z, q, p in zip(self.z, self.q, self.p, strict=True)]
        return torch.stack(terms, 1)


PriorOf = Callable[[int, "list[Tensor]"], Gaussian]
"""prior(n, above): the prior of level index n, given the expansions of the levels above it, nearest first."""


Combine = Callable[[Gaussian, Gaussian], Gaussian]
"""combine(evidence, prior) -> the posterior of one level; `merge` unless a method says else."""


class Ladder(nn.Module):
    """The latents of one image: crush, expand and infer, shared between the way up and the way down.

    widths   channels of d_1 .. d_N, finest first
    bound    log-variances are kept within [-bound, bound]; None leaves them free, as released
    parts    what it is built from
    """

    def __init__(self, widths: Sequence[int], bound: float | None = 10.0, parts: Parts = PAPER) -> None:
        super().__init__()
        self.bound = bound
        self.crush = nn.ModuleList(parts.crush(f) for f in widths)
        self.expand = nn.ModuleList(parts.expand(f) for f in widths)
        self.infer = nn.ModuleList(parts.infer(above, f) for f, above in pairwise(widths))

    def opinion(self, level: int, features: Tensor) -> Gaussian:
        """What features (B, f, h, w) of level index `level` say about its latent."""
        mean, logvar = self.crush[level](features)
        bounded = logvar if self.bound is None else self.bound * torch.tanh(logvar / self.bound)
        return Gaussian(mean, bounded).float()

    def evidence(self, features: Sequence[Tensor]) -> list[Gaussian]:
        """The way up: what the image's features d_1 .. d_N say, level by level."""
        return [self.opinion(level, d) for level, d in enumerate(features)]

    def prior(self, level: int, above: list[Tensor], like: Tensor) -> Gaussian:
        """p(z_n | levels above): N(0, I) shaped `like` at the top, crushed inference from above below it."""
        if not above:
            return Gaussian(torch.zeros_like(like), torch.zeros_like(like))
        return self.opinion(level, self.infer[level](above[0]))

    def descend(
        self,
        rng: torch.Generator,
        shapes: Sequence[tuple[int, ...]],
        evidence: Sequence[Gaussian] | None = None,
        prior: PriorOf | None = None,
        given: Sequence[Tensor | None] | None = None,
        temperature: float = 1.0,
        combine: Combine = merge,
    ) -> Descent:
        """The way down: draw every level, from the posterior where there is evidence, else from the prior.

        shapes    (B, 1, h, w) of every latent, finest first
        prior     another prior than the ladder's own (CAGE's later ages); None for the ladder's own
        given     latents to walk through instead of drawing, None at the levels to draw
        combine   combine(evidence, prior) -> what to draw from where there is evidence
        """
        device = next(self.parameters()).device
        count = len(shapes)
        z, e, qs, ps = ([None] * count for _ in range(4))  # type: list, list, list, list
        for level in reversed(range(count)):
            above = e[level + 1 :]
            like = torch.zeros(shapes[level], device=device)
            p = prior(level, above) if prior else self.prior(level, above, like)
            q = combine(evidence[level], p) if evidence is not None else p
            fixed = given[level] if given is not None else None
            z[level] = q.draw(rng, temperature) if fixed is None else fixed
            e[level] = self.expand[level](z[level])
            qs[level], ps[level] = q, p
        return Descent(z, e, qs, ps)


def latent_shapes(batch: int, size: int, levels: int) -> list[tuple[int, int, int, int]]:
    """Shapes of the latents of B images of side S, finest first: (B, 1, S/2, S/2) .. (B, 1, S/2^N, S/2^N)."""
    return [(batch, 1, size >> n, size >> n) for n in range(1, levels + 1)]


def interpolate(
    start: Sequence[Tensor], end: Sequence[Tensor], fraction: float, spherical: bool = False
) -> list[Tensor]:
    """Latents on the way from one image to another; fraction 0 is the start, 1 the end.

    spherical turns each level's vector at a steady angle instead of cutting through the middle, where a
    Gaussian has little mass; (almost) parallel vectors fall back to the straight way, which is then the same.
    """
    return [
        _turn(a, b, fraction) if spherical else torch.lerp(a, b, fraction)
        for a, b in zip(start, end, strict=True)
    ]


def _turn(a: Tensor, b: Tensor, fraction: float) -> Tensor:
    """Spherical interpolation of (B, ...) vectors, sample by sample (Shoemake 1985)."""
    flat_a, flat_b = a.flatten(1), b.flatten(1)
    cosine = torch.cosine_similarity(flat_a, flat_b, dim=1).clamp(-1, 1)
    angle = torch.acos(cosine)[:, None]
    sine = torch.sin(angle)
    straight = torch.lerp(flat_a, flat_b, fraction)
    turned = (torch.sin((1 - fraction) * angle) * flat_a + torch.sin(fraction * angle) * flat_b) / sine
    return torch.where(sine < 1e-4, straight, turned).view_as(a)


# ------------------------------------------------------------------------------ is every level in use?


@dataclass(frozen=True)
class LevelUse:
    """How much of one latent level is used.

    name      'z1' the finest .. 'z5' the coarsest
    nats      KL(q || p), nats per image, mean over the images
    active    latent numbers whose posterior mean varies between images (variance above `ACTIVE_VARIANCE`)
    units     latent numbers there are
    """

    name: str
    nats: float
    active: int
    units: int

    @property
    def collapsed(self) -> bool:
        """Whether the level says (almost) nothing: the image is made without it."""
        return self.active == 0 or self.nats < COLLAPSED_NATS * self.units

    @property
    def text(self) -> str:
        """One line for a log or a report."""
        state = "COLLAPSED: images are made without it" if self.collapsed else "in use"
        used = f"{self.active} of {self.units} units active"
        return f"{self.name}: {self.nats:.2f} nats per image, {used}, {state}"


def level_use(descents: Sequence[Descent]) -> list[LevelUse]:
    """Use of every level over the images of several descents, finest level first; two images at least."""
    kl = torch.cat([d.kl() for d in descents]).double()
    if len(kl) < 2:
        raise UsageError("whether a latent is in use shows only between images: give two at least")
    uses = []
    for level in range(kl.shape[1]):
        means = torch.cat([d.q[level].mean for d in descents]).flatten(1).double()
        active = int((means.var(0) > ACTIVE_VARIANCE).sum())
        uses.append(LevelUse(f"z{level + 1}", float(kl[:, level].mean()), active, means.shape[1]))
    return uses


def name_collapsed(uses: Sequence[LevelUse]) -> list[str]:
    """The names of the levels that say nothing; empty when all are in use."""
    return [use.name for use in uses if use.collapsed]
