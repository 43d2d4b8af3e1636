"""A 3D DenseNet: the whole scan at once, brought to one box; MONAI's network.

It is not from the diagnosis paper, which names 3D networks as what others use: a baseline for NetVLAD. Huang
et al., Densely connected convolutional networks (2017), in three dimensions. Slices of a scan and, as a
second channel, their lesions are resampled linearly to `box`, whatever their number: a scan of one slice
becomes that slice again and again. MONAI takes seconds to import: it is asked for where a network is made.

Notation  S slices of all V scans of a batch; box (D, H, W)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glasslung.errors import UsageError
from glasslung.nn.batches import ExamBatch
from glasslung.nn.focal import scan_loss
from glasslung.nn.player import Player
from glasslung.nn.ragged import check_slices, slices_of_each
from glasslung.nn.scoring import ScanClassifier
from glasslung.nn.twobranches import initialise_he

NORMS = ("batch", "instance")
SMALLEST_SIDE = 16
HALVINGS = 2  # before the first dense block, and one behind each block but the last


@dataclass(frozen=True)
class Config:
    """Settings of one 3D DenseNet."""

    size: int = 128  # side of the slices it is given; `box` is what it computes on
    side: bool = True  # lesions are a second channel
    box: tuple[int, int, int] = (32, 96, 96)  # 300 mm of lung in some 10 mm, 3 mm pixels: a budget for CPUs
    first: int = 16  # channels before the first dense block
    growth: int = 12  # channels that each layer adds
    blocks: tuple[int, ...] = (3, 6, 8)  # layers of each dense block; DenseNet-121 has (6, 12, 24, 16)
    norm: str = "batch"  # "instance" for batches of one scan
    dropout: float = 0.1  # of what each layer adds: cohorts are small
    gamma: float = 0.0  # of the focal loss; 0 is cross-entropy
    weight_other: float = 0.5  # of scans without the disease in the loss ...
    weight_disease: float = 0.5  # ... and with it: batches are balanced already
    lr: float = 1e-3  # Adam's usual
    weight_decay: float = 1e-4  # against learning scans by heart

    def __post_init__(self) -> None:
        for name in ("box", "blocks"):  # lists once they were JSON
            object.__setattr__(self, name, tuple(getattr(self, name)))
        least = 2 ** (HALVINGS + len(self.blocks))  # the last maps are 2 wide or more
        if len(self.box) != 3 or min(self.box) < least:
            raise UsageError(f"box must be three edges of {least} or more for these blocks, got {self.box}")
        if min(self.first, self.growth, *self.blocks) < 1 or self.size < SMALLEST_SIDE:
            raise UsageError(f"first, growth and blocks must be 1 or more, size {SMALLEST_SIDE} or more")
        if self.norm not in NORMS:
            raise UsageError(f"norm is one of {', '.join(NORMS)}, not {self.norm!r}")
        if (
            self.gamma < 0
            or min(self.weight_other, self.weight_disease, self.lr) <= 0
            or self.weight_decay < 0
        ):
            raise UsageError(
                "lr and both weights must be positive, gamma and weight_decay must not be negative"
            )
        if not 0 <= self.dropout < 1:
            raise UsageError(f"dropout must be a share from 0 to below 1, got {self.dropout}")


class DenseNet3D(ScanClassifier):
    """MONAI's DenseNet on a box of the scan."""

    def __init__(self, config: Config, rng: torch.Generator) -> None:
        from monai.networks.nets.densenet import DenseNet

        super().__init__()
        self.config = config
        norm = ("batch", {}) if config.norm == "batch" else ("instance", {"affine": True})
        with torch.random.fork_rng(devices=[]):  # MONAI draws weights that are drawn anew below
            self.net = DenseNet(
                spatial_dims=3,
                in_channels=2 if config.side else 1,
                out_channels=2,
                init_features=config.first,
                growth_rate=config.growth,
                block_config=config.blocks,
                norm=norm,
                dropout_prob=config.dropout,
            )
        initialise_he(self, rng, slope=0.0)
        nn.init.normal_(self.head.weight, std=0.01, generator=rng)
        nn.init.zeros_(self.head.bias)

    @property
    def head(self) -> nn.Linear:
        """The last layer."""
        last = self.net.class_layers.out
        assert isinstance(last, nn.Linear)
        return last

    def forward(self, image: Tensor, lesion: Tensor, scan: Tensor) -> Tensor:
        """image, lesion (S, 1, H, W) in [0, 1], scan (S,) as in `ExamBatch` -> logits (V, 2) float32."""
        logits: Tensor = self.head(self.features(image, lesion, scan)).float()
        return logits

    def features(self, image: Tensor, lesion: Tensor, scan: Tensor) -> Tensor:
        """What stands before the last layer: mean over the box of the last maps, (V, F)."""
        x = self.net.features(self.boxes(image, lesion, scan))
        for name, layer in self.net.class_layers.named_children():
            if name != "out":
                x = layer(x)
        described: Tensor = x
        return described

    def boxes(self, image: Tensor, lesion: Tensor, scan: Tensor) -> Tensor:
        """Each scan resampled to the box: (S, 1, H, W) twice -> (V, 1 or 2, D, H, W)."""
        check_slices(image, lesion, scan, SMALLEST_SIDE)
        x = torch.cat([image, lesion], 1) if self.config.side else image
        parts = x.split(slices_of_each(scan))
        return torch.cat([_to_box(part, self.config.box) for part in parts])


def _to_box(slices: Tensor, box: tuple[int, int, int]) -> Tensor:
    """(S, C, H, W) -> (1, C, *box); where it becomes coarser, what a new voxel covers is averaged."""
    x = slices.transpose(0, 1)[None]
    covered = tuple(max(1, have // want) for have, want in zip(x.shape[2:], box, strict=True))
    if max(covered) > 1:
        x = F.avg_pool3d(x, covered, ceil_mode=True, count_include_pad=False)
    return F.interpolate(x, box, mode="trilinear", align_corners=False)


def loss(model: DenseNet3D, batch: ExamBatch) -> dict[str, Tensor]:
    """Cross-entropy, or the focal loss; terms as `nn.focal.scan_loss` says."""
    config = model.config
    logits = model(batch.image, batch.lesion, batch.scan)
    return scan_loss(logits, batch.label, config.gamma, (config.weight_other, config.weight_disease))


def players(model: DenseNet3D) -> list[Player]:
    """One Adam with weight decay."""
    return [
        Player(
            name="densenet3d",
            parameters=list(model.parameters()),
            loss=lambda batch, step, rng: loss(model, batch),
            lr=model.config.lr,
            weight_decay=model.config.weight_decay,
            clip_total_norm=1.0,
        )
    ]
