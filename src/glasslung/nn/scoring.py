"""What every classifier of scans has in common: features, one linear layer on them, log-odds."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


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
