"""The focal loss of scans beside the paper's formula."""

from __future__ import annotations

import math

import pytest
import torch

from glasslung.nn.focal import focal_loss, scan_loss


def slow_focal(logits: torch.Tensor, label: torch.Tensor, gamma=5.0, weights=(0.25, 0.35)) -> float:
    terms = []
    for row, y in zip(logits.tolist(), label.tolist(), strict=True):
        if y >= 0:
            p = math.exp(row[y]) / sum(math.exp(one) for one in row)
            terms.append(-weights[y] * (1 - p) ** gamma * math.log(p))
    return sum(terms) / max(1, len(terms))


@pytest.mark.parametrize("label", [[0, 1, 1, 0], [1, -1, 0, -1], [-1, -1, -1, -1]])
def test_is_the_formula_over_scans_with_a_known_label(label):
    logits = torch.randn(4, 2, generator=torch.Generator().manual_seed(0)) * 2
    label = torch.tensor(label)
    assert focal_loss(logits, label).item() == pytest.approx(slow_focal(logits, label), rel=1e-5, abs=1e-9)


def test_gamma_0_and_equal_weights_are_half_a_cross_entropy():
    logits = torch.tensor([[0.5, -1.0], [0.0, 3.0]])
    label = torch.tensor([1, 1])
    terms = scan_loss(logits, label, 0.0, (0.5, 0.5))
    assert terms["total"].item() == pytest.approx(0.5 * terms["cross_entropy"].item())
    assert terms["right"].item() == 0.5
