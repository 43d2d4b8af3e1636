"""Lungs that nobody has: the law that is counted, depth, the order of drawing, and that tissue is learned."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from glasslung.nn.movers import LUNG_GREY
from glasslung.nn.painters import (
    DEEPEST,
    REACH,
    Law,
    Painter,
    anatomy_of,
    around,
    depth_of,
    grey_of,
    larger_left,
    level_of,
)

SIDE = 32


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def lungs(count: int = 24, side: int = SIDE, seed: int = 1) -> Tensor:
    """Two discs of unlike size and place, grey in stripes of two rows, (count, 1, side, side)."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:side, :side]
    images = []
    for _ in range(count):
        left, right = rng.uniform(0.19, 0.22) * side, rng.uniform(0.13, 0.16) * side
        middle = side / 2 + rng.uniform(-1, 1)
        lung = np.hypot(row - middle, column - 0.27 * side) < left
        lung |= np.hypot(row - middle, column - 0.75 * side) < right
        images.append(np.where(lung, np.where(row // 2 % 2 == 0, 0.3, 0.8), 0.0))
    return torch.tensor(np.stack(images)[:, None], dtype=torch.float32)


def taught(steps: int = 120) -> Painter:
    painter, images = Painter(SIDE, generator()), lungs()
    adam = torch.optim.Adam(painter.parameters(), 6e-3)
    rng = generator(5)
    for _ in range(steps):
        rows = torch.randint(len(images), (4,), generator=rng)
        anatomy = anatomy_of(images[rows])
        painter.law.take(anatomy)
        adam.zero_grad()
        painter.surprise(images[rows], anatomy, rng).backward()
        adam.step()
    return painter


@pytest.fixture(scope="module")
def painter() -> Painter:
    return taught()


# ---------------------------------------------------------------------------------------------- the law


def test_mean_and_covariance_are_those_of_all_rows_at_once():
    rows = torch.randn(50, 3, generator=generator(2)) @ torch.tensor([[2.0, 1, 0], [0, 1, 0], [0, 0, 0.1]])
    law = Law(3)
    for part in rows.split([1, 16, 4, 29]):
        law.take(part)
    assert int(law.count) == 50
    assert law.mean.tolist() == pytest.approx(rows.mean(0).tolist(), abs=1e-5)
    assert law.covariance.numpy() == pytest.approx(np.cov(rows.numpy().T, bias=True), abs=1e-4)


def test_draws_follow_the_law_and_stay_where_no_row_ever_was_elsewhere():
    way = torch.tensor([[3.0, 4.0, 0.0]])  # all rows lie on one line
    law = Law(3)
    law.take(1.0 + torch.randn(400, 1, generator=generator(2)) * way)
    drawn = law.draw(4000, generator(3))
    assert drawn.mean(0).numpy() == pytest.approx(law.mean.numpy(), abs=0.3)
    assert np.cov(drawn.numpy().T) == pytest.approx(law.covariance.numpy(), rel=0.1, abs=0.1)
    assert float((drawn[:, 2] - 1).abs().max()) < 1e-2
    assert torch.equal(law.draw(5, generator(1)), law.draw(5, generator(1)))


# --------------------------------------------------------------------------------------------- anatomy


def slow_depth(lung: np.ndarray) -> np.ndarray:
    """Peeled pixel by pixel: crosses first, then squares, in turn."""
    side = len(lung)

    def near(row: int, column: int, square: bool) -> list[tuple[int, int]]:
        steps = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if square or i == 0 or j == 0]
        places = [(row + i, column + j) for i, j in steps]
        return [(i, j) for i, j in places if 0 <= i < side and 0 <= j < side]

    inside = np.zeros_like(lung)
    for row in range(side):
        for column in range(side):
            window = lung[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3]
            inside[row, column] = window.sum() > 12.5
    depth = np.zeros(lung.shape)
    parts = [inside, 1 - inside]
    for turn in range(DEEPEST):
        depth += parts[0] - parts[1]
        peeled = [np.zeros_like(inside), np.zeros_like(inside)]
        for part, out in zip(parts, peeled, strict=True):
            for row in range(side):
                for column in range(side):
                    out[row, column] = min(part[at] for at in near(row, column, turn % 2 == 1))
        parts = peeled
    return depth / DEEPEST


def test_depth_is_what_peeling_by_hand_finds():
    lung = (lungs(2, 24) > LUNG_GREY).float()
    lung[0, 0, 12, 6] = 0  # a hole and a speck, which do not count
    lung[0, 0, 1, 1] = 1
    found = depth_of(lung)[:, 0]
    for row in range(2):
        assert found[row].numpy() == pytest.approx(slow_depth(lung[row, 0].numpy()))
    assert float(found[0, 12, 6]) > 0 > float(found[0, 1, 1])
    assert float(found.max()) <= 1
    assert float(found.min()) >= -1


def test_anatomy_gives_the_outline_back():
    images = lungs(6)
    painter = Painter(SIDE, generator())
    depth, grey = painter.spread(anatomy_of(images))
    wrong = (depth > 0) != (images > LUNG_GREY)
    assert float(wrong.float().mean()) < 0.03
    assert float(grey[images > LUNG_GREY].mean()) == pytest.approx(0.55, abs=0.08)


def test_the_larger_lung_is_on_the_left_whichever_way_it_came():
    images = lungs(6)
    assert torch.equal(larger_left(images), images)
    assert torch.equal(larger_left(images.flip(3)), images)


# ---------------------------------------------------------------------------------------------- pixels


def test_levels_and_greys_belong_together():
    level = torch.arange(65)
    for within in (0.0, 0.5, 0.999):
        grey = grey_of(level, torch.full((65,), within))
        assert torch.equal(level_of(grey), level)
    assert float(grey_of(torch.tensor([1]), torch.zeros(1))) > LUNG_GREY
    assert level_of(torch.tensor([0.0, LUNG_GREY, 1.0])).tolist() == [0, 0, 64]


def test_neighbours_are_those_beside_the_place():
    maps = torch.arange(2 * 5 * 5, dtype=torch.float32).reshape(2, 5, 5)
    found = around(maps, torch.tensor([[1, 0, 4], [0, 2, 2]]), [(-1, 0), (0, -2), (1, 1)], -7.0)
    assert found.tolist() == [[-7, 25 + 2, -7], [7, 10, 18]]


def slow_paint(painter: Painter, anatomy: Tensor, chance: Tensor) -> Tensor:
    """Row by row, pixel by pixel, slice by slice."""
    depth, grey = painter.spread(anatomy)
    picture = torch.zeros_like(depth[:, 0])
    for number, row, column in (depth[:, 0] > 0).nonzero().tolist():
        at = torch.tensor([[number, row, column]])
        told = torch.cat([painter._before(picture, at), painter._anatomy(depth, grey, at)], 1)
        shares = painter.tissue(told).softmax(1)[0].tolist()
        level, reached = 0, shares[0]
        while reached <= float(chance[0, number, row, column]) and level < len(shares) - 1:
            level += 1
            reached += shares[level]
        within = chance[1, number, row, column][None]
        picture[number, row, column] = grey_of(torch.tensor([level]), within)[0]
    return picture


def test_drawing_many_pixels_at_once_is_drawing_them_one_by_one(painter):
    anatomy = painter.law.draw(2, generator(4))
    chance = torch.rand(2, 2, SIDE, SIDE, generator=generator(6))
    with torch.no_grad():
        found, slow = painter.paint(anatomy, chance), slow_paint(painter, anatomy, chance)
    assert torch.allclose(found, slow, atol=1e-5)
    assert float((found > 0).float().mean()) > 0.1


def test_a_pixel_looks_at_nothing_that_is_drawn_later(painter):
    """What stands at or after a pixel in the order of rows does not change what it may become."""
    image = lungs(1)
    at = torch.tensor([[0, 16, 9]])
    before = painter._before(image[:, 0], at)
    later, earlier = image.clone(), image.clone()
    later[0, 0, 16, 9:] = later[0, 0, 17:] = 0.5
    earlier[0, 0, 16 - REACH, 9 + REACH] += 0.1
    assert torch.equal(painter._before(later[:, 0], at), before)
    assert not torch.equal(painter._before(earlier[:, 0], at), before)


# ---------------------------------------------------------------------------------------------- learned


def test_it_learns_outlines_and_stripes(painter):
    """Dreams have two lungs of the right size; in them rows are alike in pairs, as in the slices."""
    dreams, real = painter.dream(16, generator(7)), lungs()
    assert dreams.shape == (16, 1, SIDE, SIDE)
    assert 0 <= float(dreams.min()) <= float(dreams.max()) <= 1
    lung = dreams > LUNG_GREY
    assert float(lung.float().mean()) == pytest.approx(float((real > LUNG_GREY).float().mean()), rel=0.2)
    between = lung[:, 0, :, 15:17].float().mean()
    assert float(between) < 0.05
    light, dark = dreams[lung] > 0.55, dreams[lung] < 0.55
    assert 0.25 < float(light.float().mean()) < 0.75
    assert float((dreams[lung][light] - 0.8).abs().mean()) < 0.1
    assert float((dreams[lung][dark] - 0.3).abs().mean()) < 0.1
    sizes = [part.sum((1, 2, 3)) for part in lung.float().chunk(2, 3)]
    assert 0 < int((sizes[0] > sizes[1]).sum()) < 16  # some are mirrored
    assert torch.equal(painter.dream(3, generator(8)), painter.dream(3, generator(8)))
    assert not torch.equal(painter.dream(3, generator(8)), painter.dream(3, generator(9)))


def test_slices_without_lungs_teach_nothing_and_an_untrained_painter_draws_nothing():
    painter = Painter(SIDE, generator())
    empty = torch.zeros(2, 1, SIDE, SIDE)
    surprise = painter.surprise(empty, anatomy_of(empty), generator())
    surprise.backward()
    assert surprise.item() == 0
    assert all(p.grad is not None and not p.grad.any() for p in painter.parameters())
    assert not painter.dream(2, generator()).any()
