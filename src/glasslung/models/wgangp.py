"""WGAN-GP: the DCGAN's networks, with a critic that measures how far made pictures lie from real ones.

Notation  C critic, without sigmoid, dropout or batch norm; x real, G(z) made, y between them

    C loses  C(G(z)) - C(x) + lambda (|dC / dy| - 1)^2, five steps for each of G
    G loses  -C(G(z))

C(x) - C(G(z)) estimates the earth mover's distance: unlike a discriminator's loss it falls as pictures
improve.
Source: Arjovsky et al. (2017); Gulrajani et al. (2017), algorithm 1. The paper names WGAN as tried, with
"limited success", without settings.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from glasslung.errors import UsageError
from glasslung.nn.batches import SliceBatch
from glasslung.nn.diffaugment import distort_signed
from glasslung.nn.discriminators import StridedDiscriminator
from glasslung.nn.ganlosses import gradient_penalty, loss_of_maker, loss_on_made, loss_on_real
from glasslung.nn.generators import ConvGenerator, doublings, draw_codes
from glasslung.nn.player import Player
from glasslung.nn.reins import Reins


@dataclass(frozen=True)
class Config:
    """Settings of one WGAN-GP; those of the game are Gulrajani et al.'s."""

    size: int = 128  # side of the pictures; the lung paper's
    codes: int = 100  # numbers in a code; the lung paper's
    width: int = 64  # channels at half size; the lung paper's
    penalty: float = 10.0  # lambda
    critic_turns: int = 5  # for each of the generator: the distance must be known to be shortened
    lr: float = 1e-4
    beta1: float = 0.0  # momentum makes two players circle
    beta2: float = 0.9

    def __post_init__(self) -> None:
        doublings(self.size)
        if self.codes < 1 or self.width < 4 or self.critic_turns < 1 or self.penalty < 0:
            raise UsageError("codes and critic_turns must be 1 or more, width 4, penalty not negative")


class WGANGP(nn.Module):
    """Generator and critic."""

    groups = 1
    says_chance = False  # a critic's values have no zero

    def __init__(self, config: Config, rng: torch.Generator) -> None:
        super().__init__()
        self.config, self.code_width = config, config.codes
        self.generator = ConvGenerator(config.size, config.codes, config.width, False, rng)
        self.discriminator = StridedDiscriminator(config.size, config.width, 0.0, rng)
        self.reins = Reins()

    def seen(self, image: Tensor) -> Tensor:
        """0 to 1 -> -1 to 1."""
        return image * 2 - 1

    def make(self, codes: Tensor, group: Tensor | None = None) -> Tensor:
        """(B, Z) -> (B, 1, S, S) in [0, 1]."""
        return (self.generator(codes) + 1) / 2

    def judge(self, image: Tensor, group: Tensor | None = None) -> Tensor:
        """(B, 1, S, S) in [0, 1] -> the critic's value (B,); only differences mean anything."""
        score: Tensor = self.discriminator(self.seen(image))
        return score


def critic_loss(model: WGANGP, batch: SliceBatch, rng: torch.Generator) -> dict[str, Tensor]:
    """The distance's estimate, upside down, and the penalty; 'distance' is what the generator shortens."""
    chance = model.reins.augment
    with torch.no_grad():
        real = distort_signed(model.seen(batch.image), chance, rng)
        made = distort_signed(model.generator(draw_codes(len(batch), model.code_width, rng)), chance, rng)
    on_real, on_made = model.discriminator(real), model.discriminator(made)
    share = torch.rand(len(batch), generator=rng, device=real.device)
    steep = gradient_penalty(model.discriminator, real, made, share)
    played = loss_on_real(on_real, "wasserstein") + loss_on_made(on_made, "wasserstein")
    return {
        "total": played + model.config.penalty * steep,
        "distance": -played,
        "slope": steep,
        "on_real": on_real.mean(),
        "on_made": on_made.mean(),
    }


def generator_loss(model: WGANGP, batch: SliceBatch, rng: torch.Generator) -> dict[str, Tensor]:
    """Minus the critic's value of made pictures."""
    made = model.generator(draw_codes(len(batch), model.code_width, rng))
    score = model.discriminator(distort_signed(made, model.reins.augment, rng))
    return {"total": loss_of_maker(score, "wasserstein"), "on_made": score.mean()}


def players(model: WGANGP) -> list[Player]:
    """The critic, five turns, then the generator."""
    config, reins = model.config, model.reins
    return [
        Player(
            name="discriminator",
            parameters=list(model.discriminator.parameters()),
            loss=lambda batch, step, rng: critic_loss(model, batch, rng),
            turns=config.critic_turns,
            lr=reins.discriminator_lr(config.lr),
            betas=(config.beta1, config.beta2),
        ),
        Player(
            name="generator",
            parameters=list(model.generator.parameters()),
            loss=lambda batch, step, rng: generator_loss(model, batch, rng),
            lr=reins.generator_lr(config.lr),
            betas=(config.beta1, config.beta2),
        ),
    ]
