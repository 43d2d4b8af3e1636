"""The U-Net: sizes, reach of the gradient, a prior beside the slice, weights from the generator alone."""

from __future__ import annotations

import pytest
import torch

from glasslung.errors import ShapeError, UsageError
from glasslung.nn.encoders import initialise_he
from glasslung.nn.unet import Decoder, make_unet


def drawn(seed: int = 0, **settings):
    net = make_unet(**{"width": 4, "decoder_width": 2, **settings})
    initialise_he(net, torch.Generator().manual_seed(seed))
    return net


def noise(*shape: int, seed: int = 0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("storeys", [4, 5])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 96)])
def test_logits_have_the_size_of_the_slice(height, width, storeys):
    assert drawn(storeys=storeys)(noise(2, 1, height, width)).shape == (2, 3, height, width)


@pytest.mark.parametrize("storeys", [4, 5])
def test_every_parameter_is_reached(storeys):
    net = drawn(storeys=storeys, outputs=4)
    total = (net(noise(2, 1, 64, 64)) * noise(2, 4, 64, 64, seed=1)).sum()
    for gradient in torch.autograd.grad(total, list(net.parameters())):
        assert torch.isfinite(gradient).all() and gradient.abs().max() > 0


def test_a_prior_beside_the_slice_is_read():
    net = drawn(channels_in=2).eval()
    image = noise(1, 1, 32, 32)
    one, other = (net(torch.cat([image, prior], 1)) for prior in (image * 0, image * 0 + 1))
    assert not torch.allclose(one, other)
    with pytest.raises(ShapeError, match=r"\(B, 2, H, W\)"):
        net(image)


def test_the_three_steps_are_the_whole():
    net = drawn(storeys=4).eval()
    image = noise(1, 1, 64, 64)
    assert torch.equal(net.answer(net.decode(net.encode(image)), image.shape[2:]), net(image))


def test_weights_come_from_the_generator_alone():
    torch.manual_seed(1)
    one = drawn(seed=3).state_dict()
    torch.manual_seed(2)
    same, other = drawn(seed=3).state_dict(), drawn(seed=4).state_dict()
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["head.weight"], other["head.weight"])


def test_what_a_slice_shows_at_full_size_reaches_the_answer_only_nearby_and_from_afar():
    """Skips carry detail and the deep path carries context: a far pixel matters, a near one more."""
    net = drawn().eval()
    image = noise(1, 1, 128, 128).requires_grad_()
    (reach,) = torch.autograd.grad(net(image)[0, 1, 64, 64], image)
    reach = reach[0, 0].abs()
    assert reach[60:69, 60:69].mean() > reach[:16, :16].mean() > 0


def test_wrong_sizes_and_settings_are_refused():
    with pytest.raises(ShapeError, match="multiples of 32"):
        drawn()(noise(1, 1, 48, 64))
    for wrong in ({"storeys": 3}, {"decoder_width": 0}, {"encoder": "vgg"}, {"width": 0}):
        with pytest.raises(UsageError):
            make_unet(**wrong)


def test_decoder_widths_are_those_of_the_common_package():
    storeys = Decoder((64, 256, 512, 1024, 2048)).storeys
    assert [storey.join[0].out_channels for storey in storeys] == [256, 128, 64, 32, 16]
    assert [storey.join[0].in_channels for storey in storeys] == [3072, 768, 384, 128, 32]
