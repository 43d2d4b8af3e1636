"""The pyramid beside its definition, bin by bin."""

from __future__ import annotations

import math

import pytest
import torch

from glasslung.errors import UsageError
from glasslung.nn.pyramid import HEAVIER_LEVELS, PAPER_LEVELS, Pyramid, bins


def slow_level(maps: torch.Tensor, n: int) -> torch.Tensor:
    """Maxima of n x n bins, each from floor(i h / n) to ceil((i + 1) h / n)."""
    count, channels, h, w = maps.shape
    out = torch.empty(count, channels, n, n)
    for i in range(n):
        for j in range(n):
            rows = slice(math.floor(i * h / n), math.ceil((i + 1) * h / n))
            columns = slice(math.floor(j * w / n), math.ceil((j + 1) * w / n))
            out[..., i, j] = maps[..., rows, columns].amax((2, 3))
    return out


@pytest.mark.parametrize("shape", [(2, 3, 16, 16), (1, 4, 7, 11), (2, 2, 4, 4)])
def test_is_the_maximum_of_each_bin_whatever_the_size(shape):
    maps = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    slow = torch.cat([slow_level(maps, n).flatten(1) for n in PAPER_LEVELS], 1)
    assert torch.equal(Pyramid()(maps), slow)


def test_bins_of_the_paper_and_of_its_printed_weight():
    assert bins(PAPER_LEVELS) == 38 and bins(HEAVIER_LEVELS) == 53
    assert Pyramid()(torch.rand(1, 64, 32, 32)).shape == (1, 2432)
    for wrong in ((), (3, 0)):
        with pytest.raises(UsageError, match="levels"):
            Pyramid(wrong)
