"""Grad-CAM and integrated gradients by captum: beside their formulas, and complete."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from glasslung.errors import UsageError
from glasslung.explain.gradients import grad_cam, integrated_gradients, last_maps
from glasslung.models import build

SMALL = {
    "netvlad": {"size": 32, "width": 12, "clusters": 3},
    "slicewise": {"size": 32, "width": 4, "stages": 2},
    "densenet3d": {"box": (16, 32, 32), "first": 4, "growth": 3, "blocks": (2, 2)},
}
pytestmark = pytest.mark.filterwarnings("ignore:.*required_grads has been set automatically")


def scan(count=4):
    rng = torch.Generator().manual_seed(1)
    image = torch.rand(count, 1, 32, 32, generator=rng)
    return image, (torch.rand(image.shape, generator=rng) > 0.9).float()


@pytest.mark.parametrize("side", [True, False])
def test_grad_cam_of_slices_is_its_formula(side):
    model = build("netvlad", 0, **SMALL["netvlad"], side=side)
    image, lesion = scan()
    maps = model.branches(image, lesion)
    pooled = nn.functional.normalize(model.activation(model.dense(model.pyramid(maps))), dim=1)
    logits = model.head(model.vlad(pooled, torch.zeros(4, dtype=torch.long)))
    (grads,) = torch.autograd.grad(logits[0, 1] - logits[0, 0], maps)
    expected = (grads.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True).relu()
    expected = functional.interpolate(expected, (32, 32), mode="bilinear")[:, 0].detach().numpy()
    found = grad_cam(model, image, lesion)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5 * max(expected.max(), 1e-6))


@pytest.mark.parametrize("name", SMALL)
def test_grad_cam_lies_on_the_slices(name):
    model = build(name, 2, **SMALL[name]).train()
    found = grad_cam(model, *scan())
    assert found.shape == (4, 32, 32)
    assert found.dtype == np.float32
    assert (found >= 0).all()
    assert model.training
    assert all(one.grad is None for one in model.parameters())


@pytest.mark.parametrize("name", SMALL)
def test_a_mask_that_is_not_read_has_no_gradients(name):
    found = integrated_gradients(build(name, 3, **SMALL[name], side=False), *scan(), 4)
    assert np.abs(found.image).sum() > 0
    assert not found.lesion.any()


@pytest.mark.parametrize("name", SMALL)
def test_integrated_gradients_are_complete(name):
    model = build(name, 3, **SMALL[name]).eval()
    image, lesion = scan()
    found = integrated_gradients(model, image, lesion, 64)
    zero = torch.zeros(4, dtype=torch.long)
    expected = model.scores(image, lesion, zero).item()
    black = model.scores(0 * image, 0 * lesion, zero).item()
    assert found.log_odds == pytest.approx(expected, rel=1e-5)
    assert found.biases == pytest.approx(black, rel=1e-5)
    assert found.inputs == pytest.approx(expected - black, rel=0.05, abs=0.02 * abs(expected))
    assert found.image.shape == (4, 32, 32)
    assert found.lesion.any()


def test_what_is_not_known_is_refused():
    with pytest.raises(UsageError, match="last maps of Linear"):
        last_maps(nn.Linear(1, 1))
    with pytest.raises(UsageError, match="two steps"):
        integrated_gradients(nn.Linear(1, 1), *scan(), steps=1)
