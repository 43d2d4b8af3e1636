"""The state of a public I3D, with names and shapes as its repository (pytorch-i3d) builds them."""

from __future__ import annotations

import torch
from torch import Tensor

BRANCHES = {
    "3b": (64, 96, 128, 16, 32, 32),
    "3c": (128, 128, 192, 32, 96, 64),
    "4b": (192, 96, 208, 16, 48, 64),
    "4c": (160, 112, 224, 24, 64, 64),
    "4d": (128, 128, 256, 24, 64, 64),
    "4e": (112, 144, 288, 32, 64, 64),
    "4f": (256, 160, 320, 32, 128, 128),
    "5b": (256, 160, 320, 32, 128, 128),
    "5c": (384, 192, 384, 48, 128, 128),
}


def public_state(seed: int = 0, channels: int = 3, counters: bool = True) -> dict[str, Tensor]:
    """Random numbers in every tensor; weights small enough for finite answers.

    counters  of batches, which states of 2017 do not have
    """
    rng = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}

    def unit(name: str, before: int, after: int, kernel: int) -> None:
        spread = (before * kernel**3) ** -0.5
        state[f"{name}.conv3d.weight"] = spread * torch.randn(
            after, before, kernel, kernel, kernel, generator=rng
        )
        for part in ("weight", "bias", "running_mean"):
            state[f"{name}.bn.{part}"] = torch.randn(after, generator=rng)
        state[f"{name}.bn.running_var"] = torch.rand(after, generator=rng) + 0.5
        if counters:
            state[f"{name}.bn.num_batches_tracked"] = torch.tensor(7)

    unit("Conv3d_1a_7x7", channels, 64, 7)
    unit("Conv3d_2b_1x1", 64, 64, 1)
    unit("Conv3d_2c_3x3", 64, 192, 3)
    before = 192
    for block, (b0, b1a, b1b, b2a, b2b, b3b) in BRANCHES.items():
        at = f"Mixed_{block}"
        unit(f"{at}.b0", before, b0, 1)
        unit(f"{at}.b1a", before, b1a, 1)
        unit(f"{at}.b1b", b1a, b1b, 3)
        unit(f"{at}.b2a", before, b2a, 1)
        unit(f"{at}.b2b", b2a, b2b, 3)
        unit(f"{at}.b3b", before, b3b, 1)
        before = b0 + b1b + b2b + b3b
    state["logits.conv3d.weight"] = torch.randn(400, 1024, 1, 1, 1, generator=rng)
    state["logits.conv3d.bias"] = torch.randn(400, generator=rng)
    return state
