"""ConditionalGAN: made lungs of a kind that is asked for: COVID-19 or not, or an age of the disease.

The small-data recipe of LeanGAN with groups: the generator is told the group beside the code, so one code at
several groups is one lung in several stages as far as the game forces it to be; the discriminator judges how
real a picture is and, by a projection, how well it fits its group.

Notation and losses: see `nn.duel`. The paper names a conditional GAN as future work (section V.A).
Source: Mirza and Osindero (2014); Miyato and Koyama (2018).
Limits    That a code keeps its anatomy over the groups is not forced by any loss: measure it before it is
          used.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from glasslung.errors import UsageError
from glasslung.nn.discriminators import LeanDiscriminator
from glasslung.nn.duel import Rules, discriminator_terms, generator_terms
from glasslung.nn.generators import LeanGenerator, doublings
from glasslung.nn.player import Player
from glasslung.nn.reins import Reins

GROUPS = {"class": 2, "age": 4}  # 0 other, 1 COVID-19; or 0 healthy and three ages of the disease


@dataclass(frozen=True)
class Config:
    """Settings of one ConditionalGAN."""

    size: int = 64  # side of the pictures; 128 costs four times as much
    condition: str = "age"  # what the groups are: the age of the disease, or its class (COVID-19 or not)
    codes: int = 64  # numbers in a code; a hundred pictures fill no more
    width: int = 32  # channels at full size; doubled at each halving, up to 8 times
    loss: str = "hinge"  # or 'logistic'
    r1: float = 1.0  # weight of the discriminator's squared slope on real pictures
    r1_every: int = 8  # steps; the slope costs as much as a step, and changes slowly
    spectral: bool = False  # divide the discriminator's layers by their spectral norm
    augment: float = 0.8  # chance of each distortion to begin with; 0 never distorts
    adaptive: bool = False  # let that chance follow how sure the discriminator is (ADA)
    sure: float = 0.6  # mean sign of its scores on real pictures that is aimed at; ADA's
    adapt_step: float = 0.002  # by which a step moves the chance
    mirror: bool = False  # turn pictures left to right: made lungs then have the heart on either side
    lr: float = 1e-3  # of both players
    beta1: float = 0.0  # momentum makes two players circle

    def __post_init__(self) -> None:
        doublings(self.size)
        if self.codes < 1 or self.width < 4 or not 0 <= self.augment <= 1 or self.condition not in GROUPS:
            raise UsageError("codes must be 1 or more, width 4, augment from 0 to 1; condition age or class")
        self.rules  # noqa: B018 - refuses what it does not know

    @property
    def rules(self) -> Rules:
        """How the game is played."""
        return Rules(
            self.loss, self.r1, self.r1_every, self.adaptive, self.sure, self.adapt_step, self.mirror
        )


class ConditionalGAN(nn.Module):
    """Generator and discriminator."""

    says_chance = True  # scores are log-odds of being real

    def __init__(self, config: Config, rng: torch.Generator) -> None:
        super().__init__()
        self.config, self.code_width, self.groups = config, config.codes, GROUPS[config.condition]
        self.generator = LeanGenerator(config.size, config.codes, config.width, self.groups, rng)
        self.discriminator = LeanDiscriminator(config.size, config.width, self.groups, config.spectral, rng)
        self.reins = Reins(config.augment)

    def seen(self, image: Tensor) -> Tensor:
        """0 to 1 -> -1 to 1."""
        return image * 2 - 1

    def make(self, codes: Tensor, group: Tensor | None = None) -> Tensor:
        """(B, Z), group (B,) -> (B, 1, S, S) in [0, 1]."""
        return (self.generator(codes, group) + 1) / 2

    def judge(self, image: Tensor, group: Tensor | None = None) -> Tensor:
        """(B, 1, S, S) in [0, 1], group (B,) -> score (B,); nothing is distorted."""
        score: Tensor = self.discriminator(self.seen(image), group)
        return score


def players(model: ConditionalGAN) -> list[Player]:
    """The discriminator, then the generator; both without momentum."""
    config, reins, rules = model.config, model.reins, model.config.rules
    return [
        Player(
            name="discriminator",
            parameters=list(model.discriminator.parameters()),
            loss=lambda batch, step, rng: discriminator_terms(
                model, model.discriminator, batch, step, rng, rules
            ),
            lr=reins.discriminator_lr(config.lr),
            betas=(config.beta1, 0.99),
        ),
        Player(
            name="generator",
            parameters=list(model.generator.parameters()),
            loss=lambda batch, step, rng: generator_terms(model, model.discriminator, batch, rng, rules),
            lr=reins.generator_lr(config.lr),
            betas=(config.beta1, 0.99),
        ),
    ]
