"""Each likelihood against its own formula: it sums to one, and it equals a slow twin."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from glasslung.nn import density

FEW = settings(max_examples=25, deadline=None)


def double(value: float, *shape: int) -> torch.Tensor:
    return torch.full(shape or (1, 1), value, dtype=torch.float64)


def integrate(log_density, points: torch.Tensor) -> float:
    """Trapezoid rule over the points of a fine grid."""
    return float(torch.trapezoid(torch.exp(log_density(points)), points))


@FEW
@given(a=st.floats(1.1, 30), b=st.floats(1.1, 30))
def test_the_beta_integrates_to_one(a, b):
    grid = torch.linspace(1e-9, 1 - 1e-9, 200_001, dtype=torch.float64)
    total = integrate(lambda x: density.beta_log_density(x, double(a, 1), double(b, 1), margin=1e-12), grid)
    assert total == pytest.approx(1, abs=1e-3)


@FEW
@given(x=st.floats(0, 1), a=st.floats(0.05, 300), b=st.floats(0.05, 1000))
def test_the_beta_equals_its_formula(x, a, b):
    clipped = min(max(x, 1e-7), 1 - 1e-7)
    slow = (
        (a - 1) * math.log(clipped)
        + (b - 1) * math.log(1 - clipped)
        - (math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b))
    )
    fast = density.beta_log_density(double(x), double(a), double(b)).item()
    assert fast == pytest.approx(slow, rel=1e-9, abs=1e-9)


def test_a_black_pixel_earns_what_the_clip_allows():
    """With b = 1 the best a is 1 / L, L = ln(1 / clip), and the density there is L - 1 - ln L: 12.338."""
    length = math.log(1e7)
    best = density.paper_units(double(0, 1, 1), double(1 / length, 1, 1), double(1, 1, 1))
    assert best.item() == pytest.approx(-(length - 1 - math.log(length)), abs=1e-6)
    assert best.item() == pytest.approx(-12.338, abs=1e-3)


def test_paper_units_equal_a_slow_loop():
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, (3, 1, 4, 5))
    x[x < 0.4] = 0
    x[0, 0, 0, 0] = 1
    a, b = rng.uniform(1e-7, 4, x.shape), rng.uniform(0.5, 400, x.shape)
    for sample in range(3):
        total = 0.0
        for value, left, right in zip(x[sample].ravel(), a[sample].ravel(), b[sample].ravel(), strict=True):
            value = min(max(value, 1e-7), 1 - 1e-7)
            log_norm = math.lgamma(left) + math.lgamma(right) - math.lgamma(left + right)
            prob = math.exp((left - 1) * math.log(value) + (right - 1) * math.log(1 - value) - log_norm)
            total += math.log(prob + 1e-7)
        fast = density.paper_units(*(torch.from_numpy(v[sample : sample + 1]) for v in (x, a, b)))
        assert fast.item() == pytest.approx(-total / 20, rel=1e-9)


def test_paper_units_never_fall_below_their_floor():
    worst = density.paper_units_log_density(double(1), double(1e-7), double(1000))
    assert worst.item() == pytest.approx(math.log(1e-7), abs=1e-6)


def test_the_bernoulli_sums_to_one_and_equals_its_formula():
    logits = torch.tensor([[-3.0, 0.2, 5.0]], dtype=torch.float64)
    total = 0.0
    for code in range(8):
        x = torch.tensor([[float(code >> bit & 1) for bit in range(3)]], dtype=torch.float64)
        slow = sum(
            math.log(p if v else 1 - p)
            for v, p in zip(x[0].tolist(), torch.sigmoid(logits)[0].tolist(), strict=True)
        )
        fast = density.bernoulli_log_prob(x, logits).item()
        assert fast == pytest.approx(slow, rel=1e-9)
        total += math.exp(fast)
    assert total == pytest.approx(1, abs=1e-12)


@FEW
@given(mean=st.floats(-2, 2), logvar=st.floats(-4, 2))
def test_the_gaussian_integrates_to_one(mean, logvar):
    grid = torch.linspace(-30, 30, 200_001, dtype=torch.float64)
    total = integrate(lambda x: density.gaussian_log_density(x, double(mean, 1), double(logvar, 1)), grid)
    assert total == pytest.approx(1, abs=1e-6)


@FEW
@given(mq=st.floats(-1, 1), lq=st.floats(-2, 1), mp=st.floats(-1, 1), lp=st.floats(-2, 1))
def test_the_divergence_equals_its_integral(mq, lq, mp, lp):
    grid = torch.linspace(-25, 25, 100_001, dtype=torch.float64)
    log_q = density.gaussian_log_density(grid, double(mq, 1), double(lq, 1))
    log_p = density.gaussian_log_density(grid, double(mp, 1), double(lp, 1))
    integral = float(torch.trapezoid(torch.exp(log_q) * (log_q - log_p), grid))
    fast = density.gaussian_kl(double(mq), double(lq), double(mp), double(lp)).item()
    assert fast == pytest.approx(integral, abs=1e-6)
    assert fast >= 0


def test_the_divergence_of_a_gaussian_from_itself_is_exactly_zero():
    mean, logvar = torch.randn(4, 7), torch.randn(4, 7)
    assert torch.equal(density.gaussian_kl(mean, logvar, mean, logvar), torch.zeros(4))


def mixture(components: int, pixels: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(5)
    shape = (1, components, 1, pixels)
    weights = torch.randn(shape, generator=rng, dtype=torch.float64)
    means = torch.rand(shape, generator=rng, dtype=torch.float64)
    scales = torch.randn(shape, generator=rng, dtype=torch.float64) - 3
    return weights, means, scales


def test_the_levels_of_a_logistic_mixture_sum_to_one():
    levels = (torch.arange(256, dtype=torch.float64) / 255).view(1, 1, 1, 256)
    weights, means, scales = (t.expand(1, 3, 1, 256) for t in mixture(3))
    log_prob = density.logistic_mixture_log_density(levels, weights, means, scales)
    assert torch.exp(log_prob).sum().item() == pytest.approx(1, abs=1e-12)


def test_the_logistic_mixture_equals_a_slow_twin():
    def cdf(value: float) -> float:
        return 1 / (1 + math.exp(-value))

    weights, means, scales = mixture(2, pixels=6)
    greys = [0, 1, 77, 128, 254, 255]
    x = torch.tensor(greys, dtype=torch.float64).view(1, 1, 1, 6) / 255
    fast = density.logistic_mixture_log_density(x, weights, means, scales)[0, 0, 0]
    for pixel, grey in enumerate(greys):
        share = torch.softmax(weights[0, :, 0, pixel], 0).tolist()
        prob = 0.0
        for component in range(2):
            mean, scale = (
                means[0, component, 0, pixel].item(),
                math.exp(scales[0, component, 0, pixel].item()),
            )
            high = 1.0 if grey == 255 else cdf(((grey + 0.5) / 255 - mean) / scale)
            low = 0.0 if grey == 0 else cdf(((grey - 0.5) / 255 - mean) / scale)
            prob += share[component] * (high - low)
        assert fast[pixel].item() == pytest.approx(math.log(prob), rel=1e-6)


def test_the_logistic_mixture_stays_finite_far_from_its_mean():
    x = torch.tensor([[[[0.0, 0.5, 1.0]]]])
    mean, scale = torch.full((1, 1, 1, 3), 0.1), torch.full((1, 1, 1, 3), -9.0)
    mean.requires_grad_()
    log_prob = density.logistic_mixture_log_prob(x, torch.zeros(1, 1, 1, 3), mean, scale)
    log_prob.sum().backward()
    assert torch.isfinite(log_prob).all()
    assert torch.isfinite(mean.grad).all()


def test_a_pixel_that_could_be_any_grey_costs_eight_bits():
    log_prob = torch.full((2,), 10 * math.log(1 / 256))
    assert density.bits_per_dimension(log_prob, 10).tolist() == pytest.approx([8, 8])


def test_no_formula_knows_the_batch_size():
    x, a, b = torch.rand(6, 1, 4, 4), torch.rand(6, 1, 4, 4) + 0.5, torch.rand(6, 1, 4, 4) + 0.5
    whole = density.beta_log_prob(x, a, b)
    parts = torch.cat([density.beta_log_prob(x[i : i + 1], a[i : i + 1], b[i : i + 1]) for i in range(6)])
    assert torch.allclose(whole, parts)
    assert whole.shape == (6,)


def test_half_precision_is_raised():
    x = torch.rand(2, 1, 3, 3)
    half = torch.full((2, 1, 3, 3), 1.5, dtype=torch.bfloat16)
    assert density.beta_log_prob(x, half, half).dtype == torch.float32
    assert density.gaussian_kl(half, half, half, half).dtype == torch.float32


# ----------------------------------------------------------------------------------------- mixture of Betas


def test_the_mixture_of_betas_integrates_to_one():
    log_weights = torch.tensor([0.3, 0.7], dtype=torch.float64).log().view(1, 2, 1, 1)
    a, b = (torch.tensor(v, dtype=torch.float64).view(1, 2, 1, 1) for v in ([2.0, 30.0], [8.0, 12.0]))
    x = torch.linspace(1e-6, 1 - 1e-6, 20_001, dtype=torch.float64).view(1, 1, 1, -1)
    curve = density.beta_mixture_log_density(x, log_weights, a, b).exp().flatten()
    assert torch.trapezoid(curve, x.flatten()).item() == pytest.approx(1, abs=1e-5)


def test_the_mixture_of_betas_equals_a_slow_twin():
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(2, 1, 3, 3, generator=rng, dtype=torch.float64)
    raw = torch.randn(2, 4, 3, 3, generator=rng, dtype=torch.float64)
    a, b = (torch.rand(2, 4, 3, 3, generator=rng, dtype=torch.float64) * 5 + 0.1 for _ in range(2))
    log_weights = torch.log_softmax(raw, 1)
    got = density.beta_mixture_log_density(x, log_weights, a, b)
    for i in range(2):
        for row in range(3):
            for column in range(3):
                place = (i, slice(None), row, column)
                v = x[i, 0, row, column]
                each = torch.distributions.Beta(a[place], b[place]).log_prob(v).exp()
                expected = math.log(float((log_weights[place].exp() * each).sum()))
                assert got[i, 0, row, column].item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("sharpness", [1.0, 1e3, 1e4])
def test_the_spike_has_the_shape_that_earns_most_on_black(sharpness):
    best = density.spike_shape(sharpness)
    x = torch.zeros(1, dtype=torch.float64)
    score = [
        density.beta_log_density(
            x, torch.tensor(a, dtype=torch.float64), torch.tensor(sharpness, dtype=torch.float64)
        )
        for a in (best, 0.95 * best, 1.05 * best)
    ]
    assert score[0] > max(score[1:])


def test_a_sharper_spike_earns_more_without_end():
    x = torch.zeros(1, dtype=torch.float64)
    scores = [
        float(
            density.beta_log_density(
                x, torch.tensor(density.spike_shape(s)).double(), torch.tensor(s).double()
            )
        )
        for s in (1.0, 1e2, 1e4, 1e6)
    ]
    assert scores == sorted(scores)
    assert scores[-1] > scores[0] + 1.5
