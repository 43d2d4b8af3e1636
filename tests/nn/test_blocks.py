"""Blocks against the table of the released code: layers, sizes, numbers of parameters."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from glasslung.nn.backbones import (
    CUT_WIDTHS,
    PYRAMID_WIDTHS,
    CutMobileNetV2,
    MobileNetV2,
    Stride2Pad,
    encoder_scale,
)
from glasslung.nn.blocks import (
    Decoder,
    Down,
    FilterCrush,
    FilterExpand,
    Head,
    Infer,
    LightSmooth,
    ResBlock,
    SkelaSmooth,
    Smooth,
    Transpose,
    Up,
    count_parameters,
    initialise_glorot,
    norm,
    set_norm_momentum,
)
from glasslung.nn.borrow import evaluating

COARSE_FIRST = CUT_WIDTHS[::-1]


def convolution(channels_in: int, f: int, size: int) -> int:
    """Numbers in a convolution with bias."""
    return channels_in * f * size * size + f


def normalisation(f: int) -> int:
    return 2 * f


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        # Low: two 3x3; High: 1x1, 3x3, 1x1 with a quarter of the channels
        (ResBlock(64), 2 * (normalisation(64) + convolution(64, 64, 3))),
        (
            ResBlock(128),
            normalisation(128)
            + convolution(128, 32, 1)
            + normalisation(32)
            + convolution(32, 32, 3)
            + normalisation(32)
            + convolution(32, 128, 1),
        ),
        (Up(8, 16), convolution(8, 16, 3) + normalisation(16)),
        (Up(8, 128), convolution(8, 128, 1) + normalisation(128)),
        (Down(8, 16), convolution(8, 16, 3) + normalisation(16)),
        (Down(8, 128), convolution(8, 128, 1) + convolution(128, 128, 3) + 2 * normalisation(128)),
        (Transpose(8, 16), 8 * 16 * 16 + 16 + normalisation(16)),
        (
            Transpose(8, 128),
            convolution(8, 32, 1)
            + 32 * 32 * 16
            + 32
            + 2 * normalisation(32)
            + convolution(32, 128, 1)
            + normalisation(128),
        ),
        (SkelaSmooth(8, 16), convolution(8, 16, 3) + convolution(16, 16, 3) + 2 * normalisation(16)),
    ],
    ids=[
        "res low",
        "res high",
        "up low",
        "up high",
        "down low",
        "down high",
        "transpose low",
        "transpose high",
        "skela",
    ],
)
def test_a_block_has_the_layers_of_the_table(block, expected):
    assert count_parameters(block) == expected


def test_smooth_is_its_head_and_three_residual_blocks():
    assert count_parameters(Smooth(8, 16)) == count_parameters(SkelaSmooth(8, 16)) + 3 * count_parameters(
        ResBlock(16)
    )
    assert count_parameters(LightSmooth(8, 16)) == count_parameters(SkelaSmooth(8, 16)) + count_parameters(
        ResBlock(16)
    )


@pytest.mark.parametrize(
    ("name", "count", "expected"),
    [
        ("MobileNetV2", lambda: count_parameters(MobileNetV2()), 2_223_296),
        ("backbone with adapters", lambda: count_parameters(CutMobileNetV2()), 6_450_864),
        ("five FilterCrush", lambda: sum(count_parameters(FilterCrush(f)) for f in CUT_WIDTHS), 2_402_458),
        ("five FilterExpand", lambda: sum(count_parameters(FilterExpand(f)) for f in CUT_WIDTHS), 2_457_552),
        ("four Infer", lambda: sum(count_parameters(Infer(2 * f, f)) for f in CUT_WIDTHS[:-1]), 672_224),
        ("decoder of U-SVAE", lambda: count_parameters(Decoder(COARSE_FIRST, COARSE_FIRST)), 3_400_368),
        (
            "decoder of CAGE",
            lambda: count_parameters(Decoder(COARSE_FIRST, tuple(2 * f for f in COARSE_FIRST))),
            3_593_904,
        ),
        ("two heads", lambda: 2 * count_parameters(Head(16)), 7_938),
    ],
)
def test_each_part_has_the_released_codes_number_of_parameters(name, count, expected):
    assert count() == expected, name


def test_the_encoders_halve_the_size_at_every_level():
    x = torch.zeros(1, 1, 64, 64)
    for net, widths in ((MobileNetV2(), PYRAMID_WIDTHS), (CutMobileNetV2(), CUT_WIDTHS)):
        with evaluating(net):
            sizes = [tuple(level.shape[1:]) for level in net(x)]
        assert sizes == [(f, 32 >> n, 32 >> n) for n, f in enumerate(widths)]


def test_block_eleven_loses_its_residual_at_the_cut_and_no_other_does():
    whole = [block.residual for block in MobileNetV2().blocks]
    assert [index for index, residual in enumerate(whole) if residual] == [2, 4, 5, 7, 8, 9, 11, 12, 14, 15]
    kept = [m.residual for m in CutMobileNetV2().modules() if hasattr(m, "residual")]
    assert sum(kept) == 9  # block 11 is cut into its two halves, which know of no sum
    assert len(kept) == 17 - len(CutMobileNetV2.CUT_BLOCKS)


def test_each_stage_is_a_function_of_the_one_before_alone():
    net = CutMobileNetV2()
    with evaluating(net):
        levels = net(torch.rand(1, 1, 64, 64))
        third = net.down[2](net.stages[2](net.up[1](levels[1])))
    assert torch.equal(third, levels[2])


@pytest.mark.parametrize(
    ("size", "keras", "expected"), [(64, True, (0, 1)), (63, True, (1, 1)), (64, False, (1, 1))]
)
def test_padding_in_front_of_a_stride_of_two(size, keras, expected):
    before, after = expected
    padded = Stride2Pad(keras)(torch.ones(1, 1, size, size))
    assert padded.shape[-1] == size + before + after
    assert padded[0, 0, size // 2].tolist() == [0.0] * before + [1.0] * size + [0.0] * after


def test_keras_padding_samples_other_pixels():
    """A 3x3 mean at stride 2 over a ramp: 'same' in Keras is centred on pixel 1, in torch on pixel 0."""
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    kernel = torch.full((1, 1, 3, 3), 1 / 9)

    def second(keras: bool) -> float:
        return nn.functional.conv2d(Stride2Pad(keras)(ramp), kernel, stride=2)[0, 0, 1, 1].item()

    assert second(keras=True) == pytest.approx(3.0)
    assert second(keras=False) == pytest.approx(2.0)


def test_a_decoder_block_puts_the_skip_first():
    decoder = Decoder(COARSE_FIRST, COARSE_FIRST)
    first = decoder.blocks[0].join[0][0]
    with torch.no_grad():
        first.weight.zero_()
        first.weight[:, :256] = 1  # hear the skip alone
    levels = [torch.rand(2, f, 2 << n, 2 << n) for n, f in enumerate(COARSE_FIRST)]
    with evaluating(decoder):
        one = decoder.blocks[0](levels[0], levels[1])
        other = decoder.blocks[0](torch.rand_like(levels[0]), levels[1])
        assert decoder(levels).shape == (2, 16, 64, 64)
    assert torch.equal(one, other)


def test_glorot_has_the_formulas_spread_and_no_bias():
    layer = nn.Conv2d(20, 30, 3)
    initialise_glorot(layer, torch.Generator().manual_seed(0))
    bound = (6 / (20 * 9 + 30 * 9)) ** 0.5
    assert layer.weight.abs().max() <= bound
    assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)
    assert not layer.bias.any()
    again = nn.Conv2d(20, 30, 3)
    initialise_glorot(again, torch.Generator().manual_seed(0))
    assert torch.equal(layer.weight, again.weight)


def test_the_encoder_sees_minus_one_to_one():
    assert encoder_scale(torch.tensor([0.0, 0.5, 1.0])).tolist() == [-1.0, 0.0, 1.0]


def test_batch_normalisation_has_kerass_constants_and_they_can_be_changed():
    net = nn.Sequential(norm(3), nn.Sequential(norm(4)))
    assert [(m.eps, m.momentum) for m in (net[0], net[1][0])] == [(1e-3, 0.01)] * 2
    set_norm_momentum(net, 0.5)
    assert net[1][0].momentum == 0.5


def test_a_borrowed_model_comes_back_as_it_was():
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Dropout())
    net[1].eval()
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    x = torch.rand(5, 2)
    with pytest.raises(ZeroDivisionError), evaluating(net, batch_statistics=True):
        assert not net.training
        assert not torch.is_grad_enabled()
        y = net(x)
        assert torch.allclose(y.mean(0), torch.zeros(3), atol=1e-5)  # the batch's own statistics
        raise ZeroDivisionError
    assert torch.is_grad_enabled()
    assert [m.training for m in (net, net[0], net[1], net[2])] == [True, True, False, True]
    assert all(torch.equal(tensor, state[name]) for name, tensor in net.state_dict().items())
    assert net[1].momentum == 0.1
