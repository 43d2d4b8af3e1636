"""A slice-wise 2D network: each slice is answered alone, and a scan's answer is the mean of its slices'.

It is not from the diagnosis paper, whose related work knows many of its kind: a small residual network, as a
baseline for NetVLAD. It sees the slice and, as a second channel, its lesions.

The scan's log-odds are the mean of its slices' log-odds, without attention. A mean does not grow with the
number of slices; it is not bounded, so that a few slices with much disease can outweigh many without; and it
is linear, so that what a slice contributed is known exactly. `pool='top'` takes the mean of the `top` highest
slices alone, for disease that shows in few.

Batch normalisation stands right behind each convolution and can be merged into it once trained.

Notation  S slices of all V scans of a batch
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from glasslung.errors import UsageError
from glasslung.nn.batches import ExamBatch
from glasslung.nn.focal import scan_loss
from glasslung.nn.player import Player
from glasslung.nn.ragged import check_slices, slices_of_each
from glasslung.nn.scoring import ScanClassifier
from glasslung.nn.twobranches import initialise_he

POOLS = ("mean", "top")
SMALLEST_SIDE = 16


@dataclass(frozen=True)
class Config:
    """Settings of one slice-wise network."""

    size: int = 128  # side of its slices; convolutions take any
    side: bool = True  # lesions are a second channel
    width: int = 16  # channels of the first stage, doubled at each further one
    stages: int = 4  # each halves the slice; at 128 pixels the last sees 8 x 8
    pool: str = "mean"  # how slices make a scan; see the head of this file
    top: float = 0.25  # with pool='top': share of the slices that count
    dropout: float = 0.2  # of a slice's features: cohorts are small
    gamma: float = 0.0  # of the focal loss; 0 is cross-entropy, the usual for such networks
    weight_other: float = 0.5  # of scans without the disease in the loss ...
    weight_disease: float = 0.5  # ... and with it: batches are balanced already
    lr: float = 1e-3  # Adam's usual
    weight_decay: float = 1e-4  # against learning slices by heart

    def __post_init__(self) -> None:
        if self.size < SMALLEST_SIDE or min(self.width, self.stages) < 1:
            raise UsageError(f"size must be {SMALLEST_SIDE} or more, width and stages 1 or more")
        if self.pool not in POOLS:
            raise UsageError(f"pool is one of {', '.join(POOLS)}, not {self.pool!r}")
        if not (0 < self.top <= 1 and 0 <= self.dropout < 1):
            raise UsageError("top must be a share above 0, dropout one from 0 to below 1")
        if (
            self.gamma < 0
            or min(self.weight_other, self.weight_disease, self.lr) <= 0
            or self.weight_decay < 0
        ):
            raise UsageError(
                "lr and both weights must be positive, gamma and weight_decay must not be negative"
            )


class Residual(nn.Module):
    """Two convolutions around a shortcut, which becomes a convolution where size or channels change."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels_out)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels_out)
        same = stride == 1 and channels_in == channels_out
        self.shortcut = None if same else nn.Conv2d(channels_in, channels_out, 1, stride=stride)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(S, C, h, w) -> (S, C', h / stride, w / stride)"""
        inner = self.norm2(self.conv2(self.relu1(self.norm1(self.conv1(x)))))
        straight = x if self.shortcut is None else self.shortcut(x)
        out: Tensor = self.relu2(inner + straight)
        return out


class SliceWise(ScanClassifier):
    """A convolution and residual stages for each slice, mean over its pixels, one linear layer."""

    def __init__(self, config: Config, rng: torch.Generator) -> None:
        super().__init__()
        self.config = config
        widths = [config.width * 2**stage for stage in range(config.stages)]
        self.first = nn.Sequential(
            nn.Conv2d(2 if config.side else 1, widths[0], 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        )
        self.stages = nn.Sequential(
            *(
                Residual(widths[max(stage - 1, 0)], width, 1 if stage == 0 else 2)
                for stage, width in enumerate(widths)
            )
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(widths[-1], 2)
        initialise_he(self, rng, slope=0.0)
        for layer in self.stages:
            assert isinstance(layer, Residual)
            nn.init.zeros_(layer.norm2.weight)  # each block begins as its shortcut
        nn.init.normal_(self.head.weight, std=0.01, generator=rng)
        nn.init.zeros_(self.head.bias)

    def forward(
        self, image: Tensor, lesion: Tensor, scan: Tensor, rng: torch.Generator | None = None
    ) -> Tensor:
        """image, lesion (S, 1, H, W) in [0, 1], scan (S,) -> logits (V, 2); `rng` draws the dropout."""
        logits: Tensor = self.head(self.features(image, lesion, scan, rng)).float()
        return logits

    def features(
        self, image: Tensor, lesion: Tensor, scan: Tensor, rng: torch.Generator | None = None
    ) -> Tensor:
        """What stands before the last layer: the mean of the features of the slices that count, (V, F)."""
        check_slices(image, lesion, scan, SMALLEST_SIDE)
        each = self.descriptors(image, lesion)
        if rng is not None:
            kept = torch.rand(each.shape, generator=rng, device=each.device) >= self.config.dropout
            each = each * kept / (1 - self.config.dropout)
        parts = each.split(slices_of_each(scan))
        return torch.stack([part[self.counting(part)].mean(0) for part in parts])

    def descriptors(self, image: Tensor, lesion: Tensor) -> Tensor:
        """Each slice as numbers: (S, 1, H, W) twice -> (S, F)."""
        x = torch.cat([image, lesion], 1) if self.config.side else image
        found: Tensor = self.pool(self.stages(self.first(x))).flatten(1)
        return found

    def counting(self, each: Tensor) -> Tensor:
        """Which slices of one scan count, (S,) bool: all, or those with the highest log-odds."""
        if self.config.pool == "mean":
            return torch.ones(len(each), dtype=torch.bool, device=each.device)
        with torch.no_grad():
            logits = self.head(each)
            highest = (logits[:, 1] - logits[:, 0]).topk(math.ceil(self.config.top * len(each))).indices
        chosen = torch.zeros(len(each), dtype=torch.bool, device=each.device)
        chosen[highest] = True
        return chosen


def loss(model: SliceWise, batch: ExamBatch, rng: torch.Generator) -> dict[str, Tensor]:
    """Cross-entropy, or the focal loss; terms as `nn.focal.scan_loss` says."""
    config = model.config
    logits = model(batch.image, batch.lesion, batch.scan, rng if config.dropout else None)
    return scan_loss(logits, batch.label, config.gamma, (config.weight_other, config.weight_disease))


def players(model: SliceWise) -> list[Player]:
    """One Adam with weight decay."""
    return [
        Player(
            name="slicewise",
            parameters=list(model.parameters()),
            loss=lambda batch, step, rng: loss(model, batch, rng),
            lr=model.config.lr,
            weight_decay=model.config.weight_decay,
            clip_total_norm=1.0,
        )
    ]
