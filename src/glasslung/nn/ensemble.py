"""Several classifiers that answer as one: the mean of their log-odds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from glasslung.errors import UsageError
from glasslung.nn.scoring import ScanClassifier


class Ensemble(ScanClassifier):
    """K classifiers of scans; its features are their log-odds, its last layer their mean.

    members  the classifiers themselves
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        if not members:
            raise UsageError("an ensemble needs one classifier at least")
        super().__init__()
        self.members = nn.ModuleList(members)
        self.head = nn.Linear(len(members), 1, bias=False)
        nn.init.constant_(self.head.weight, 1 / len(members))

    def features(self, image: Tensor, lesion: Tensor, scan: Tensor) -> Tensor:
        """Log-odds by each member, (V, K) float32."""
        said: list[Any] = [member.scores(image, lesion, scan) for member in self.members]  # type: ignore[operator]
        return torch.stack(said, 1)
