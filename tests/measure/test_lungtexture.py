"""Texture of lungs: what it must see, what it must not, and against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from glasslung.errors import DataError
from glasslung.measure.lungfeatures import FRINGE_GREY
from glasslung.measure.lungtexture import BANDS_PX, RIM_PX, TEXTURE_FEATURES, texture_features

AT = {name: column for column, name in enumerate(TEXTURE_FEATURES)}


def disc(size: int = 48, radius: float = 18.0) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
    return np.hypot(rows, columns) < radius


def noisy(seed: int = 0) -> np.ndarray:
    grey = np.random.default_rng(seed).uniform(0.2, 0.8, (48, 48))
    return np.where(disc(), grey, 0.0)[None]


def test_an_even_lung_has_no_texture_though_its_outline_is_sharp():
    found = texture_features(np.where(disc(), 0.5, 0.0)[None])
    assert found.shape == (1, len(TEXTURE_FEATURES))
    np.testing.assert_allclose(found, 0.0, atol=1e-6)


def test_no_lung_is_all_zero():
    assert not texture_features(np.zeros((2, 16, 16))).any()


def test_blur_is_seen_by_edges_and_fine_grain():
    sharp = noisy()
    soft = np.where(disc(), ndimage.gaussian_filter(sharp, (0, 1, 1)), 0.0)
    before, after = texture_features(sharp)[0], texture_features(soft)[0]
    for name in ("edge strength, median", "grain finer than 0.7 px"):
        assert after[AT[name]] < 0.6 * before[AT[name]]


def test_greys_put_elsewhere_have_another_texture_and_the_same_histogram():
    image = noisy()
    grey = np.sort(image[0][disc()])
    ordered = np.zeros_like(image)
    ordered[0][disc()] = grey  # row by row: dark on top, bright below
    found = texture_features(np.concatenate([image, ordered]))
    assert found[1, AT["slope from front to back"]] > 5 * abs(found[0, AT["slope from front to back"]])
    assert found[1, AT["edge strength, median"]] < 0.3 * found[0, AT["edge strength, median"]]


def test_rim_slope_and_sides_by_their_definition():
    image = noisy(3)[0]
    lung = image > FRINGE_GREY
    rows, columns = np.nonzero(lung)
    grey = image[lung]
    away = [
        min(abs(r - r0) + abs(c - c0) for r0, c0 in np.argwhere(~lung))
        for r, c in zip(rows, columns, strict=True)
    ]
    rim = np.array(away) <= RIM_PX
    middle = (columns.min() + columns.max()) / 2
    found = texture_features(image[None])[0]
    assert found[AT["rim less core"]] == pytest.approx(grey[rim].mean() - grey[~rim].mean())
    assert found[AT["slope from front to back"]] == pytest.approx(np.polyfit(rows / 48, grey, 1)[0])
    assert found[AT["left less right, absolute"]] == pytest.approx(
        abs(grey[columns < middle].mean() - grey[columns >= middle].mean())
    )


def test_air_counts_in_no_average():
    image = noisy(5)[0]
    lung = image > FRINGE_GREY
    weights = ndimage.gaussian_filter(lung.astype(float), BANDS_PX[0], mode="constant")
    smooth = ndimage.gaussian_filter(image, BANDS_PX[0], mode="constant")[lung] / weights[lung]
    found = texture_features(image[None])[0]
    assert found[AT["grain finer than 0.7 px"]] == pytest.approx((image[lung] - smooth).std())


def test_refuses_what_is_no_picture():
    with pytest.raises(DataError, match="NaN"):
        texture_features(np.full((1, 8, 8), np.nan))
