"""Other looks of the same slice, for learning from slices without labels: greys changed, pieces exchanged.

Nothing here moves a pixel, so a label of the slice stays its label; what is exchanged between slices is
exchanged between their labels by the same boxes. Everything is drawn from a generator, one draw per slice.

Source: French et al. (BMVC 2020) for CutMix in segmentation; Yang et al. (UniMatch, CVPR 2023) for the set.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

GAIN, SHIFT, GAMMA = 0.5, 0.2, 0.4  # largest changes at strength 1: windows of CT differ by as much
BLUR_P, NOISE = 0.5, 0.04  # UniMatch blurs every other picture; noise as of a thin slice
SHARE = (0.1, 0.4)  # of the picture's area that a box takes; UniMatch: 0.02 to 0.4


def change_greys(image: Tensor, rng: torch.Generator, strength: float = 1.0) -> Tensor:
    """Another window, another sharpness, a little noise: (B, 1, H, W) in [0, 1] -> the same."""
    count = len(image)

    def draw(low: float, high: float) -> Tensor:
        u = torch.rand(count, 1, 1, 1, generator=rng, device=image.device)
        return low + (high - low) * u

    gain, shift = 1 + strength * draw(-GAIN, GAIN), strength * draw(-SHIFT, SHIFT)
    gamma = torch.exp(strength * draw(-GAMMA, GAMMA))
    changed = ((image - 0.5) * gain + 0.5 + shift).clamp(0, 1) ** gamma
    blurred = F.avg_pool2d(F.pad(changed, (1, 1, 1, 1), mode="replicate"), 3, 1)
    changed = torch.where(draw(0, 1) < BLUR_P * min(1.0, strength), blurred, changed)
    grain = torch.randn(image.shape, generator=rng, device=image.device)
    return (changed + strength * NOISE * draw(0, 1) * grain).clamp(0, 1)


def draw_boxes(count: int, height: int, width: int, rng: torch.Generator, device: torch.device) -> Tensor:
    """One box for each slice, as a mask (B, H, W) bool; it takes a tenth to four tenths of the area."""
    u = torch.rand(4, count, generator=rng, device=device)
    share = SHARE[0] + (SHARE[1] - SHARE[0]) * u[0]
    ratio = torch.exp((u[1] - 0.5) * 2 * torch.log(torch.tensor(2.0, device=device)))  # 1/2 .. 2
    tall = ((share * ratio).sqrt().clamp(max=1.0) * height).round()
    wide = ((share / ratio).sqrt().clamp(max=1.0) * width).round()
    top, left = (u[2] * (height - tall + 1)).floor(), (u[3] * (width - wide + 1)).floor()
    rows = torch.arange(height, device=device)[None, :, None]
    columns = torch.arange(width, device=device)[None, None, :]
    inside_rows = (rows >= top[:, None, None]) & (rows < (top + tall)[:, None, None])
    inside_columns = (columns >= left[:, None, None]) & (columns < (left + wide)[:, None, None])
    return inside_rows & inside_columns


def mix(one: Tensor, other: Tensor, boxes: Tensor) -> Tensor:
    """`one` with the boxes (B, H, W) of `other` in it; pictures (B, C, H, W) or labels (B, H, W)."""
    return torch.where(boxes if one.ndim == boxes.ndim else boxes[:, None], other, one)
