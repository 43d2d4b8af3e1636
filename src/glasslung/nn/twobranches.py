"""Two branches that look at a slice and at its lesions, and a gate that lets through what both speak of.

Paper: the CVAE with side information, section 4.2.1 and equation 2. Each branch: 16 filters of 5 x 5, ReLU,
max-pool; 32 of 3 x 3, leaky ReLU, max-pool; 64 of 3 x 3, leaky ReLU. The gate: ReLU(global * side), element
by element. The layers are plain modules in plain sequences, so that an explanation can walk through them.

On a slice without lesions the side branch answers with what its biases make of nothing: one number for each
channel, the same everywhere but within four pixels of the border of its map (zero padding). The gate then
scales the global branch's channels; where that number is negative it passes on where the global branch is
negative too. So such slices are not silenced, and biases begin away from 0 for that reason.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from glasslung.errors import UsageError

CHANNELS = 64
SLOPE = 0.01  # of the leaky ReLU; the paper does not say, this is PyTorch's
SMALLEST_SIDE = 16  # of a slice: two halvings leave 4 x 4


def branch() -> nn.Sequential:
    """One branch: (S, 1, H, W) -> (S, 64, H / 4, W / 4); padded so that only pooling shrinks a slice."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.LeakyReLU(SLOPE),
        nn.MaxPool2d(2),
        nn.Conv2d(32, CHANNELS, 3, padding=1),
        nn.LeakyReLU(SLOPE),
    )


class Gate(nn.Module):
    """ReLU of the product of two maps, element by element: attention shared by both branches."""

    def __init__(self) -> None:
        super().__init__()
        self.activation = nn.ReLU()

    def forward(self, seen: Tensor, relevance: Tensor) -> Tensor:
        """seen, relevance (S, C, h, w) -> (S, C, h, w), nowhere negative."""
        gated: Tensor = self.activation(seen * relevance)
        return gated


class TwoBranches(nn.Module):
    """Both branches and the gate, or the global branch alone.

    side    False: no side branch and no gate, lesions are not looked at; the paper's ablation
    pooled  a third max-pool behind the gate, as in the CVAE; the classifier has its pyramid there
    """

    def __init__(self, side: bool = True, pooled: bool = False) -> None:
        super().__init__()
        self.whole = branch()  # the paper's global branch
        self.side = branch() if side else None
        self.gate = Gate() if side else None
        self.pool = nn.MaxPool2d(2) if pooled else None

    def forward(self, image: Tensor, lesion: Tensor) -> Tensor:
        """image, lesion (S, 1, H, W) in [0, 1] -> (S, 64, H / 4, W / 4), or / 8 where pooled."""
        maps: Tensor = self.whole(image)
        if self.side is not None and self.gate is not None:
            maps = self.gate(maps, self.side(lesion))
        return self.pool(maps) if self.pool is not None else maps


def copy_branches(source: TwoBranches, target: TwoBranches) -> None:
    """Give the target the weights of the source's branches; UsageError where only one has a side branch."""
    if (source.side is None) != (target.side is None):
        raise UsageError("one model has a side branch, the other has none; give both the same 'side'")
    target.load_state_dict(source.state_dict())


def initialise_he(module: nn.Module, rng: torch.Generator, slope: float = SLOPE) -> None:
    """He's start for (leaky) ReLUs from `rng`; biases as PyTorch's, uniform within 1 / sqrt(inputs).

    Without biases a slice without lesions would shut the gate, and nothing behind it would learn.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Conv3d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, a=slope, generator=rng)
            if layer.bias is not None:
                inputs = layer.weight[0].numel()
                nn.init.uniform_(layer.bias, -1 / math.sqrt(inputs), 1 / math.sqrt(inputs), generator=rng)
