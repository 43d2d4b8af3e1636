"""The two small networks of the reference in `zennit_reference.npz`, with weights from numpy's generator."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn


def network(dims: int) -> nn.Sequential:
    """Convolutions, a batch norm, both poolings and dense layers, in double precision and evaluation mode."""
    conv, norm, most, mean = {
        2: (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d),
        3: (nn.Conv3d, nn.BatchNorm3d, nn.MaxPool3d, nn.AvgPool3d),
    }[dims]
    layers = nn.Sequential(
        conv(1, 4, 3, padding=1),
        nn.ReLU(),
        most(2),
        conv(4, 6, 3, padding=1, bias=False),
        norm(6),
        nn.ReLU(),
        conv(6, 4, 2, stride=2),
        nn.ReLU(),
        mean(2),
        nn.Flatten(),
        nn.Linear(4 * 2**dims, 7),
        nn.ReLU(),
        nn.Linear(7, 2),
    )
    rng = np.random.default_rng(dims)
    with torch.no_grad():
        for name, value in layers.double().state_dict().items():
            if value.is_floating_point():
                drawn = torch.from_numpy(rng.normal(0, 0.4, tuple(value.shape)))
                value.copy_(drawn.abs() + 0.3 if name.endswith("running_var") else drawn)
    return layers.eval()


def picture(dims: int) -> torch.Tensor:
    """(1, 1, 16, 16) or (1, 1, 16, 16, 16) in [0, 1], black in one corner."""
    x = torch.from_numpy(np.random.default_rng(10 + dims).random((1, 1, *[16] * dims)))
    x[..., :6, :5] = 0
    return x
