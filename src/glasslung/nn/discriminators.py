"""Networks that judge whether a picture is real: the DCGAN paper's, and one that cannot be too sure.

Notation  x (B, 1, S, S) in [-1, 1]; s score before any sigmoid, (B,), above 0 for real; w width

    StridedDiscriminator  5 x 5 convolutions by two, leaky ReLU, dropout; then dense 64, 32, 16, 1 without
                          anything between, as released
    LeanDiscriminator     residual halvings; by choice every layer divided by its spectral norm; the spread of
                          the batch is one more channel at the end, so that many equal pictures give
                          themselves away; for several groups a projection tells how well the group fits

Source: Gubbi et al. (2020), section II.B and released code; Miyato et al. (2018), spectral normalisation;
Miyato and Koyama (2018), projection; Karras et al. (2018), minibatch deviation.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glasslung.errors import UsageError
from glasslung.nn.blocks import initialise_glorot
from glasslung.nn.generators import COARSEST, LEAK, channels_at, doublings, initialise

SPREAD_GROUP = 4  # pictures whose spread is taken together


class StridedDiscriminator(nn.Module):
    """The paper's discriminator; `dropout` 0 makes a critic of it."""

    def __init__(self, size: int, width: int, dropout: float, rng: torch.Generator, beside: int = 0) -> None:
        super().__init__()
        times = doublings(size)
        channels = [1, *(width * 2**n for n in range(times))]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 5, stride=2) for a, b in itertools.pairwise(channels))
        self.dropout = nn.Dropout(dropout)
        self.beside = beside
        flat = channels[-1] * COARSEST * COARSEST + beside
        self.dense = nn.Sequential(
            nn.Linear(flat, width),
            nn.Linear(width, max(1, width // 2)),
            nn.Linear(max(1, width // 2), max(1, width // 4)),
        )
        self.score = nn.Linear(max(1, width // 4), 1)
        initialise_glorot(self, rng)

    def forward(self, image: Tensor, beside: Tensor | None = None) -> Tensor:
        """(B, 1, S, S), and what is judged together with it (B, beside) -> (B,)."""
        x = image
        for conv in self.convs:
            x = self.dropout(F.leaky_relu(conv(F.pad(x, (1, 2, 1, 2))), LEAK))  # Keras' 'same' at stride 2
        x = self.dropout(x.flatten(1))
        if beside is not None:
            x = torch.cat([x, beside], 1)
        score: Tensor = self.score(self.dense(x))[:, 0]
        return score


class Halving(nn.Module):
    """A residual block to half the size: (B, in, H, W) -> (B, out, H/2, W/2)."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels_in, channels_out, 4, stride=2, padding=1)
        self.second = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.skip = nn.Conv2d(channels_in, channels_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """One way averages, the other sees every pixel: averages are blind to a grid of single pixels."""
        y = F.leaky_relu(self.first(x), LEAK)
        y = F.leaky_relu(self.second(y), LEAK)
        return (y + self.skip(F.avg_pool2d(x, 2))) * 0.5**0.5


def batch_spread(x: Tensor, together: int = SPREAD_GROUP) -> Tensor:
    """How much pictures of a batch differ, in groups of `together`: (B, C, H, W) -> (B, 1, H, W).

    The mean over channels and pixels of the standard deviation across a group; a batch that cannot be shared
    out counts as one group.
    """
    count = len(x)
    size = together if count % together == 0 else count
    grouped = x.view(size, count // size, *x.shape[1:])
    spread = (grouped.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
    return spread.repeat(size)[:, None, None, None].expand(-1, 1, *x.shape[2:])


class LeanDiscriminator(nn.Module):
    """The discriminator of the small-data recipe."""

    def __init__(self, size: int, width: int, groups: int, spectral: bool, rng: torch.Generator) -> None:
        super().__init__()
        times = doublings(size)
        sides = [size // 2**n for n in range(times + 1)]
        channels = [channels_at(side, size, width) for side in sides]
        self.enter = nn.Conv2d(1, channels[0], 3, padding=1)
        self.halvings = nn.Sequential(*(Halving(a, b) for a, b in itertools.pairwise(channels)))
        self.join = nn.Conv2d(channels[-1] + 1, channels[-1], 3, padding=1)
        self.dense = nn.Linear(channels[-1] * COARSEST * COARSEST, channels[-1])
        self.real = nn.Linear(channels[-1], 1)
        self.of_group = nn.Embedding(groups, channels[-1]) if groups > 1 else None
        initialise(self, rng)
        if self.of_group is not None:
            nn.init.normal_(self.of_group.weight, std=channels[-1] ** -0.5, generator=rng)
        if spectral:
            divide_by_spectral_norm(self, rng)

    def forward(self, image: Tensor, group: Tensor | None = None) -> Tensor:
        """(B, 1, S, S), group (B,) int64 where there are several -> (B,)."""
        x = self.halvings(F.leaky_relu(self.enter(image), LEAK))
        x = F.leaky_relu(self.join(torch.cat([x, batch_spread(x)], 1)), LEAK)
        x = F.leaky_relu(self.dense(x.flatten(1)), LEAK)
        score: Tensor = self.real(x)[:, 0]
        if self.of_group is None:
            return score
        if group is None:
            raise UsageError("this discriminator judges pictures of a group; say of which")
        return score + (self.of_group(group) * x).sum(1)


def divide_by_spectral_norm(module: nn.Module, rng: torch.Generator) -> None:
    """Divide the weight of every convolution and dense layer by its largest singular value, from now on."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    with torch.random.fork_rng(devices=[]):  # torch draws the first vectors from its own stream
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=rng)))
        for layer in layers:
            nn.utils.parametrizations.spectral_norm(layer)
