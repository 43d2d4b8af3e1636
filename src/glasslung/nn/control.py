"""A KL weight that minds the lungs: it is held where lung pixels earn as many nats as was asked for.

Black pixels outside the lungs carry most of the score and need hardly any latent, so a fixed weight leaves it
to chance whether the fine levels learn anything about lung tissue. Source of the idea: Rezende and Viola,
Taming VAEs (2018), where the weight is the multiplier of a constraint; the constraint is ours.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

FORGETTING = 0.05  # share of the newest batch in the running lung nats of each group
GAIN = 0.02  # the weight grows by 2 % a step for each nat above the target, and shrinks likewise


class LungTarget(nn.Module):
    """Running lung nats of each group, and the KL weight they lead to; both go into every checkpoint.

    groups  how many ages there are, each counting alike
    start   lung nats assumed before the first batch, and KL weight of the first step
    """

    weight: Tensor
    lung: Tensor

    def __init__(self, groups: int, start_nats: float, start_weight: float) -> None:
        super().__init__()
        self.register_buffer("weight", torch.tensor(start_weight, dtype=torch.float64))
        self.register_buffer("lung", torch.full((groups,), start_nats, dtype=torch.float64))

    @torch.no_grad()
    def observe(self, log_density: Tensor, image: Tensor, group: Tensor) -> None:
        """Take note of what the lung pixels of a batch earned; log_density and image (B, 1, H, W)."""
        inside = image > 0
        counts = inside.flatten(1).sum(1).clamp(min=1)
        nats = (log_density.detach() * inside).flatten(1).sum(1).double() / counts
        for age in range(len(self.lung)):
            mine = nats[group == age]
            if len(mine):
                self.lung[age] += FORGETTING * (mine.mean() - self.lung[age])

    @torch.no_grad()
    def steer(self, target: float, lowest: float, highest: float) -> float:
        """Move the weight one step towards where the mean over groups is `target`; the weight comes back."""
        moved = float(self.weight) * math.exp(GAIN * (float(self.lung.mean()) - target))
        return self.set(min(max(moved, lowest), highest))

    @torch.no_grad()
    def set(self, weight: float) -> float:
        """Put the weight where the schedule wants it."""
        self.weight.fill_(weight)
        return weight
