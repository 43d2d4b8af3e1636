"""Inf-Net: where a lung is infected, coarse first, then by what the coarse map missed.

Source    Fan et al., Inf-Net: automatic COVID-19 lung infection segmentation from CT images (2020), with its
          released code. The global map comes from a decoder of the three coarse feature maps; each finer map
          looks where the coarser one sees nothing (reverse attention), beside features that know edges.
Departs   1. no weights from elsewhere: everything starts at random (He), where the paper starts from ImageNet
          2. one grey channel in [-1, 1], not three of ImageNet's mean and deviation
          3. the true edge is the mask's own outline, one pixel wide, not a picture made by Canny
          4. each step sees one of the three sizes, in turn; the released code makes three steps of each batch
          5. resized masks stay masks (nearest neighbour); the released code interpolates them
          6. odd sizes are resized to each other's size, so that any multiple of 32 will do
Lighter   `VARIANTS["light"]`: the light encoder and narrow branches, for one core

Notation  f2 .. f5 features at 1/4 .. 1/32 of the size; S_g, S5, S4, S3 maps, coarse to fine; E edge
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glasslung.errors import UsageError
from glasslung.nn.backbones import encoder_scale
from glasslung.nn.batches import LabelledBatch
from glasslung.nn.borrow import evaluating
from glasslung.nn.encoders import (
    LIGHT_WIDTH,
    STRIDE,
    initialise_he,
    make_encoder,
    refuse_odd_sizes,
)
from glasslung.nn.player import Player
from glasslung.nn.schedules import cosine
from glasslung.nn.seglosses import UNKNOWN, exact, fold, silence, structure_loss

SCHEDULES = ("cosine", "released")
RATES = (0.75, 1.0, 1.25)  # of the size, as the released code trains
EPOCHS, FIRST_DECAY = 99, 50  # of the released code: from epoch 50 on a tenth of the rate at every epoch


@dataclass(frozen=True)
class Config:
    """Settings of one Inf-Net; the defaults are the paper's, but for the schedule."""

    classes: int = 2  # none and infected: Inf-Net knows no others
    encoder: str = "res2net50"  # as published; light, mobilenet and resnext50 will do
    width: int = LIGHT_WIDTH  # channels of the light encoder at half size
    channels: int = 32  # of each map in the partial decoder
    edge: int = 64  # channels of the edge features
    deep: int = 256  # channels of reverse attention at f5
    fine: int = 64  # channels of reverse attention at f4 and f3
    legacy: bool = True  # the released loss, see `nn.seglosses.structure_loss`; False: as the paper writes it
    multiscale: bool = True  # one step at 0.75, one at 1, one at 1.25 of the size
    schedule: str = "cosine"  # "released" holds the rate for half of the steps and then drops it for good
    steps: int = 2000  # over which the learning rate falls
    lr: float = 1e-4  # the paper's, for a trunk that is already trained; from random weights 1e-3 is quicker
    weight_decay: float = 0.0  # the paper's Adam has none

    def __post_init__(self) -> None:
        if self.classes != 2:
            raise UsageError(f"Inf-Net tells infected from not, 2 classes, not {self.classes}")
        if min(self.channels, self.edge, self.deep, self.fine, self.steps) < 1:
            raise UsageError("channels, edge, deep, fine and steps must be 1 or more")
        if self.schedule not in SCHEDULES:
            raise UsageError(f"schedule is one of {', '.join(SCHEDULES)}, got {self.schedule!r}")
        if not self.lr > 0 or self.weight_decay < 0:
            raise UsageError("lr must be positive and weight_decay not negative")


VARIANTS: dict[str, dict[str, Any]] = {
    "paper": {"schedule": "released"},
    "light": {
        "encoder": "light",
        "channels": 16,
        "edge": 16,
        "deep": 64,
        "fine": 32,
        "lr": 2e-3,
        "weight_decay": 1e-4,
    },
}


class Maps(NamedTuple):
    """Logits of B slices, each (B, 1, S, S): the global map, three finer ones, and the edge."""

    whole: Tensor
    s5: Tensor
    s4: Tensor
    s3: Tensor
    edge: Tensor


# ------------------------------------------------------------------------------------------- the parts


def unit(channels_in: int, f: int, size: int | tuple[int, int] = 3, dilation: int = 1) -> nn.Sequential:
    """The paper's basic unit: a convolution that keeps the size, normalised, not activated."""
    height, width = (size, size) if isinstance(size, int) else size
    padding = (height // 2 * dilation, width // 2 * dilation)
    conv = nn.Conv2d(channels_in, f, (height, width), padding=padding, dilation=dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(f))


def resized(x: Tensor, like: Tensor) -> Tensor:
    """x with the height and width of `like`, linearly between pixels."""
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)


class ReceptiveField(nn.Module):
    """Four looks of growing reach at the same features, to f channels: (B, in, H, W) -> (B, f, H, W)."""

    def __init__(self, channels_in: int, f: int) -> None:
        super().__init__()
        self.looks = nn.ModuleList([unit(channels_in, f, 1)])
        for reach in (3, 5, 7):
            self.looks.append(
                nn.Sequential(
                    unit(channels_in, f, 1),
                    unit(f, f, (1, reach)),
                    unit(f, f, (reach, 1)),
                    unit(f, f, 3, dilation=reach),
                )
            )
        self.join, self.shortcut = unit(4 * f, f), unit(channels_in, f, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Joined, added to a 1x1 convolution of the input, activated."""
        return torch.relu(self.join(torch.cat([look(x) for look in self.looks], 1)) + self.shortcut(x))


class PartialDecoder(nn.Module):
    """Three maps of f channels, each multiplied by what the coarser ones say, to one global map."""

    def __init__(self, f: int) -> None:
        super().__init__()
        self.four_from_five, self.three_from_five, self.three_from_four = unit(f, f), unit(f, f), unit(f, f)
        self.beside_four, self.join_four = unit(f, f), unit(2 * f, 2 * f)
        self.beside_three, self.join_three = unit(2 * f, 2 * f), unit(3 * f, 3 * f)
        self.last = nn.Sequential(unit(3 * f, 3 * f), nn.Conv2d(3 * f, 1, 1))

    def forward(self, f5: Tensor, f4: Tensor, f3: Tensor) -> Tensor:
        """(B, f, ...) at 1/32, 1/16, 1/8 of the size -> (B, 1, ...) at 1/8."""
        five, four = self._up(f5), self._up(f4)
        four_now = self.four_from_five(five) * f4
        three_now = self.three_from_five(self._up(five)) * self.three_from_four(four) * f3
        four_now = self.join_four(torch.cat([four_now, self.beside_four(five)], 1))
        three_now = self.join_three(torch.cat([three_now, self.beside_three(self._up(four_now))], 1))
        answer: Tensor = self.last(three_now)
        return answer

    @staticmethod
    def _up(x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)  # as released


class ReverseAttention(nn.Module):
    """A finer map: the coarser one, plus what features show where the coarser one saw nothing."""

    def __init__(self, channels_in: int, f: int, edge: int, deep: bool) -> None:
        super().__init__()
        self.narrow = unit(channels_in, f, 1)
        size, count = (5, 3) if deep else (3, 2)
        entering = [f + edge] + [f] * (count - 1)
        layers = [layer for enters in entering for layer in (unit(enters, f, size), nn.ReLU(inplace=True))]
        self.look = nn.Sequential(*layers, unit(f, 1, 1 if deep else 3))

    def forward(self, features: Tensor, coarser: Tensor, edge: Tensor) -> Tensor:
        """features (B, in, H, W), coarser logits (B, 1, ...), edge features -> logits (B, 1, H, W)."""
        coarser = resized(coarser, features)
        missed = self.narrow((1 - coarser.sigmoid()) * features)
        answer: Tensor = self.look(torch.cat([missed, resized(edge, features)], 1)) + coarser
        return answer


class InfNet(nn.Module):
    """Encoder, receptive fields, partial decoder, edge branch, three reverse attentions."""

    def __init__(self, config: Config, rng: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.encoder = make_encoder(config.encoder, 1, config.width)
        _, f2, f3, f4, f5 = self.encoder.widths  # type: ignore[misc]
        self.fields = nn.ModuleList(ReceptiveField(f, config.channels) for f in (f5, f4, f3))
        self.decoder = PartialDecoder(config.channels)
        edge = config.edge
        self.edge_features = nn.Sequential(unit(f2, edge, 1), unit(edge, edge), unit(edge, edge))
        self.edge_map = unit(edge, 1)
        self.reverse = nn.ModuleList(
            [
                ReverseAttention(f5, config.deep, edge, deep=True),
                ReverseAttention(f4, config.fine, edge, deep=False),
                ReverseAttention(f3, config.fine, edge, deep=False),
            ]
        )
        initialise_he(self, rng)

    def forward(self, image: Tensor) -> Maps:
        """image (B, 1, S, S) in [0, 1], S a multiple of 32; every map at that size."""
        refuse_odd_sizes(image, 1)
        _, f2, f3, f4, f5 = self.encoder(encoder_scale(image))
        edge = self.edge_features(f2)
        maps = [self.decoder(*(field(f) for field, f in zip(self.fields, (f5, f4, f3), strict=True)))]
        for reverse, features in zip(self.reverse, (f5, f4, f3), strict=True):
            maps.append(reverse(features, maps[-1], edge))
        return Maps(*(resized(map_, image) for map_ in (*maps, self.edge_map(edge))))

    def probabilities(self, image: Tensor) -> Tensor:
        """Not infected, infected, by the finest map: (B, 1, S, S) in [0, 1] -> (B, 2, S, S), sums to 1."""
        with evaluating(self):
            infected = self(image).s3.sigmoid()
            return torch.cat([1 - infected, infected], 1)

    def grey_map(self, image: Tensor) -> Tensor:
        """The released code's answer, (B, S, S): each slice's probabilities stretched from 0 to 1.

        A slice without infection is stretched as well: its brightest pixel becomes 1. Use it for the
        published measures over 256 thresholds, and `probabilities` to say whether there is infection.
        """
        infected = self.probabilities(image)[:, 1]
        low, high = infected.amin((1, 2), keepdim=True), infected.amax((1, 2), keepdim=True)
        return (infected - low) / (high - low + 1e-8)


# -------------------------------------------------------------------------------------------- training


def outline(label: Tensor) -> Tensor:
    """The pixels of a mask that touch its outside: (B, H, W) of 0, 1, -1 -> the same; -1 stays unknown.

    Eight neighbours count, and the border of the picture is no edge.
    """
    outside = (label < 1).float()
    near = F.max_pool2d(outside[:, None], 3, stride=1, padding=1)[:, 0]
    return torch.where(label > 0, near.long(), label)


def resize_slices(image: Tensor, label: Tensor, rate: float) -> tuple[Tensor, Tensor]:
    """Slices and masks at `rate` times the size, to the nearest multiple of 32 (32 at least)."""
    size = [max(STRIDE, round(side * rate / STRIDE) * STRIDE) for side in image.shape[2:]]
    if size == list(image.shape[2:]):
        return image, label
    larger = F.interpolate(image, size=size, mode="bilinear", align_corners=True)
    mask = F.interpolate(label[:, None].float(), size=size, mode="nearest-exact")
    return larger, mask[:, 0].long()


def edge_loss(logit: Tensor, edge: Tensor) -> Tensor:
    """Cross-entropy of the edge, nats, mean over known pixels: logit (B, 1, H, W), edge (B, H, W)."""
    logit = exact(logit)
    known = (edge != UNKNOWN).to(logit.dtype)
    truth = (edge > 0).to(logit.dtype)
    each = F.binary_cross_entropy_with_logits(logit[:, 0], truth, reduction="none")
    return (each * known).sum() / known.sum().clamp_min(1)


def loss(model: InfNet, batch: LabelledBatch, step: int) -> dict[str, Tensor]:
    """total = maps + edge; 'maps' is the structure loss of S_g, S5, S4 and S3 added up.

    Slices without labels are not looked at; without any the total is 0.
    """
    config = model.config
    known = batch.labelled
    if not known.any():
        return {"total": silence(model.parameters())}
    rate = RATES[step % len(RATES)] if config.multiscale else 1.0
    image, label = resize_slices(batch.image[known], fold(batch.lesion[known], 2), rate)
    found = model(image)
    maps = structure_loss(torch.cat(found[:4], 1), label, config.legacy)
    edge = edge_loss(found.edge, outline(label))
    return {"total": maps + edge, "maps": maps, "edge": edge}


def learning_rate(config: Config, step: int) -> float:
    """The rate at one step, see `Config.schedule`; the released epochs are spread over `steps`."""
    if config.schedule == "cosine":
        return cosine(step, config.steps, config.lr, 0.01 * config.lr)
    epoch = 1 + step * EPOCHS // config.steps
    return float(config.lr * 0.1 ** max(0, epoch - FIRST_DECAY + 1))


def players(model: InfNet) -> list[Player]:
    """One Adam; every element of a gradient is cut to 0.5, as in the released code."""
    config = model.config
    return [
        Player(
            name="infnet",
            parameters=list(model.parameters()),
            loss=lambda batch, step, rng: loss(model, batch, step),
            lr=lambda step: learning_rate(config, step),
            weight_decay=config.weight_decay,
            clip_value=0.5,
        )
    ]
