"""Encoders: as many weights as their papers' networks have, five sizes, every weight reached."""

from __future__ import annotations

import math

import pytest
import torch

from glasslung.errors import UsageError
from glasslung.nn.blocks import count_parameters
from glasslung.nn.encoders import Scales, initialise_he, make_encoder

NAMES = ("light", "mobilenet", "resnext50", "res2net50")


def drawn(name: str, channels_in: int = 1, width: int = 4):
    net = make_encoder(name, channels_in, width)
    initialise_he(net, torch.Generator().manual_seed(0))
    return net


def noise(*shape: int):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1))


def conv(channels_in: int, f: int, size: int, groups: int = 1) -> int:
    """Weights of a convolution without bias, and the scale and shift of its normalisation."""
    return channels_in // groups * f * size**2 + 2 * f


def resnext_count(channels: int) -> int:
    total, enters = conv(channels, 64, 7), 64
    for f, blocks in ((256, 3), (512, 4), (1024, 6), (2048, 3)):
        total += conv(enters, f, 1)  # the shortcut that changes shape
        for _ in range(blocks):
            total += conv(enters, f // 2, 1) + conv(f // 2, f // 2, 3, 32) + conv(f // 2, f, 1)
            enters = f
    return total


def res2net_count(channels: int) -> int:
    total, enters = conv(channels, 32, 3) + conv(32, 32, 3) + conv(32, 64, 3), 64
    for planes, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        part, f = math.floor(planes * 26 / 64), 4 * planes
        total += conv(enters, f, 1)
        for _ in range(blocks):
            total += conv(enters, 4 * part, 1) + 3 * conv(part, part, 3) + conv(4 * part, f, 1)
            enters = f
    return total


def light_count(channels: int, width: int) -> int:
    total, enters = conv(channels, width, 3), width
    for level in range(5):
        f = width * 2**level
        total += conv(enters, f, 3) + conv(f, f, 3) + (conv(enters, f, 1) if level else 0)
        enters = f
    return total


def test_as_many_weights_as_counted_by_hand():
    for channels in (1, 3):
        assert count_parameters(make_encoder("resnext50", channels)) == resnext_count(channels)
        assert count_parameters(make_encoder("res2net50", channels)) == res2net_count(channels)
        assert count_parameters(make_encoder("light", channels, 8)) == light_count(channels, 8)


def test_as_many_weights_as_published():
    classifier = 2048 * 1000 + 1000
    assert count_parameters(make_encoder("resnext50", 3)) == 25_028_904 - classifier
    assert (count_parameters(make_encoder("res2net50", 3)) + classifier) / 1e6 == pytest.approx(
        25.72, abs=5e-3
    )
    assert count_parameters(make_encoder("mobilenet", 3)) == 3_504_872 - (1280 * 1000 + 1000)


@pytest.mark.parametrize("name", NAMES)
def test_five_maps_of_half_the_size_each(name):
    net = drawn(name).eval()
    with torch.no_grad():
        pyramid = net(noise(2, 1, 64, 96))
    for level, (level_map, f) in enumerate(zip(pyramid, net.widths, strict=True), start=1):
        assert level_map.shape == (2, f, 64 >> level, 96 >> level)
        assert torch.isfinite(level_map).all() and level_map.std() > 0


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_reached(name):
    net = drawn(name)
    total = sum((level_map * noise(*level_map.shape)).mean() for level_map in net(noise(2, 1, 64, 64)))
    for gradient in torch.autograd.grad(total, list(net.parameters())):
        assert torch.isfinite(gradient).all() and gradient.abs().max() > 0


@pytest.mark.parametrize("first", [True, False])
def test_scales_sum_as_the_paper_has_it(first):
    net = Scales(2, stride=2 if first else 1, first=first).eval()
    initialise_he(net, torch.Generator().manual_seed(2))
    x = noise(1, 8, 6, 6)
    with torch.no_grad():
        one = net.convs[0](x[:, :2])
        two = net.convs[1](x[:, 2:4] if first else x[:, 2:4] + one)
        three = net.convs[2](x[:, 4:6] if first else x[:, 4:6] + two)
        out = net(x)
    assert torch.equal(out[:, :6], torch.cat([one, two, three], 1))
    if first:  # the middle of the fourth part is a mean of nine
        assert out[0, 6, 1, 1].item() == pytest.approx(x[0, 6, 1:4, 1:4].mean().item())
    else:
        assert torch.equal(out[:, 6:], x[:, 6:])


def test_resnexts_shortcut_is_a_convolution_of_stride_two():
    shortcut = drawn("resnext50").stages[1][0].shortcut
    x = noise(1, 256, 6, 8)
    strided = torch.nn.functional.conv2d(x, shortcut[1].weight, stride=2)
    assert torch.allclose(shortcut[1](shortcut[0](x)), strided, atol=1e-5)


@pytest.mark.parametrize("width", [1, 4, 6, 8, 12])
def test_narrow_networks_learn_with_channels_last(width):
    """The layout that training chooses; strided 1x1 convolutions of few channels broke the heap in it."""
    net = drawn("light", width=width).to(memory_format=torch.channels_last)
    image = noise(2, 1, 64, 64)
    for _ in range(3):
        total = sum(level_map.square().mean() for level_map in net(image))
        last = torch.autograd.grad(total, list(net.parameters()))
    plain = drawn("light", width=width)
    total = sum(level_map.square().mean() for level_map in plain(image))
    for mine, true in zip(last, torch.autograd.grad(total, list(plain.parameters())), strict=True):
        assert torch.allclose(mine, true, rtol=1e-2, atol=1e-4)


def test_he_weights_have_the_deviation_of_their_fan_in():
    net = make_encoder("resnext50")
    initialise_he(net, torch.Generator().manual_seed(0))
    grouped = net.stages[3][1].branch[3]
    fan_in = grouped.in_channels // grouped.groups * 9
    assert grouped.weight.std().item() == pytest.approx(math.sqrt(2 / fan_in), rel=0.01)


def test_an_unknown_encoder_is_refused_by_name():
    with pytest.raises(UsageError, match="light, resnext50"):
        make_encoder("vgg")
