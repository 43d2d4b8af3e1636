"""SliceNet: a small classifier whose features see what makes a lung slice real, sharpness included.

It is not from the paper. Distances between made and real slices need features that notice what a viewer
notices. Those of an auto-encoder do not see blur, since it blurs itself; those of a classifier of the group
alone need not. So this one answers two questions at once: which group the slice is of, and what was done to
it (nothing, blurred, blurred within its outline, noised, mixed with another slice). It can only answer the
second by looking at edges and texture.

Train it on the training fold only, and compare made slices with patients that it never saw. The group is
learned by heart within some hundred steps: with both questions weighing the same, the features of real
training slices lay 0.26 to 1.1 (kernel distance, after 300 batches of 32) from those of unseen real slices
of the same diseased group, more than a blur of 0.4 pixels (0.2), and a model would be blamed, or praised,
for the wrong thing. With a weight of 0.1 for the group that distance could not be told from 0, and blur of
0.4 pixels (0.5) and another group (0.14 to 0.36) were seen. Some 300 batches of 32 are enough.

Notation  x slice in [0, 1]; S its side; F features; C groups
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.nn.batches import SliceBatch
from glasslung.nn.blocks import initialise_glorot
from glasslung.nn.borrow import evaluating
from glasslung.nn.player import Player

FLAWS = ("none", "blurred", "blurred inside", "noised", "mixed")
OF_THE_WHOLE = ("joined", "bent", "chequered")  # more of them, with `Config.whole`
SMALLEST_SIDE = 16  # three halvings leave 2 x 2
CHANNELS_PER_NORM_GROUP = 8
BEND_FIELDS = 5  # a side, of the field that bends: about the size of a lobe


@dataclass(frozen=True)
class Config:
    """Settings of one SliceNet."""

    groups: int = 4  # healthy and three ages of the disease
    width: int = 16  # channels of the first convolution; doubled at the first two halvings
    features: int = 64  # as many as a kernel distance on a hundred slices bears
    group_weight: float = 0.1  # of that answer in the loss; see the head of this file
    dropout: float = 0.3  # on the features: some eighty slices of a diseased group are soon known by heart
    least_blur_px: float = 0.4  # standard deviation: just visible at 64 x 64 ...
    most_blur_px: float = 1.6  # ... to what a poor VAE makes
    least_noise_grey: float = 0.02  # standard deviation: 5 of 255 ...
    most_noise_grey: float = 0.12  # ... to 30
    least_mix: float = 0.25  # share of the other slice: ghosts, as averaged latents give
    most_mix: float = 0.5  # beyond a half the other slice would be the first
    whole: bool = False  # flaws of the whole as well: parts of two slices, bent shapes, traces of enlarging
    least_bend: float = 0.04  # of the side: by how much a place is moved at most ...
    most_bend: float = 0.1  # ... to where a lung is no lung any more
    least_trace_grey: float = 0.01  # of pixels in turn brighter and darker, as transposed convolutions leave
    most_trace_grey: float = 0.06
    lr: float = 1e-3  # Adam's usual
    weight_decay: float = 1e-4  # against learning slices by heart

    def __post_init__(self) -> None:
        if self.groups < 1 or self.features < 1 or self.width < 8 or self.width % CHANNELS_PER_NORM_GROUP:
            raise UsageError(
                f"groups and features must be 1 or more and width a multiple of {CHANNELS_PER_NORM_GROUP}"
            )
        if not (self.group_weight > 0 and self.lr > 0 and self.weight_decay >= 0):
            raise UsageError("group_weight and lr must be positive, weight_decay not negative")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"dropout must be a share from 0 to below 1, got {self.dropout}")
        for name in ("blur_px", "noise_grey", "mix", "bend", "trace_grey"):
            low, high = self.between(name)
            if not 0 < low <= high:
                raise UsageError(f"{name} must range over positive numbers, got {low} to {high}")

    @property
    def flaws(self) -> tuple[str, ...]:
        """What may be done to a slice, 'none' first."""
        return FLAWS + OF_THE_WHOLE if self.whole else FLAWS

    def between(self, name: str) -> tuple[float, float]:
        """The least and the most of one flaw."""
        return getattr(self, f"least_{name}"), getattr(self, f"most_{name}")


class Answer(NamedTuple):
    """What the network says of B slices: features (B, F), group (B, C) and flaw (B, 5 or 8) logits."""

    features: Tensor
    group: Tensor
    flaw: Tensor


class SliceNet(nn.Module):
    """Convolutions at four scales, mean and maximum of each channel, one dense layer of features."""

    def __init__(self, config: Config, rng: torch.Generator) -> None:
        super().__init__()
        self.config = config
        w = config.width
        self.trunk = nn.Sequential(
            *_stage(1, w, stride=1), *_stage(w, 2 * w), *_stage(2 * w, 4 * w), *_stage(4 * w, 4 * w)
        )
        self.dense = nn.Linear(8 * w, config.features)
        self.dropout = config.dropout
        self.group = nn.Linear(config.features, config.groups)
        self.flaw = nn.Linear(config.features, len(config.flaws))
        initialise_glorot(self, rng)

    def forward(self, image: Tensor, rng: torch.Generator | None = None) -> Answer:
        """image (B, 1, S, S) in [0, 1], S 16 or more; `rng` draws the dropout, None leaves it out."""
        if image.ndim != 4 or image.shape[1] != 1 or min(image.shape[2:]) < SMALLEST_SIDE:
            raise ShapeError(
                f"SliceNet reads slices (B, 1, S, S) of {SMALLEST_SIDE} pixels or more, got "
                f"{tuple(image.shape)}"
            )
        maps = self.trunk(image)
        pooled = torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1)
        features = torch.tanh(self.dense(pooled))
        read = features if rng is None else drop(features, self.dropout, rng)
        return Answer(features, self.group(read), self.flaw(read))


def _stage(channels_in: int, channels_out: int, stride: int = 2) -> list[nn.Module]:
    """A convolution, normalised within each slice (so that no batch statistics are kept), and activated."""
    return [
        nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1),
        nn.GroupNorm(channels_out // CHANNELS_PER_NORM_GROUP, channels_out),
        nn.ReLU(),
    ]


def drop(features: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """Dropout with its own generator: each feature is 0 with probability `share`, the rest is scaled up."""
    kept = torch.rand(features.shape, generator=rng, device=features.device) >= share
    return features * kept / (1 - share)


# ---------------------------------------------------------------------------------------------- flaws


def draw_between(limits: tuple[float, float], count: int, rng: torch.Generator) -> Tensor:
    """(count,) uniform numbers within limits, on the generator's device."""
    low, high = limits
    return low + (high - low) * torch.rand(count, generator=rng, device=rng.device)


def blur(image: Tensor, sigma_px: Tensor) -> Tensor:
    """Gaussian blur, one standard deviation for each slice: (B, 1, H, W), (B,) -> (B, 1, H, W).

    Beyond the border is black, as it is around a lung.
    """
    radius = max(1, int(torch.ceil(3 * sigma_px.max())))
    offsets = torch.arange(-radius, radius + 1, device=image.device, dtype=image.dtype)
    kernels = torch.exp(-0.5 * (offsets / sigma_px[:, None].to(image.dtype)) ** 2)
    kernels = kernels / kernels.sum(1, keepdim=True)
    stack = image.transpose(0, 1)  # (1, B, H, W): every slice is a channel of its own
    count = len(image)
    tall = F.conv2d(stack, kernels.view(count, 1, -1, 1), padding=(radius, 0), groups=count)
    return F.conv2d(tall, kernels.view(count, 1, 1, -1), padding=(0, radius), groups=count).transpose(0, 1)


def blur_inside(image: Tensor, sigma_px: Tensor) -> Tensor:
    """Blur of the grey values within the slice's own outline, which stays as sharp as it was."""
    lung = (image > 0).to(image.dtype)
    return lung * blur(image, sigma_px) / blur(lung, sigma_px).clamp_min(1e-6)


def spoil(image: Tensor, flaw: Tensor, rng: torch.Generator, config: Config) -> Tensor:
    """Slices with the flaws they were given: (B, 1, H, W), flaw (B,) index into the flaws -> (B, 1, H, W).

    'mixed' and 'joined' take the next slice of the batch as the other one.
    """
    count = len(image)
    sigma = draw_between(config.between("blur_px"), count, rng)
    noise = torch.randn(image.shape, generator=rng, device=image.device)
    noise = noise * draw_between(config.between("noise_grey"), count, rng).view(-1, 1, 1, 1)
    share = draw_between(config.between("mix"), count, rng).view(-1, 1, 1, 1)
    versions: tuple[Tensor, ...] = (
        image,
        blur(image, sigma),
        blur_inside(image, sigma),
        torch.where(image > 0, (image + noise).clamp(0, 1), image),
        (1 - share) * image + share * image.roll(1, 0),
    )
    if config.whole:
        bend = draw_between(config.between("bend"), count, rng)
        trace = draw_between(config.between("trace_grey"), count, rng)
        versions += (join(image, rng), bent(image, bend, rng), chequer(image, trace))
    return torch.stack(versions)[flaw, torch.arange(count, device=image.device)]


def join(image: Tensor, rng: torch.Generator) -> Tensor:
    """On one side of a line through the middle part the next slice of the batch, with a soft seam."""
    count, side = len(image), image.shape[-1]
    angle = draw_between((0.0, 2 * torch.pi), count, rng).view(-1, 1, 1, 1)
    off = draw_between((-0.4, 0.4), count, rng).view(-1, 1, 1, 1)
    at = torch.linspace(-1, 1, side, device=image.device, dtype=image.dtype)
    across = at.view(1, 1, 1, -1) * angle.cos() + at.view(1, 1, -1, 1) * angle.sin()
    own = torch.sigmoid((across - off) * side / 4)
    return own * image + (1 - own) * image.roll(1, 0)


def bent(image: Tensor, most: Tensor, rng: torch.Generator) -> Tensor:
    """Every place moved by a smooth field, by `most` (B,) of the side at most; beyond the edges is black."""
    count, side = len(image), image.shape[-1]
    coarse = torch.randn((count, 2, BEND_FIELDS, BEND_FIELDS), generator=rng, device=image.device)
    field = F.interpolate(coarse, size=(side, side), mode="bicubic", align_corners=True)
    field = 2 * field * (most / field.abs().amax((1, 2, 3))).view(-1, 1, 1, 1)  # the grid runs from -1 to 1
    still = torch.eye(2, 3, device=image.device).expand(count, 2, 3)
    grid = F.affine_grid(still, list(image.shape), align_corners=False) + field.permute(0, 2, 3, 1)
    return F.grid_sample(image, grid.to(image.dtype), align_corners=False)


def chequer(image: Tensor, grey: Tensor) -> Tensor:
    """Pixels in turn brighter and darker by `grey` (B,), where it is not black."""
    at = torch.arange(image.shape[-1], device=image.device)
    signs = ((at[:, None] + at[None]) % 2 * 2 - 1).to(image.dtype)
    return torch.where(image > 0, (image + grey.view(-1, 1, 1, 1) * signs).clamp(0, 1), image)


# ------------------------------------------------------------------------------------------- training


def loss(model: SliceNet, batch: SliceBatch, rng: torch.Generator) -> dict[str, Tensor]:
    """Cross-entropy of group and of flaw, nats per slice; 'total' is group_weight times group, plus flaw.

    Half of the slices stay as they are, the others get one of the flaws. A slice mixed or joined with another
    has no group of its own and is left out of that term. flaw_right: share of right answers, 0.5 without
    looking.
    """
    count = len(batch)
    if int(batch.group.max()) >= model.config.groups:
        raise DataError(
            f"a slice is of group {int(batch.group.max())}, and this SliceNet has {model.config.groups} "
            "groups; build it with more"
        )
    device = batch.image.device
    flaw = torch.randint(1, len(model.config.flaws), (count,), generator=rng, device=device)
    flaw = torch.where(torch.rand(count, generator=rng, device=device) < 0.5, 0, flaw)
    answer = model(spoil(batch.image, flaw, rng, model.config), rng)
    own = torch.ones_like(flaw, dtype=answer.group.dtype)
    for of_two in ("mixed", "joined"):
        if of_two in model.config.flaws:
            own = own * (flaw != model.config.flaws.index(of_two))
    by_slice = F.cross_entropy(answer.group, batch.group, reduction="none")
    group = (by_slice * own).sum() / own.sum().clamp_min(1.0)
    quality = F.cross_entropy(answer.flaw, flaw)
    right = (answer.flaw.argmax(1) == flaw).float().mean()
    total = model.config.group_weight * group + quality
    return {"total": total, "group": group, "flaw": quality, "flaw_right": right}


def players(model: SliceNet) -> list[Player]:
    """One Adam with weight decay."""
    return [
        Player(
            name="slicenet",
            parameters=list(model.parameters()),
            loss=lambda batch, step, rng: loss(model, batch, rng),
            lr=model.config.lr,
            weight_decay=model.config.weight_decay,
            clip_total_norm=1.0,
        )
    ]


def reader(model: SliceNet) -> Callable[[np.ndarray], np.ndarray]:
    """The trained network as a function of pictures: images (B, S, S) float32 -> features (B, F) float32.

    Features lie in (-1, 1): compare slices by them as they are, without another scale.
    """

    def read(images: np.ndarray) -> np.ndarray:
        weight = model.dense.weight
        image = torch.from_numpy(np.ascontiguousarray(images, np.float32)[:, None])
        with evaluating(model):
            features: np.ndarray = model(image.to(weight.device)).features.float().cpu().numpy()
        return features

    return read
