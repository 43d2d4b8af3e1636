"""What every classifier of scans has in common: features, one linear layer on them, log-odds."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glasslung.errors import DataError
from glasslung.nn.batches import ExamBatch
from glasslung.nn.player import Player


class ScanClassifier(nn.Module):
    """A classifier of whole scans: `features` (V, F), a last layer `head`, and what follows from both.

    Slices of all scans stand one after another, as in `nn.batches.ExamBatch`.
    """

    def features(self, image: Tensor, lesion: Tensor, scan: Tensor) -> Tensor:
        """What stands before the last layer, (V, F)."""
        raise NotImplementedError

    def read(self, features: Tensor) -> Tensor:
        """Log-odds of the disease that features stand for: (V, F) -> (V,) float32."""
        head: Any = self.head
        logits: Tensor = head(features).float()
        return logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]

    def scores(self, image: Tensor, lesion: Tensor, scan: Tensor) -> Tensor:
        """Log-odds of the disease for each scan, (V,) float32; differentiable."""
        return self.read(self.features(image, lesion, scan))


def cross_entropy(model: ScanClassifier, batch: ExamBatch, rng: torch.Generator) -> dict[str, Tensor]:
    """Binary cross-entropy of a network with one output, nats per scan. 'right' is the share answered right.

    Dropout stands before the last layer. DataError where a scan has no label.
    """
    if bool((batch.label < 0).any()):
        raise DataError("a scan to learn from has no label; leave it out of the cohort's training part")
    config: Any = model.config
    features = model.features(batch.image, batch.lesion, batch.scan)
    kept = torch.rand(features.shape, generator=rng, device=features.device) >= config.dropout
    logit = model.read(features * kept / (1 - config.dropout))
    truth = batch.label.float()
    total = F.binary_cross_entropy_with_logits(logit, truth)
    return {"total": total, "right": ((logit > 0) == (truth > 0.5)).float().mean()}


def trunk_and_head(name: str, model: ScanClassifier) -> Player:
    """Adam on everything by `cross_entropy`, as COVID3D; the trunk at a rate of its own."""
    config: Any = model.config
    both: Any = model
    trunk, head = list(both.trunk.parameters()), list(both.head.parameters())
    return Player(
        name,
        [*trunk, *head],
        lambda batch, step, rng: cross_entropy(model, batch, rng),
        lr=config.lr,
        shares=(config.lr_trunk / config.lr,) * len(trunk) + (1.0,) * len(head),
        weight_decay=config.weight_decay,
        epsilon=1e-8,
    )
