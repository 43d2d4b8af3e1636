"""A 2D ResNet-50 that answers each slice alone: what the COVID3D paper compares its 3D network with.

He et al., Deep residual learning (2016), MONAI's network, with one grey channel. The paper tells its name and
its AUC at two hospitals, nothing else; here a scan's log-odds are the mean of its slices', as in `slicewise`,
which is linear: the mean of the features, and one layer on it. MONAI takes seconds to import: it is asked for
where a network is made.

Notation  S slices of all V scans of a batch
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from glasslung.errors import UsageError
from glasslung.nn.inception3d import bytes_kept, narrowed
from glasslung.nn.memory import check_fits
from glasslung.nn.player import Player
from glasslung.nn.ragged import check_slices, slices_of_each
from glasslung.nn.scoring import ScanClassifier, trunk_and_head
from glasslung.nn.twobranches import initialise_he

STAGES = (64, 128, 256, 512)  # channels, published
LAYERS = (3, 4, 6, 3)  # blocks of each stage: ResNet-50
GROWTH = 4  # a bottleneck's output over its middle
SMALLEST = 32
AT_ONCE = 16  # slices of a scan that is asked
STEP = 1.25  # times what is kept for the gradients, which take its place as they go back; measured
STATES = 5  # of each weight: itself, its gradient, Adam's two moments, its average


@dataclass(frozen=True)
class Config:
    """Settings of one 2D ResNet-50 over slices."""

    size: int = 224  # side of its slices, as published; convolutions take any
    width: float = 1.0  # share of the published channels, for training without a GPU
    dropout: float = 0.5  # of a scan's features, as in the 3D network
    lr: float = 1e-3  # of Adam, for the head; as for the 3D network, so that only the network differs
    lr_trunk: float = 1e-3  # of all before it
    weight_decay: float = 1e-4  # some hundred scans against millions of weights

    def __post_init__(self) -> None:
        if self.size < SMALLEST or not 0 < self.width <= 4:
            raise UsageError(f"size must be {SMALLEST} or more, width above 0 and 4 at most")
        if not (min(self.lr, self.lr_trunk) > 0 and self.weight_decay >= 0 and 0 <= self.dropout < 1):
            raise UsageError("lr and lr_trunk must be positive, weight_decay not negative, dropout below 1")


class ResNet2D(ScanClassifier):
    """MONAI's ResNet-50 on each slice, the mean over slices, one linear layer."""

    def __init__(self, config: Config, rng: torch.Generator) -> None:
        from monai.networks.nets.resnet import ResNet, ResNetBottleneck

        super().__init__()
        self.config = config
        with torch.random.fork_rng(devices=[]):  # MONAI draws weights that are drawn anew below
            self.trunk = ResNet(
                ResNetBottleneck,
                list(LAYERS),
                [narrowed(channels, config.width) for channels in STAGES],
                spatial_dims=2,
                n_input_channels=1,
                conv1_t_stride=2,
                feed_forward=False,
                bias_downsample=False,  # as published: normalisation stands behind it
            )
        self._kept: int | None = None
        self.head = nn.Linear(narrowed(STAGES[-1], config.width) * GROWTH, 1)
        initialise_he(self, rng, slope=0.0)
        for block in self.trunk.modules():
            if isinstance(block, ResNetBottleneck):
                nn.init.zeros_(block.bn3.weight)  # each block begins as its shortcut
        nn.init.normal_(self.head.weight, std=0.01, generator=rng)
        nn.init.zeros_(self.head.bias)

    def features(self, image: Tensor, lesion: Tensor, scan: Tensor) -> Tensor:
        """What stands before the linear layer, the mean over slices, (V, F). It is shown no lesions."""
        check_slices(image, lesion, scan, SMALLEST)
        parts = self.descriptors(image).split(slices_of_each(scan))
        return torch.stack([part.mean(0) for part in parts])

    def descriptors(self, image: Tensor) -> Tensor:
        """Each slice as numbers: (S, 1, H, W) in [0, 1] -> (S, F)."""
        films = 2.0 * image - 1.0
        if self.training or torch.is_grad_enabled():
            self._check_memory(len(image))
            found: Tensor = self.trunk(films)
            return found
        return torch.cat(
            [self.trunk(few) for few in films.split(AT_ONCE)]
        )  # memory does not grow with the scan

    def needs(self, slices: int) -> int:
        """Bytes of memory that a step of training on so many slices takes."""
        weights = sum(part.numel() * part.element_size() for part in self.parameters())
        if self._kept is None:
            self._kept = bytes_kept(self.trunk, (2, 1, self.config.size, self.config.size)) // 2
        return round(STEP * slices * self._kept) + STATES * weights

    def _check_memory(self, slices: int) -> None:
        """UsageError, and not a killed process, where a step would not fit."""
        what = f"a training step of resnet2d on {slices} slices"
        if next(self.parameters()).device.type == "cpu":
            check_fits(self.needs(slices), what, "lower size, width, or the scans of a batch")


def players(model: ResNet2D) -> list[Player]:
    """Adam on everything; the trunk at its own rate."""
    return [trunk_and_head("resnet2d", model)]
