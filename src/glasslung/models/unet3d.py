"""3D U-Net: the lesion network of the diagnosis paper, with the generalised Wasserstein Dice loss.

Paper: Tilborghs et al. 2020 (arXiv 2007.15546), as used by the CVAE and NetVLAD system, section 4.1. It
states: a 3D U-Net of 4 levels, 32 features at the lowest level, leaky ReLU, instance normalisation, max
pooling, linear up-sampling, generalised Wasserstein Dice loss (Fidon et al. 2017) over background, ground
glass, consolidation, crazy paving and "combined", a mixture of two or more that could not be told
apart. The blocks
and the loss are MONAI's, which takes seconds to import: it is asked for where a network is made.

Notation  x box of a scan in [0, 1]; C classes, 0 the background; M distances between classes; p probabilities

Departs   1. "lowest level" is read as the first one (width 32, 64, 128, 256), as 3D U-Nets count.
          2. The distances M are not in the paper. `TREES` gives ours: Fidon's rule that the background is
             farthest from everything (1), two patterns at 0.5, as in his example of siblings, and a
             combined pattern half-way, at 0.25, to each of its parts: no mixture is wholly wrong.
          3. Cross-entropy is added (`cross_entropy`, 0 leaves it out): the Wasserstein term alone hardly
             tells siblings apart early on, for half of their error is forgiven.
          4. `fold` works on cubes of fold^3 voxels as channels, and unfolds what comes out: at 2 the network
             computes at half the resolution, at some eighth of the cost, and still draws edges at the full
             one. 1 is the paper's.
          5. Voxels labelled -1 count in no term.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.nn.batches import PatchBatch
from glasslung.nn.borrow import evaluating
from glasslung.nn.player import Player

NORMS = ("instance", "batch")
TREES = {
    # background, ground glass, consolidation, crazy paving, combined: the paper's five
    "lesions": (
        (0.0, 1.0, 1.0, 1.0, 1.0),
        (1.0, 0.0, 0.5, 0.5, 0.25),
        (1.0, 0.5, 0.0, 0.5, 0.25),
        (1.0, 0.5, 0.5, 0.0, 0.25),
        (1.0, 0.25, 0.25, 0.25, 0.0),
    ),
    # outside, healthy lung, ground glass, consolidation, crazy paving: lungs and lesions at once. What is not
    # lung is farthest from lung; a lesion is nearer to another than to healthy lung.
    "lungs and lesions": (
        (0.0, 1.0, 1.0, 1.0, 1.0),
        (1.0, 0.0, 0.8, 0.8, 0.8),
        (1.0, 0.8, 0.0, 0.5, 0.5),
        (1.0, 0.8, 0.5, 0.0, 0.5),
        (1.0, 0.8, 0.5, 0.5, 0.0),
    ),
    # outside, lung
    "lungs": ((0.0, 1.0), (1.0, 0.0)),
}
"""What a network names, and how far apart its classes are: symmetric, 0 on the diagonal, 1 the farthest."""

HEALTHY = {"lesions": ("outside",), "lungs and lesions": ("outside", "lung"), "lungs": ("outside", "lung")}
"""The first classes of each tree, which are no lesions."""


@dataclass(frozen=True)
class Config:
    """Settings of one 3D U-Net."""

    tree: str = "lesions"  # the paper's classes; see TREES
    levels: int = 4  # as the paper
    width: int = 32  # channels of the first level, doubled at each further one; as the paper
    norm: str = "instance"  # as the paper; "batch" answers the same whatever window it sees
    fold: int = 1  # edge of the cubes that are taken as channels; see the head of this file
    cross_entropy: float = 1.0  # its weight beside the Wasserstein Dice; see the head of this file
    lesion_weight: float = 1.0  # of a lesion's voxel in the cross-entropy; more where lesions stay unseen
    slope: float = 0.1  # of the leaky ReLU; the paper does not say, this is MONAI's
    lr: float = 1e-3  # Adam's usual; the paper does not say

    def __post_init__(self) -> None:
        if self.tree not in TREES:
            raise UsageError(f"there are the trees {', '.join(map(repr, TREES))}, not {self.tree!r}")
        if self.norm not in NORMS:
            raise UsageError(f"norm is one of {', '.join(NORMS)}, not {self.norm!r}")
        if min(self.levels - 1, self.width, self.fold) < 1:
            raise UsageError("a 3D U-Net has 2 or more levels, and width and fold of 1 or more")
        if self.cross_entropy < 0 or self.lr <= 0 or self.lesion_weight <= 0:
            raise UsageError("cross_entropy must not be negative, lr and lesion_weight must be positive")

    @property
    def classes(self) -> int:
        """How many classes there are, the background included."""
        return len(TREES[self.tree])

    @property
    def multiple(self) -> int:
        """Edges of a box must be multiples of this."""
        return int(self.fold * 2 ** (self.levels - 1))


class UNet3D(nn.Module):
    """Levels of two convolutions, joined across; MONAI's blocks."""

    def __init__(self, config: Config, rng: torch.Generator) -> None:
        from monai.networks.nets.basic_unet import Down, TwoConv, UpCat

        super().__init__()
        self.config = config
        folded = config.fold**3
        widths = [config.width * 2**level for level in range(config.levels)]
        kind = ("LeakyReLU", {"negative_slope": config.slope, "inplace": True})
        norm = (config.norm, {"affine": True})
        with torch.random.fork_rng(devices=[]):  # MONAI draws weights that are drawn anew below
            self.first = TwoConv(3, folded, widths[0], kind, norm, bias=True)
            self.down = nn.ModuleList(
                Down(3, above, below, kind, norm, bias=True) for above, below in itertools.pairwise(widths)
            )
            self.up = nn.ModuleList(
                UpCat(3, below, above, above, kind, norm, bias=True, upsample="nontrainable")
                for above, below in itertools.pairwise(widths)
            )
            self.last = nn.Conv3d(widths[0], folded * config.classes, 1)
        initialise_he(self, rng, config.slope)

    def forward(self, image: Tensor) -> Tensor:
        """image (B, 1, D, H, W) in [0, 1] -> scores (B, C, D, H, W); edges are multiples of `multiple`."""
        edge = self.config.multiple
        if image.ndim != 5 or image.shape[1] != 1 or any(side % edge for side in image.shape[2:]):
            raise ShapeError(
                f"this 3D U-Net reads boxes (B, 1, D, H, W) with edges that are multiples of {edge}, got "
                f"{tuple(image.shape)}"
            )
        from monai.networks.utils import pixelshuffle, pixelunshuffle

        fold = self.config.fold
        maps = [self.first(pixelunshuffle(image, 3, fold) if fold > 1 else image)]
        for down in self.down:
            maps.append(down(maps[-1]))
        x = maps.pop()
        for up in reversed(self.up):
            x = up(x, maps.pop())
        x = self.last(x)
        return pixelshuffle(x, 3, fold) if fold > 1 else x

    def probabilities(self, image: Tensor) -> Tensor:
        """image (B, 1, D, H, W) -> (B, C, D, H, W), summing to 1 over classes, in evaluation mode."""
        with evaluating(self):
            return torch.softmax(self(image).float(), 1)


def initialise_he(module: nn.Module, rng: torch.Generator, slope: float) -> None:
    """He's start for leaky ReLUs from `rng`, zero bias."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv3d):
            nn.init.kaiming_normal_(layer.weight, a=slope, generator=rng)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def wasserstein_dice(scores: Tensor, label: Tensor, distances: tuple[tuple[float, ...], ...]) -> Tensor:
    """1 - generalised Wasserstein Dice (Fidon et al. 2017, eq. 7), mean over boxes; unknown voxels left out.

    scores (B, C, D, H, W), label (B, D, H, W) with -1 unknown. Weights are 1 for every class and 0 for the
    background. Unknown voxels are told and answered as background: in this loss those add nothing.
    """
    from monai.losses.dice import GeneralizedWassersteinDiceLoss

    known = label >= 0
    sure = torch.full_like(scores, -1e4)
    sure[:, 0] = 0.0
    loss = GeneralizedWassersteinDiceLoss(torch.tensor(distances), smooth_nr=1.0, smooth_dr=1.0)
    answer: Tensor = loss(torch.where(known[:, None], scores, sure).float(), label.clamp_min(0))
    return answer


def loss(model: UNet3D, batch: PatchBatch) -> dict[str, Tensor]:
    """'wasserstein' Dice loss, 0 to 1, and 'cross_entropy', nats per known voxel; 'total' is minimised."""
    config = model.config
    if int(batch.label.max()) >= config.classes:
        raise DataError(
            f"a voxel is labelled {int(batch.label.max())}, and the tree {config.tree!r} has "
            f"{config.classes} classes; choose the tree that fits the labels"
        )
    scores = model(batch.image).float()
    wasserstein = wasserstein_dice(scores, batch.label, TREES[config.tree])
    weights = torch.ones(config.classes, device=scores.device)
    weights[len(HEALTHY[config.tree]) :] = config.lesion_weight
    by_voxel = F.cross_entropy(scores, batch.label, weights, ignore_index=-1, reduction="sum")
    counted = weights[batch.label.clamp_min(0)] * (batch.label >= 0)
    cross_entropy = by_voxel / counted.sum().clamp_min(1)
    total = wasserstein + config.cross_entropy * cross_entropy
    return {"total": total, "wasserstein": wasserstein, "cross_entropy": cross_entropy}


def players(model: UNet3D) -> list[Player]:
    """One Adam."""
    return [
        Player(
            name="unet3d",
            parameters=list(model.parameters()),
            loss=lambda batch, step, rng: loss(model, batch),
            lr=model.config.lr,
            clip_total_norm=5.0,  # a box without one class can give a single large step
        )
    ]
