"""Overlap and surface distances against slow twins, and the empty cases by name."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasslung.errors import DataError, ShapeError
from glasslung.measure.overlap import (
    BothEmpty,
    count_overlaps,
    dice,
    hausdorff95_mm,
    jaccard,
    mean_score,
    pooled_scores,
    precision,
    scores_each,
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


# ------------------------------------------------------------------------------------------ many pictures


def pictures(count: int = 12) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of masks, of different shapes; the last three: both empty, only the truth, only the found."""
    rng = np.random.default_rng(5)
    pairs = []
    for number in range(count - 3):
        shape = (6 + number, 9)
        truth = rng.random(shape) < rng.uniform(0.1, 0.6)
        pairs.append((truth, truth ^ (rng.random(shape) < 0.2)))
    empty, full = np.zeros((4, 4), bool), np.ones((4, 4), bool)
    return [*pairs, (empty, empty), (full, empty), (empty, full)]


@pytest.mark.parametrize("rule", list(BothEmpty))
def test_scores_of_many_pictures_are_those_of_each(rule):
    pairs = pictures()
    each = scores_each(count_overlaps(pairs), rule)
    alone = {"f1": dice, "iou": jaccard, "precision": precision, "recall": sensitivity}
    for name, score in alone.items():
        expected = [score(truth, found, rule) for truth, found in pairs]
        assert each[name] == pytest.approx(expected, nan_ok=True)
    empty = {BothEmpty.ZERO: 0.0, BothEmpty.PERFECT: 1.0, BothEmpty.UNDEFINED: math.nan}[rule]
    assert each["f1"][-3:] == pytest.approx([empty, 0.0, 0.0], nan_ok=True)


def test_the_released_rule_scores_0_wherever_nothing_is_hit():
    empty = np.zeros((2, 3, 4), bool)
    for score in (dice, jaccard, sensitivity, precision):
        assert score(empty, empty, BothEmpty.ZERO) == 0.0
    assert surface_dice(empty, empty, SPACING_MM, 1.0, BothEmpty.ZERO) == 0.0
    assert hausdorff95_mm(empty, empty, SPACING_MM, BothEmpty.ZERO) == math.inf


def test_the_mean_is_the_papers_and_its_interval_is_over_patients():
    values = np.array([0.2, 0.8, np.nan, 0.5, 0.9, 0.4])
    patients = ["a", "a", "b", "b", "c", "d"]
    got = mean_score(values, patients, np.random.default_rng(0))
    known = [0.2, 0.8, 0.5, 0.9, 0.4]
    mean = sum(known) / 5
    spread = math.sqrt(sum((value - mean) ** 2 for value in known) / 4)
    assert got.value == pytest.approx(mean)
    assert got.half_width == pytest.approx(1.96 * spread / math.sqrt(5))
    assert (got.images, got.undefined, got.interval.patients) == (5, 1, 4)
    rng, drawn = np.random.default_rng(1), []
    for _ in range(4000):
        taken = [
            value
            for name in rng.choice(list("abcd"), 4)
            for value, p in zip(values, patients, strict=True)
            if p == name
        ]
        drawn.append(np.nanmean(taken))
    limits = [got.interval.low, got.interval.high]
    assert limits == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.02)


def test_the_mean_over_classes_counts_each_class_alike():
    values = np.array([[0.2, np.nan], [0.4, np.nan], [0.6, 1.0]])
    got = mean_score(values, [1, 2, 3], np.random.default_rng(0))
    assert got.value == pytest.approx((0.4 + 1.0) / 2)
    assert got.half_width is None
    assert got.interval is None  # on many resamples the second class is not there at all


def test_pixels_of_all_pictures_together_are_one_mask():
    pairs = pictures()
    counts = count_overlaps(pairs)
    pooled = pooled_scores(counts, range(len(pairs)), np.random.default_rng(0))
    truth, found = (np.concatenate([mask.ravel() for mask in masks]) for masks in zip(*pairs, strict=True))
    assert pooled["f1"].value == pytest.approx(dice(truth, found))
    assert pooled["recall"].value == pytest.approx(sensitivity(truth, found))
    assert pooled["iou"].interval.low < jaccard(truth, found) < pooled["iou"].interval.high
    assert pooled["f1"].as_dict()["se196"] is None


def test_without_a_second_patient_or_a_picture_there_is_no_interval_and_no_score():
    got = mean_score(np.array([0.5, 0.7]), ["one", "one"], np.random.default_rng(0))
    assert got.interval is None
    assert str(got) == "0.600"
    nothing = mean_score(np.array([np.nan]), ["one"], np.random.default_rng(0))
    assert nothing.as_dict() == {"value": None, "se196": None, "interval": None, "images": 0, "undefined": 1}
    with pytest.raises(DataError, match="not a single picture"):
        count_overlaps([])
    with pytest.raises(ShapeError, match="one row per scan"):
        mean_score(np.array([0.5, 0.7]), ["one", "two", "three"], np.random.default_rng(0))
