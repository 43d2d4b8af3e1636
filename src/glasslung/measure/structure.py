"""How alike two pictures are in structure, at several scales; and how alike the pictures of a set are.

Source: Wang, Simoncelli, Bovik (2003), MS-SSIM, with the constants of Wang et al. (2004). A generator in mode
collapse makes pairs that are more alike than pairs of real pictures (Odena et al., 2017).
"""

from __future__ import annotations

import numpy as np

from glasslung.errors import DataError, ShapeError
from glasslung.measure.featuresets import draw_weights, pair_mean
from glasslung.measure.lungfeatures import checked_images
from glasslung.measure.statistics import Interval, interval_of, patient_codes

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, fine to coarse; Wang et al. (2003)
WINDOW, SIGMA = 11, 1.5  # pixels
STEADY = (0.01**2, 0.03**2)  # K1^2 and K2^2, for greys from 0 to 1
MOST_PICTURES = 48  # of a set, which make 1128 pairs: some seconds of one core at 64 x 64


def scales_of(side: int) -> int:
    """How many scales a picture of this side has: the window must fit at the coarsest, 5 at most."""
    return int(sum(side // 2**n >= WINDOW for n in range(len(WEIGHTS))))


def ms_ssim(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Likeness of each picture with its partner: (N, S, S) twice, in [0, 1] -> (N,) from 0 to 1, 1 equal.

    With fewer than five scales, in pictures below 176 pixels, the weights of those there are count in
    proportion. Negative likeness of contrast and structure counts as 0.
    """
    checked_images(first)
    if first.shape != second.shape:
        raise ShapeError(f"pictures are compared in pairs, got {first.shape} and {second.shape}")
    scales = scales_of(min(first.shape[1:]))
    if scales == 0:
        raise ShapeError(f"pictures of {first.shape[1:]} pixels are smaller than the window of {WINDOW}")
    weights = np.array(WEIGHTS[:scales]) / sum(WEIGHTS[:scales])
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    likeness = np.ones(len(a))
    for number, weight in enumerate(weights):
        light, structure = _ssim_parts(a, b)
        last = number == scales - 1
        likeness *= np.clip((light * structure if last else structure).mean((1, 2)), 0, None) ** weight
        if not last:
            a, b = _halved(a), _halved(b)
    return likeness


def _ssim_parts(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Luminance, and contrast with structure, under every place of the window: (N, S-10, S-10) each."""
    mean_a, mean_b = _windowed(a), _windowed(b)
    var_a, var_b = _windowed(a * a) - mean_a**2, _windowed(b * b) - mean_b**2
    both = _windowed(a * b) - mean_a * mean_b
    light = (2 * mean_a * mean_b + STEADY[0]) / (mean_a**2 + mean_b**2 + STEADY[0])
    return light, (2 * both + STEADY[1]) / (var_a + var_b + STEADY[1])


def _windowed(x: np.ndarray) -> np.ndarray:
    """Gaussian means where the whole window lies inside."""
    from scipy.ndimage import correlate1d

    at = np.arange(WINDOW) - WINDOW // 2
    kernel = np.exp(-0.5 * (at / SIGMA) ** 2)
    kernel /= kernel.sum()
    edge = WINDOW // 2
    tall = correlate1d(x, kernel, axis=1)[:, edge:-edge]
    whole: np.ndarray = correlate1d(tall, kernel, axis=2)[:, :, edge:-edge]
    return whole


def _halved(x: np.ndarray) -> np.ndarray:
    """Means over 2 x 2 pixels; an odd last row or column is left out."""
    rows, columns = (side // 2 * 2 for side in x.shape[1:])
    even = x[:, :rows, :columns]
    halved: np.ndarray = even.reshape(len(x), rows // 2, 2, columns // 2, 2).mean((2, 4))
    return halved


def structural_likeness(
    images: np.ndarray,
    units: np.ndarray | None = None,
    *,
    rng: np.random.Generator,
    draws: int = 1000,
    level: float = 0.95,
    most: int = MOST_PICTURES,
) -> Interval:
    """Mean MS-SSIM of two pictures of one set: 1 all alike. Read it beside the same figure of real pictures.

    images (N, S, S) in [0, 1]; units (N,) patients, None: every picture stands alone. Pictures of one unit
    are not paired. Of more than `most` pictures as many are drawn at random; the interval resamples units.
    """
    checked_images(images)
    codes = np.arange(len(images)) if units is None else patient_codes(units)
    rows = np.sort(rng.permutation(len(images))[:most])
    chosen, codes = images[rows], patient_codes(codes[rows])
    if codes.max() < 1:
        raise DataError("likeness within a set needs pictures of two patients or two samples")
    left, right = np.triu_indices(len(chosen), 1)
    values = np.zeros((len(chosen), len(chosen)))
    values[left, right] = ms_ssim(chosen[left], chosen[right])
    values += values.T
    value = float(pair_mean(values, codes, np.ones((1, len(codes))))[0])
    drawn = pair_mean(values, codes, draw_weights(codes, draws, rng))
    return interval_of(value, drawn, level, int(codes.max()) + 1)
