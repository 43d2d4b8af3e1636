"""Relevance through the classifier on a segmenter's encoder: nothing is lost, and black lungs get little."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from glasslung.explain.lrp import explain
from glasslung.models import build

SETTINGS = [{}, {"mirrored": False}, {"strongest": False}, {"scales": (1.0,)}, {"scales": (2.0, 1.5)}]


def classifier(**settings):
    """Small, with batch norms that have seen something."""
    model = build("lesionnet", 0, size=64, width=2, **{"scales": (1.0, 0.75), **settings}).eval()
    rng = torch.Generator().manual_seed(0)
    for norm in model.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            norm.running_mean.normal_(0, 0.2, generator=rng)
            norm.running_var.uniform_(0.5, 2, generator=rng)
    nn.init.normal_(model.head.weight, std=0.5, generator=rng)
    return model


def slices(count=3, sick=True):
    """Two lungs in black, and a lesion in one of them."""
    rng = torch.Generator().manual_seed(1)
    lungs = torch.zeros(count, 1, 64, 64)
    lungs[..., 8:-8, 4:28] = lungs[..., 8:-8, 36:60] = 1
    lesion = torch.zeros_like(lungs)
    lesion[..., 16:40, 6:26] = float(sick)
    image = (0.15 + 0.1 * torch.rand(lungs.shape, generator=rng) + 0.5 * lesion) * lungs
    return image, lesion


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("composite", ["conserving", "gradient"])
@pytest.mark.parametrize("sick", [True, False])
def test_relevance_and_biases_add_up_to_the_log_odds(settings, composite, sick):
    model, (image, lesion) = classifier(**settings), slices(sick=sick)
    found = explain(model, image, lesion, None, composite)
    with torch.no_grad():
        said = model.scores(image, lesion, torch.zeros(3, dtype=torch.int64)).item()
    assert found.log_odds == pytest.approx(said, rel=1e-3, abs=1e-5)
    assert found.error < 1e-3
    assert found.image.shape == (3, 64, 64)
    assert np.abs(found.image).sum() > 0 or not sick  # dark lungs may leave all maps of a random encoder at 0
    assert not found.lesion.any()


def test_gradient_relevance_is_gradient_times_input_of_the_encoder_s_picture():
    """With LRP-0 everywhere, relevance is (2 x - 1) times the gradient by it, handed back by place."""
    model, (image, lesion) = classifier(mirrored=False, scales=(1.0,)), slices()
    found = explain(model, image, lesion, None, "gradient")
    shown = (2 * image - 1).requires_grad_()
    (gradient,) = torch.autograd.grad(
        model.scores((shown + 1) / 2, lesion, torch.zeros(3, dtype=torch.int64)).sum(), shown
    )
    expected = (shown * gradient)[:, 0].detach().numpy()
    np.testing.assert_allclose(found.image, expected, atol=2e-3 * np.abs(expected).max())
