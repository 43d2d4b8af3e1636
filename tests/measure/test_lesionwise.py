"""Lesions one by one, against components found by flooding."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasslung.errors import ShapeError, UsageError
from glasslung.measure.lesionwise import match_lesions, pool_detections

seeds = st.integers(0, 2**32 - 1)


def slow_components(mask: np.ndarray) -> list[set[tuple[int, ...]]]:
    """Flooding by every neighbour, corners included."""
    left = {tuple(index) for index in np.argwhere(mask).tolist()}
    steps = list(itertools.product((-1, 0, 1), repeat=mask.ndim))
    parts = []
    while left:
        start = left.pop()
        part, edge = {start}, [start]
        while edge:
            here = edge.pop()
            for step in steps:
                near = tuple(a + b for a, b in zip(here, step, strict=True))
                if near in left:
                    left.remove(near)
                    part.add(near)
                    edge.append(near)
        parts.append(part)
    return parts


def slow_match(truth, found, share, least):
    true = [part for part in slow_components(truth) if len(part) >= least]
    made = [part for part in slow_components(found) if len(part) >= least]
    all_true, all_made = set().union(*true), set().union(*made)
    seen = sum(len(part & all_made) >= share * len(part) for part in true)
    false = sum(len(part & all_true) < share * len(part) for part in made)
    return seen, len(true), false, len(made)


@settings(deadline=None, max_examples=40)
@given(
    seeds, st.sampled_from([(9, 12), (4, 6, 7)]), st.sampled_from([0.1, 0.5, 1.0]), st.sampled_from([1, 3])
)
def test_matching_is_what_the_definition_gives(seed, shape, share, least):
    rng = np.random.default_rng(seed)
    truth, found = rng.random(shape) < 0.12, rng.random(shape) < 0.12
    found |= truth & (rng.random(shape) < 0.5)
    got = match_lesions(truth, found, share, least)
    assert (got.seen.sum(), len(got.seen), got.false.sum(), len(got.false)) == slow_match(
        truth, found, share, least
    )
    assert (np.diff(got.true_sizes) <= 0).all()
    assert (np.diff(got.found_sizes) <= 0).all()


def scene() -> tuple[np.ndarray, np.ndarray]:
    """Three true lesions: one found in two parts, one grazed by a voxel of 36, one missed; one invented."""
    truth, found = np.zeros((20, 30), bool), np.zeros((20, 30), bool)
    truth[2:6, 2:10] = True
    found[2:6, 2:5] = found[2:6, 7:10] = True
    truth[10:16, 2:8] = True
    found[15:18, 7] = True
    truth[10:12, 15:17] = True
    found[3:5, 20:24] = True
    return truth, found


def test_landmarks():
    truth, found = scene()
    got = match_lesions(truth, found)
    assert got.true_sizes.tolist() == [36, 32, 4]
    assert got.seen.tolist() == [False, True, False]
    assert (got.false_positives, len(got.false)) == (1, 4)
    assert got.sensitivity == pytest.approx(1 / 3)
    assert got.precision == pytest.approx(3 / 4)
    assert got.f1 == pytest.approx(2 * (1 / 3) * (3 / 4) / (1 / 3 + 3 / 4))
    assert match_lesions(truth, found, share=1 / 36).seen.tolist() == [True, True, False]
    assert len(match_lesions(truth, found, least_voxels=5).seen) == 2


def test_a_mask_of_everything_is_no_way_to_find_lesions():
    truth, _ = scene()
    got = match_lesions(truth, np.ones_like(truth), share=0.2)
    assert (got.sensitivity, got.precision, got.f1) == (1.0, 0.0, 0.0)


def test_empty_sides_are_told_apart():
    truth, _ = scene()
    empty = np.zeros_like(truth)
    missed, invented, nothing = (
        match_lesions(a, b) for a, b in ((truth, empty), (empty, truth), (empty, empty))
    )
    assert (missed.sensitivity, missed.f1) == (0.0, 0.0)
    assert math.isnan(missed.precision)
    assert (invented.precision, invented.f1, invented.false_positives) == (0.0, 0.0, 3)
    assert math.isnan(invented.sensitivity)
    assert math.isnan(nothing.f1)


def test_all_lesions_of_many_scans_count_alike():
    truth, found = scene()
    empty = np.zeros_like(truth)
    each = [match_lesions(a, b) for a, b in ((truth, found), (truth, truth), (empty, found), (empty, empty))]
    got = pool_detections(each, ["a", "b", "c", "d"], np.random.default_rng(0))
    assert (got.lesions, got.components) == (6, 11)
    assert got.sensitivity.value == pytest.approx(4 / 6)
    assert got.precision.value == pytest.approx(6 / 11)
    assert got.f1.value == pytest.approx(2 * (4 / 6) * (6 / 11) / (4 / 6 + 6 / 11))
    assert got.false_positives.value == pytest.approx(5 / 4)
    assert got.f1.interval.low <= got.f1.value <= got.f1.interval.high


def test_wrong_shapes_and_shares_are_refused():
    truth, found = scene()
    with pytest.raises(ShapeError, match="alike"):
        match_lesions(truth, found[1:])
    with pytest.raises(UsageError, match="share"):
        match_lesions(truth, found, share=0.0)
