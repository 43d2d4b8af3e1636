"""Each rule beside its formula written as loops, and what every rule promises: nothing is lost unseen."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import slow_rules as slow
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from glasslung.errors import UsageError
from glasslung.explain import rules
from glasslung.explain.affine import Affine, affine_of, merged
from glasslung.explain.route import adaptive_windows

SHAPES = {  # convolution, sizes of its input
    "2d": (nn.Conv2d(2, 3, 3, padding=1), (4, 5)),
    "2d strided": (nn.Conv2d(2, 2, 3, stride=2, padding=1), (5, 6)),
    "2d even": (nn.Conv2d(1, 2, 2), (4, 3)),
    "2d dilated": (nn.Conv2d(1, 2, 3, padding=2, dilation=2), (5, 5)),
    "2d groups": (nn.Conv2d(4, 4, 3, padding=1, groups=2), (3, 3)),
    "3d": (nn.Conv3d(2, 2, 3, padding=1), (3, 2, 3)),
    "3d strided": (nn.Conv3d(1, 2, (1, 2, 2), stride=(1, 2, 2)), (2, 4, 4)),
}


@pytest.fixture(params=[*SHAPES, "dense"])
def case(request):
    """A layer in double precision with weights of its own, as our Affine and as loops' connections."""
    rng = torch.Generator().manual_seed(len(request.param))
    layer, sizes = SHAPES.get(request.param, (nn.Linear(6, 4), ()))
    weight = torch.randn(layer.weight.shape, generator=rng, dtype=torch.float64)
    bias = torch.randn(layer.bias.shape, generator=rng, dtype=torch.float64)
    if not sizes:
        affine, links, shape = Affine(weight, bias), slow.matrix(weight.numpy()), (4,)
        x = torch.randn(1, 6, generator=rng, dtype=torch.float64)
    else:
        plain = affine_of(layer)
        affine = Affine(weight, bias, plain.stride, plain.padding, plain.dilation, plain.groups)
        links, shape = slow.connections(
            weight.numpy(), sizes, plain.stride, plain.padding, plain.dilation, plain.groups
        )
        x = torch.randn(1, layer.in_channels, *sizes, generator=rng, dtype=torch.float64)
    relevance = torch.randn(1, *shape, generator=rng, dtype=torch.float64)
    spread = np.broadcast_to(bias.numpy().reshape(-1, *[1] * (len(shape) - 1)), shape).ravel()
    return affine, links, x, relevance, spread


def assert_alike(spread, expected, absorbed=None):
    np.testing.assert_allclose(spread.inputs.numpy().ravel(), expected, rtol=1e-9, atol=1e-10)
    if absorbed is not None:
        assert spread.absorbed == pytest.approx(absorbed, rel=1e-9, abs=1e-10)


@pytest.mark.parametrize("epsilon", [0.0, 0.25])
def test_epsilon_is_its_formula(case, epsilon):
    affine, links, x, relevance, bias = case
    expected = slow.slow_epsilon(links, x.numpy().ravel(), bias, relevance.numpy().ravel(), epsilon)
    assert_alike(rules.lrp_epsilon(affine, x, relevance, epsilon), *expected)
    z = affine.add_bias(affine.apply(x))
    assert_alike(rules.lrp_epsilon(affine, x, relevance, epsilon, z), *expected)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(("alpha", "beta"), [(2.0, -1.0), (1.0, 0.0)])
@pytest.mark.parametrize("signs", ["both", "positive"])
def test_alpha_beta_is_its_formula(case, alpha, beta, whole, signs):
    affine, links, x, relevance, bias = case
    x = x.abs() if signs == "positive" else x
    flat = x.numpy().ravel(), bias, relevance.numpy().ravel()
    expected = slow.slow_alpha_beta(links, *flat, alpha, beta, whole)
    assert_alike(rules.alpha_beta(affine, x, relevance, alpha, beta, whole), *expected)


@pytest.mark.parametrize("whole", [True, False])
def test_alpha_beta_where_one_sign_is_missing(whole):
    """Outputs with nothing against them, nothing for them, and nothing at all."""
    weight = torch.tensor([[1.0, 2.0], [-1.0, -3.0], [1.0, -1.0]], dtype=torch.float64)
    affine = Affine(weight, torch.tensor([0.5, 0.0, 0.0], dtype=torch.float64))
    x = torch.tensor([[1.0, 0.0], [2.0, 1.0], [0.0, 0.0]], dtype=torch.float64)
    relevance = torch.tensor([[1.0, 2.0, 5.0]] * 3, dtype=torch.float64)
    relevance[2] = torch.tensor([1.0, 0.0, 0.0])  # outputs that are 0 have no relevance
    for row in range(3):
        got = rules.alpha_beta(affine, x[row : row + 1], relevance[row : row + 1], whole=whole)
        flat = x[row].numpy(), affine.bias.numpy(), relevance[row].numpy()
        assert_alike(got, *slow.slow_alpha_beta(slow.matrix(weight.numpy()), *flat, 2.0, -1.0, whole))
        lost = float(relevance[row].sum() - got.inputs.sum()) - got.absorbed
        assert (abs(lost) < 1e-12) == whole


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 2.0)])
def test_z_box_is_its_formula(case, low, high):
    affine, links, x, relevance, bias = case
    x = low + (high - low) * torch.sigmoid(x)
    flat = x.numpy().ravel(), len(bias), relevance.numpy().ravel()
    expected = slow.slow_z_box(links, *flat, low, high)
    assert_alike(rules.z_box(affine, x, relevance, low, high), *expected)


def test_z_box_on_black_gives_the_bias_what_no_pixel_made():
    affine = Affine(torch.tensor([[1.0, 2.0], [1.0, -2.0]]), torch.tensor([3.0, 0.0]))
    got = rules.z_box(affine, torch.zeros(1, 2), torch.tensor([[5.0, 7.0]]), 0.0, 1.0)
    assert got.absorbed == 5.0  # the first output has no negative weight: black cannot hurt it
    assert got.inputs.tolist() == [[0.0, 7.0]]


def test_flat_is_its_formula(case):
    affine, links, x, relevance, bias = case
    got = rules.flat(affine, x, relevance)
    assert_alike(got, slow.slow_flat(links, x.numpy().ravel(), len(bias), relevance.numpy().ravel()))
    assert float(got.inputs.sum()) == pytest.approx(float(relevance.sum()))


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("affine_norm", [True, False])
def test_batch_norm_merged_answers_alike(dims, affine_norm):
    conv = (nn.Conv2d if dims == 2 else nn.Conv3d)(2, 3, 3, padding="same", bias=dims == 2)
    norm = (nn.BatchNorm2d if dims == 2 else nn.BatchNorm3d)(3, affine=affine_norm)
    rng = torch.Generator().manual_seed(dims)
    norm.running_mean.normal_(generator=rng)
    norm.running_var.uniform_(0.5, 2, generator=rng)
    if affine_norm:
        nn.init.uniform_(norm.weight, -2, 2, generator=rng)
        nn.init.normal_(norm.bias, generator=rng)
    x = torch.randn(2, 2, *[5] * dims, generator=rng)
    with torch.no_grad():
        expected = nn.Sequential(conv, norm).eval()(x)
        one = merged(affine_of(conv), norm)
        torch.testing.assert_close(one.add_bias(one.apply(x)), expected, rtol=1e-4, atol=1e-5)
        alone = affine_of(norm)
        torch.testing.assert_close(alone.add_bias(alone.apply(conv(x))), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SHAPES)
def test_pull_is_the_transposed_map(name):
    layer, sizes = SHAPES[name]
    affine = affine_of(layer)
    x = torch.randn(2, layer.in_channels, *sizes, generator=torch.Generator().manual_seed(1))
    s = torch.randn_like(affine.apply(x))
    left, right = (affine.apply(x) * s).sum(), (x * affine.pull(s, x)).sum()
    assert float(left) == pytest.approx(float(right), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("kernel", [(2, 2), (2, 3), (2, 2, 2)])
@pytest.mark.parametrize("ties", [True, False])
def test_pooling_gives_all_to_the_winners(kernel, ties):
    rng = torch.Generator().manual_seed(3)
    sizes = tuple(2 * k + 1 for k in kernel)  # one row is left over, as in torch
    x = torch.randint(0, 3 if ties else 10**6, (1, 2, *sizes), generator=rng).double()
    pool = (nn.MaxPool2d if len(kernel) == 2 else nn.MaxPool3d)(kernel)
    y = pool(x)
    assert torch.equal(rules.maxima(kernel, x), y)
    relevance = torch.randn(y.shape, generator=rng, dtype=torch.float64)
    windows = [
        [(0, c, *(p * k + o for p, k, o in zip(place, kernel, off, strict=True))) for off in offsets(kernel)]
        for c in range(2)
        for place in itertools.product(*[range(2)] * len(kernel))
    ]
    for shared, got in (
        (True, rules.tied_pool(kernel, x, y, relevance)),
        (False, rules.winner(pool, x, relevance)),
    ):
        expected = slow.slow_winner(x.numpy(), windows, relevance.numpy().ravel(), shared)
        np.testing.assert_allclose(got.inputs.numpy(), expected, atol=1e-12)


def offsets(kernel):
    return list(itertools.product(*map(range, kernel)))


@pytest.mark.parametrize("sizes", [(7, 5), (3, 3), (4, 5, 6)])
def test_adaptive_pooling_sees_the_windows_of_torch(sizes):
    rng = torch.Generator().manual_seed(5)
    grid = (3, 2, 2)[: len(sizes)]
    x = torch.randint(0, 4, (2, 3, *sizes), generator=rng).double()
    pool = (nn.AdaptiveMaxPool2d if len(sizes) == 2 else nn.AdaptiveMaxPool3d)(grid)
    windows = adaptive_windows(sizes, grid)
    y = pool(x).flatten(2)
    for cell, window in enumerate(windows):
        assert torch.equal(x[(..., *window)].flatten(2).amax(2), y[:, :, cell])
    relevance = torch.randn(y.shape, generator=rng, dtype=torch.float64)
    for shared in (True, False):
        seen = [[(*p,) for p in itertools.product(*(range(w.start, w.stop) for w in one))] for one in windows]
        listed = [[(b, c, *p) for p in one] for b in range(2) for c in range(3) for one in seen]
        expected = slow.slow_winner(x.numpy(), listed, relevance.numpy().ravel(), shared)
        got = (
            rules.shared_winner(windows, x, relevance)
            if shared
            else rules.winner(pool, x, relevance.reshape(pool(x).shape))
        )
        np.testing.assert_allclose(got.inputs.numpy(), expected, atol=1e-12)


def test_average_pooling_gives_by_part_of_the_sum():
    x = torch.tensor([[[[1.0, 3.0], [0.0, 4.0]]]])
    got = rules.linear_map(nn.AvgPool2d(2), x, torch.tensor([[[[8.0]]]]))
    assert got.inputs.tolist() == [[[[1.0, 3.0], [0.0, 4.0]]]]


def test_resampling_gives_by_place_even_where_it_is_black():
    x = torch.zeros(1, 1, 4)
    got = rules.by_place(nn.AvgPool1d(2), x, torch.tensor([[[2.0, -6.0]]]))
    assert got.inputs.tolist() == [[[1.0, 1.0, -3.0, -3.0]]]


def test_a_sum_is_split_by_parts():
    first, second = rules.split_sum(
        [torch.tensor([1.0, 2.0]), torch.tensor([3.0, -1.0])], torch.tensor([8.0, 5.0])
    )
    assert first.tolist() == [2.0, 10.0]
    assert second.tolist() == [6.0, -5.0]


def test_a_gate_halves_or_doubles():
    relevance = torch.tensor([4.0, -2.0])
    assert sum(one.sum() for one in rules.split_gate(relevance)) == relevance.sum()
    assert sum(one.sum() for one in rules.split_gate(relevance, halved=False)) == 2 * relevance.sum()


def test_vlad_is_its_formula():
    rng = np.random.default_rng(2)
    d, c = rng.normal(size=(5, 3)), rng.normal(size=(2, 3))
    a = rng.dirichlet(np.ones(2), 5)
    relevance = rng.normal(size=(2, 3))
    expected, absorbed = slow.slow_vlad(d, a, c, relevance)
    got = rules.split_vlad(*map(torch.from_numpy, (d, a, c, relevance)))
    np.testing.assert_allclose(got.inputs.numpy(), expected, rtol=1e-9)
    assert got.absorbed == pytest.approx(absorbed)
    assert float(got.inputs.sum()) + got.absorbed == pytest.approx(relevance.sum())


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    dims=st.sampled_from([2, 3]),
    channels=st.integers(1, 3),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 2),
    dark=st.sampled_from([0.0, 0.5, 1.0]),
    rule=st.sampled_from(["zero", "alphabeta", "zbox", "flat"]),
)
def test_nothing_is_lost_in_float32(seed, dims, channels, kernel, stride, dark, rule):
    """Relevance that is proportional to an activation, as all rules make it, arrives whole."""
    rng = torch.Generator().manual_seed(seed)
    weight = torch.randn(3, channels, *[kernel] * dims, generator=rng)
    affine = Affine(
        weight, torch.randn(3, generator=rng), (stride,) * dims, (kernel // 2,) * dims, (1,) * dims
    )
    x = torch.rand(2, channels, *[5] * dims, generator=rng)
    x = x * (torch.rand(x.shape, generator=rng) >= dark)
    z = affine.add_bias(affine.apply(x))
    relevance = torch.relu(z) * torch.randn(z.shape, generator=rng)
    if rule == "zero":
        got = rules.lrp_0(affine, x, relevance)
    elif rule == "alphabeta":
        got = rules.alpha_beta(affine, x, relevance)
    elif rule == "zbox":
        got = rules.z_box(affine, x, relevance, 0.0, 1.0)
    else:
        got = rules.flat(affine, x, relevance)
    kept = float(got.inputs.sum(dtype=torch.float64)) + got.absorbed
    scale = float(relevance.abs().sum()) or 1.0
    assert abs(kept - float(relevance.sum(dtype=torch.float64))) < 1e-4 * scale


def test_layers_without_a_rule_are_refused_by_name():
    with pytest.raises(UsageError, match="InstanceNorm2d"):
        affine_of(nn.InstanceNorm2d(3))
    with pytest.raises(UsageError, match="reflect"):
        affine_of(nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"))
    with pytest.raises(UsageError, match="even kernel"):
        affine_of(nn.Conv2d(1, 1, 2, padding="same"))
    with pytest.raises(UsageError, match="running statistics"):
        affine_of(nn.BatchNorm2d(3, track_running_stats=False))
    with pytest.raises(UsageError, match="3 channels cannot follow a layer of 2"):
        merged(affine_of(nn.Linear(1, 2)), nn.BatchNorm1d(3))
