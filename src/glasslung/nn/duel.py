"""The game of the small-data recipe, as the losses of its two players.

    discriminator  hinge or logistic on real and made pictures, each distorted anew; now and then R1 on
                   real ones
    generator      the same loss from its side, through distortions of its own

With `adaptive`, the chance of a distortion follows how sure the discriminator is of real pictures (ADA).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from glasslung.errors import UsageError
from glasslung.nn.batches import SliceBatch
from glasslung.nn.diffaugment import adapt, draw_looks, take_looks
from glasslung.nn.discriminators import LeanDiscriminator
from glasslung.nn.ganlosses import loss_of_maker, loss_on_made, loss_on_real, share_right, steepness
from glasslung.nn.generators import LeanGenerator, doublings, draw_codes
from glasslung.nn.making import Maker
from glasslung.nn.player import Player
from glasslung.nn.reins import Reins

SETTLED = ("hinge", "logistic")


@dataclass(frozen=True)
class Rules:
    """How the game is played; see the models' settings for the reasons."""

    loss: str
    r1: float
    r1_every: int
    adaptive: bool
    sure: float
    adapt_step: float
    mirror: bool

    def __post_init__(self) -> None:
        if self.loss not in SETTLED:
            raise UsageError(f"loss {self.loss!r} is unknown; choose one of {', '.join(SETTLED)}")
        if self.r1 < 0 or self.r1_every < 1 or not 0 <= self.sure < 1 or self.adapt_step < 0:
            raise UsageError(
                "r1 and adapt_step must not be negative, r1_every 1 or more, sure from 0 to below 1"
            )


Judge = Callable[[Tensor, Tensor], Tensor]
"""(B, 1, S, S) as the network is fed it, group (B,) -> score (B,)."""


def looked_at(maker: Maker, image: Tensor, rng: torch.Generator, mirror: bool) -> Tensor:
    """Pictures in [0, 1], distorted with the chance of the hour, as the discriminator is fed them."""
    looks = draw_looks(len(image), image.shape[-1], maker.reins.augment, rng, mirror)
    return maker.seen(take_looks(image, looks))


def discriminator_terms(
    maker: Maker, judge: Judge, batch: SliceBatch, step: int, rng: torch.Generator, rules: Rules
) -> dict[str, Tensor]:
    """The discriminator's turn: as many made pictures as real ones, of the same groups."""
    group = batch.group if maker.groups > 1 else torch.zeros_like(batch.group)
    with torch.no_grad():
        made = maker.make(draw_codes(len(batch), maker.code_width, rng), group)
    real = looked_at(maker, batch.image, rng, rules.mirror)
    on_real, on_made = judge(real, group), judge(looked_at(maker, made, rng, rules.mirror), group)
    played = loss_on_real(on_real, rules.loss) + loss_on_made(on_made, rules.loss)
    steep = torch.zeros_like(played)
    if rules.r1 > 0 and step % rules.r1_every == 0:
        steep = steepness(lambda image: judge(image, group), real).mean()
    if rules.adaptive:
        with torch.no_grad():
            maker.reins.augment.copy_(adapt(maker.reins.augment, on_real, rules.sure, rules.adapt_step))
    right_real, right_made = share_right(on_real.detach(), on_made.detach())
    return {
        "total": played + 0.5 * rules.r1 * rules.r1_every * steep,
        "played": played,
        "slope": steep,
        "on_real": on_real.mean(),
        "on_made": on_made.mean(),
        "right_real": right_real,
        "right_made": right_made,
        "augment": maker.reins.augment.clone(),
    }


def generator_terms(
    maker: Maker, judge: Judge, batch: SliceBatch, rng: torch.Generator, rules: Rules
) -> dict[str, Tensor]:
    """The generator's turn: as many pictures as the batch holds, of its groups; its slices are not used."""
    group = batch.group if maker.groups > 1 else torch.zeros_like(batch.group)
    made = maker.make(draw_codes(len(batch), maker.code_width, rng), group)
    score = judge(looked_at(maker, made, rng, rules.mirror), group)
    return {"total": loss_of_maker(score, rules.loss), "on_made": score.mean()}


@dataclass(frozen=True)
class DuelSettings:
    """What a user may choose about the recipe."""

    size: int = 64  # side of the pictures; 128 costs four times as much
    codes: int = 64  # numbers in a code; a hundred pictures fill no more
    width: int = 8  # channels at full size, doubled at each halving; best in minutes of one core
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


class LeanPair(nn.Module):
    """Generator and discriminator of the recipe; of one kind of picture, or of several groups."""

    says_chance = True  # scores are log-odds of being real

    def __init__(self, config: DuelSettings, groups: int, rng: torch.Generator) -> None:
        super().__init__()
        self.config, self.code_width, self.groups = config, config.codes, groups
        self.generator = LeanGenerator(config.size, config.codes, config.width, groups, rng)
        self.discriminator = LeanDiscriminator(config.size, config.width, groups, config.spectral, rng)
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


def duel(pair: LeanPair) -> list[Player]:
    """The discriminator, then the generator; both without momentum."""
    config, reins, rules = pair.config, pair.reins, pair.config.rules
    return [
        Player(
            name="discriminator",
            parameters=list(pair.discriminator.parameters()),
            loss=lambda batch, step, rng: discriminator_terms(
                pair, pair.discriminator, batch, step, rng, rules
            ),
            lr=reins.discriminator_lr(config.lr),
            betas=(config.beta1, 0.99),
        ),
        Player(
            name="generator",
            parameters=list(pair.generator.parameters()),
            loss=lambda batch, step, rng: generator_terms(pair, pair.discriminator, batch, rng, rules),
            lr=reins.generator_lr(config.lr),
            betas=(config.beta1, 0.99),
        ),
    ]
