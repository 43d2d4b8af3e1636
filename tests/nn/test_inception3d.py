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
    from_published,
    narrowed,
    pad_same,
    published_names,
)


def trunk(channels=1, seed=0):
    return Inception3D(channels, torch.Generator().manual_seed(seed))


def public_state(seed=0, channels=3):
    """A state dict with the names and shapes of the public repository, written out from its layout."""
    rng = torch.Generator().manual_seed(seed)
    state = {}

    def unit(name, before, after, kernel):
        state[f"{name}.conv3d.weight"] = torch.randn(after, before, kernel, kernel, kernel, generator=rng)
        for part in ("weight", "bias", "running_mean"):
            state[f"{name}.bn.{part}"] = torch.randn(after, generator=rng)
        state[f"{name}.bn.running_var"] = torch.rand(after, generator=rng) + 0.5
        state[f"{name}.bn.num_batches_tracked"] = torch.tensor(7)

    unit("Conv3d_1a_7x7", channels, 64, 7)
    unit("Conv3d_2b_1x1", 64, 64, 1)
    unit("Conv3d_2c_3x3", 64, 192, 3)
    before = 192
    for block, (b0, b1a, b1b, b2a, b2b, b3b) in {
        "3b": (64, 96, 128, 16, 32, 32),
        "3c": (128, 128, 192, 32, 96, 64),
        "4b": (192, 96, 208, 16, 48, 64),
        "4c": (160, 112, 224, 24, 64, 64),
        "4d": (128, 128, 256, 24, 64, 64),
        "4e": (112, 144, 288, 32, 64, 64),
        "4f": (256, 160, 320, 32, 128, 128),
        "5b": (256, 160, 320, 32, 128, 128),
        "5c": (384, 192, 384, 48, 128, 128),
    }.items():
        at = f"Mixed_{block}"
        unit(f"{at}.b0", before, b0, 1)
        unit(f"{at}.b1a", before, b1a, 1)
        unit(f"{at}.b1b", b1a, b1b, 3)
        unit(f"{at}.b2a", before, b2a, 1)
        unit(f"{at}.b2b", b2a, b2b, 3)
        unit(f"{at}.b3b", before, b3b, 1)
        before = b0 + b1b + b2b + b3b
    state["logits.conv3d.weight"] = torch.randn(400, 1024, 1, 1, 1, generator=rng)
    state["logits.conv3d.bias"] = torch.randn(400, generator=rng)
    return state


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
