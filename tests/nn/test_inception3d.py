"""Inception-v1 in three dimensions: published sizes, TensorFlow's padding, weights from elsewhere."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from glasslung.errors import DataError
from glasslung.nn.inception3d import (
    FEATURES,
    MIXED,
    Inception3D,
    Unit,
    bytes_kept,
    from_published,
    highest_around,
    in_blocks,
    narrowed,
    pad_same,
    published_names,
)
from public_i3d import public_state


def trunk(channels=1, seed=0):
    return Inception3D(channels, torch.Generator().manual_seed(seed))


def test_as_many_weights_as_published():
    assert sum(p.numel() for p in trunk(3).parameters()) == 12_287_264
    assert sum(p.numel() for p in trunk(1).parameters()) == 12_243_360


def test_narrower_ones_have_a_share_of_the_channels():
    narrow = Inception3D(1, torch.Generator().manual_seed(0), width=0.25)
    assert narrow.features == 256 == narrow.eval()(torch.zeros(1, 1, 8, 32, 32)).shape[1]
    assert sum(p.numel() for p in narrow.parameters()) < 0.07 * 12_243_360
    assert [narrowed(n, 0.01) for n in (16, 832)] == [4, 8] and narrowed(208, 1.0) == 208


@pytest.mark.parametrize("edges", [(16, 64, 64), (7, 33, 50), (1, 32, 32)])
def test_any_size_is_read(edges):
    with torch.no_grad():
        out = trunk().eval()(torch.rand(1, 1, *edges))
    depth, height, width = edges
    assert out.shape == (1, FEATURES, -(-depth // 8), -(-height // 32), -(-width // 32))


def slow_same(x, weight, stride):
    """TensorFlow's rule, read off its documentation, one axis at a time."""
    widths = []
    for size, kernel in zip(x.shape[2:], weight.shape[2:], strict=True):
        out = -(-size // stride)
        total = max((out - 1) * stride + kernel - size, 0)
        widths.append((total // 2, total - total // 2))
    (d0, d1), (h0, h1), (w0, w1) = widths
    return F.conv3d(F.pad(x, (w0, w1, h0, h1, d0, d1)), weight, stride=stride)


@pytest.mark.parametrize("size", [8, 9, 14, 15])
def test_padding_is_tensorflows(size):
    x = torch.randn(1, 2, size, size, size + 1, generator=torch.Generator().manual_seed(size))
    weight = torch.randn(3, 2, 7, 7, 7, generator=torch.Generator().manual_seed(1))
    ours = F.conv3d(pad_same(x, (7, 7, 7), (2, 2, 2)), weight, stride=2)
    torch.testing.assert_close(ours, slow_same(x, weight, 2))


def test_a_unit_pads_as_tensorflow_whether_it_strides_or_not():
    x = torch.randn(1, 2, 6, 7, 8, generator=torch.Generator().manual_seed(0))
    for stride in (1, 2):
        unit = Unit(2, 4, 3, stride).eval()
        nn.init.normal_(unit.conv.weight, generator=torch.Generator().manual_seed(3))
        expected = F.relu(slow_same(x, unit.conv.weight, stride) / (1 + 1e-3) ** 0.5)
        torch.testing.assert_close(unit(x), expected)


def test_public_weights_find_their_places():
    state = public_state()
    net = trunk(3)
    net.load_state_dict(from_published(state, 3))
    assert net.mixed["4e"].small[1].conv.weight.equal(state["Mixed_4e.b2b.conv3d.weight"])
    assert net.mixed["5c"].pooled.norm.running_var.equal(state["Mixed_5c.b3b.bn.running_var"])
    assert len(published_names()) == 5 * (3 + 6 * len(MIXED))


def test_summed_colours_answer_to_grey_as_three_equal_channels():
    state = public_state()
    colour, grey = trunk(3), trunk(1)
    colour.load_state_dict(from_published(state, 3))
    grey.load_state_dict(from_published(state, 1))
    image = torch.rand(1, 1, 8, 32, 32, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        first = grey.eval().first(image)
        torch.testing.assert_close(
            first, colour.eval().first(image.expand(-1, 3, -1, -1, -1)), rtol=1e-4, atol=1e-4
        )


def test_other_weights_are_refused_by_the_first_tensor_that_differs():
    state = public_state()
    missing = {k: v for k, v in state.items() if k != "Mixed_3b.b0.conv3d.weight"}
    with pytest.raises(DataError, match=r"'Mixed_3b\.b0\.conv3d\.weight' is missing"):
        from_published(missing, 1)
    with pytest.raises(DataError, match="is not known"):
        from_published({**state, "Mixed_6a.b0.conv3d.weight": torch.zeros(1)}, 1)
    with pytest.raises(DataError, match="not"):
        from_published({**state, "Conv3d_2b_1x1.conv3d.weight": torch.zeros(64, 64, 3, 3, 3)}, 1)
    with pytest.raises(DataError, match="channels"):
        from_published(state, 2)


# ----------------------------------------------------------------------------------- a trained network, asked


def trained(seed=0, width=0.25):
    """Running means and variances that are not those of a start."""
    net = Inception3D(1, torch.Generator().manual_seed(seed), width).train()
    with torch.no_grad():
        for _ in range(3):
            net(torch.rand(2, 1, 16, 64, 64, generator=torch.Generator().manual_seed(seed)) * 2 - 1)
    return net.eval()


@pytest.mark.parametrize("edges", [(16, 64, 64), (9, 33, 50), (1, 32, 32), (2, 47, 49)])
def test_asked_without_gradients_it_says_the_same_in_less_time(edges):
    net, image = trained(), torch.rand(2, 1, *edges, generator=torch.Generator().manual_seed(1)) * 2 - 1
    slow = net(image).detach()  # convolution, normalisation, library's pools
    with torch.no_grad():
        torch.testing.assert_close(net(image), slow, rtol=1e-3, atol=1e-4)


def test_in_bfloat16_it_says_nearly_the_same():
    net, image = trained(), torch.rand(1, 1, 16, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        exact, quick = net(image), net(image.bfloat16())
    assert quick.dtype == torch.bfloat16
    assert float((quick.float() - exact).abs().mean()) < 0.02 * float(exact.abs().mean())


@pytest.mark.parametrize("edges", [(1, 5, 6), (4, 1, 3), (3, 3, 3)])
def test_the_highest_neighbour_is_the_librarys(edges):
    x = torch.rand(2, 3, *edges, generator=torch.Generator().manual_seed(2))
    assert torch.equal(highest_around(x), F.max_pool3d(x, 3, 1, 1))


@pytest.mark.parametrize("size", [7, 8, 11, 12])
def test_a_stride_of_two_is_one_of_one_on_blocks(size):
    x = torch.randn(1, 2, size, size + 1, size, generator=torch.Generator().manual_seed(size))
    weight = torch.randn(3, 2, 7, 7, 7, generator=torch.Generator().manual_seed(1))
    padded = pad_same(x, (7, 7, 7), (2, 2, 2))
    blocks = F.conv3d(in_blocks(padded), in_blocks(weight))
    torch.testing.assert_close(blocks, F.conv3d(padded, weight, stride=2), rtol=1e-4, atol=1e-4)


def test_what_a_step_keeps_grows_with_the_film_and_nothing_is_computed():
    net = Inception3D(1, torch.Generator().manual_seed(0), 0.25)
    small, large = (bytes_kept(net, (1, 1, depth, 64, 64)) for depth in (16, 32))
    least = 16 * 8 * 32 * 32 * 4  # what the first layer alone answers
    assert least < small < large < 2.2 * small
    assert next(net.parameters()).device.type == "cpu"
