"""Overlap and surface distances against slow twins, and the empty cases by name."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasslung.errors import DataError, ShapeError
from glasslung.measure.overlap import (
    BothEmpty,
    dice,
    hausdorff95_mm,
    jaccard,
    precision,
    sensitivity,
    surface_dice,
    volume_error_ml,
)

SPACING_MM = (3.0, 0.7, 1.1)
seeds = st.integers(0, 2**32 - 1)


def two_blobs(seed: int, shape: tuple[int, ...] = (5, 7, 6)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.random(shape) < rng.uniform(0.05, 0.7), rng.random(shape) < rng.uniform(0.05, 0.7)


def slow_surface(mask: np.ndarray) -> list[tuple[int, ...]]:
    """Voxels with a face neighbour that is outside the mask or outside the array."""
    surface = []
    for index in np.ndindex(mask.shape):
        if not mask[index]:
            continue
        for axis in range(mask.ndim):
            for step in (-1, 1):
                near = list(index)
                near[axis] += step
                if not 0 <= near[axis] < mask.shape[axis] or not mask[tuple(near)]:
                    surface.append(index)
    return sorted(set(surface))


def slow_distances(truth, found, spacing_mm):
    """Every surface voxel of one mask to the nearest of the other, both ways, from the definition."""

    def nearest(start, others):
        scale = np.array(spacing_mm)
        return min(math.dist(np.array(start) * scale, np.array(other) * scale) for other in others)

    a, b = slow_surface(truth), slow_surface(found)
    return [nearest(x, b) for x in a], [nearest(x, a) for x in b]


@settings(deadline=None, max_examples=25)
@given(seeds)
def test_overlap_is_what_counting_gives(seed):
    truth, found = two_blobs(seed)
    pairs = list(zip(truth.ravel().tolist(), found.ravel().tolist(), strict=True))
    both = sum(t and f for t, f in pairs)
    if not any(t or f for t, f in pairs):
        return
    assert dice(truth, found) == pytest.approx(2 * both / (truth.sum() + found.sum()))
    assert jaccard(truth, found) == pytest.approx(both / sum(t or f for t, f in pairs))
    assert jaccard(truth, found) == pytest.approx(dice(truth, found) / (2 - dice(truth, found)))
    assert sensitivity(truth, found) == pytest.approx(both / max(truth.sum(), 1))
    assert precision(truth, found) == pytest.approx(both / max(found.sum(), 1))
    assert dice(truth, found) == dice(found, truth)
    assert volume_error_ml(truth, found, 0.5) == pytest.approx(0.5 * (int(found.sum()) - int(truth.sum())))


@settings(deadline=None, max_examples=15)
@given(seeds)
def test_surface_distances_are_what_the_definition_gives(seed):
    truth, found = two_blobs(seed)
    if not truth.any() or not found.any():
        return
    there, back = slow_distances(truth, found, SPACING_MM)
    expected = max(np.percentile(there, 95), np.percentile(back, 95))
    assert hausdorff95_mm(truth, found, SPACING_MM) == pytest.approx(expected)
    near = sum(distance <= 1.2 for distance in there + back) / len(there + back)
    assert surface_dice(truth, found, SPACING_MM, 1.2) == pytest.approx(near)


def test_landmarks():
    truth = np.zeros((9, 20, 20), bool)
    truth[2:7, 4:12, 4:12] = True
    moved = np.roll(truth, 3, axis=1)
    assert dice(truth, truth) == jaccard(truth, truth) == surface_dice(truth, truth, SPACING_MM, 0.0) == 1.0
    assert hausdorff95_mm(truth, truth, SPACING_MM) == 0.0
    assert hausdorff95_mm(truth, moved, SPACING_MM) == pytest.approx(3 * 0.7)
    assert dice(truth, moved) == pytest.approx(5 / 8)
    assert surface_dice(truth, moved, SPACING_MM, 2.11) == 1.0
    assert dice(truth.astype(np.uint8) * 7, truth) == 1.0  # any label but 0 is inside


def test_both_empty_is_what_the_caller_says():
    empty = np.zeros((3, 4, 5), bool)
    for score in (dice, jaccard, sensitivity, precision):
        assert math.isnan(score(empty, empty))
        assert score(empty, empty, BothEmpty.PERFECT) == 1.0
    assert math.isnan(hausdorff95_mm(empty, empty, SPACING_MM))
    assert hausdorff95_mm(empty, empty, SPACING_MM, BothEmpty.PERFECT) == 0.0
    assert math.isnan(surface_dice(empty, empty, SPACING_MM, 1.0))
    assert surface_dice(empty, empty, SPACING_MM, 1.0, BothEmpty.PERFECT) == 1.0
    assert volume_error_ml(empty, empty, 0.1) == 0.0


@pytest.mark.parametrize("rule", list(BothEmpty))
def test_one_empty_is_a_miss_or_an_invention_whatever_the_rule(rule):
    empty, full = np.zeros((3, 4, 5), bool), np.ones((3, 4, 5), bool)
    for truth, found in ((empty, full), (full, empty)):
        for score in (dice, jaccard, sensitivity, precision):
            assert score(truth, found, rule) == 0.0
        assert hausdorff95_mm(truth, found, SPACING_MM, rule) == math.inf
        assert surface_dice(truth, found, SPACING_MM, 1.0, rule) == 0.0


def test_unequal_grids_and_negative_tolerances_are_refused():
    with pytest.raises(ShapeError, match="one grid"):
        dice(np.ones((2, 3, 4)), np.ones((2, 3, 5)))
    with pytest.raises(ShapeError, match="one grid"):
        hausdorff95_mm(np.ones((2, 3, 4)), np.ones((2, 3, 5)), SPACING_MM)
    with pytest.raises(DataError, match="0 mm or more"):
        surface_dice(np.ones((2, 3, 4)), np.ones((2, 3, 4)), SPACING_MM, -1.0)
