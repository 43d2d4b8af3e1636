"""Distortions in front of every look that a discriminator takes, real or made, so that it cannot learn a few
hundred pictures by heart. Each is done to a picture with a probability p, which may follow what the
discriminator is seen to do (ADA).

Source: Zhao et al. (2020), DiffAugment; Karras et al. (2020), ADA: mirroring, shifts, brightness, contrast
and a blanked square, here for grey pictures on black.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from glasslung.nn.critics import Distortion, distort, draw_distortion

CONTRAST = 0.2  # greys are spread around the picture's mean by up to a fifth; more would hide density


class Looks(NamedTuple):
    """One draw for B pictures: what moves, dims and blanks them, contrast (B,), mirrored (B,) bool."""

    distortion: Distortion
    contrast: Tensor
    mirrored: Tensor


def draw_looks(
    count: int, side: int, chance: float | Tensor, rng: torch.Generator, mirror: bool = True
) -> Looks:
    """Draw for `count` pictures of `side` pixels; each distortion is on with probability `chance`, 0 to 1."""
    device = rng.device
    how = draw_distortion(count, side, rng, device)
    on = torch.rand(5, count, generator=rng, device=device) < chance
    contrast = 1 + CONTRAST * (2 * torch.rand(count, generator=rng, device=device) - 1)
    flip = torch.rand(count, generator=rng, device=device) < 0.5
    return Looks(
        Distortion(
            torch.where(on[0, :, None], how.shift, 0),
            torch.where(on[1], how.scale, 1.0),
            torch.where(on[2, :, None], how.cut, side),  # a blank beyond the edge is none
        ),
        torch.where(on[3], contrast, 1.0),
        flip & on[4] if mirror else torch.zeros_like(flip),
    )


def take_looks(image: Tensor, looks: Looks) -> Tensor:
    """The pictures as they are looked at: (B, 1, S, S) with 0 black -> the same shape; gradients pass.

    Greys may leave [0, 1] a little: clipping would stop gradients.
    """
    flipped = torch.where(looks.mirrored.view(-1, 1, 1, 1), image.flip(3), image)
    mean = flipped.mean((1, 2, 3), keepdim=True)
    more = (looks.contrast - 1).view(-1, 1, 1, 1)
    spread = flipped + (flipped - mean) * more  # exactly the picture where nothing is done
    return distort(spread, looks.distortion)


def distort_signed(image: Tensor, chance: Tensor, rng: torch.Generator) -> Tensor:
    """Pictures from -1, black, to 1, distorted with a chance; at 0 nothing is drawn and nothing done."""
    if float(chance) == 0.0:
        return image
    looks = draw_looks(len(image), image.shape[-1], chance, rng, mirror=False)
    return take_looks((image + 1) / 2, looks) * 2 - 1


def adapt(chance: Tensor, real_score: Tensor, target: float, step: float) -> Tensor:
    """The next probability: up when the discriminator is too sure of real pictures, else down (ADA).

    chance, real_score (B,) -> a scalar in 0 to 1; target: mean sign of the scores that is wished, 0.6 in the
    source; step: how far one look moves it.
    """
    sure = real_score.sign().mean() - target
    return (chance + step * sure.sign()).clamp(0, 1)
