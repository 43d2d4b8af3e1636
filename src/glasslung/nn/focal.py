"""Focal loss of whole scans: what is already answered well counts little."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PAPER_GAMMA = 5.0
PAPER_WEIGHTS = (0.25, 0.35)  # of scans without and with the disease; they do not sum to 1, as printed


def focal_loss(
    logits: Tensor,
    label: Tensor,
    gamma: float = PAPER_GAMMA,
    weights: tuple[float, float] = PAPER_WEIGHTS,
) -> Tensor:
    """-weight (1 - p)^gamma log p of the true answer p, nats, mean over scans whose label is known.

    logits (V, 2), label (V,) int64: 0, 1, or -1 unknown. Lin et al. (2017); the diagnosis paper's equation 7.
    MONAI's, with a weight for each class.
    """
    known = label >= 0
    true = F.one_hot(label.clamp_min(0), logits.shape[1]) * known[:, None]
    each: Tensor = _monai_focal(gamma, weights)(logits.float(), true).sum(1)
    return each.sum() / known.sum().clamp_min(1)


def scan_loss(logits: Tensor, label: Tensor, gamma: float, weights: tuple[float, float]) -> dict[str, Tensor]:
    """What training a classifier minimises ('total'), and how it stands: 'cross_entropy' in nats, 'right'.

    right  share of scans with a known label that are answered right at log-odds 0
    """
    total = focal_loss(logits, label, gamma, weights)
    with torch.no_grad():
        known = (label >= 0).float()
        count = known.sum().clamp_min(1)
        entropy = F.cross_entropy(logits.float(), label, ignore_index=-1, reduction="sum") / count
        right = ((logits.argmax(1) == label).float() * known).sum() / count
    return {"total": total, "cross_entropy": entropy, "right": right}


@cache
def _monai_focal(gamma: float, weights: tuple[float, float]) -> nn.Module:
    from monai.losses.focal_loss import FocalLoss  # takes seconds

    return FocalLoss(gamma=gamma, alpha=list(weights), use_softmax=True, reduction="none")
