"""LeanGAN: made lungs from few pictures: the recipe of recent years instead of the paper's.

What it changes, each by a switch: pictures are distorted in front of the discriminator (`augment`), so that a
few hundred of them cannot be learned by heart; its slope on real pictures is held down (`r1`), so that it
never becomes a wall without gradients; every layer can be divided by its spectral norm (`spectral`); the
batch's spread is seen, so that equal pictures give themselves away; the generator has no batch statistics,
and what is kept is the running average of its weights (the run's `ema`).

Notation and losses: see `nn.duel`; networks: `nn.generators.LeanGenerator`,
`nn.discriminators.LeanDiscriminator`
Source: Zhao et al. (2020), DiffAugment; Karras et al. (2020), ADA; Mescheder et al. (2018), R1; Miyato et al.
(2018), spectral normalisation; Liu et al. (2021), FastGAN.
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


@dataclass(frozen=True)
class Config:
    """Settings of one LeanGAN."""

    size: int = 64  # side of the pictures; 128 costs four times as much
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
        if self.codes < 1 or self.width < 4 or not 0 <= self.augment <= 1:
            raise UsageError("codes must be 1 or more, width 4, augment from 0 to 1")
        self.rules  # noqa: B018 - refuses what it does not know

    @property
    def rules(self) -> Rules:
        """How the game is played."""
        return Rules(
            self.loss, self.r1, self.r1_every, self.adaptive, self.sure, self.adapt_step, self.mirror
        )


class LeanGAN(nn.Module):
    """Generator and discriminator."""

    says_chance = True  # scores are log-odds of being real

    def __init__(self, config: Config, rng: torch.Generator) -> None:
        super().__init__()
        self.config, self.code_width, self.groups = config, config.codes, 1
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


def players(model: LeanGAN) -> list[Player]:
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
