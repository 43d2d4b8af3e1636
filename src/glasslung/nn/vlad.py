"""NetVLAD: any number of slices as one description, by how they differ from typical slices.

Arandjelovic et al., NetVLAD (2016), equations 1 to 4. Each slice is shared among K clusters by a softmax;
for each cluster the residuals of its slices are added up. Slices of scans of any length stand one after
another: no scan is padded, and none depends on the others in its batch.

Notation  x_i descriptor of slice i (D); c_k centroid; a_k(x) = softmax_k(w_k . x + b_k);
          V_k = sum_i a_k(x_i) (x_i - c_k); alpha how hard the assignment is
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glasslung.errors import DataError
from glasslung.nn.ragged import slices_of_each

SECOND_TO_FIRST = 0.01  # weight of a slice's second nearest cluster beside its nearest, after a k-means start


class NetVLAD(nn.Module):
    """Soft assignment, residuals by cluster, each cluster's then scaled to length 1, then the whole."""

    def __init__(self, clusters: int, width: int, rng: torch.Generator) -> None:
        super().__init__()
        self.assign = nn.Linear(width, clusters)
        self.centroids = nn.Parameter(torch.empty(clusters, width))
        spread = 1 / math.sqrt(width)
        for tensor in (self.assign.weight, self.assign.bias, self.centroids):
            nn.init.uniform_(tensor, -spread, spread, generator=rng)

    @property
    def size(self) -> int:
        """Numbers of one description: clusters times width."""
        return self.centroids.numel()

    def forward(self, x: Tensor, scan: Tensor) -> Tensor:
        """x (S, D), scan (S,) -> (V, K * D), each of length 1; in 32 bit: residuals are small differences."""
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(self.centroids.dtype)
            return normalise(self.residuals(x, self.assignment(x), scan))

    def assignment(self, x: Tensor) -> Tensor:
        """How much of each slice goes to each cluster: (S, D) -> (S, K), rows that sum to 1."""
        return torch.softmax(self.assign(x), 1)

    def residuals(self, x: Tensor, shares: Tensor, scan: Tensor) -> Tensor:
        """V_k of each scan for given shares (S, K): linear in x. -> (V, K, D)"""
        counts = slices_of_each(scan)
        sums = [a.T @ d for a, d in zip(shares.split(counts), x.split(counts), strict=True)]
        mass = torch.stack([a.sum(0) for a in shares.split(counts)])
        return torch.stack(sums) - mass[..., None] * self.centroids

    @torch.no_grad()
    def start_from(self, descriptors: Tensor, rng: np.random.Generator) -> None:
        """Begin with clusters that training slices form: k-means centroids, w = 2 alpha c, b = -alpha |c|^2.

        descriptors  (n, D), as `forward` will read them; DataError where they are fewer than the clusters
        alpha is such that a slice's second nearest cluster gets a hundredth of what its nearest gets, on
        average over slices of the logarithm, as the authors of NetVLAD chose it.
        """
        from sklearn.cluster import KMeans

        found = descriptors.detach().cpu().double().numpy()
        clusters = len(self.centroids)
        distinct = len(np.unique(found, axis=0))
        if distinct < clusters:
            raise DataError(
                f"{distinct} different slices cannot start {clusters} clusters; give more training scans, or "
                "set fewer clusters"
            )
        seed = int(rng.integers(2**31 - 1))
        centroids = KMeans(clusters, n_init=1, random_state=seed).fit(found).cluster_centers_
        alpha = hardness(found, centroids)
        self.centroids.copy_(torch.from_numpy(centroids))
        self.assign.weight.copy_(torch.from_numpy(2 * alpha * centroids))
        self.assign.bias.copy_(torch.from_numpy(-alpha * (centroids**2).sum(1)))


def normalise(residuals: Tensor) -> Tensor:
    """Each cluster's residual scaled to length 1, then all of them together: (V, K, D) -> (V, K * D)."""
    return F.normalize(F.normalize(residuals, dim=2).flatten(1), dim=1)


def hardness(descriptors: np.ndarray, centroids: np.ndarray) -> float:
    """alpha at which the second nearest cluster gets `SECOND_TO_FIRST` of the nearest; 1 for one cluster."""
    if len(centroids) < 2:
        return 1.0
    from sklearn.metrics.pairwise import euclidean_distances

    squared = euclidean_distances(descriptors, centroids, squared=True)
    nearest = np.sort(squared, axis=1)[:, :2]
    gap = float((nearest[:, 1] - nearest[:, 0]).mean())
    return -math.log(SECOND_TO_FIRST) / max(gap, 1e-12)
