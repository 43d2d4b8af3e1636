"""A network that changes a slice where there is lung, told what it is and what it shall be.

It works on blocks of 4 x 4 pixels (sixteen numbers of a picture of a quarter of the side), ten times cheaper
than single ones, and its last layer starts at zero: untrained, it changes nothing. Beside it stands a critic
that looks at the same blocks.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glasslung.nn.blocks import initialise_glorot

LUNG_GREY = 0.05  # above it a pixel counts as lung; outside it is 0
BLOCK = 4  # side of a block in pixels
CHANCE = 4  # channels of noise at an eighth of the side
TOLD = 32  # numbers into which the condition is spread
COARSEST = 8  # times smaller than the slice: where the noise comes in, and after how many pixels all repeats


class ToldConv(nn.Module):
    """A 3x3 convolution, scaled and shifted by what is told; leaky ReLU."""

    def __init__(self, enters: int, f: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(enters, f, 3, stride, padding=1)
        self.adjust = nn.Linear(TOLD, 2 * f)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """x (B, in, H, W), told (B, TOLD) -> (B, f, H / stride, W / stride)."""
        scale, shift = self.adjust(told)[:, :, None, None].chunk(2, 1)
        return F.leaky_relu(self.conv(x) * (1 + scale) + shift, 0.2)


class Mover(nn.Module):
    """G(x, c, e): the slice x, changed in its lungs as condition c asks; chance e makes draws differ."""

    def __init__(self, condition: int, width: int, rng: torch.Generator) -> None:
        super().__init__()
        self.tell = nn.Sequential(
            nn.Linear(condition, TOLD), nn.LeakyReLU(0.2), nn.Linear(TOLD, TOLD), nn.LeakyReLU(0.2)
        )
        self.fine = ToldConv(BLOCK**2, width)
        self.coarse = ToldConv(width, 2 * width, stride=2)
        self.deep = nn.ModuleList([ToldConv(2 * width + CHANCE, 2 * width), ToldConv(2 * width, 2 * width)])
        self.up = ToldConv(3 * width, 2 * width)
        self.last = ToldConv(2 * width, 2 * width)
        self.leave = nn.Conv2d(2 * width, BLOCK**2, 3, padding=1)
        initialise_glorot(self, rng)
        nn.init.zeros_(self.leave.weight)

    def forward(self, image: Tensor, condition: Tensor, chance: Tensor) -> Tensor:
        """image (B, 1, S, S), condition (B, C), chance (K B, 4, S / 8, S / 8) -> (K B, 1, S, S), unbounded.

        K draws of every slice, one whole batch after the other; what does not depend on chance is done once.
        """
        draws = len(chance) // len(image)
        told = self.tell(condition)
        fine = self.fine(F.pixel_unshuffle(image, BLOCK), told)
        x = torch.cat([repeat(self.coarse(fine, told), draws), chance], 1)
        told, fine, image = (repeat(part, draws) for part in (told, fine, image))
        for layer in self.deep:
            x = layer(x, told)
        x = self.up(torch.cat([F.interpolate(x, scale_factor=2), fine], 1), told)
        change = F.pixel_shuffle(self.leave(self.last(x, told)), BLOCK)
        return image + change * (image > LUNG_GREY)


class BlockCritic(nn.Module):
    """How real a slice looks at an age: blocks of pixels, three layers, a sum over places, a projection.

    A sum, not a mean: a lesion in one place must be heard.
    """

    def __init__(self, ages: int, width: int, rng: torch.Generator) -> None:
        super().__init__()
        widths = (BLOCK**2, width, 2 * width, 3 * width)
        layers: list[nn.Module] = []
        for number, (enters, f) in enumerate(pairwise(widths)):
            layers += [nn.Conv2d(enters, f, 3, stride=1 if number == 0 else 2, padding=1), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers)
        self.real = nn.Linear(widths[-1], 1)
        self.at_age = nn.Embedding(ages, widths[-1])
        initialise_glorot(self, rng)
        nn.init.normal_(self.at_age.weight, std=widths[-1] ** -0.5, generator=rng)

    def forward(self, image: Tensor, age: Tensor) -> Tensor:
        """image (B, 1, S, S) in [0, 1], age (B,) int64 -> how real, (B,)."""
        features = self.layers(F.pixel_unshuffle(image, BLOCK)).sum((2, 3)) / BLOCK
        return self.real(features)[:, 0] + (self.at_age(age) * features).sum(1)


def repeat(part: Tensor, draws: int) -> Tensor:
    """(B, ...) -> (draws B, ...), one whole batch after the other."""
    return part if draws == 1 else part.repeat(draws, *[1] * (part.ndim - 1))


def draw_chance(count: int, side: int, rng: torch.Generator, device: torch.device) -> Tensor:
    """The noise of `count` draws, (count, 4, side / 8, side / 8)."""
    shape = (count, CHANCE, side // COARSEST, side // COARSEST)
    return torch.randn(shape, generator=rng, device=device)


# --------------------------------------------------------------------------------- off the network's lattice


def smooth(change: Tensor, lung: Tensor, period: int = COARSEST) -> Tensor:
    """Mean over the lung pixels within half a period each way, the farthest counted half, (B, 1, S, S).

    change, lung (B, 1, S, S). Away from the lungs' edges whatever repeats after `period` pixels, or a part of
    it, leaves nothing but its mean: such patterns are of the network's blocks, not of the lungs.
    """
    kernel = change.new_ones(period + 1)
    kernel[[0, -1]] = 0.5
    kernel /= period

    def spread(x: Tensor) -> Tensor:
        down = F.conv2d(x, kernel[None, None, :, None], padding=(period // 2, 0))
        return F.conv2d(down, kernel[None, None, None, :], padding=(0, period // 2))

    return lung * spread(change * lung) / spread(lung).clamp_min(1e-6)


def place(image: Tensor, at: Tensor) -> Tensor:
    """image (B, 1, S, S) on black, 8 pixels larger, each from its own corner `at` (B, 2) in 0 to 8 on."""
    side = image.shape[-1]
    larger = image.new_zeros(len(image), side + COARSEST, side + COARSEST)
    larger[_window(at, side)] = image[:, 0]
    return larger[:, None]


def take_back(larger: Tensor, at: Tensor) -> Tensor:
    """What `place` put there, (B, 1, S, S)."""
    found: Tensor = larger[:, 0][_window(at, larger.shape[-1] - COARSEST)]
    return found[:, None]


def _window(at: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Indices of each row's window: of the row, and of its pixels down and across."""
    along = torch.arange(side, device=at.device)
    number = torch.arange(len(at), device=at.device)[:, None, None]
    return number, at[:, :1, None] + along[None, :, None], at[:, 1:, None] + along[None, None, :]


def mean_square(x: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of squares over a batch, for x that is 0 where the weight is, or weighted by 0 and 1."""
    return (x.square() * (weight > 0)).sum() / weight.sum().clamp_min(1.0)
