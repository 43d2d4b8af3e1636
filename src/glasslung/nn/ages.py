"""One lung at the four ages of the disease: its latents, the way from age to age, the day within an age.

Notation  age 0 healthy, 1 .. 3; z time-invariant latents; k_j latents of age j; each a whole ladder
          e expansion of a latent; T_n[i] time step of level n from age i to age i + 1 (i = 3: from 3 back
          to 0); D^(s) features of x carried s ages on: D^(s)_n = T_n[i](D^(s-1)_n, Infer_n(upper))
Prior     p(k_0): the ladder's own
          p(k_j | k_{j-1}): crushed T_n[j-1](e_n of k_{j-1}, Infer_n(e_{n+1} of k_j))
Posterior the features of x, carried round the ages from its own, merged level by level with the prior
Day       t = (day - middle of the age's days) / 5; e -> e (1 + t s) + t b, with s and b for each age and
          channel that start at 0

Source: Zammit et al., CAGE; Perez et al., FiLM (2018), for the form of what the day does, which is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from glasslung.errors import ShapeError, UsageError
from glasslung.nn.backbones import encoder_scale
from glasslung.nn.ladder import Descent, Gaussian, Ladder, PriorOf, merge
from glasslung.nn.owners import gate
from glasslung.nn.parts import Parts
from glasslung.nn.recipe import LEVELS, LadderRecipe

AGES = 4
MIDDLE_DAYS = (0.0, 2.0, 7.0, 12.0)  # of the ages' days: 0 to 4, 5 to 9, 10 to 14; age 0 has none
DAYS_OF_AGE = 5.0  # how many days an age has


@dataclass(frozen=True)
class AgeRecipe(LadderRecipe):
    """Settings of a model whose lungs have ages: which ages there are, and the way between them."""

    absolute_index: bool = (
        True  # False: the posterior counts transitions from the age seen, the prior from age 0
    )
    target_upper: bool = True  # False: the posterior's time step reads the upper level of the age it leaves
    single_age: int | None = None  # latents up to this age only, and slices of this age only

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.single_age is not None and not 0 <= self.single_age < AGES:
            raise UsageError(
                f"single_age {self.single_age} is no age; choose 0 to {AGES - 1}, or none for all"
            )

    @property
    def ages(self) -> range:
        """The ages that have latents."""
        return range(AGES if self.single_age is None else self.single_age + 1)

    @property
    def carries(self) -> int:
        """How many time steps the posterior needs to reach every age from the age seen."""
        return 0 if self.single_age == 0 else AGES - 1

    def transition(self, age_seen: int, carry: int) -> int:
        """The time step that the posterior takes as its step number `carry` (0, 1, 2) from the age seen."""
        return (age_seen + carry) % AGES if self.absolute_index else carry

    @property
    def transitions(self) -> set[int]:
        """The time steps that training reaches; the others keep their start."""
        seen = range(AGES) if self.single_age is None else [self.single_age]
        posterior = {self.transition(age, carry) for age in seen for carry in range(self.carries)}
        return posterior | {age - 1 for age in self.ages if age > 0}


class Course(NamedTuple):
    """One lung through the ages: what stays (z), and its state at each age (k_0 ..).

    evidence  what the slice says about each age, by level; none where nothing was seen
    """

    still: Descent
    ages: list[Descent]
    evidence: list[list[Gaussian]] | None = None

    def states_at(self, age: Tensor) -> list[Tensor]:
        """Expansions of each sample's latents at its own entry of age (B,): (B, f, h, w), finest first."""
        rows = torch.arange(len(age), device=age.device)
        levels = range(len(self.still.e))
        return [torch.stack([one.e[level] for one in self.ages])[age, rows] for level in levels]


class TimeStep(nn.Module):
    """Four sets of weights, one for each way from an age to the next, at one level of the ladder."""

    def __init__(self, f: int, top: bool, parts: Parts) -> None:
        super().__init__()
        self.steps = nn.ModuleList(parts.step(f, top) for _ in range(AGES))

    def forward(self, previous: Tensor, inferred: Tensor | None, index: Tensor) -> Tensor:
        """Features one age on, (B, f, h, w).

        previous  features of this level at the age before, (B, f, h, w)
        inferred  what the level above says about this one, (B, f, h, w); None at the top
        index     (B,) the age each sample leaves, on the CPU
        """
        x = previous if inferred is None else torch.cat([inferred, previous], 1)
        leaving = index.unique().tolist()
        if len(leaving) == 1:
            result: Tensor = self.steps[leaving[0]](x)
            return result
        parts, places = [], []
        for age in leaving:
            rows = (index == age).nonzero()[:, 0].to(x.device)
            parts.append(self.steps[age](x[rows]))
            places.append(rows)
        return torch.cat(parts)[torch.cat(places).argsort()]


class AgeLadder(nn.Module):
    """The age-dependent latents: one backbone and ladder for all ages, and the time steps between."""

    def __init__(self, config: AgeRecipe) -> None:
        super().__init__()
        self.config = config
        parts = config.parts
        self.backbone = parts.backbone(config.keras_padding)
        self.ladder = Ladder(parts.widths, config.logvar_bound, parts)
        self.time = nn.ModuleList(TimeStep(f, f == parts.widths[-1], parts) for f in parts.widths)

    def carry(self, features: list[Tensor], index: Tensor) -> list[Tensor]:
        """Features d_1 .. d_5 of every sample, one age on."""
        moved = list(features)
        for level in reversed(range(LEVELS)):
            inferred = None
            if level < LEVELS - 1:
                upper = (moved if self.config.target_upper else features)[level + 1]
                inferred = self.ladder.infer[level](upper)
            moved[level] = self.time[level](features[level], inferred, index)
        return moved

    def evidence(self, image: Tensor, group: Tensor) -> list[list[Gaussian]]:
        """What the slices, seen at the age `group` (B,), say about every age: evidence[age][level]."""
        seen = group.cpu()
        way = [self.backbone(encoder_scale(image))]
        for carry in range(self.config.carries):
            index = torch.tensor([self.config.transition(age, carry) for age in seen.tolist()])
            way.append(self.carry(way[-1], index))
        stacked = [torch.stack([features[level] for features in way]) for level in range(LEVELS)]
        rows = torch.arange(len(seen))
        opinions = []
        for age in self.config.ages:
            carries = (age - seen) % AGES  # D^(s) belongs to age (seen + s) mod 4
            opinions.append(self.ladder.evidence([features[carries, rows] for features in stacked]))
        return opinions

    def step_prior(self, age: int, before: Descent) -> PriorOf:
        """The prior of k_age given the sampled k_{age-1}, as `Ladder.descend` asks for it."""

        def prior(level: int, above: list[Tensor]) -> Gaussian:
            inferred = self.ladder.infer[level](above[0]) if above else None
            index = torch.full((len(before.e[level]),), age - 1)
            return self.ladder.opinion(level, self.time[level](before.e[level], inferred, index))

        return prior

    def descend(
        self,
        rng: torch.Generator,
        shapes: list[tuple[int, int, int, int]],
        evidence: list[list[Gaussian]] | None,
        temperature: float,
        owners: Tensor | None = None,
    ) -> list[Descent]:
        """Draw k_0, then each next age given the one before.

        owners  (B,) the ages seen, where slices shape their own age only (`nn.owners`); None lets all vote
        """
        ages: list[Descent] = []
        for age in self.config.ages:
            prior = self.step_prior(age, ages[-1]) if ages else None
            seen = evidence[age] if evidence is not None else None
            combine = merge if owners is None else gate(age, owners)
            ages.append(
                self.ladder.descend(rng, shapes, seen, prior, temperature=temperature, combine=combine)
            )
        return ages


class StillLadder(nn.Module):
    """The time-invariant latents z: a whole backbone and ladder of their own."""

    def __init__(self, config: AgeRecipe) -> None:
        super().__init__()
        self.backbone = config.parts.backbone(config.keras_padding)
        self.ladder = Ladder(config.parts.widths, config.logvar_bound, config.parts)


class Dating(nn.Module):
    """What the day within an age does to the expansions of its latents; untrained, nothing.

    Linear in the day, so a lung on the middle day of an age is a lung of that age without a day. Days
    outside an age's own are carried on along the same line.
    """

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.slopes = nn.ParameterList(torch.zeros(AGES - 1, 2 * f) for f in parts.widths)

    def forward(self, expansions: list[Tensor], age: Tensor, day: Tensor) -> list[Tensor]:
        """Expansions e_1 .. e_5 of every sample on its day.

        age  (B,) int64; age 0 has no days and stays as it is
        day  (B,) float; NaN where unknown, which changes nothing
        """
        if day.shape != age.shape:
            raise ShapeError(f"{len(age)} slices need as many days, got {tuple(day.shape)}")
        middle = day.new_tensor(MIDDLE_DAYS)[age]
        known = day.isfinite() & (age > 0)
        t = torch.where(known, (day - middle) / DAYS_OF_AGE, 0.0)
        return [
            _shift(e, t[:, None] * slope[(age - 1).clamp_min(0)])
            for e, slope in zip(expansions, self.slopes, strict=True)
        ]


def _shift(e: Tensor, change: Tensor) -> Tensor:
    """e (B, f, h, w) scaled and shifted by channel; change (B, 2 f)."""
    scale, shift = change[:, :, None, None].chunk(2, 1)
    return e * (1 + scale) + shift
