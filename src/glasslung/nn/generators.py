"""Networks that make a picture from a code: the DCGAN paper's, and one that learns from few pictures.

Notation  z code (B, Z); S side of the picture, 4 times a power of two; w width; output (B, 1, S, S) in
          [-1, 1]

    ConvGenerator  dense to 4 x 4, then 5 x 5 transposed convolutions by two, batch norm and leaky ReLU; by a
                   switch the paper's last layer, dense from all pixels to all pixels (16384 x 16384 at 128)
    LeanGenerator  nearest doubling and two 3 x 3 convolutions a storey, every pixel's channels scaled to unit
                   length (no batch statistics: averaged weights work at once), and the coarsest storeys gate
                   the finest ones (skip-layer excitation), so that gradients reach both

Source: Gubbi et al. (2020), section II.B, with the constants of Keras that the released code relies on;
Karras et al. (2018) for pixel normalisation; Liu et al. (2021, FastGAN) for skip-layer excitation.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glasslung.errors import UsageError
from glasslung.nn.blocks import NORM_EPSILON, NORM_MOMENTUM, initialise_glorot, norm

COARSEST = 4
KERAS_LEAK = 0.3  # slope of Keras' LeakyReLU where none is given
LEAK = 0.2


def doublings(size: int) -> int:
    """How often 4 pixels are doubled to reach `size`; UsageError where they never do."""
    times = (size // COARSEST).bit_length() - 1
    if times < 1 or COARSEST * 2**times != size:
        raise UsageError(f"size {size} is not 4 times a power of two; choose 32, 64 or 128")
    return times


def draw_codes(count: int, width: int, rng: torch.Generator) -> Tensor:
    """Standard normal codes, (count, width), on the generator's device."""
    return torch.randn(count, width, generator=rng, device=rng.device)


class KerasUp(nn.ConvTranspose2d):
    """A 5 x 5 transposed convolution by two, 'same' as Keras crops it: (B, in, H, W) -> (B, out, 2H, 2W)."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, 5, stride=2, bias=False)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """One row and column off at the start, two at the end."""
        return super().forward(x)[:, :, 1:-2, 1:-2]


class ConvGenerator(nn.Module):
    """The paper's generator: `width` channels before the last layer, doubled at each coarser storey."""

    def __init__(self, size: int, codes: int, width: int, dense_last: bool, rng: torch.Generator) -> None:
        super().__init__()
        times = doublings(size)
        self.size, self.top = size, width * 2 ** (times - 1)
        pixels = COARSEST * COARSEST * self.top
        self.dense = nn.Sequential(
            nn.Linear(codes, pixels, bias=False),
            nn.BatchNorm1d(pixels, eps=NORM_EPSILON, momentum=NORM_MOMENTUM),
            nn.LeakyReLU(KERAS_LEAK),
        )
        storeys: list[nn.Module] = []
        for storey in range(times - 1):
            f = self.top // 2**storey
            storeys += [KerasUp(f, f // 2), norm(f // 2), nn.LeakyReLU(KERAS_LEAK)]
        self.storeys = nn.Sequential(*storeys, KerasUp(width, 1))
        self.last = nn.Linear(size * size, size * size, bias=False) if dense_last else None
        initialise_glorot(self, rng)

    def forward(self, codes: Tensor) -> Tensor:
        """(B, Z) -> (B, 1, S, S) in [-1, 1]."""
        x = self.dense(codes).view(-1, self.top, COARSEST, COARSEST)
        x = self.storeys(x)
        if self.last is not None:
            x = self.last(x.flatten(1)).view(-1, 1, self.size, self.size)
        return torch.tanh(x)


def unit_length(x: Tensor) -> Tensor:
    """Every pixel's channels (or a code) scaled to mean square 1, (B, C, ...)."""
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


def channels_at(side: int, size: int, width: int) -> int:
    """`width` channels at full size, twice as many at each halving, 8 times at most."""
    return min(width * size // side, 8 * width)


class Storey(nn.Module):
    """Twice the size, then two convolutions: (B, in, H, W) -> (B, out, 2H, 2W)."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.second = nn.Conv2d(channels_out, channels_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Doubled by repeating pixels, which leaves no chequers."""
        x = F.interpolate(x, scale_factor=2, mode="nearest")
        x = unit_length(F.leaky_relu(self.first(x), LEAK))
        return unit_length(F.leaky_relu(self.second(x), LEAK))


class Gate(nn.Module):
    """Skip-layer excitation: coarse features say how much each fine channel counts, (B, f) in 0 to 1."""

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(coarse, fine), nn.Linear(fine, fine)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(B, c, h, w), (B, f, H, W) -> (B, f, H, W)."""
        read = F.leaky_relu(self.first(coarse.mean((2, 3))), LEAK)
        return fine * (2 * torch.sigmoid(self.second(read)))[:, :, None, None]


class LeanGenerator(nn.Module):
    """The generator of the small-data recipe; with `groups` above 1 the code is joined by a group's own."""

    def __init__(self, size: int, codes: int, width: int, groups: int, rng: torch.Generator) -> None:
        super().__init__()
        times = doublings(size)
        sides = [COARSEST * 2**n for n in range(times + 1)]
        channels = [channels_at(side, size, width) for side in sides]
        self.group = nn.Embedding(groups, codes) if groups > 1 else None
        self.dense = nn.Linear(codes * (2 if groups > 1 else 1), channels[0] * COARSEST * COARSEST)
        self.storeys = nn.ModuleList(Storey(low, high) for low, high in itertools.pairwise(channels))
        reach = max(1, times - 1)  # storeys between a coarse map and the one that it gates
        self.reach = reach
        self.gates = nn.ModuleList(
            Gate(channels[n], channels[n + reach]) for n in range(times + 1 - reach) if n + reach <= times
        )
        self.paint = nn.Conv2d(channels[-1], 1, 3, padding=1)
        initialise(self, rng)

    def forward(self, codes: Tensor, group: Tensor | None = None) -> Tensor:
        """(B, Z), group (B,) int64 where there are several -> (B, 1, S, S) in [-1, 1].

        Shares of the groups, (B, G) float, make what lies between them.
        """
        read = unit_length(codes)
        if self.group is not None:
            if group is None:
                raise UsageError("this generator makes pictures of a group; say of which")
            mixed = group @ self.group.weight if group.is_floating_point() else self.group(group)
            read = torch.cat([read, unit_length(mixed)], 1)
        x = self.dense(read).view(len(codes), -1, COARSEST, COARSEST)
        levels = [unit_length(F.leaky_relu(x, LEAK))]
        for number, storey in enumerate(self.storeys, start=1):
            x = storey(levels[-1])
            if number >= self.reach:
                x = self.gates[number - self.reach](levels[number - self.reach], x)
            levels.append(x)
        return torch.tanh(self.paint(levels[-1]))


def initialise(module: nn.Module, rng: torch.Generator) -> None:
    """He's normal weights for leaky ReLU, zero bias, unit normal embeddings."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, LEAK, generator=rng)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        if isinstance(layer, nn.Embedding):
            nn.init.normal_(layer.weight, generator=rng)
