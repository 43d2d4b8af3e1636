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
from torch import Tensor

from glasslung.errors import UsageError
from glasslung.nn.batches import SliceBatch
from glasslung.nn.diffaugment import adapt, draw_looks, take_looks
from glasslung.nn.ganlosses import loss_of_maker, loss_on_made, loss_on_real, share_right, steepness
from glasslung.nn.generators import draw_codes
from glasslung.nn.making import Maker

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
