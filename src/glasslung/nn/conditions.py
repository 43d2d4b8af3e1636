"""How an age of the disease is told to a network: never ill, or ill on a day, as two plain numbers."""

from __future__ import annotations

import torch
from torch import Tensor

CONDITION = 2  # (ill, day / 10)
DAY_SCALE = 10.0  # days: about half the course
GROUP_DAYS = (0.0, 2.0, 7.0, 12.0)  # middle of each group's days, where a cohort gives no day


def condition_of(group: Tensor, day: Tensor) -> Tensor:
    """Group (B,) int64 and day (B,) float, NaN where unknown, as a network is told them, (B, 2)."""
    middle = torch.tensor(GROUP_DAYS, device=group.device)[group]
    known = torch.where(day.isfinite(), day, middle)
    ill = (group > 0).float()
    return torch.stack([ill, ill * known / DAY_SCALE], 1)
