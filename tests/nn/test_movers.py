"""A mover that changes lungs alone, a critic that hears one small place, a weighted mean square."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from glasslung.nn.movers import (
    COARSEST,
    LUNG_GREY,
    BlockCritic,
    Mover,
    draw_chance,
    mean_square,
    place,
    repeat,
    smooth,
    take_back,
)

CPU = torch.device("cpu")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 3) -> Tensor:
    """Noise with a black frame of 8 pixels."""
    x = torch.zeros(count, 1, 32, 32)
    x[..., 8:24, 8:24] = torch.rand(count, 1, 16, 16, generator=generator(1))
    return x


@pytest.fixture
def mover() -> Mover:
    """One whose last layer is no longer zero."""
    made = Mover(4, 8, generator())
    with torch.no_grad():
        made.leave.weight.normal_(std=0.05, generator=generator(2))
    return made.requires_grad_(False)


def test_untrained_it_changes_nothing():
    x = images()
    chance = draw_chance(3, 32, generator(3), CPU)
    assert torch.equal(Mover(4, 8, generator())(x, torch.rand(3, 4), chance), x)


def test_many_draws_at_once_equal_one_by_one(mover):
    x, condition = images(), torch.rand(3, 4, generator=generator(4))
    chance = draw_chance(12, 32, generator(3), CPU)
    assert chance.shape == (12, 4, 4, 4)
    together = mover(x, condition, chance)
    for draw in range(4):
        for row in range(3):
            at = 3 * draw + row
            alone = mover(x[row : row + 1], condition[row : row + 1], chance[at : at + 1])
            assert torch.allclose(together[at], alone[0], atol=1e-6)
    assert not torch.allclose(together[:3], together[3:6], atol=1e-3)


def test_only_lungs_change_and_the_condition_matters(mover):
    x, chance = images(), torch.zeros(3, 4, 4, 4)
    one, other = (mover(x, torch.full((3, 4), value), chance) for value in (0.0, 1.0))
    outside = x <= LUNG_GREY
    assert torch.equal(one[outside], x[outside])
    assert float((one - x)[~outside].abs().mean()) > 1e-3
    assert float((one - other)[~outside].abs().mean()) > 1e-3


def test_repeating_puts_whole_batches_one_after_the_other():
    rows = torch.arange(6).reshape(3, 2)
    assert torch.equal(repeat(rows, 2), torch.cat([rows, rows]))
    assert repeat(rows, 1) is rows


def test_a_block_critic_hears_one_small_place_as_loud_in_a_large_slice_as_in_a_small_one():
    """A sum over places: what one lesion adds does not shrink as the slice around it grows."""
    critic = BlockCritic(4, 8, generator())
    heard = []
    for side in (64, 128):
        plain = torch.zeros(1, 1, side, side)
        ill = plain.clone()
        ill[..., 28:36, 28:36] = 0.9
        with torch.no_grad():
            heard.append(float(critic(ill, torch.tensor([2])) - critic(plain, torch.tensor([2]))))
    assert abs(heard[0]) > 1e-3
    assert heard[1] == pytest.approx(heard[0], rel=1e-3)


def test_a_block_critic_is_told_the_age():
    critic = BlockCritic(4, 8, generator())
    with torch.no_grad():
        looks = critic(images(1).repeat(4, 1, 1, 1), torch.arange(4))
    assert looks.shape == (4,)
    assert len({round(float(value), 5) for value in looks}) == 4


def test_the_weighted_mean_square_is_its_formula():
    x, weight = torch.rand(2, 1, 3, 3, generator=generator(5)) - 0.5, torch.zeros(2, 1, 3, 3)
    weight[0, 0, 0, :2], weight[1, 0, 2] = 1.0, 0.5
    squares = weights = 0.0
    for value, share in zip(x.flatten().tolist(), weight.flatten().tolist(), strict=True):
        squares += value**2 if share > 0 else 0.0
        weights += share
    assert float(mean_square(x, weight)) == pytest.approx(squares / weights)
    assert float(mean_square(x, torch.zeros_like(weight))) == 0.0


# --------------------------------------------------------------------------------- off the network's lattice


def slow_smooth(change: Tensor, lung: Tensor, period: int) -> Tensor:
    """Weighted mean over lung pixels, one by one; weights are a half at the far rows and columns."""
    half, (high, wide) = period // 2, change.shape
    out = torch.zeros(high, wide)
    for r in range(high):
        for c in range(wide):
            total = weight = 0.0
            for i in range(max(0, r - half), min(high, r + half + 1)):
                for j in range(max(0, c - half), min(wide, c + half + 1)):
                    w = float(lung[i, j]) * 0.5 ** ((abs(i - r) == half) + (abs(j - c) == half))
                    total, weight = total + w * float(change[i, j]), weight + w
            out[r, c] = total / weight if lung[r, c] else 0.0
    return out


@pytest.mark.parametrize("period", [4, 8])
def test_smoothing_is_its_formula(period):
    change = torch.randn(2, 1, 14, 11, generator=generator(5))
    lung = (torch.rand(2, 1, 14, 11, generator=generator(6)) > 0.4).float()
    found = smooth(change, lung, period)
    for row in range(2):
        expected = slow_smooth(change[row, 0], lung[row, 0], period)
        assert torch.allclose(found[row, 0], expected, atol=1e-5)


def test_whatever_repeats_like_the_blocks_leaves_only_its_mean():
    """Any pattern of 8 x 8 pixels, and those of 4 and 2 among them; a bump wider than that stays."""
    tile = torch.rand(1, 1, COARSEST, COARSEST, generator=generator(7))
    lung = torch.ones(1, 1, 64, 64)
    found = smooth(tile.repeat(1, 1, 8, 8), lung)[..., 8:-8, 8:-8]
    assert torch.allclose(found, tile.mean().expand_as(found), atol=1e-5)
    r, c = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    bump = torch.exp(-((r - 32) ** 2 + (c - 32) ** 2) / 200)[None, None]
    assert float(smooth(bump, lung).max()) > 0.9


def test_what_is_placed_is_taken_back():
    x = images()
    at = torch.tensor([[0, 0], [7, 2], [8, 8]])
    larger = place(x, at)
    assert larger.shape == (3, 1, 40, 40)
    assert torch.equal(larger[1, 0, 7:39, 2:34], x[1, 0])
    assert float(larger.sum()) == pytest.approx(float(x.sum()), rel=1e-6)
    assert torch.equal(take_back(larger, at), x)
