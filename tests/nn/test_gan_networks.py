"""Generators and discriminators: sizes, the paper's number of parameters, what each promises."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from glasslung.errors import UsageError
from glasslung.nn.blocks import count_parameters
from glasslung.nn.discriminators import LeanDiscriminator, StridedDiscriminator, batch_spread
from glasslung.nn.generators import ConvGenerator, KerasUp, LeanGenerator, doublings, unit_length


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_paper_s_numbers_of_parameters():
    """287.5 M with the last dense layer, 18.5 M of the discriminator; nothing is allocated."""
    with torch.device("meta"):
        whole = ConvGenerator(128, 100, 64, True, torch.Generator("cpu"))
        without = ConvGenerator(128, 100, 64, False, torch.Generator("cpu"))
        judge = StridedDiscriminator(128, 64, 0.3, torch.Generator("cpu"))
    assert count_parameters(whole) - count_parameters(without) == 16384**2
    assert count_parameters(whole) / 1e6 == pytest.approx(287.5, abs=0.05)
    assert count_parameters(judge) / 1e6 == pytest.approx(18.5, abs=0.05)


@pytest.mark.parametrize("size", [16, 32, 64])
def test_sizes(size):
    codes = torch.randn(3, 10)
    for generator in (
        ConvGenerator(size, 10, 4, size == 16, rng()),
        LeanGenerator(size, 10, 4, 1, rng()),
    ):
        image = generator(codes)
        assert image.shape == (3, 1, size, size) and image.abs().max() <= 1
        assert image.std() > 0.001
    for judge in (StridedDiscriminator(size, 4, 0.0, rng()), LeanDiscriminator(size, 4, 1, False, rng())):
        assert judge(image).shape == (3,)
    with pytest.raises(UsageError, match="power of two"):
        doublings(size + 4)


def test_keras_transposed_convolution_is_the_gradient_of_keras_convolution():
    """'same' at stride 2 pads one pixel at the start, two at the end; the transpose crops as many."""
    up = KerasUp(1, 1).double()
    small = torch.randn(1, 1, 3, 3, dtype=torch.float64)
    large = torch.randn(1, 1, 6, 6, dtype=torch.float64, requires_grad=True)
    down = nn.functional.conv2d(nn.functional.pad(large, (1, 2, 1, 2)), up.weight, stride=2)
    (gradient,) = torch.autograd.grad((down * small).sum(), large)
    assert torch.allclose(gradient, up(small))


def test_groups_are_asked_for_and_change_the_picture():
    generator, judge = LeanGenerator(16, 6, 4, 3, rng()), LeanDiscriminator(16, 4, 3, False, rng())
    codes = torch.randn(2, 6)
    first, second = (generator(codes, torch.full((2,), group)) for group in (0, 2))
    assert not torch.allclose(first, second)
    assert not torch.allclose(judge(first, torch.tensor([0, 0])), judge(first, torch.tensor([1, 1])))
    with pytest.raises(UsageError, match="group"):
        generator(codes)
    with pytest.raises(UsageError, match="group"):
        judge(first)


def test_pixel_length_is_one():
    x = unit_length(torch.randn(2, 5, 3, 3) * 7)
    assert torch.allclose(x.square().mean(1), torch.ones(2, 3, 3), atol=1e-4)


def test_equal_pictures_have_no_spread_and_batches_of_any_size_pass():
    same = torch.randn(1, 3, 4, 4).expand(8, -1, -1, -1)
    assert batch_spread(same).max() < 1e-3
    mixed = torch.randn(6, 3, 4, 4)
    assert batch_spread(mixed).shape == (6, 1, 4, 4) and batch_spread(mixed).min() > 0.5
    slow = (mixed.var(0, unbiased=False) + 1e-8).sqrt().mean()
    assert torch.allclose(batch_spread(mixed), slow)


def test_spectral_norm_bounds_every_layer_and_comes_from_the_generator_given():
    torch.manual_seed(1)
    first = LeanDiscriminator(16, 8, 1, True, rng(3))
    torch.manual_seed(2)
    second = LeanDiscriminator(16, 8, 1, True, rng(3))
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    image = torch.randn(4, 1, 16, 16)
    for _ in range(30):
        first(image)  # every look in training mode improves the estimate
    for layer in first.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            largest = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)
            assert float(largest) == pytest.approx(1.0, abs=0.05)
