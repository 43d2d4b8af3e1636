"""The diagnosis paper's classifier: slices with their lesions, a pyramid, NetVLAD over the scan, two logits.

Paper: section 4.2.2 of the paper on CVAE with side information for COVID-19 from CT. The two branches and
their gate are those of the CVAE (`models/cvae.py`) and may begin with its weights. Then, of each slice: a
pyramid of maxima at 5 x 5, 3 x 3 and 2 x 2 bins, a dense layer of 512; NetVLAD with 64 clusters makes one
description of all slices of a scan; a linear layer gives two logits. Focal loss, gamma 5, weights 0.25 (no
disease) and 0.35.

Notation  S slices of all V scans of a batch; K clusters; D width of a slice's descriptor

Departs   1. It has 1.42 million weights, not the printed 1.92: the pyramid's 38 bins of 64 channels into 512
             explain 1.25 million. `levels=(6, 4, 1)`, 53 bins, would give 1.92; which is meant is not known.
          2. lr: the paper's 1e-5 is for 200 epochs of some 800 scans, 20 000 steps of 8. On drawn chests of
             64 pixels, 36 to train on, 60 steps put unseen scans in order at 1e-5 and at 1e-4, but at 1e-5
             log-odds were half as far from 0. At 5e-4, without lesions, the AUC began at 0.69 and was 0.85
             after 60 steps. So 1e-4 is the default; `lr=1e-5` is the paper's.
          3. Descriptors are leaky-rectified and scaled to length 1 before NetVLAD, as its authors do; the
             paper says neither. `unit=False` leaves their length.
          4. He's start; and with `start_from(cvae)` only the branches are copied: the CVAE's merging network
             has seen labels.
          5. Batches of some scans instead of one scan and eight sums; the same up to rounding.
          6. Slices without lesions: see `nn/twobranches.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glasslung.errors import UsageError
from glasslung.nn.batches import ExamBatch
from glasslung.nn.focal import PAPER_GAMMA, PAPER_WEIGHTS, scan_loss
from glasslung.nn.player import Player
from glasslung.nn.pyramid import PAPER_LEVELS, Pyramid, bins
from glasslung.nn.ragged import check_slices
from glasslung.nn.scoring import ScanClassifier
from glasslung.nn.twobranches import (
    CHANNELS,
    SLOPE,
    SMALLEST_SIDE,
    TwoBranches,
    copy_branches,
    initialise_he,
)
from glasslung.nn.vlad import NetVLAD


@dataclass(frozen=True)
class Config:
    """Settings of one NetVLAD classifier."""

    size: int = 128  # side of its slices; the paper keeps each scan's own, the pyramid takes any
    side: bool = True  # lesions are seen and gate the slice; False is the paper's ablation
    levels: tuple[int, ...] = PAPER_LEVELS  # of the pyramid: 38 bins; see the head of this file
    width: int = 512  # of a slice's descriptor; as the paper
    clusters: int = 64  # as the paper
    unit: bool = True  # descriptors of length 1; see the head of this file
    gamma: float = PAPER_GAMMA  # of the focal loss; as the paper
    weight_other: float = PAPER_WEIGHTS[0]  # of scans without the disease in it; as the paper
    weight_disease: float = PAPER_WEIGHTS[1]  # of scans with it; as the paper
    lr: float = 1e-4  # ten times the paper's, for shorter training; see the head of this file
    weight_decay: float = 1e-5  # as the paper

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", tuple(self.levels))  # a list once it was JSON
        if self.size < SMALLEST_SIDE or min(self.width, self.clusters, *self.levels, len(self.levels)) < 1:
            raise UsageError(
                f"size must be {SMALLEST_SIDE} or more; levels, width and clusters must be 1 or more"
            )
        if (
            self.gamma < 0
            or min(self.weight_other, self.weight_disease, self.lr) <= 0
            or self.weight_decay < 0
        ):
            raise UsageError(
                "lr and both weights must be positive, gamma and weight_decay must not be negative"
            )

    @property
    def weights(self) -> tuple[float, float]:
        """Weights of the focal loss: without and with the disease."""
        return self.weight_other, self.weight_disease


class Encoder(Protocol):
    """A model whose branches a classifier can begin with: `models.cvae.CVAE`."""

    branches: TwoBranches


class NetVLADClassifier(ScanClassifier):
    """Branches, pyramid, dense layer, NetVLAD, linear layer."""

    def __init__(self, config: Config, rng: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.branches = TwoBranches(config.side)
        self.pyramid = Pyramid(config.levels)
        self.dense = nn.Linear(bins(config.levels) * CHANNELS, config.width)
        self.activation = nn.LeakyReLU(SLOPE)
        initialise_he(self, rng)
        self.vlad = NetVLAD(config.clusters, config.width, rng)
        self.head = nn.Linear(self.vlad.size, 2)
        nn.init.normal_(self.head.weight, std=0.1, generator=rng)  # of a description of length 1
        nn.init.zeros_(self.head.bias)

    def forward(self, image: Tensor, lesion: Tensor, scan: Tensor) -> Tensor:
        """image, lesion (S, 1, H, W) in [0, 1], scan (S,) as in `ExamBatch` -> logits (V, 2) float32."""
        logits: Tensor = self.head(self.features(image, lesion, scan)).float()
        return logits

    def features(self, image: Tensor, lesion: Tensor, scan: Tensor) -> Tensor:
        """What stands before the last layer, for distances: (V, K * D), each of length 1."""
        check_slices(image, lesion, scan, SMALLEST_SIDE)
        described: Tensor = self.vlad(self.descriptors(image, lesion), scan)
        return described

    def descriptors(self, image: Tensor, lesion: Tensor) -> Tensor:
        """Each slice as numbers, before NetVLAD: (S, 1, H, W) twice -> (S, D)."""
        x: Tensor = self.activation(self.dense(self.pyramid(self.branches(image, lesion))))
        return F.normalize(x.float(), dim=1) if self.config.unit else x

    def start_from(self, cvae: Encoder) -> None:
        """Begin with the two branches of a trained CVAE, and nothing else of it."""
        copy_branches(cvae.branches, self.branches)


def loss(model: NetVLADClassifier, batch: ExamBatch) -> dict[str, Tensor]:
    """The focal loss; terms as `nn.focal.scan_loss` says."""
    logits = model(batch.image, batch.lesion, batch.scan)
    return scan_loss(logits, batch.label, model.config.gamma, model.config.weights)


def players(model: NetVLADClassifier) -> list[Player]:
    """One Adam with the paper's weight decay."""
    return [
        Player(
            name="netvlad",
            parameters=list(model.parameters()),
            loss=lambda batch, step, rng: loss(model, batch),
            lr=model.config.lr,
            epsilon=1e-8,  # PyTorch's, which the paper used: gradients of this focal loss are small
            weight_decay=model.config.weight_decay,
        )
    ]
