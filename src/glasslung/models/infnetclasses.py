"""Semi-Inf-Net's second stage: which infected pixels are ground glass and which are consolidation.

Source    Fan et al., Inf-Net (2020), section on multi-class infection, with its released code: a U-Net that
          sees the slice and a map of infection (the prior), and answers with one sigmoid for each class. It
          is trained with the experts' own infection as prior, and asked with Inf-Net's map.
Departs   1. Adam with a falling rate, where the paper has SGD 1e-2 with momentum 0.7 for 200 epochs: the
          training loop has one kind of optimiser
          2. one channel for the slice and one for the prior, not three copies of each
          3. the true planes are none, ground glass, consolidation; a slip in the released code orders them
          otherwise and moves the last one by a pixel

Notation  S side; C classes; prior in [0, 1], 1 infected
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glasslung.errors import ShapeError, UsageError
from glasslung.nn.backbones import encoder_scale
from glasslung.nn.batches import LabelledBatch
from glasslung.nn.borrow import evaluating
from glasslung.nn.encoders import climb, conv_norm, initialise_he, refuse_odd_sizes
from glasslung.nn.player import Player
from glasslung.nn.schedules import cosine
from glasslung.nn.seglosses import UNKNOWN, exact, fold, one_hot, silence

STOREYS = (1, 2, 4, 8, 8)  # widths at full size, a half, ... a sixteenth, in units of the first
TINY = 1e-6  # keeps a share of nothing finite where no class is claimed


@dataclass(frozen=True)
class Config:
    """Settings of the second stage."""

    classes: int = 3  # none, ground glass, consolidation, as published
    width: int = 64  # channels at full size, as published: 64-128-256-512-512
    steps: int = 2000  # over which the learning rate falls
    lr: float = 1e-3  # of Adam; see the head of this file
    weight_decay: float = 1e-4  # against learning fifty slices by heart

    def __post_init__(self) -> None:
        if self.classes < 2 or self.width < 2 or self.steps < 1:
            raise UsageError("classes and width must be 2 or more, steps 1 or more")
        if not self.lr > 0 or self.weight_decay < 0:
            raise UsageError("lr must be positive and weight_decay not negative")


VARIANTS: dict[str, dict[str, Any]] = {"paper": {}, "light": {"width": 8, "lr": 2e-3}}


def _double(channels_in: int, f: int, between: int | None = None) -> nn.Sequential:
    """Two 3x3 convolutions, normalised and activated."""
    between = between or f
    first = [*conv_norm(channels_in, between), nn.ReLU(inplace=True)]
    return nn.Sequential(*first, *conv_norm(between, f), nn.ReLU(inplace=True))


class InfNetClasses(nn.Module):
    """A plain U-Net of a slice and a prior: halved by maxima, doubled between pixels."""

    def __init__(self, config: Config, rng: torch.Generator) -> None:
        super().__init__()
        self.config = config
        widths = [config.width * times for times in STOREYS]
        self.down = nn.ModuleList([_double(2, widths[0])])
        for above, f in pairwise(widths):
            self.down.append(nn.Sequential(nn.MaxPool2d(2), _double(above, f)))
        self.up = nn.ModuleList()
        entering = widths[-1]
        for skip, f in zip(reversed(widths[:-1]), [*reversed(widths[:-2]), widths[0]], strict=True):
            self.up.append(_double(entering + skip, f, (entering + skip) // 2))
            entering = f
        self.head = nn.Conv2d(widths[0], config.classes, 1)
        initialise_he(self, rng)

    def forward(self, image: Tensor, prior: Tensor) -> Tensor:
        """image (B, 1, S, S) and prior (B, S, S), both in [0, 1] -> logits (B, C, S, S) of C sigmoids."""
        refuse_odd_sizes(image, 1)
        if prior.shape != (len(image), *image.shape[2:]):
            raise ShapeError(f"slices {tuple(image.shape)} need a prior (B, S, S), got {tuple(prior.shape)}")
        levels = climb(encoder_scale(torch.cat([image, prior[:, None].to(image.dtype)], 1)), self.down)
        x = levels.pop()
        for join in self.up:
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)
            x = join(torch.cat([levels.pop(), x], 1))
        logits: Tensor = self.head(x)
        return logits

    def probabilities(self, image: Tensor, prior: Tensor) -> Tensor:
        """What each pixel may be, given a map of infection: (B, 1, S, S), (B, S, S) -> (B, C, S, S).

        Each class' sigmoid as a share of them all, so that they sum to 1; the largest stays the largest.
        """
        with evaluating(self):
            each = self(image, prior).sigmoid() + TINY
            return each / each.sum(1, keepdim=True)


def staged(model: InfNetClasses, prior_of: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Both stages as one: slices -> probabilities. `prior_of` maps (B, 1, S, S) to infection (B, S, S)."""
    return lambda image: model.probabilities(image, prior_of(image))


def loss(model: InfNetClasses, batch: LabelledBatch) -> dict[str, Tensor]:
    """total: cross-entropy of each class' sigmoid, nats, mean over classes and known pixels.

    The prior is the experts' own infection; slices without labels are not looked at.
    """
    rows = batch.labelled
    if not rows.any():
        return {"total": silence(model.parameters())}
    lesion = batch.lesion[rows]
    logits = exact(model(batch.image[rows], (lesion > 0).to(batch.image.dtype)))
    known = (lesion != UNKNOWN).to(logits.dtype)[:, None]
    truth = one_hot(fold(lesion, model.config.classes), model.config.classes)
    each = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    return {"total": (each * known).sum() / (known.sum() * model.config.classes)}


def players(model: InfNetClasses) -> list[Player]:
    """One Adam, whose learning rate falls along a cosine."""
    config = model.config
    return [
        Player(
            name="infnetclasses",
            parameters=list(model.parameters()),
            loss=lambda batch, step, rng: loss(model, batch),
            lr=lambda step: cosine(step, config.steps, config.lr, 0.01 * config.lr),
            weight_decay=config.weight_decay,
            clip_total_norm=5.0,
        )
    ]
