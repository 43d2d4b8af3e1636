"""A critic that knows what slices of an age look like, and what it needs not to learn few slices by heart.

Notation  D(x, a) how real slice x looks at age a, (B,); real: a slice at the age it was seen at

    critic     hinge: mean relu(1 - D(real)) + mean relu(1 + D(made)), plus gamma / 2 |dD / d real|^2
    generator  -mean D(made)

Source: Miyato and Koyama (2018), projection; Mescheder et al. (2018), R1; Zhao et al. (2020), DiffAugment:
the same distortions in front of every look at a slice, real or made.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glasslung.nn.blocks import initialise_glorot

SHIFT_SHARE = 1 / 8  # of the side: how far a slice may be moved, as in DiffAugment
BRIGHTER = 0.1  # grey values are scaled by up to a tenth; more would hide how ill a lung is
CUT_SHARE = 1 / 4  # side of the square that is blanked
LUNG_GREY, LUNG_SOFT = 0.05, 0.01  # where a pixel counts as lung, and how softly; air outside is exactly 0


class Critic(nn.Module):
    """Four halvings of the slice, and one number for how real it looks at an age (projection critic)."""

    def __init__(self, ages: int, width: int, rng: torch.Generator) -> None:
        super().__init__()
        widths = (1, width, 2 * width, 4 * width, 4 * width)
        layers: list[nn.Module] = []
        for enters, f in pairwise(widths):
            layers += [nn.Conv2d(enters, f, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers)
        self.real = nn.Linear(widths[-1], 1)
        self.at_age = nn.Embedding(ages, widths[-1])
        initialise_glorot(self, rng)
        nn.init.normal_(self.at_age.weight, std=widths[-1] ** -0.5, generator=rng)

    def forward(self, image: Tensor, age: Tensor) -> Tensor:
        """image (B, 1, S, S) in [0, 1], age (B,) int64 -> how real, (B,)."""
        features = self.layers(image * 2 - 1).mean((2, 3))
        return self.real(features)[:, 0] + (self.at_age(age) * features).sum(1)


class Distortion(NamedTuple):
    """One draw of what is done to each slice before it is looked at.

    shift   (B, 2) pixels down and right;  scale (B,) of the grey values;  cut (B, 2) corner of the blank
    """

    shift: Tensor
    scale: Tensor
    cut: Tensor


def draw_distortion(count: int, side: int, rng: torch.Generator, device: torch.device) -> Distortion:
    """Draw for `count` slices of `side` pixels."""
    most = int(side * SHIFT_SHARE)

    def pick(low: int, high: int) -> Tensor:
        return torch.randint(low, high + 1, (count, 2), generator=rng, device=device)

    scale = 1 + BRIGHTER * (2 * torch.rand(count, generator=rng, device=device) - 1)
    return Distortion(pick(-most, most), scale, pick(0, side - int(side * CUT_SHARE)))


def distort(image: Tensor, how: Distortion) -> Tensor:
    """The slices moved, scaled and blanked, (B, 1, S, S); a gradient passes through."""
    side = image.shape[-1]
    at = torch.arange(side, device=image.device)
    rows, columns = (at[None] - how.shift[:, axis, None] for axis in (0, 1))
    inside = ((rows >= 0) & (rows < side))[:, :, None] & ((columns >= 0) & (columns < side))[:, None]
    edge = int(side * CUT_SHARE)
    down, right = (
        (at[None] >= how.cut[:, n, None]) & (at[None] < how.cut[:, n, None] + edge) for n in (0, 1)
    )
    keep = inside & ~(down[:, :, None] & right[:, None])
    index = torch.arange(len(image), device=image.device)[:, None, None]
    moved = image[index, 0, rows.clamp(0, side - 1)[:, :, None], columns.clamp(0, side - 1)[:, None]]
    return (moved * keep * how.scale[:, None, None])[:, None]


def look(
    critic: nn.Module, image: Tensor, age: Tensor, rng: torch.Generator, distorted: bool = True
) -> Tensor:
    """How real slices look at an age, distorted or as they are, (B,)."""
    if not distorted:
        plain: Tensor = critic(image, age)
        return plain
    how = draw_distortion(len(image), image.shape[-1], rng, image.device)
    found: Tensor = critic(distort(image, how), age)
    return found


def critic_loss(
    critic: nn.Module,
    real: Tensor,
    real_age: Tensor,
    made: Tensor,
    made_age: Tensor,
    rng: torch.Generator,
    r1: float,
    distorted: bool = True,
) -> dict[str, Tensor]:
    """What the critic minimises: hinge on both sides and the gradient penalty on real slices.

    Also told: the critic's mean on either side; when they part widely, it has learned the slices by heart.
    """
    real = real.detach().requires_grad_(r1 > 0)
    on_real = look(critic, real, real_age, rng, distorted)
    on_made = look(critic, made.detach(), made_age, rng, distorted)
    hinge = F.relu(1 - on_real).mean() + F.relu(1 + on_made).mean()
    steep = torch.zeros_like(hinge)
    if r1 > 0:
        (slope,) = torch.autograd.grad(on_real.sum(), real, create_graph=True)
        steep = slope.square().flatten(1).sum(1).mean()
    return {
        "total": hinge + 0.5 * r1 * steep,
        "hinge": hinge,
        "slope": steep,
        "on_real": on_real.mean(),
        "on_made": on_made.mean(),
    }


def lung_outline(image: Tensor) -> Tensor:
    """Softly where there is lung, (B, 1, S, S) in [0, 1]: anything but the black around it."""
    return torch.sigmoid((image - LUNG_GREY) / LUNG_SOFT)


def outline_moved(made: Tensor, seen: Tensor) -> Tensor:
    """By how much the outline of the lungs changed, mean square, (B,): a lung keeps its shape as it ages."""
    return (lung_outline(made) - lung_outline(seen)).square().flatten(1).mean(1)
