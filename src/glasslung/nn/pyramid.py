"""Spatial pyramid pooling: maps of any size as a fixed number of maxima, coarse and fine.

He et al., Spatial pyramid pooling in deep convolutional networks (2015). The diagnosis paper's three levels
"5 x 5, 3 x 3, 2 x 2" are read as numbers of bins: 38 bins of 64 channels are 2432 numbers, whatever the size
of the slice.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from glasslung.errors import UsageError

PAPER_LEVELS = (5, 3, 2)
HEAVIER_LEVELS = (6, 4, 1)  # 53 bins: with these the classifier has the 1.92 million weights of the paper


class Pyramid(nn.Module):
    """Adaptive max-pooling at some levels, n x n bins each, one after another."""

    def __init__(self, levels: tuple[int, ...] = PAPER_LEVELS) -> None:
        super().__init__()
        if not levels or min(levels) < 1:
            raise UsageError(f"a pyramid needs levels of 1 bin or more, got {levels}")
        self.levels = nn.ModuleList(nn.AdaptiveMaxPool2d(level) for level in levels)

    def forward(self, maps: Tensor) -> Tensor:
        """maps (S, C, h, w) -> (S, C * bins): level by level, within a level channel by channel."""
        return torch.cat([level(maps).flatten(1) for level in self.levels], 1)


def bins(levels: tuple[int, ...]) -> int:
    """How many bins the levels have together: (5, 3, 2) -> 38."""
    return sum(level * level for level in levels)
