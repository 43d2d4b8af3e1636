"""Distortions: none at chance 0, all at 1, gradients pass, and the chance follows the discriminator."""

from __future__ import annotations

import pytest
import torch

from glasslung.nn.diffaugment import adapt, draw_looks, take_looks


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_chance_zero_changes_nothing():
    image = torch.rand(5, 1, 16, 16)
    assert torch.equal(take_looks(image, draw_looks(5, 16, 0.0, rng(), mirror=True)), image)


def test_chance_one_changes_every_picture_and_one_draw_serves_real_and_made():
    image = torch.rand(8, 1, 32, 32)
    looks = draw_looks(8, 32, 1.0, rng(1))
    seen = take_looks(image, looks)
    assert ((seen - image).abs().flatten(1).max(1).values > 0.05).all()
    assert torch.equal(take_looks(image, looks), seen)
    assert not torch.equal(take_looks(image, draw_looks(8, 32, 1.0, rng(2))), seen)


def test_every_distortion_comes_about_as_often_as_its_chance():
    looks = draw_looks(4000, 32, 0.3, rng(3))
    shifted = (looks.distortion.shift != 0).any(1).float().mean()
    cut = (looks.distortion.cut[:, 0] < 32).float().mean()
    assert float(shifted) == pytest.approx(0.3, abs=0.04) and float(cut) == pytest.approx(0.3, abs=0.03)
    assert float((looks.contrast != 1).float().mean()) == pytest.approx(0.3, abs=0.03)
    assert float(looks.mirrored.float().mean()) == pytest.approx(0.15, abs=0.03)
    assert not draw_looks(100, 32, 1.0, rng(), mirror=False).mirrored.any()


def test_gradients_pass():
    image = torch.rand(4, 1, 16, 16, requires_grad=True)
    take_looks(image, draw_looks(4, 16, 1.0, rng(5))).sum().backward()
    assert image.grad.abs().sum() > 0


def test_the_chance_rises_with_a_sure_discriminator_and_stays_a_chance():
    sure, lost = torch.full((10,), 5.0), torch.full((10,), -5.0)
    start = torch.tensor(0.5)
    assert float(adapt(start, sure, 0.6, 0.1)) == pytest.approx(0.6)
    assert float(adapt(start, lost, 0.6, 0.1)) == pytest.approx(0.4)
    assert float(adapt(torch.tensor(0.95), sure, 0.6, 0.1)) == 1.0
    assert float(adapt(torch.tensor(0.05), lost, 0.6, 0.1)) == 0.0
