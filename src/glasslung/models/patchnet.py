"""2DS: the binary lesion network of the diagnosis paper's cohort, a 2D U-Net on patches of axial slices.

Paper: Tilborghs et al. 2020 (arXiv 2007.15546), as used in the CVAE and NetVLAD paper, section 3:
a 2D U-Net of 5 levels with 16 features at the first, on patches of 128 x 128 from the axial plane within the
bounding box around the lungs. The network is MONAI's BasicUNet, which has five levels.

Departs   1. The loss is not stated: cross-entropy and soft Dice of the lesion, in equal parts.
          2. Instance normalisation, leaky ReLU and linear up-sampling are taken from the same group's 3D
             network; the paper does not state them for this one.
          3. Where the lungs are not known (-1) or none is in the slice, patches are drawn from the slice.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glasslung.errors import ShapeError, UsageError
from glasslung.nn.batches import LabelledBatch
from glasslung.nn.borrow import evaluating
from glasslung.nn.player import Player

LEVELS = 5  # BasicUNet's, and the paper's
MULTIPLE = 2 ** (LEVELS - 1)


@dataclass(frozen=True)
class Config:
    """Settings of one 2DS."""

    classes: int = 2  # none, lesion: the paper's network is binary
    width: int = 16  # channels of the first level, doubled at each further one; as the paper
    patch: int = 128  # edge of the patches drawn in training, pixels; as the paper
    lr: float = 1e-3  # Adam's usual; the paper does not say

    def __post_init__(self) -> None:
        if self.classes != 2:
            raise UsageError(f"2DS knows two classes, none and lesion, not {self.classes}")
        if self.width < 1 or self.patch < 2 * MULTIPLE or self.patch % MULTIPLE or self.lr <= 0:
            raise UsageError(
                f"width and lr must be positive, and patch a multiple of {MULTIPLE} from {2 * MULTIPLE} on"
            )


class PatchNet(nn.Module):
    """MONAI's 2D U-Net of five levels."""

    def __init__(self, config: Config, rng: torch.Generator) -> None:
        from monai.networks.nets.basic_unet import BasicUNet  # takes seconds

        super().__init__()
        self.config = config
        w = config.width
        with torch.random.fork_rng(devices=[]):  # MONAI draws weights that are drawn anew below
            self.net = BasicUNet(
                2, 1, config.classes, (w, 2 * w, 4 * w, 8 * w, 16 * w, w), upsample="nontrainable"
            )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, a=0.1, generator=rng)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, image: Tensor) -> Tensor:
        """image (B, 1, H, W) in [0, 1] -> scores (B, 2, H, W); edges are multiples of 16."""
        if image.ndim != 4 or image.shape[1] != 1 or any(s % MULTIPLE or s < 32 for s in image.shape[2:]):
            raise ShapeError(
                f"2DS reads slices (B, 1, H, W) with edges that are multiples of {MULTIPLE} from 32 on, got "
                f"{tuple(image.shape)}"
            )
        scores: Tensor = self.net(image)
        return scores

    def probabilities(self, image: Tensor) -> Tensor:
        """image (B, 1, H, W) -> (B, 2, H, W), summing to 1 over classes, in evaluation mode."""
        with evaluating(self):
            return torch.softmax(self(image).float(), 1)


def draw_patches(batch: LabelledBatch, edge: int, rng: torch.Generator) -> LabelledBatch:
    """One square patch of each slice, at random within the box around its lungs.

    One draw serves image and masks. A slice smaller than the patch, or as large, stays as it is.
    """
    height, width = batch.image.shape[2:]
    if height <= edge and width <= edge:
        return batch
    rows, columns = min(edge, height), min(edge, width)
    parts = []
    for one in range(len(batch)):
        inside = batch.lung[one] > 0
        top = _start(inside.any(1), rows, rng)
        left = _start(inside.any(0), columns, rng)
        parts.append((one, slice(top, top + rows), slice(left, left + columns)))
    return LabelledBatch(
        torch.stack([batch.image[one, :, y, x] for one, y, x in parts]),
        torch.stack([batch.lesion[one, y, x] for one, y, x in parts]),
        torch.stack([batch.lung[one, y, x] for one, y, x in parts]),
    )


def _start(inside: Tensor, length: int, rng: torch.Generator) -> int:
    """Where a patch begins along one axis: anywhere in the lungs' extent, or around it if short."""
    places = inside.nonzero().flatten()
    size = len(inside)
    low, high = (int(places[0]), int(places[-1]) + 1) if len(places) else (0, size)
    first, last = sorted((low, high - length))
    first, last = max(0, min(first, size - length)), min(max(0, last), size - length)
    return int(torch.randint(first, last + 1, (1,), generator=rng, device=rng.device))


def loss(model: PatchNet, batch: LabelledBatch, rng: torch.Generator) -> dict[str, Tensor]:
    """Cross-entropy, nats per known pixel, plus 1 - soft Dice of the lesion; 0 where nothing is labelled."""
    patch = draw_patches(batch, model.config.patch, rng)
    scores = model(patch.image).float()
    known = patch.lesion >= 0
    target = (patch.lesion > 0).long()
    by_pixel = F.cross_entropy(scores, target, reduction="none") * known
    cross_entropy = by_pixel.sum() / known.sum().clamp_min(1)
    found = torch.softmax(scores, 1)[:, 1] * known
    both = (found * target).sum()
    dice = 1 - (2 * both + 1) / (found.sum() + (target * known).sum() + 1)
    return {"total": cross_entropy + dice, "cross_entropy": cross_entropy, "dice": dice}


def players(model: PatchNet) -> list[Player]:
    """One Adam."""
    return [
        Player(
            name="patchnet",
            parameters=list(model.parameters()),
            loss=lambda batch, step, rng: loss(model, batch, rng),
            lr=model.config.lr,
            clip_total_norm=5.0,  # a batch almost without lesion can give a single large step
        )
    ]
