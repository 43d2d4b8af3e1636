"""Densities of grey values made comparable: what whole grey levels cost, and the nearest single Beta.

A density can be driven up without end on pictures that consist of whole grey values: a spike at black earns
whatever its sharpness allows. A probability cannot. Here a mixture of Betas is integrated over the bin of
each grey level, exactly, and a mixture is replaced by the one Beta that comes closest, to stand beside models
that have no more than one.
"""

from __future__ import annotations

import math

import numpy as np

from glasslung.errors import ShapeError

GREY_LEVELS = 256
CLIP = 1e-7  # the paper's units clip pixels to [1e-7, 1 - 1e-7]
LOG_A_RANGE = (-9.0, 9.0)
STARTS = ((-2.7, 1.0), (1.0, 2.0))  # log a, log b: a spike at black, and something in between
NEWTON_STEPS = 30


def level_log_prob(
    image: np.ndarray, log_weights: np.ndarray, a: np.ndarray, b: np.ndarray, levels: int = GREY_LEVELS
) -> np.ndarray:
    """log P of each pixel's grey level under a mixture of Betas, nats, shape of image; never above 0.

    image              (...) in [0, 1], read as the nearest of `levels` grey levels k / (levels - 1)
    log_weights, a, b  (K, ...) of the K components, a and b > 0
    A level owns half a step to each side; the lowest and the highest are cut off by 0 and 1. So the
    probabilities of all levels sum to one.
    """
    if log_weights.shape[1:] != image.shape:
        raise ShapeError(f"components {log_weights.shape} do not fit an image {image.shape}")
    level = np.rint(image.astype(np.float64) * (levels - 1))
    lower = np.clip((level - 0.5) / (levels - 1), 0, 1)
    upper = np.clip((level + 0.5) / (levels - 1), 0, 1)
    mass = beta_mass(lower, upper, a, b)
    with np.errstate(divide="ignore"):
        return np.log((np.exp(log_weights) * mass).sum(0)).clip(max=0.0)


def beta_mass(lower: np.ndarray, upper: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Probability of [lower, upper] under Beta(a, b), taken in whichever tail is thin, to keep the digits."""
    from scipy.special import betainc, betaincc

    above = lower > a / (a + b)
    mass: np.ndarray = np.where(
        above,
        betaincc(a, b, lower) - betaincc(a, b, upper),
        betainc(a, b, upper) - betainc(a, b, lower),
    ).clip(min=0.0)
    return mass


# --------------------------------------------------------------------------------- the nearest single Beta


def nearest_beta(
    log_weights: np.ndarray, a: np.ndarray, b: np.ndarray, sharpest: float
) -> tuple[np.ndarray, np.ndarray]:
    """The Beta closest to each pixel's mixture, KL(mixture || Beta) least: (K, ...) -> a, b (...).

    b is `sharpest` at most. The Beta has the mixture's mean of log x and of log(1 - x), as far as that bound
    lets it. A component's mean logarithms are cut at log 1e-7, as the clip of the paper's units cuts those of
    pixels.
    """
    from scipy.special import digamma

    both = digamma(a + b)
    weights = np.exp(log_weights)
    floor = math.log(CLIP)
    log_x = (weights * np.maximum(digamma(a) - both, floor)).sum(0)
    log_rest = (weights * np.maximum(digamma(b) - both, floor)).sum(0)
    found = [_climb(log_x, log_rest, start, math.log(sharpest)) for start in STARTS]
    better = found[1][2] > found[0][2]
    return tuple(np.where(better, found[1][i], found[0][i]) for i in (0, 1))  # type: ignore[return-value]


def _climb(
    log_x: np.ndarray, log_rest: np.ndarray, start: tuple[float, float], bound: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Natural-gradient steps on the expected log-density, in log a and log b: a, b, and what is reached."""
    from scipy.special import betaln, digamma, zeta

    log_a, log_b = (np.full_like(log_x, value) for value in start)
    for _ in range(NEWTON_STEPS):
        a, b = np.exp(log_a), np.exp(log_b)
        both, spread = digamma(a + b), zeta(2, a + b)  # zeta(2, x) is the trigamma function
        slope_a, slope_b = (log_x - digamma(a) + both) * a, (log_rest - digamma(b) + both) * b
        in_a, in_b = (zeta(2, a) - spread) * a * a, (zeta(2, b) - spread) * b * b
        across = -spread * a * b
        free = ~((log_b >= bound - 1e-9) & (slope_b > 0))
        area = np.maximum(in_a * in_b - across * across, 1e-12)
        step_a = np.where(free, (in_b * slope_a - across * slope_b) / area, slope_a / in_a)
        step_b = np.where(free, (in_a * slope_b - across * slope_a) / area, 0.0)
        log_a = np.clip(log_a + step_a.clip(-1, 1), *LOG_A_RANGE)
        log_b = np.clip(log_b + step_b.clip(-1, 1), LOG_A_RANGE[0], bound)
    a, b = np.exp(log_a), np.exp(log_b)
    return a, b, (a - 1) * log_x + (b - 1) * log_rest - betaln(a, b)
