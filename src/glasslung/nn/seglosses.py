"""Losses of segmenters: pure functions of logits and labels, deaf to pixels that nobody labelled (-1).

Each is a mean over what is known, and 0, with a gradient of 0, where nothing is known: a slice without labels
in a batch changes neither value nor gradient. Focal and Dice are MONAI's, cross-entropy is torch's.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from glasslung.errors import UsageError
from glasslung.types import Lesion

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn

LOSSES = ("focal", "ce", "ce+dice", "focal+dice", "ce+slice dice")
SLICE_SMOOTH = 30.0  # pixels: on a slice without the class, so many found cost half
UNKNOWN = -1
GAMMA = 2.0  # of the focal loss, in the paper's code and by Lin et al. (2017)
NEIGHBOURHOOD_PX = 31  # of Inf-Net's pixel weight
BOUNDARY_WEIGHT = 5.0


def lesion_loss(logits: Tensor, lesion: Tensor, how: str = "ce+dice", alpha: float | None = None) -> Tensor:
    """How far logits (B, C, H, W) are from what experts drew, lesion (B, H, W); see `LOSSES` for `how`.

    Labels are folded to the C classes first. `alpha` is that of `focal_loss`. A sum of the named terms, each
    with weight 1; 0 where no pixel is known.
    """
    if how not in LOSSES:
        raise UsageError(f"there is no loss {how!r}; there are {', '.join(LOSSES)}")
    logits, label = exact(logits), fold(lesion, logits.shape[1])
    terms = {
        "focal": lambda: focal_loss(logits, label, alpha=alpha),
        "ce": lambda: cross_entropy(logits, label),
        "dice": lambda: dice_loss(logits.softmax(1), label),
        "slice dice": lambda: slice_dice_loss(logits.softmax(1), label),
    }
    parts: list[Tensor] = [terms[name]() for name in how.split("+")]
    return torch.stack(parts).sum()


def fold(lesion: Tensor, classes: int) -> Tensor:
    """Labels as a network with fewer classes knows them, any shape -> the same shape.

    2 classes: no lesion, any lesion. 3: crazy paving, which is ground glass with thickened septa, counts as
    ground glass. 4 or more: as they are. Unknown (-1) stays unknown.
    """
    if classes < 2:
        raise UsageError(f"a segmenter tells 2 classes or more apart, not {classes}")
    if classes == 2:
        return lesion.clamp_max(1)
    return torch.where(lesion == Lesion.CRAZY_PAVING, Lesion.GROUND_GLASS, lesion) if classes == 3 else lesion


def focal_loss(logits: Tensor, label: Tensor, gamma: float = GAMMA, alpha: float | None = None) -> Tensor:
    """Cross-entropy that minds hard pixels, -(1 - p)^gamma log p of the true class, nats, mean over pixels.

    logits (B, C, H, W), label (B, H, W) int64 with -1 unknown. `alpha` in [0, 1] weighs the lesion classes,
    1 - alpha class 0; None weighs all 1. Lin et al., Focal loss for dense object detection (2017); MONAI's.
    """
    known = _known(label)
    each = _monai_focal(gamma, alpha)(logits, one_hot(label, logits.shape[1])).sum(1)
    return (each * known).sum() / known.sum().clamp_min(1)


@cache
def _monai_focal(gamma: float, alpha: float | None) -> nn.Module:
    from monai.losses.focal_loss import FocalLoss  # takes seconds

    return FocalLoss(gamma=gamma, alpha=alpha, use_softmax=True, reduction="none")


def cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """-log p of the true class, nats, mean over known pixels; logits (B, C, H, W), label (B, H, W)."""
    total = F.cross_entropy(logits, label, ignore_index=UNKNOWN, reduction="sum")
    return total / _known(label).sum().clamp_min(1)


def dice_loss(probability: Tensor, label: Tensor) -> Tensor:
    """1 - Dice of soft masks, mean over the lesion classes: probability (B, C, H, W), label (B, H, W).

    Pixels of the whole batch are one set: single slices without a class would ask for its last trace to go.
    Class 0 is left out, and so is a class that nobody drew in this batch. Milletari et al., V-Net (2016), the
    denominator without squares; MONAI's.
    """
    known = _known(label)[:, None]
    truth = one_hot(label, probability.shape[1])[:, 1:]
    each = _monai_dice()(probability[:, 1:] * known, truth * known).flatten()
    drawn = (truth.sum((0, 2, 3)) > 0).to(each.dtype)
    return (each * drawn).sum() / drawn.sum().clamp_min(1)


def slice_dice_loss(probability: Tensor, label: Tensor) -> Tensor:
    """1 - Dice of soft masks, slice by slice, mean over lesion classes, infection and slices with labels.

    probability (B, C, H, W), label (B, H, W), -1 unknown. As papers score segmenters: every slice counts
    alike, and a class that a slice does not have must not be found there. Infection is any class but 0.
    """
    known = _known(label)[:, None]
    truth = one_hot(label, probability.shape[1])
    found, truth = (
        torch.cat([part[:, 1:], part[:, 1:].sum(1, keepdim=True)], 1) for part in (probability, truth)
    )
    found, truth = found * known, truth * known
    both, each = (found * truth).sum((2, 3)), (found + truth).sum((2, 3))
    dice = (2 * both + SLICE_SMOOTH) / (each + SLICE_SMOOTH)
    looked = known.flatten(1).amax(1)
    return ((1 - dice).mean(1) * looked).sum() / looked.sum().clamp_min(1)


@cache
def _monai_dice() -> nn.Module:
    from monai.losses.dice import DiceLoss  # takes seconds

    return DiceLoss(reduction="none", batch=True)


def binary_loss(logit: Tensor, label: Tensor) -> Tensor:
    """Cross-entropy plus soft Dice of one mask: logit (B, 1, H, W), label (B, H, W) of 0, 1, -1 unknown."""
    logit, known = exact(logit), _known(label)
    truth = (label > 0).to(logit.dtype)
    each = F.binary_cross_entropy_with_logits(logit[:, 0], truth, reduction="none")
    p = logit.sigmoid()
    return (each * known).sum() / known.sum().clamp_min(1) + dice_loss(torch.cat([1 - p, p], 1), label)


def structure_loss(logits: Tensor, label: Tensor, legacy: bool = True) -> Tensor:
    """Inf-Net's loss: IoU in which pixels near an edge count up to six times, plus cross-entropy.

    logits (B, K, H, W), K maps of the same mask, which are added up; label (B, H, W) of 0, 1, -1 unknown.
    weight = 1 + 5 |mean of the mask over 31 x 31 - mask|
    legacy   True: the released code, where an old argument reduces the cross-entropy to its mean before it is
             weighted, so that the weight acts on the IoU alone; False: as the paper has it, on both
    Slices on which nothing is known do not count. Fan et al., Inf-Net (2020), equation 6 on.
    """
    rows = (label != UNKNOWN).flatten(1).any(1)
    if not rows.any():
        return 0 * logits.sum()
    logits, label = exact(logits[rows]), label[rows]
    known = _known(label)[:, None]
    mask = (label > 0).to(logits.dtype)[:, None]
    weight = boundary_weight(mask) * known
    bce = F.binary_cross_entropy_with_logits(logits, mask.expand_as(logits), reduction="none")
    if legacy:
        bce = (bce * known).sum((0, 2, 3)) / known.sum()
    else:
        bce = ((bce * weight).sum((2, 3)) / weight.sum((2, 3))).mean(0)
    p = logits.sigmoid()
    both = (p * mask * weight).sum((2, 3))
    either = ((p + mask) * weight).sum((2, 3)) - both
    iou = 1 - (both + 1) / (either + 1)
    return (bce + iou.mean(0)).sum()


def boundary_weight(mask: Tensor) -> Tensor:
    """1 far from an edge, up to 6 at a lone pixel: mask (B, 1, H, W) of 0 and 1 -> the same shape.

    Beyond the border is no lesion. Rows first, then columns: the mean over a square in 62 steps, not 961.
    """
    size, half = NEIGHBOURHOOD_PX, NEIGHBOURHOOD_PX // 2
    mean = F.avg_pool2d(mask, (size, 1), stride=1, padding=(half, 0))
    mean = F.avg_pool2d(mean, (1, size), stride=1, padding=(0, half))
    return 1 + BOUNDARY_WEIGHT * (mean - mask).abs()


def one_hot(label: Tensor, classes: int) -> Tensor:
    """(B, H, W) -> (B, classes, H, W) float32; an unknown pixel is of no class."""
    each = torch.arange(classes, device=label.device).view(-1, 1, 1)
    return (label[:, None] == each).float()


def exact(logits: Tensor) -> Tensor:
    """Logits of a network that ran in 16 bit as 32 bit: sums over a slice need them; others as they are."""
    return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits


def _known(label: Tensor) -> Tensor:
    return (label != UNKNOWN).float()


def silence(parameters: Iterable[Tensor]) -> Tensor:
    """0 that hangs on every parameter: the loss of a batch on which nothing is known."""
    return 0 * torch.stack([parameter.sum() for parameter in parameters]).sum()
