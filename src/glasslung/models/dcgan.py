"""DCGAN: the lung GAN of the paper, with its switches, and without its mistakes unless they are asked for.

Notation  z code, 100 standard normal numbers; x picture (1, S, S), S = 128; G generator, D discriminator

    G  dense z to 4 x 4 x 1024, batch norm, leaky ReLU; five transposed 5 x 5 convolutions by two to 1
       channel; `dense_last`: then dense from all pixels to all (16384 x 16384 at 128: 268.4 of 287.5 M
       parameters); tanh
    D  five 5 x 5 convolutions by two, 64 to 1024, leaky ReLU, dropout; dense 64, 32, 16, 1: 18.5 M parameters

    D loses  -log sigma(D(x)) - log(1 - sigma(D(G(z)))),  G loses  -log sigma(D(G(z)));  Adam 1e-4, beta_1 0.9

Source: Gubbi, Mody, Ng (2020), sections II and III, and the code they released.
Departures, unless `literal()` asks for the code's way: pictures are scaled to -1 to 1 whatever their file's
depth (the code's mapping left them black: `literal_scaling`); D learns from real and made pictures in one
step (the code takes two, on 25 each); the last dense layer is off. Batches come in rounds without
repetition, the code draws with repetition. Every checkpoint is a copy, the code's "best" generator was the
live one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from glasslung.errors import UsageError
from glasslung.nn.batches import SliceBatch
from glasslung.nn.diffaugment import distort_signed
from glasslung.nn.discriminators import StridedDiscriminator
from glasslung.nn.ganlosses import loss_of_maker, loss_on_made, loss_on_real, share_right
from glasslung.nn.generators import ConvGenerator, doublings, draw_codes
from glasslung.nn.player import Player
from glasslung.nn.reins import Reins

HALF_WHITE = 127.5


@dataclass(frozen=True)
class Config:
    """Settings of one DCGAN; the defaults are the paper's where it is not at fault."""

    size: int = 128  # side of the pictures; the paper's
    codes: int = 100  # numbers in a code; the paper's
    width: int = 64  # channels at half size; the paper's, smaller for tests and small machines
    dense_last: bool = False  # the paper's last layer, 268 M weights for 698 pictures
    literal_scaling: bool = False  # (x - 127.5) / 127.5 on pictures from 0 to 1: all of them black
    separate: bool = False  # D learns from real and from made pictures in steps of its own, as released
    generator_turns: int = 1  # 1 for the paper's 1:1 training, 2 for its 2:1
    dropout: float = 0.3  # of D, after each convolution; released
    lr: float = 1e-4  # of both; released
    beta1: float = 0.9  # Keras' default, which the released code keeps; DCGAN practice is 0.5

    def __post_init__(self) -> None:
        doublings(self.size)
        if self.codes < 1 or self.width < 4 or self.generator_turns < 1:
            raise UsageError("codes and generator_turns must be 1 or more, width 4 or more")
        if not 0 <= self.dropout < 1 or not 0 <= self.beta1 < 1:
            raise UsageError("dropout and beta1 must lie from 0 to below 1")


def literal() -> dict[str, Any]:
    """The settings of the released code, its mistakes included."""
    return {"dense_last": True, "literal_scaling": True, "separate": True}


class DCGAN(nn.Module):
    """Generator and discriminator; both are fed pictures as `seen` scales them."""

    turn: Tensor
    groups = 1
    says_chance = True  # scores are log-odds of being real

    def __init__(self, config: Config, rng: torch.Generator) -> None:
        super().__init__()
        self.config, self.code_width = config, config.codes
        self.generator = ConvGenerator(config.size, config.codes, config.width, config.dense_last, rng)
        self.discriminator = StridedDiscriminator(config.size, config.width, config.dropout, rng)
        self.reins = Reins()
        self.register_buffer("turn", torch.zeros((), dtype=torch.int64))  # of D, where real and made part

    def seen(self, image: Tensor) -> Tensor:
        """0 to 1 -> -1 to 1, or what the released code made of it."""
        return (image - HALF_WHITE) / HALF_WHITE if self.config.literal_scaling else image * 2 - 1

    def make(self, codes: Tensor, group: Tensor | None = None) -> Tensor:
        """(B, 100) -> (B, 1, S, S) in [0, 1], as a screen shows them that does not stretch what is dark."""
        return (self.generator(codes) + 1) / 2

    def judge(self, image: Tensor, group: Tensor | None = None) -> Tensor:
        """(B, 1, S, S) in [0, 1] -> score (B,)."""
        score: Tensor = self.discriminator(self.seen(image))
        return score


def discriminator_loss(model: DCGAN, batch: SliceBatch, rng: torch.Generator) -> dict[str, Tensor]:
    """Half a batch of real pictures and as many made ones, together or in turns of their own."""
    half, chance = max(1, len(batch) // 2), model.reins.augment
    with torch.no_grad():
        made = distort_signed(model.generator(draw_codes(half, model.code_width, rng)), chance, rng)
        seen = distort_signed(model.seen(batch.image[:half]), chance, rng)
    if not model.config.separate:
        on_real = model.discriminator(seen)
        on_made = model.discriminator(made)
        total = loss_on_real(on_real) + loss_on_made(on_made)
    else:
        real = int(model.turn) % 2 == 0
        model.turn.add_(1)
        score = model.discriminator(seen if real else made)
        total = loss_on_real(score) if real else loss_on_made(score)
        with torch.no_grad():
            other = model.discriminator(made if real else seen)
        on_real, on_made = (score, other) if real else (other, score)
    right_real, right_made = share_right(on_real.detach(), on_made.detach())
    return {
        "total": total,
        "on_real": on_real.mean(),
        "on_made": on_made.mean(),
        "right_real": right_real,
        "right_made": right_made,
    }


def generator_loss(model: DCGAN, batch: SliceBatch, rng: torch.Generator) -> dict[str, Tensor]:
    """As many made pictures as the batch holds; its slices are not looked at."""
    made = model.generator(draw_codes(len(batch), model.code_width, rng))
    score = model.discriminator(distort_signed(made, model.reins.augment, rng))
    return {"total": loss_of_maker(score), "on_made": score.mean()}


def players(model: DCGAN) -> list[Player]:
    """Discriminator first, as released; each its own Adam."""
    config, reins = model.config, model.reins
    return [
        Player(
            name="discriminator",
            parameters=list(model.discriminator.parameters()),
            loss=lambda batch, step, rng: discriminator_loss(model, batch, rng),
            turns=2 if config.separate else 1,
            lr=reins.discriminator_lr(config.lr),
            betas=(config.beta1, 0.999),
        ),
        Player(
            name="generator",
            parameters=list(model.generator.parameters()),
            loss=lambda batch, step, rng: generator_loss(model, batch, rng),
            turns=config.generator_turns,
            lr=reins.generator_lr(config.lr),
            betas=(config.beta1, 0.999),
        ),
    ]
