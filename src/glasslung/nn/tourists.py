"""Lungs away from their own age, and lungs nobody had: held against those that were seen there.

owner     a slice at the age it was seen at
tourist   the same slice at another age
drawn     a course from the prior

The evidence bound trains the decoder on owners alone, so the others are pictures it never had to make well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from glasslung.errors import UsageError
from glasslung.nn.ages import AGES, AgeRecipe, Course
from glasslung.nn.matching import Queue, block_spread, latent_features, latent_widths, mmd
from glasslung.nn.recipe import LEVELS


@dataclass(frozen=True)
class TouristRecipe(AgeRecipe):
    """Settings of the remedies against the tourist crisis; all are off by default."""

    owner_gate: bool = False  # R1
    exemplars: int = 64  # R1: owners kept of every age to make the mixture; more than a batch has
    mixed_levels: int = 1  # R1: coarsest levels held against the mixture; the top is where p(k_0) is fixed
    match: float = 0.0  # R2: nats per image for one unit of squared discrepancy, tourists against owners
    match_prior: float = 0.0  # R2: the same, prior draws against owners
    match_coarse: int = 3  # R2: levels 5 to 3 number by number (84 of them), finer ones by their moments
    match_queue: int = 64  # R2: owners kept of every age, so that a batch of few sees a cloud
    critic: float = 0.0  # R3b: nats per pixel for one unit of the critic's opinion
    critic_r1: float = 1.0  # R3b: gradient penalty on real slices; not swept
    critic_width: int = 16  # R3b: channels of its first layer; a wider one learns 100 slices by heart
    critic_lr: float = 3e-4  # R3b
    identity: float = 0.0  # R3b: nats per pixel for one unit of mean square change of the lungs' outline

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.match, self.match_prior, self.critic, self.identity) < 0:
            raise UsageError("match, match_prior, critic and identity must not be negative; 0 turns each off")
        if not 0 < self.match_coarse <= LEVELS or not 0 < self.mixed_levels <= LEVELS:
            raise UsageError(f"match_coarse and mixed_levels count levels: 1 to {LEVELS}")
        if min(self.exemplars, self.match_queue) < 2:
            raise UsageError("exemplars and match_queue must be 2 or more")
        if self.single_age is not None and (self.matches or self.criticises):
            raise UsageError("matching and a critic compare ages; leave them off, or single_age none")

    @property
    def matches(self) -> bool:
        """Whether clouds of latents are compared (R2)."""
        return self.match > 0 or self.match_prior > 0

    @property
    def criticises(self) -> bool:
        """Whether other ages than the one seen are decoded and judged in training (R3b)."""
        return self.critic > 0 or self.identity > 0


def match_clouds(
    course: Course,
    drawn: Course | None,
    group: Tensor,
    memories: Sequence[Queue],
    coarse: int,
    with_tourists: bool = True,
) -> tuple[Tensor, Tensor]:
    """How far clouds of (z, k_j) lie from the owners' of age j, summed over the ages: tourists, drawn.

    group     (B,) the ages seen
    memories  one for each age; in training, this batch's owners are added to it
    coarse    see `matching.latent_features`
    Tourists are drawn to the owners, who do not move for them; drawn courses and owners move to each other.
    """
    ages = range(len(course.ages))
    widths = latent_widths([z.shape for z in course.still.z], 2, coarse)
    tourists = prior = torch.zeros((), device=group.device)
    for age in ages:
        cloud = torch.cat(latent_features([course.still, course.ages[age]], coarse), 1)
        memory = memories[age]
        if memory.training:
            memory.push(cloud[group == age])
        owners = memory.seen() if int(memory.pushed) > 1 else cloud[group == age].detach()
        spread = block_spread(owners, widths)
        if with_tourists:
            others = [mmd(cloud[group == g] / spread, owners / spread) for g in ages if g != age]
            tourists = tourists + sum(others)
        if drawn is not None:
            made = torch.cat(latent_features([drawn.still, drawn.ages[age]], coarse), 1)
            prior = prior + mmd(made / spread, cloud[group == age] / spread)
    return tourists, prior


def strangers(
    show: Callable[[Course, Tensor], Tensor],
    course: Course,
    drawn: Course | None,
    group: Tensor,
    rng: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Pictures that the evidence bound never trains, and their ages: tourists, then drawn courses.

    show   show(course, age (B,)) -> pictures (B, 1, S, S)
    group  (B,) the ages the slices were seen at
    """
    others = torch.randint(1, AGES, group.shape, generator=rng, device=group.device)
    ages = (group + others) % AGES
    made = [show(course, ages)]
    if drawn is not None:
        at = torch.arange(len(drawn.still.z[0]), device=group.device) % AGES
        made.append(show(drawn, at))
        ages = torch.cat([ages, at])
    return torch.cat(made), ages
