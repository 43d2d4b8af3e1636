"""Near copies are told from pictures alone, whatever their names."""

from __future__ import annotations

import numpy as np
import pytest
from made_slices import chest

from glasslung.data.nearcopies import THUMB, likeness, near_copies
from glasslung.data.slices import read_picture


def scene(seed: int, shape: tuple[int, int] = (96, 110)) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    grey = gaussian_filter(np.random.default_rng(seed).standard_normal((130, 140)), 6)
    grey = (grey - grey.min()) / np.ptp(grey)
    return (255 * grey).astype(np.uint8)[: shape[0], : shape[1]]


def test_another_crop_and_other_greys_of_one_picture_are_found():
    one = scene(0)
    crop = np.ascontiguousarray(one[3:-2, 2:-4])
    brighter = (one * 0.6 + 60).astype(np.uint8)
    assert near_copies([one, scene(1), crop, scene(2), brighter]) == [(0, 2), (0, 4), (2, 4)]


def test_likeness_is_symmetric_and_one_with_itself():
    alike = likeness([scene(0), scene(1), scene(2, (70, 90))])
    np.testing.assert_allclose(alike, alike.T)
    np.testing.assert_allclose(np.diag(alike), 1, atol=1e-5)
    assert alike.min() >= -1 - 1e-5


def test_likeness_is_the_best_correlation_over_shifts_as_a_slow_twin_says():
    from glasslung.data.resampling import resample

    one, two = (resample(scene(n).astype(np.float32), THUMB, THUMB) for n in (4, 5))
    best = -1.0
    for down in range(-3, 4):
        for right in range(-3, 4):
            a = np.array(
                [
                    (one[y, x], two[y - down, x - right])
                    for y in range(THUMB)
                    for x in range(THUMB)
                    if 0 <= y - down < THUMB and 0 <= x - right < THUMB
                ]
            )
            best = max(best, np.corrcoef(a.T)[0, 1])
    assert likeness([scene(4), scene(5)])[0, 1] == pytest.approx(best, abs=1e-4)


def test_a_picture_without_contrast_is_like_nothing():
    flat = np.full((40, 40), 7, np.uint8)
    assert near_copies([flat, flat.copy(), chest()[0]]) == []
    assert near_copies([flat]) == []


@pytest.mark.real
def test_the_known_near_copies_of_the_published_set_are_found(real):
    folder = real / "covid_semiseg" / "labelled" / "train" / "img"
    files = sorted(folder.iterdir(), key=lambda path: int(path.stem))
    pairs = near_copies([read_picture(path) for path in files])
    named = {(int(files[a].stem), int(files[b].stem)) for a, b in pairs}
    assert {(10, 43), (5, 46), (4, 17)} <= named
    assert len(named) < 12  # of 1225 pairs
