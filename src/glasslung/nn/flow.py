"""Flow matching: a field of velocities that carries noise to data, for any condition, and back.

Notation  s in [0, 1] the way from noise (0) to data (1); eps noise; u data; u_s = (1 - s) eps + s u;
          v(u_s, s, c) the velocity under condition c (B, C)

    loss   |v(u_s, s, c) - (u - eps)|^2;  data: du/ds = v from s = 0 to 1;  noise: the same backwards

Source: Lipman et al. (2023), eq. 22; Tong et al. (2024) for pairing noise and data by optimal transport
within a batch; Su et al., DDIB (2023), for going back to the noise under one condition and forth under
another.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glasslung.nn.blocks import initialise_glorot

WAVES = 8  # frequencies that tell the network where on the way it is


class Velocity(nn.Module):
    """v(u, s, c): residual layers of `width`, each shifted and scaled by where on the way and the condition.

    The last layer starts at zero: an untrained flow leaves everything where it is.
    """

    def __init__(self, data: int, condition: int, width: int, depth: int, rng: torch.Generator) -> None:
        super().__init__()
        self.enter = nn.Linear(data, width)
        self.told = nn.Sequential(
            nn.Linear(2 * WAVES + condition, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.adjust = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(depth))
        self.norms = nn.ModuleList(nn.LayerNorm(width, elementwise_affine=False) for _ in range(depth))
        self.leave = nn.Linear(width, data)
        initialise_glorot(self, rng)
        nn.init.zeros_(self.leave.weight)

    def forward(self, u: Tensor, s: Tensor, condition: Tensor) -> Tensor:
        """u (B, D), s (B,), condition (B, C) -> velocity (B, D)."""
        told = self.told(torch.cat([waves(s), condition], 1))
        x = self.enter(u)
        for layer, adjust, norm in zip(self.layers, self.adjust, self.norms, strict=True):
            scale, shift = adjust(told).chunk(2, 1)
            x = x + layer(F.silu(norm(x) * (1 + scale) + shift))
        result: Tensor = self.leave(F.silu(x))
        return result


def waves(s: Tensor) -> Tensor:
    """Where on the way, (B,), as sines and cosines of rising frequency, (B, 2 WAVES)."""
    angles = s[:, None] * math.pi * 2.0 ** torch.arange(WAVES, device=s.device) / 4
    return torch.cat([angles.sin(), angles.cos()], 1)


def flow_error(field: nn.Module, noise: Tensor, data: Tensor, s: Tensor, condition: Tensor) -> Tensor:
    """The flow-matching error of each sample, mean over its numbers, (B,)."""
    at = torch.lerp(noise, data, s[:, None])
    return (field(at, s, condition) - (data - noise)).square().mean(1)


def carry(field: nn.Module, u: Tensor, condition: Tensor, steps: int, forth: bool = True) -> Tensor:
    """Noise to data (forth) or data to noise (back), (B, D), by Heun's rule in `steps` equal steps."""
    ends = (0.0, 1.0) if forth else (1.0, 0.0)
    places = torch.linspace(*ends, steps + 1, device=u.device)
    width = (ends[1] - ends[0]) / steps
    for here, there in pairwise(places):
        slope = field(u, here.expand(len(u)), condition)
        ahead = field(u + width * slope, there.expand(len(u)), condition)
        u = u + 0.5 * width * (slope + ahead)
    return u


def pair_by_transport(noise: Tensor, data: Tensor) -> Tensor:
    """Which noise goes to which data so that the ways are shortest together: rows of `noise`, (B,) int64.

    noise, data (B, D). Exact assignment within the batch (Hungarian method, on the CPU).
    """
    from scipy.optimize import linear_sum_assignment

    with torch.no_grad():
        cost = torch.cdist(data.float(), noise.float()).square().cpu().numpy()
    return torch.from_numpy(linear_sum_assignment(cost)[1]).to(data.device)
