"""Standardised greys: each method does what its name says, and moves no outline."""

from __future__ import annotations

import numpy as np
import pytest

from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.measure.lungfeatures import FRINGE_GREY
from glasslung.studies.progression.limits.greystandards import (
    LOWEST,
    METHODS,
    QUANTILES,
    grey_reference,
    standardise,
)

STEP = 1 / 255


def lungs(count: int, middle: float, spread: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:40, :40] - 19.5
    inside = np.hypot(rows, columns) < 15
    grey = np.clip(rng.normal(middle, spread, (count, 40, 40)), 0.06, 1)
    return np.where(inside, grey, 0.0)


@pytest.fixture(scope="module")
def reference():
    return grey_reference(lungs(6, 0.4, 0.06), np.array([0, 0, 0, 0, 0, 1]))


def test_reference_weighs_groups_equally():
    images = np.concatenate([lungs(3, 0.3, 0.02), lungs(1, 0.5, 0.02, seed=1)])
    assert grey_reference(images, np.array([0, 0, 0, 1])).mean == pytest.approx(0.4, abs=0.01)


@pytest.mark.parametrize("method", METHODS)
def test_outline_stays_and_greys_are_whole_levels(method, reference):
    images = lungs(3, 0.6, 0.1, seed=2)
    images[:, 0, 0] = 5 / 255  # the fringe of resizing
    made = standardise(images, method, reference)
    np.testing.assert_array_equal(made > FRINGE_GREY, images > FRINGE_GREY)
    np.testing.assert_allclose(made * 255, np.rint(made * 255), atol=1e-9)
    lung = images > FRINGE_GREY
    assert made[lung].min() >= LOWEST - STEP / 2
    assert not made[~lung].any()


@pytest.mark.parametrize("method", METHODS)
def test_another_window_makes_no_difference(method, reference):
    """What every method is for: the same lung seen through another window comes out the same."""
    images = np.rint(lungs(3, 0.4, 0.05, seed=3) * 255) / 255
    lung = images > FRINGE_GREY
    other = np.where(lung, 0.1 + 1.5 * images, 0.0)
    difference = np.abs(standardise(images, method, reference) - standardise(other, method, reference))
    assert difference.max() <= STEP + 1e-9
    assert np.abs(images - other)[lung].mean() > 0.2


def test_each_method_hits_its_landmarks(reference):
    image = lungs(1, 0.6, 0.08, seed=4)
    made = {name: standardise(image, name, reference)[image > FRINGE_GREY] for name in METHODS}
    assert made["z-score"].mean() == pytest.approx(reference.mean, abs=STEP)
    assert made["z-score"].std() == pytest.approx(reference.deviation, abs=STEP)
    low_high = np.percentile(made["percentiles 5 and 95"], (5, 95))
    np.testing.assert_allclose(low_high, (reference.low, reference.high), atol=STEP)
    dark = made["aerated half"][image[image > FRINGE_GREY] <= np.median(image[image > FRINGE_GREY])]
    assert dark.mean() == pytest.approx(reference.dark_mean, abs=STEP)
    got = np.quantile(made["histogram"], QUANTILES[5:-5])
    np.testing.assert_allclose(got, reference.quantiles[5:-5], atol=1.5 * STEP)


def test_histogram_leaves_nothing_of_few_grey_levels(reference):
    """A lung stored in few levels has many equal greys; their number must not tell its window."""
    coarse = np.where((fine := lungs(1, 0.5, 0.05, seed=5)) > 0, np.rint(fine * 12) / 12, 0.0)
    assert len(np.unique(coarse)) < 10
    made = standardise(coarse, "histogram", reference)[coarse > FRINGE_GREY]
    np.testing.assert_allclose(np.quantile(made, QUANTILES[5:-5]), reference.quantiles[5:-5], atol=1.5 * STEP)


@pytest.mark.parametrize("method", METHODS)
def test_odd_lungs_come_through(method, reference):
    flat = np.where(lungs(1, 0.5, 0.05) > 0, 0.3, 0.0)
    single = np.zeros((1, 40, 40))
    single[0, 20, 20] = 0.7
    empty = np.zeros((1, 40, 40))
    made = standardise(np.concatenate([flat, single, empty]), method, reference)
    assert np.isfinite(made).all()
    assert not made[2].any()


def test_refusals(reference):
    with pytest.raises(UsageError, match="histogram"):
        standardise(lungs(1, 0.5, 0.1), "magic", reference)
    with pytest.raises(DataError, match="no slice"):
        grey_reference(np.zeros((2, 8, 8)), np.zeros(2))
    with pytest.raises(ShapeError, match="group"):
        grey_reference(lungs(2, 0.5, 0.1), np.zeros(3))
