"""MS-SSIM from its formula, and what it says of sets."""

from __future__ import annotations

import numpy as np
import pytest

from glasslung.errors import DataError, ShapeError
from glasslung.measure.structure import WEIGHTS, ms_ssim, scales_of, structural_likeness


def slow_ms_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Wang et al. (2003), window by window."""
    at = np.arange(11) - 5
    kernel = np.exp(-(at[:, None] ** 2 + at[None] ** 2) / (2 * 1.5**2))
    kernel /= kernel.sum()
    scales = scales_of(len(a))
    found = 1.0
    for scale in range(scales):
        lights, structures = [], []
        for r in range(len(a) - 10):
            for c in range(len(a) - 10):
                x, y = a[r : r + 11, c : c + 11], b[r : r + 11, c : c + 11]
                mx, my = (kernel * x).sum(), (kernel * y).sum()
                vx, vy = (kernel * (x - mx) ** 2).sum(), (kernel * (y - my) ** 2).sum()
                both = (kernel * (x - mx) * (y - my)).sum()
                lights.append((2 * mx * my + 1e-4) / (mx**2 + my**2 + 1e-4))
                structures.append((2 * both + 9e-4) / (vx + vy + 9e-4))
        part = np.array(structures) * (np.array(lights) if scale == scales - 1 else 1)
        found *= max(part.mean(), 0) ** (WEIGHTS[scale] / sum(WEIGHTS[:scales]))
        a, b = (one.reshape(len(one) // 2, 2, -1, 2).mean((1, 3)) for one in (a, b))
    return found


def test_it_is_its_formula():
    rng = np.random.default_rng(0)
    a = rng.random((2, 24, 24))
    b = np.clip(a + rng.normal(0, 0.2, a.shape), 0, 1)
    assert ms_ssim(a, b) == pytest.approx([slow_ms_ssim(x, y) for x, y in zip(a, b, strict=True)], abs=1e-9)


def test_equal_pictures_are_alike_and_other_ones_less():
    rng = np.random.default_rng(1)
    a = rng.random((3, 44, 44))
    assert ms_ssim(a, a) == pytest.approx(1)
    near, far = (np.clip(a + rng.normal(0, s, a.shape), 0, 1) for s in (0.05, 0.4))
    assert (ms_ssim(a, near) > ms_ssim(a, far)).all()
    assert [scales_of(side) for side in (10, 11, 64, 128, 176)] == [0, 1, 3, 4, 5]


def test_a_collapsed_set_is_more_alike_than_a_diverse_one():
    rng = np.random.default_rng(2)
    rows, columns = np.mgrid[:32, :32] / 32
    y, x = rng.uniform(0.3, 0.7, (2, 12, 1, 1))
    diverse = ((rows - y) ** 2 + (columns - x) ** 2 < 0.06).astype(float)
    collapsed = np.clip(np.repeat(diverse[:2], 6, 0) + rng.normal(0, 0.01, (12, 32, 32)), 0, 1)
    scores = [
        structural_likeness(one, rng=np.random.default_rng(0), draws=50) for one in (diverse, collapsed)
    ]
    assert scores[1].value > scores[0].value + 0.1
    assert scores[0].low <= scores[0].value <= scores[0].high


def test_pictures_of_one_patient_are_not_paired():
    images = np.random.default_rng(3).random((8, 16, 16))
    images[1] = images[0]
    whose = np.array([0, 0, 1, 2, 3, 4, 5, 6])
    alone = structural_likeness(images, rng=np.random.default_rng(0), draws=20)
    together = structural_likeness(images, whose, rng=np.random.default_rng(0), draws=20)
    assert together.value < alone.value and together.patients == 7
    with pytest.raises(DataError, match="two patients"):
        structural_likeness(images, np.zeros(8), rng=np.random.default_rng(0))


def test_pictures_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match="window"):
        ms_ssim(np.zeros((1, 8, 8)), np.zeros((1, 8, 8)))
    with pytest.raises(ShapeError, match="pairs"):
        ms_ssim(np.zeros((1, 16, 16)), np.zeros((2, 16, 16)))
