"""Grey levels: probabilities against integrals, and the nearest Beta against a search."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, optimize, stats
from scipy.special import digamma

from glasslung.errors import ShapeError
from glasslung.measure.greylevels import level_log_prob, nearest_beta

WEIGHTS = np.array([0.5, 0.2, 0.3])
A = np.array([0.15, 6.0, 40.0])
B = np.array([1e4, 1200.0, 60.0])


def pixels(values: list[float]) -> tuple[np.ndarray, ...]:
    image = np.array(values)
    return image, *(np.repeat(part[:, None], len(image), 1) for part in (np.log(WEIGHTS), A, B))


def test_the_levels_sum_to_one():
    image = np.arange(256) / 255
    assert np.exp(level_log_prob(*pixels(image.tolist()))).sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("level", [1, 5, 90, 140])
def test_a_level_is_the_integral_over_its_bin(level):
    def density(x: float) -> float:
        return float(sum(w * stats.beta.pdf(x, a, b) for w, a, b in zip(WEIGHTS, A, B, strict=True)))

    mass, _ = integrate.quad(density, (level - 0.5) / 255, (level + 0.5) / 255, epsabs=1e-14)
    assert level_log_prob(*pixels([level / 255]))[0] == pytest.approx(math.log(mass), rel=1e-6)


def test_a_thin_tail_keeps_its_digits():
    """White under a Beta that hardly reaches it: the difference of two ones would be 0."""
    got = level_log_prob(np.ones(1), np.zeros((1, 1)), np.full((1, 1), 10.0), np.full((1, 1), 40.0))
    assert got[0] == pytest.approx(stats.beta.logsf(254.5 / 255, 10, 40), rel=1e-9)


def test_a_sharper_spike_cannot_earn_more_than_certainty():
    scores = [
        level_log_prob(np.zeros(1), np.zeros((1, 1)), np.full((1, 1), 0.1), np.full((1, 1), sharp))[0]
        for sharp in (10.0, 1e4, 1e8)
    ]
    assert scores == sorted(scores)
    assert scores[-1] <= 0


def test_components_of_another_shape_are_refused():
    with pytest.raises(ShapeError, match="do not fit"):
        level_log_prob(np.zeros(3), np.zeros((2, 4)), np.ones((2, 4)), np.ones((2, 4)))


def test_a_single_beta_is_its_own_nearest():
    a, b = nearest_beta(np.zeros((1, 2)), np.array([[2.0, 30.0]]), np.array([[5.0, 20.0]]), 1e4)
    assert a == pytest.approx([2.0, 30.0], rel=1e-4)
    assert b == pytest.approx([5.0, 20.0], rel=1e-4)


@pytest.mark.parametrize("sharpest", [1e4, 50.0])
def test_the_nearest_beta_is_what_a_search_finds(sharpest):
    """Two components in the open, where no mean logarithm is cut off: maximise the expected log-density."""
    weights, a, b = np.array([0.4, 0.6]), np.array([3.0, 60.0]), np.array([9.0, 90.0])
    log_x = float(weights @ (digamma(a) - digamma(a + b)))
    log_rest = float(weights @ (digamma(b) - digamma(a + b)))

    def cost(shape: np.ndarray) -> float:
        one, other = np.exp(shape)
        norm = math.lgamma(one) + math.lgamma(other) - math.lgamma(one + other)
        return -((one - 1) * log_x + (other - 1) * log_rest - norm)

    best = optimize.minimize(
        cost, [0.0, 0.0], bounds=[(-9, 9), (-9, math.log(sharpest))], method="L-BFGS-B", tol=1e-12
    )
    got = nearest_beta(np.log(weights)[:, None], a[:, None], b[:, None], sharpest)
    assert cost(np.log([got[0][0], got[1][0]])) == pytest.approx(best.fun, abs=1e-6)
    assert got[1][0] <= sharpest * (1 + 1e-9)
