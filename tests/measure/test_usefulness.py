"""Train on made pictures, test on real ones: good ones lose nothing, wrongly labelled ones lose all."""

from __future__ import annotations

import numpy as np
import pytest

from glasslung.errors import DataError, ShapeError
from glasslung.measure.usefulness import Labelled, coarse_features, fit_plain, train_on_made


def lungs(seed: int, count: int, swap: bool = False, collapsed: bool = False) -> Labelled:
    """Discs; the ill ones are brighter at the bottom, more or less."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:16, :16] / 16
    label = np.arange(count) % 2 == 1
    images = []
    for ill in label:
        y, x = 0.5 + rng.normal(0, 0.04, 2) * (not collapsed)
        disc = ((rows - y) ** 2 + (columns - x) ** 2 < 0.12) * 0.4
        dense = disc * (rows > 0.55) * (rng.normal(0.4, 0.15) if ill else rng.normal(0.1, 0.15))
        images.append(np.clip(disc + dense + rng.normal(0, 0.02, (16, 16)), 0, 1))
    return Labelled(np.array(images, np.float32), ~label if swap else label, np.arange(count))


def test_good_pictures_are_worth_as_much_as_real_ones_and_bad_ones_nothing():
    real, test = lungs(0, 120), lungs(1, 120)
    good = train_on_made(lungs(2, 120), real, test, rng=np.random.default_rng(0), draws=200)
    assert good.real.value > 0.7 and good.made.value > 0.65
    assert good.lost.low < 0.05
    assert good.lost.value == pytest.approx(good.real.value - good.made.value)
    bad = train_on_made(lungs(3, 120, swap=True), real, test, rng=np.random.default_rng(0), draws=200)
    assert bad.made.value < 0.4 and bad.lost.low > 0.2


def test_another_classifier_can_be_given():
    def fit(images, label, seed):
        return lambda others: others[:, 9:, :].mean((1, 2))

    found = train_on_made(
        lungs(2, 40), lungs(0, 40), lungs(1, 60), rng=np.random.default_rng(0), fit=fit, draws=50
    )
    assert found.made.value == found.real.value == found.both.value and found.lost.value == 0


def test_features_count_and_sets_that_do_not_fit():
    whole = lungs(0, 6)
    assert coarse_features(whole.images).shape == (6, 139)
    assert fit_plain(whole.images, whole.label, 0)(whole.images).shape == (6,)
    with pytest.raises(ShapeError, match="multiple of 8"):
        coarse_features(np.zeros((2, 12, 12)))
    with pytest.raises(DataError, match="same label"):
        Labelled(whole.images, np.ones(6, bool), np.arange(6))
    with pytest.raises(ShapeError, match="label and a unit"):
        Labelled(whole.images, whole.label[:3], np.arange(6))
