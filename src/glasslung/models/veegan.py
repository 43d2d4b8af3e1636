"""VEEGAN: a GAN with a reconstructor, which sends a picture back to its code. So a real picture has a code
too.

Notation  z code; x real picture; G(z) made; F(x) reconstructor, picture to code; D(z, x) judges pairs

    D loses       -log sigma(D(z, G(z))) - log(1 - sigma(D(F(x), x)))
    G and F lose  mean D(z, G(z)) - mean D(F(x), x) + lambda mean |z - F(G(z))|^2

D says from which side a pair comes; G and F make both sides alike: then G's pictures are like real ones, F's
codes of real pictures are standard normal, and each undoes the other. A generator that drops some kinds of
pictures loses the last term, for F cannot send them back.
Source: Srivastava et al. (2017), equation 5 and algorithm 1. The lung paper names VEEGAN as future work.
Departure: the second term, by which F learns from real pictures, is D's own score instead of nothing, as the
objective (3) asks; algorithm 1 updates F by the reconstruction alone. `joint` false gives algorithm 1.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from glasslung.errors import UsageError
from glasslung.nn.batches import SliceBatch
from glasslung.nn.blocks import initialise_glorot
from glasslung.nn.diffaugment import distort_signed
from glasslung.nn.discriminators import StridedDiscriminator
from glasslung.nn.ganlosses import loss_on_made, loss_on_real, share_right
from glasslung.nn.generators import COARSEST, LEAK, ConvGenerator, doublings, draw_codes
from glasslung.nn.player import Player
from glasslung.nn.reins import Reins


@dataclass(frozen=True)
class Config:
    """Settings of one VEEGAN."""

    size: int = 128  # side of the pictures; the lung paper's
    codes: int = 100  # numbers in a code; the lung paper's
    width: int = 64  # channels at half size; the lung paper's
    reconstruction: float = 1.0  # lambda; the source's
    joint: bool = True  # F learns from D on real pictures too
    dropout: float = 0.3  # of D; the lung paper's
    lr: float = 1e-4  # the lung paper's
    beta1: float = 0.5  # usual for DCGANs: with 0.9 the two players circle

    def __post_init__(self) -> None:
        doublings(self.size)
        if self.codes < 1 or self.width < 4 or self.reconstruction < 0:
            raise UsageError("codes must be 1 or more, width 4, reconstruction not negative")
        if not 0 <= self.dropout < 1 or not 0 <= self.beta1 < 1:
            raise UsageError("dropout and beta1 must lie from 0 to below 1")


class Reconstructor(nn.Module):
    """A picture's code: convolutions by two, then one dense layer, (B, 1, S, S) in [-1, 1] -> (B, Z)."""

    def __init__(self, size: int, codes: int, width: int, rng: torch.Generator) -> None:
        super().__init__()
        times = doublings(size)
        channels = [1, *(min(width * 2**n, 8 * width) for n in range(times))]
        layers: list[nn.Module] = []
        for a, b in itertools.pairwise(channels):
            layers += [nn.Conv2d(a, b, 4, stride=2, padding=1), nn.GroupNorm(1, b), nn.LeakyReLU(LEAK)]
        self.layers = nn.Sequential(*layers)
        self.dense = nn.Linear(channels[-1] * COARSEST * COARSEST, codes)
        initialise_glorot(self, rng)

    def forward(self, image: Tensor) -> Tensor:
        """Each picture by itself: no batch statistics, so a picture's code does not depend on its company."""
        code: Tensor = self.dense(self.layers(image).flatten(1))
        return code


class VEEGAN(nn.Module):
    """Generator, reconstructor, and a discriminator of pairs."""

    groups = 1
    says_chance = True  # scores are log-odds of being a real pair

    def __init__(self, config: Config, rng: torch.Generator) -> None:
        super().__init__()
        self.config, self.code_width = config, config.codes
        self.generator = ConvGenerator(config.size, config.codes, config.width, False, rng)
        self.reconstructor = Reconstructor(config.size, config.codes, config.width, rng)
        self.discriminator = StridedDiscriminator(
            config.size, config.width, config.dropout, rng, config.codes
        )
        self.reins = Reins()

    def seen(self, image: Tensor) -> Tensor:
        """0 to 1 -> -1 to 1."""
        return image * 2 - 1

    def make(self, codes: Tensor, group: Tensor | None = None) -> Tensor:
        """(B, Z) -> (B, 1, S, S) in [0, 1]."""
        return (self.generator(codes) + 1) / 2

    def code_of(self, image: Tensor, group: Tensor | None = None) -> Tensor:
        """The codes of pictures, real or made: (B, 1, S, S) in [0, 1] -> (B, Z)."""
        code: Tensor = self.reconstructor(self.seen(image))
        return code

    def judge(self, image: Tensor, group: Tensor | None = None) -> Tensor:
        """How much a picture with its code looks like a real pair: score (B,), above 0 for real."""
        seen = self.seen(image)
        return -self.discriminator(seen, self.reconstructor(seen))


def discriminator_loss(model: VEEGAN, batch: SliceBatch, rng: torch.Generator) -> dict[str, Tensor]:
    """Pairs of either side told apart; D is high on made pairs, as in the source."""
    codes = draw_codes(len(batch), model.code_width, rng)
    real = model.seen(batch.image)
    with torch.no_grad():
        made, guessed = model.generator(codes), model.reconstructor(real)
        made, real = (distort_signed(one, model.reins.augment, rng) for one in (made, real))
    on_made, on_real = model.discriminator(made, codes), model.discriminator(real, guessed)
    right_made, right_real = share_right(on_made.detach(), on_real.detach())
    return {
        "total": loss_on_real(on_made) + loss_on_made(on_real),
        "on_real": -on_real.mean(),
        "on_made": -on_made.mean(),
        "right_real": right_real,
        "right_made": right_made,
    }


def maker_loss(model: VEEGAN, batch: SliceBatch, rng: torch.Generator) -> dict[str, Tensor]:
    """Generator and reconstructor: both sides alike, and codes that come back. |.|^2 per number of a code."""
    codes = draw_codes(len(batch), model.code_width, rng)
    made = model.generator(codes)
    back = model.reconstructor(made)
    apart = (back - codes).square().mean()
    chance = model.reins.augment
    on_made = model.discriminator(distort_signed(made, chance, rng), codes).mean()
    total = on_made + model.config.reconstruction * apart
    if model.config.joint:
        real = model.seen(batch.image)
        guessed = model.reconstructor(real)
        total = total - model.discriminator(distort_signed(real, chance, rng), guessed).mean()
    return {"total": total, "on_made": -on_made, "code_error": apart}


def players(model: VEEGAN) -> list[Player]:
    """The discriminator; then generator and reconstructor together."""
    config, reins = model.config, model.reins
    return [
        Player(
            name="discriminator",
            parameters=list(model.discriminator.parameters()),
            loss=lambda batch, step, rng: discriminator_loss(model, batch, rng),
            lr=reins.discriminator_lr(config.lr),
            betas=(config.beta1, 0.999),
        ),
        Player(
            name="generator",
            parameters=[*model.generator.parameters(), *model.reconstructor.parameters()],
            loss=lambda batch, step, rng: maker_loss(model, batch, rng),
            lr=reins.generator_lr(config.lr),
            betas=(config.beta1, 0.999),
            clip_total_norm=10.0,  # scores are not bounded from either side
        ),
    ]
