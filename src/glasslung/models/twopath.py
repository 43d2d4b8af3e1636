"""TwoPath: a 3D lung network of the DeepMedic kind, one pathway for edges and one for the surroundings.

Paper: Kamnitsas et al. 2017 (DeepMedic), named by the CVAE and NetVLAD paper, section 4.1, for its lungs. Two
pathways of eight 3x3x3 convolutions see the same place, one at full resolution and one on a copy that is
smaller by 3; both are joined and read by two layers of 1x1x1. Fully convolutional: any box will do.

Departs   1. Convolutions are padded, so the answer is as large as the box and windows need no extra rim; the
             rim is less sure, and sliding windows weigh it less.
          2. The low pathway sees the box it is given, at a third of the resolution, not a wider one: boxes in
             training must be large (60 voxels or more) for its field of 51 voxels to be of use.
          3. Block averages in place of every third voxel (no aliasing), linear interpolation back.
          4. Batch normalisation before PReLU as in the paper, no dropout; residual joins at the layers 4, 6
             and 8 as in DeepMedic's later version.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.nn.batches import PatchBatch
from glasslung.nn.borrow import evaluating
from glasslung.nn.player import Player

LAYERS = (30, 30, 40, 40, 40, 40, 50, 50)  # DeepMedic's, at width 1
FULL = 150
RESIDUAL_AT = (3, 5, 7)


@dataclass(frozen=True)
class Config:
    """Settings of one TwoPath."""

    classes: int = 2  # outside, lung
    width: float = 1.0  # times DeepMedic's channels; 0.4 is fast on a CPU
    smaller: int = 3  # how many times smaller the low pathway's copy is; as the paper
    lr: float = 1e-3  # the paper's RMSprop starts there

    def __post_init__(self) -> None:
        if self.classes < 2 or self.smaller < 2:
            raise UsageError("a TwoPath has 2 or more classes, and smaller is 2 or more")
        if not (self.width * min(LAYERS) >= 1 and self.lr > 0):
            raise UsageError(f"width must leave a channel ({1 / min(LAYERS):.3f} or more), lr be positive")

    @property
    def channels(self) -> list[int]:
        """Channels of the eight layers of a pathway."""
        return [round(self.width * count) for count in LAYERS]


class Pathway(nn.Module):
    """Eight convolutions, each normalised and activated, with residual joins."""

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv3d(before, after, 3, padding=1, bias=False), nn.BatchNorm3d(after), nn.PReLU(after)
            )
            for before, after in zip([1, *channels[:-1]], channels, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, D, H, W) -> (B, channels[-1], D, H, W)."""
        kept = x
        for place, layer in enumerate(self.layers):
            fresh = layer(x)
            if place in RESIDUAL_AT:  # layers may widen: the channels that are there are added
                fresh = torch.cat([fresh[:, : kept.shape[1]] + kept, fresh[:, kept.shape[1] :]], 1)
            if place + 1 in RESIDUAL_AT:
                kept = x
            x = fresh
        return x


class TwoPath(nn.Module):
    """The pathway at full resolution and the low one, joined."""

    def __init__(self, config: Config, rng: torch.Generator) -> None:
        super().__init__()
        self.config = config
        channels = config.channels
        full = round(config.width * FULL)
        self.normal, self.low = Pathway(channels), Pathway(channels)
        self.read = nn.Sequential(
            nn.Conv3d(2 * channels[-1], full, 1, bias=False),
            nn.BatchNorm3d(full),
            nn.PReLU(full),
            nn.Conv3d(full, full, 1, bias=False),
            nn.BatchNorm3d(full),
            nn.PReLU(full),
            nn.Conv3d(full, config.classes, 1),
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv3d):
                nn.init.kaiming_normal_(layer.weight, a=0.25, generator=rng)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, image: Tensor) -> Tensor:
        """image (B, 1, D, H, W) in [0, 1] -> scores (B, C, D, H, W); edges of 3 voxels or more."""
        smaller = self.config.smaller
        if image.ndim != 5 or image.shape[1] != 1 or min(image.shape[2:]) < smaller:
            raise ShapeError(
                f"TwoPath reads boxes (B, 1, D, H, W) of {smaller} voxels or more each way, got "
                f"{tuple(image.shape)}"
            )
        shrunk = F.avg_pool3d(image, smaller, ceil_mode=True, count_include_pad=False)
        context = F.interpolate(self.low(shrunk), scale_factor=smaller, mode="trilinear", align_corners=False)
        d, h, w = image.shape[2:]
        scores: Tensor = self.read(torch.cat([self.normal(image), context[:, :, :d, :h, :w]], 1))
        return scores

    def probabilities(self, image: Tensor) -> Tensor:
        """image (B, 1, D, H, W) -> (B, C, D, H, W), summing to 1 over classes, in evaluation mode."""
        with evaluating(self):
            return torch.softmax(self(image).float(), 1)


def loss(model: TwoPath, batch: PatchBatch) -> dict[str, Tensor]:
    """Cross-entropy, nats per known voxel, as the paper. 'right' is the share answered right."""
    classes = model.config.classes
    if int(batch.label.max()) >= classes:
        raise DataError(
            f"a voxel is labelled {int(batch.label.max())}, and this TwoPath has {classes} classes; "
            "give labels that fit, or build it with more"
        )
    scores = model(batch.image).float()
    known = batch.label >= 0
    count = known.sum().clamp_min(1)
    total = F.cross_entropy(scores, batch.label, ignore_index=-1, reduction="sum") / count
    right = ((scores.argmax(1) == batch.label) & known).sum() / count
    return {"total": total, "right": right}


def players(model: TwoPath) -> list[Player]:
    """One Adam."""
    return [
        Player(
            name="twopath",
            parameters=list(model.parameters()),
            loss=lambda batch, step, rng: loss(model, batch),
            lr=model.config.lr,
            clip_total_norm=5.0,  # as the other 3D networks
        )
    ]
