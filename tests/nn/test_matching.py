"""Discrepancies against their formulas pair by pair, and a memory that forgets the oldest."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from glasslung.errors import ShapeError, UsageError
from glasslung.nn.ladder import Descent, latent_shapes
from glasslung.nn.matching import (
    SCALES,
    Queue,
    block_spread,
    latent_features,
    latent_widths,
    mmd,
    sliced_wasserstein,
)


def cloud(count: int, width: int = 5, seed: int = 0, shift: float = 0.0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(shift, 1, (count, width)))


def slow_mmd(x: np.ndarray, y: np.ndarray) -> float:
    """Gretton et al. (2012), eq. 3, one pair at a time."""

    def k(a, b):
        c = 2 * len(a)
        return sum(s * c / (s * c + ((a - b) ** 2).sum()) for s in SCALES)

    n, m = len(x), len(y)
    xx = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    yy = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return xx + yy - 2 * sum(k(a, b) for a in x for b in y) / (n * m)


@pytest.mark.parametrize("shift", [0.0, 2.0])
def test_the_discrepancy_is_the_formula(shift):
    x, y = cloud(7), cloud(4, seed=1, shift=shift)
    assert float(mmd(x, y)) == pytest.approx(slow_mmd(x.numpy(), y.numpy()), abs=1e-10)


def test_alike_clouds_are_zero_apart_on_average_and_shifted_ones_are_not():
    alike = [float(mmd(cloud(30, seed=2 * s), cloud(30, seed=2 * s + 1))) for s in range(60)]
    error = np.std(alike) / np.sqrt(len(alike))
    assert abs(np.mean(alike)) < 3 * error
    assert min(float(mmd(cloud(30, seed=s), cloud(30, seed=s + 99, shift=1.0))) for s in range(10)) > 0.1


def test_one_cloud_against_itself_gains_exactly_the_diagonal():
    """Equal sets: the unbiased estimate leaves out each point's own pair, so it falls below zero by that."""
    x = cloud(6).numpy()
    own = len(SCALES)  # k(a, a) is 1 for each scale
    gram_mean = (slow_mmd(x, x) / 2) * -1  # = full mean - off-diagonal mean
    off = float(mmd(torch.from_numpy(x), torch.from_numpy(x)))
    assert off == pytest.approx(-2 * gram_mean, abs=1e-10)
    assert -2 * own / len(x) < off < 0


def test_the_gradient_pulls_the_clouds_together():
    x, y = cloud(20).requires_grad_(), cloud(20, seed=1, shift=1.5)
    (slope,) = torch.autograd.grad(mmd(x, y), x)
    assert float(mmd(x.detach() - slope, y)) < float(mmd(x.detach(), y))


def test_sliced_distance_in_one_dimension_is_the_sorted_difference():
    x, y = cloud(9, width=1), cloud(9, width=1, seed=3, shift=1.0)
    found = sliced_wasserstein(x.float(), y.float(), torch.Generator().manual_seed(0), directions=3)
    expected = np.mean((np.sort(x.numpy()[:, 0]) - np.sort(y.numpy()[:, 0])) ** 2)
    assert float(found) == pytest.approx(expected, rel=1e-5)
    assert float(sliced_wasserstein(x.float(), x.float(), torch.Generator().manual_seed(0))) == 0


def test_clouds_that_cannot_be_compared_are_refused():
    with pytest.raises(ShapeError, match="clouds must be"):
        mmd(cloud(3), cloud(3, width=4))
    with pytest.raises(UsageError, match="larger batches"):
        mmd(cloud(1), cloud(3))


def test_latents_are_told_number_by_number_only_on_coarse_levels():
    shapes = latent_shapes(3, 64, 5)
    z = [torch.randn(shape, generator=torch.Generator().manual_seed(n)) for n, shape in enumerate(shapes)]
    blocks = latent_features([Descent(z, [], [], [])] * 2, coarse=3)
    assert [block.shape[1] for block in blocks] == latent_widths(shapes, 2, 3) == [32, 32, 64, 16, 4] * 2
    assert torch.equal(blocks[4], z[4].flatten(1))
    assert blocks[0][:, 0] == pytest.approx(z[0][:, 0, :8, :8].mean((1, 2)))
    assert blocks[0][:, 16] == pytest.approx(z[0][:, 0, :8, :8].square().mean((1, 2)))


def test_a_block_is_scaled_as_a_whole():
    rows = torch.cat([cloud(500, 3) * torch.tensor([3.0, 3.0, 0.01]), cloud(500, 2, seed=1) * 100], 1)
    scaled = rows / block_spread(rows, [3, 2])
    assert scaled[:, :3].square().mean() == pytest.approx(1, abs=0.05)
    assert scaled[:, 3:].square().mean() == pytest.approx(1, abs=0.05)
    assert scaled[:, 2].std() < 0.01


def test_the_queue_forgets_the_oldest_and_is_saved():
    queue = Queue(4, 1)
    assert len(queue.seen()) == 0
    queue.push(torch.tensor([[1.0], [2.0], [3.0]]))
    assert sorted(queue.seen()[:, 0].tolist()) == [1, 2, 3]
    queue.push(torch.tensor([[4.0], [5.0]]).requires_grad_())
    assert sorted(queue.seen()[:, 0].tolist()) == [2, 3, 4, 5]
    assert not queue.seen().requires_grad
    other = Queue(4, 1)
    other.load_state_dict(queue.state_dict())
    other.push(torch.tensor([[6.0]]))
    queue.push(torch.tensor([[6.0]]))
    assert torch.equal(other.seen(), queue.seen())


def test_a_queue_shorter_than_the_batch_keeps_its_end():
    queue = Queue(2, 1)
    queue.push(torch.arange(5.0)[:, None])
    assert sorted(queue.seen()[:, 0].tolist()) == [3, 4]
