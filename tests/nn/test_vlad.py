"""NetVLAD beside its formula; no scan leans on another; its start from k-means."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from glasslung.errors import DataError
from glasslung.nn.vlad import NetVLAD, hardness

D, K = 6, 4


def made(seed: int = 0) -> NetVLAD:
    return NetVLAD(K, D, torch.Generator().manual_seed(seed)).double()


def scans(counts=(5, 1, 3)) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(sum(counts), D, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return x, torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))


def slow_vlad(net: NetVLAD, x: torch.Tensor) -> list[float]:
    """Arandjelovic et al. 2016, eq. 4, of one scan, number by number; then both normalisations."""
    w, b, c = net.assign.weight.tolist(), net.assign.bias.tolist(), net.centroids.tolist()
    v = [[0.0] * D for _ in range(K)]
    for row in x.tolist():
        powers = [math.exp(sum(w[k][d] * row[d] for d in range(D)) + b[k]) for k in range(K)]
        for k in range(K):
            for d in range(D):
                v[k][d] += powers[k] / sum(powers) * (row[d] - c[k][d])
    lengths = [math.sqrt(sum(n * n for n in row)) for row in v]
    flat = [n / length for row, length in zip(v, lengths, strict=True) for n in row]
    whole = math.sqrt(sum(n * n for n in flat))
    return [n / whole for n in flat]


def test_is_the_formula():
    net = made()
    x, scan = scans()
    found = net(x, scan)
    assert found.shape == (3, K * D) == (3, net.size)
    for v in range(3):
        assert found[v].tolist() == pytest.approx(slow_vlad(net, x[scan == v]), abs=1e-12)


def test_a_scan_does_not_depend_on_its_batch_mates_nor_on_the_order_of_its_slices():
    net = made()
    x, scan = scans()
    together = net(x, scan)
    for v in range(3):
        own = x[scan == v]
        alone = net(own, torch.zeros(len(own), dtype=torch.int64))
        assert torch.equal(alone[0], together[v])
        assert torch.allclose(net(own.flip(0), torch.zeros(len(own), dtype=torch.int64)), alone)


def test_residuals_keep_32_bit_where_the_rest_is_computed_in_16():
    net = NetVLAD(K, D, torch.Generator().manual_seed(0))
    x, scan = scans()
    with torch.autocast("cpu", torch.bfloat16):
        found = net(x.bfloat16(), scan)
    assert found.dtype == torch.float32
    assert torch.equal(found, net(x.bfloat16().float(), scan))


def test_is_linear_in_slices_once_shares_are_frozen():
    net = made()
    x, scan = scans()
    shares = net.assignment(x)
    assert torch.allclose(shares.sum(1), torch.ones(9, dtype=torch.float64))
    zero = net.residuals(torch.zeros_like(x), shares, scan)
    one, two = (net.residuals(scale * x, shares, scan) - zero for scale in (1, 2))
    assert torch.allclose(two, 2 * one)


def test_starts_from_clusters_that_are_there():
    rng = np.random.default_rng(0)
    corners = np.eye(D)[:K] * 3
    x = torch.from_numpy(np.repeat(corners, 20, 0) + rng.normal(0, 0.05, (20 * K, D)))
    net = made()
    net.start_from(x, np.random.default_rng(0))
    nearest = torch.cdist(torch.from_numpy(corners), net.centroids.detach())
    assert nearest.min(1).values.max() < 0.1 and len(set(nearest.argmin(1).tolist())) == K
    distances = torch.cdist(x, net.centroids.detach())
    alpha = hardness(x.numpy(), net.centroids.detach().numpy())
    assert torch.allclose(net.assignment(x), torch.softmax(-alpha * distances**2, 1), atol=1e-9)
    two = net.assignment(x).detach().topk(2).values
    assert (two[:, 1] / two[:, 0]).log().mean().item() == pytest.approx(math.log(0.01), rel=1e-6)


def test_too_few_different_slices_are_refused():
    with pytest.raises(DataError, match="2 different slices cannot start 4 clusters"):
        made().start_from(
            torch.ones(9, D).double() * torch.tensor([[1.0]] * 8 + [[2.0]]), np.random.default_rng(0)
        )
