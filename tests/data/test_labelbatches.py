"""Batches of labelled and other slices: complete, exact to stop and go on; and maps back on each slice."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_slices import noise_slices

from glasslung.data.labelbatches import (
    BatchPlan,
    LabelledBatches,
    SquareSlices,
    from_square,
    square_labels,
    square_picture,
    to_native,
)
from glasslung.data.labelled import Kind, LabelledSlices, SliceOrigin, join
from glasslung.data.pairaugment import augmenter
from glasslung.data.sliceviews import View, as_it_lay
from glasslung.errors import DataError, ShapeError, UsageError

PLAN = BatchPlan(labelled=3, unlabelled=2, healthy=1)


def mixed() -> LabelledSlices:
    return join(noise_slices(5), noise_slices(7, Kind.UNLABELLED), noise_slices(3, Kind.HEALTHY))


def stream(seed: int = 0, plan: BatchPlan = PLAN, rows=None, augment=None, slices=None) -> LabelledBatches:
    squares = SquareSlices(slices or mixed(), 32)
    return LabelledBatches(squares, plan, np.random.default_rng(seed), rows, augment)


def test_a_batch_holds_labelled_then_unlabelled_then_healthy_slices():
    batch = next(stream())
    assert batch.image.shape == (6, 1, 32, 32) and batch.lesion.shape == (6, 32, 32)
    assert batch.labelled.tolist() == [True] * 3 + [False] * 2 + [True]
    assert (batch.lesion[3:5] == -1).all() and (batch.lesion[5] == 0).all() and (batch.lung == -1).all()
    assert batch.image.min() >= 0 and batch.image.max() <= 1


def test_each_slice_comes_once_before_any_comes_again():
    feed = stream()
    seen = [feed.next_pairs()[1] for _ in range(35)]
    drawn = np.array(seen)
    for first, (columns, count) in {0: (slice(0, 3), 5), 5: (slice(3, 5), 7), 12: (slice(5, 6), 3)}.items():
        order = drawn[:, columns].ravel()
        for start in range(0, len(order) - count + 1, count):
            assert sorted(order[start : start + count]) == list(range(first, first + count))


def test_only_the_rows_of_a_fold_are_drawn():
    feed = stream(plan=BatchPlan(labelled=2, unlabelled=1), rows=np.array([1, 4, 6]))
    drawn = Counter(int(row) for _ in range(20) for row in feed.next_pairs()[1])
    assert set(drawn) == {1, 4, 6}


@pytest.mark.parametrize("policy", ["none", "strong"])
def test_stopped_and_gone_on_is_the_same_stream(policy):
    whole = stream(augment=augmenter(policy))
    for _ in range(4):
        next(whole)
    state = json.loads(json.dumps(whole.state()))
    wanted = [next(whole) for _ in range(5)]
    other = stream(seed=99, augment=augmenter(policy))
    other.restore(state)
    for batch in wanted:
        again = next(other)
        assert batch.image.equal(again.image) and batch.lesion.equal(again.lesion)


def test_another_plan_or_cohort_cannot_go_on():
    state = stream().state()
    with pytest.raises(UsageError, match="same slices"):
        stream(plan=BatchPlan(labelled=2)).restore(state)


def test_kinds_that_are_not_there_are_said():
    with pytest.raises(DataError, match="no slice is healthy, and a batch needs 1"):
        stream(slices=noise_slices(3), plan=BatchPlan(healthy=1))
    with pytest.raises(UsageError, match="one slice at least"):
        BatchPlan(labelled=0)


def test_guessed_masks_are_learned_from_and_pictures_stay_framed():
    slices = mixed()
    squares = SquareSlices(slices, 32)
    framed = squares.picture(6)
    guessed = slices.with_lesions({6: np.ones(slices.pictures[6].shape)})
    other = squares.with_masks_of(guessed)
    assert other.picture(6) is framed
    feed = LabelledBatches(other, BatchPlan(labelled=6, unlabelled=6), np.random.default_rng(0))
    pairs, rows = feed.next_pairs()
    assert sorted(rows[:6]) == [0, 1, 2, 3, 4, 6] and 6 not in rows[6:]
    assert (pairs.lesions[list(rows).index(6)] >= 0).all()
    with pytest.raises(DataError, match="same slices"):
        squares.with_masks_of(noise_slices(2))


# ------------------------------------------------------------------------------------- there and back again

sides = st.integers(20, 90)


@settings(max_examples=40, deadline=None)
@given(sides, sides, st.sampled_from([32, 64, 96]), st.sampled_from(list(View)))
def test_maps_come_back_on_the_grid_of_the_file(height, width, size, view):
    upright_shape = (height, width)
    picture = np.zeros(upright_shape, np.uint8)
    mask = np.zeros(upright_shape, np.int8)
    slices = LabelledSlices((picture,), (mask,), (mask,), (SliceOrigin("a", "a", Kind.LABELLED, view=view),))
    maps = np.random.default_rng(height).random((3, size, size)) + 0.01
    maps /= maps.sum(0)
    native = to_native(maps, slices, 0)
    assert native.shape == (3, *as_it_lay(picture, view).shape)
    np.testing.assert_allclose(native.sum(0), 1, atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(sides, sides, st.integers(0, 1000))
def test_a_mask_survives_the_way_to_a_larger_square_and_back(height, width, seed):
    rng = np.random.default_rng(seed)
    block = rng.integers(0, 2, (height // 8 + 1, width // 8 + 1))
    mask = np.kron(block, np.ones((8, 8)))[:height, :width].astype(np.int8)
    back = from_square(square_labels(mask, 192).astype(np.float32), height, width)
    inner = np.ones(mask.shape, bool)  # off the edges of the blocks, where half a pixel decides
    for axis in (0, 1):
        for step in (-1, 1):
            inner &= np.roll(mask, step, axis) == mask
    assert np.array_equal((back > 0.5)[inner], mask[inner] > 0)


def test_the_padding_is_black_and_without_lesion_where_that_is_known():
    picture = np.full((20, 40), 200, np.uint8)
    square = square_picture(picture, 32)
    assert (square[:8] == 0).all() and (square[8:24] == 200).all() and (square[24:] == 0).all()
    known = square_labels(np.full((20, 40), 2, np.int8), 32)
    assert (known[:8] == 0).all() and (known[8:24] == 2).all()
    assert (square_labels(np.full((20, 40), -1, np.int8), 32) == -1).all()


def test_the_way_back_is_the_mirror_of_the_way_there():
    """A smooth picture goes to the square and back nearly unchanged."""
    rows, columns = np.indices((61, 83))
    picture = (128 + 100 * np.sin(rows / 12) * np.cos(columns / 9)).astype(np.uint8)
    back = from_square(square_picture(picture, 96).astype(np.float32), 61, 83)
    assert np.abs(back - picture)[2:-2, 2:-2].max() < 4


def test_wrong_sizes_are_refused():
    with pytest.raises(UsageError, match="multiple of 32"):
        SquareSlices(noise_slices(1), 100)
    with pytest.raises(ShapeError, match=r"\(..., S, S\)"):
        from_square(np.zeros((3, 4, 5)), 6, 7)
