"""Pix2Pix: from the slice of a healthy lung to the same lung on a day of the disease, learned from pairs.

Only phantoms have such pairs: nobody is scanned healthy and ill on the same day. There the truth is known, so
what the network adds can be measured against it.

Notation  x source slice, y target slice, t day of the disease; G(x, t) made target; D(x, y, t) patches'
          scores

    D loses  -log sigma(D(x, y)) - log(1 - sigma(D(x, G(x)))), mean over patches
    G loses  -log sigma(D(x, G(x))) + lambda |y - G(x)|, mean over pixels

G is a U-Net with a skip at every size; what it cannot know (where lesions lie) it can only guess: with lambda
high, G paints the mean of all places. Its dropout in training is the source's only chance; asked, it is off.
Source: Isola et al. (2017), with a day as one more channel. The lung paper names it as its goal (section
V.A).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glasslung.errors import UsageError
from glasslung.nn.batches import PairBatch
from glasslung.nn.ganlosses import loss_of_maker, loss_on_made, loss_on_real, share_right
from glasslung.nn.generators import COARSEST, LEAK, doublings, initialise
from glasslung.nn.player import Player
from glasslung.nn.reins import Reins

LAST_DAY = 14.0  # of the disease: where the channel of the day reaches 1
PATCH_HALVINGS = 3  # a score for each 8 x 8 pixels sees about 38 x 38: texture, not anatomy


@dataclass(frozen=True)
class Config:
    """Settings of one Pix2Pix."""

    size: int = 64  # side of the slices
    width: int = 24  # channels at full size; doubled at each halving, up to 8 times
    likeness: float = 100.0  # lambda; the source's
    dropout: float = 0.3  # in G's coarsest storeys; the source has 0.5, with 4 times the channels
    lr: float = 2e-4  # the source's
    beta1: float = 0.5  # the source's

    def __post_init__(self) -> None:
        doublings(self.size)
        if self.width < 4 or self.likeness < 0 or not 0 <= self.dropout < 1:
            raise UsageError("width must be 4 or more, likeness not negative, dropout from 0 to below 1")


class UNetGenerator(nn.Module):
    """Halvings to 4 x 4 and back, each size joined with what it was on the way down."""

    def __init__(self, config: Config, rng: torch.Generator) -> None:
        super().__init__()
        times = doublings(config.size)
        w = config.width
        channels = [min(w * 2**n, 8 * w) for n in range(times + 1)]
        self.enter = nn.Conv2d(2, channels[0], 3, padding=1)
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 4, stride=2, padding=1), nn.GroupNorm(1, b), nn.LeakyReLU(LEAK))
            for a, b in itertools.pairwise(channels)
        )
        self.up = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a + b, b, 3, padding=1), nn.GroupNorm(1, b), nn.LeakyReLU(LEAK))
            for b, a in reversed(list(itertools.pairwise(channels)))
        )
        self.dropout = nn.Dropout(config.dropout)
        self.paint = nn.Conv2d(channels[0], 1, 3, padding=1)
        initialise(self, rng)
        nn.init.zeros_(self.paint.weight)  # it begins with no change at all

    def forward(self, source: Tensor, day: Tensor) -> Tensor:
        """(B, 1, S, S) in [0, 1], day (B,) -> (B, 1, S, S) in [0, 1]."""
        x = F.leaky_relu(self.enter(with_day(source, day)), LEAK)
        skips = [x]
        for storey in self.down:
            skips.append(storey(skips[-1]))
        x = skips.pop()
        for number, storey in enumerate(self.up):
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = storey(torch.cat([x, skips.pop()], 1))
            x = self.dropout(x) if number < 2 else x
        change = self.paint(x) * (source > 0)  # outside the lungs there is nothing to fall ill
        moved: Tensor = (source + change).clamp(0, 1)
        return source + change + (moved - source - change).detach()  # clipped, with a gradient all the same


class PatchDiscriminator(nn.Module):
    """Whether patches of the target belong to the source: (B, 1, S, S) twice, day (B,) -> (B, S/8, S/8)."""

    def __init__(self, config: Config, rng: torch.Generator) -> None:
        super().__init__()
        channels = [3, *(config.width * 2**n for n in range(PATCH_HALVINGS))]
        layers: list[nn.Module] = []
        for a, b in itertools.pairwise(channels):
            layers += [nn.Conv2d(a, b, 4, stride=2, padding=1), nn.LeakyReLU(LEAK)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels[-1], 1, 3, padding=1))
        initialise(self, rng)

    def forward(self, source: Tensor, target: Tensor, day: Tensor) -> Tensor:
        """One score a patch."""
        scores: Tensor = self.layers(torch.cat([with_day(source, day), target * 2 - 1], 1))[:, 0]
        return scores


def with_day(source: Tensor, day: Tensor) -> Tensor:
    """Greys from -1 to 1 and a channel of the day, (B, 2, S, S)."""
    when = (day / LAST_DAY).view(-1, 1, 1, 1).to(source.dtype)
    return torch.cat([source * 2 - 1, when.expand_as(source)], 1)


class Pix2Pix(nn.Module):
    """Generator and discriminator of pairs."""

    def __init__(self, config: Config, rng: torch.Generator) -> None:
        super().__init__()
        if config.size // 2**PATCH_HALVINGS < COARSEST:
            raise UsageError(f"size {config.size} is too small for patches; choose 32 or more")
        self.config = config
        self.generator = UNetGenerator(config, rng)
        self.discriminator = PatchDiscriminator(config, rng)
        self.reins = Reins()

    def forward(self, source: Tensor, day: Tensor) -> Tensor:
        """The lung on that day: (B, 1, S, S) in [0, 1], (B,) -> the same shape."""
        made: Tensor = self.generator(source, day)
        return made


def discriminator_loss(model: Pix2Pix, batch: PairBatch) -> dict[str, Tensor]:
    """True pairs against made ones, patch by patch."""
    with torch.no_grad():
        made = model(batch.source, batch.day)
    on_real = model.discriminator(batch.source, batch.target, batch.day)
    on_made = model.discriminator(batch.source, made, batch.day)
    right_real, right_made = share_right(on_real.detach(), on_made.detach())
    return {
        "total": loss_on_real(on_real) + loss_on_made(on_made),
        "on_real": on_real.mean(),
        "on_made": on_made.mean(),
        "right_real": right_real,
        "right_made": right_made,
    }


def generator_loss(model: Pix2Pix, batch: PairBatch) -> dict[str, Tensor]:
    """As real as D can tell, and like the partner."""
    made = model(batch.source, batch.day)
    score = model.discriminator(batch.source, made, batch.day)
    apart = (made - batch.target).abs().mean()
    total = loss_of_maker(score) + model.config.likeness * apart
    return {"total": total, "on_made": score.mean(), "apart": apart}


def players(model: Pix2Pix) -> list[Player]:
    """The discriminator, then the generator."""
    config, reins = model.config, model.reins
    return [
        Player(
            name="discriminator",
            parameters=list(model.discriminator.parameters()),
            loss=lambda batch, step, rng: discriminator_loss(model, batch),
            lr=reins.discriminator_lr(config.lr),
            betas=(config.beta1, 0.999),
        ),
        Player(
            name="generator",
            parameters=list(model.generator.parameters()),
            loss=lambda batch, step, rng: generator_loss(model, batch),
            lr=reins.generator_lr(config.lr),
            betas=(config.beta1, 0.999),
        ),
    ]
