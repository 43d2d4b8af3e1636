"""Labelled slices in memory: what they refuse, and splits that part neither cases nor near copies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_slices import noise_slices

from glasslung.data.labelled import (
    Kind,
    LabelledSlices,
    connected,
    few_labels,
    fold_groups,
    folds,
    join,
    unknown_like,
)
from glasslung.data.sliceviews import View
from glasslung.errors import DataError, ShapeError, UsageError


def with_origin(slices: LabelledSlices, row: int, **known) -> LabelledSlices:
    origins = list(slices.origins)
    origins[row] = replace(origins[row], **known)
    return replace(slices, origins=tuple(origins))


def with_picture(slices: LabelledSlices, row: int, picture: np.ndarray) -> LabelledSlices:
    """Another picture in a row, its masks cut to its size."""
    parts = [list(field) for field in (slices.pictures, slices.lesions, slices.lungs)]
    for part in parts:
        part[row] = np.resize(part[row], picture.shape)
    parts[0][row] = picture
    return replace(slices, pictures=tuple(parts[0]), lesions=tuple(parts[1]), lungs=tuple(parts[2]))


def test_masks_of_another_shape_are_refused_by_name():
    slices = noise_slices(2)
    for field, what in (("lesions", "lesion"), ("lungs", "lung")):
        masks = list(getattr(slices, field))
        masks[1] = masks[1][:-1]
        with pytest.raises(ShapeError, match=f"labelled-1: the {what} mask has"):
            replace(slices, **{field: tuple(masks)})


@pytest.mark.parametrize(("field", "value"), [("lesions", 4), ("lesions", -2), ("lungs", 2)])
def test_unknown_values_are_refused(field, value):
    slices = noise_slices(1)
    mask = np.full(slices.pictures[0].shape, value, np.int8)
    with pytest.raises(DataError, match=f"holds {value} to {value}"):
        replace(slices, **{field: (mask,)})


def test_no_slices_and_two_of_one_name_are_refused():
    with pytest.raises(DataError, match="not a single slice"):
        LabelledSlices((), (), (), ())
    slices = noise_slices(2)
    with pytest.raises(DataError, match="two slices are called 'labelled-0'"):
        replace(slices, origins=(slices.origins[0], slices.origins[0]))


def test_joined_sets_keep_their_cases_and_tell_names_apart():
    joined = join(noise_slices(1), noise_slices(1))
    assert joined.names == ("labelled-0", "labelled-0 (2)")
    assert joined.cases[0] == joined.cases[1]


def test_a_mask_turns_back_to_how_its_file_lay():
    slices = with_origin(noise_slices(1), 0, view=View.FRONT_RIGHT)
    mask = np.arange(slices.pictures[0].size).reshape(slices.pictures[0].shape)
    assert slices.native(mask, 0).shape == mask.shape[::-1]
    with pytest.raises(ShapeError, match="upright"):
        slices.native(mask.T[:3], 0)


def test_guessed_masks_have_their_own_kind_and_belong_to_no_fold():
    slices = join(noise_slices(4), noise_slices(2, Kind.UNLABELLED))
    guessed = slices.with_lesions({5: np.ones(slices.pictures[5].shape, np.int8)})
    assert guessed.origins[5].kind is Kind.PSEUDO and (guessed.lesions[5] == 1).all()
    assert (slices.lesions[5] == -1).all()  # the old set is as it was
    tested = np.concatenate([fold.test for fold in folds(guessed, 2)])
    assert sorted(tested) == [0, 1, 2, 3]


# ---------------------------------------------------------------------------------------- cross-validation


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 5), st.integers(0, 1000))
def test_every_labelled_slice_is_tested_once_and_folds_are_even(k, seed):
    slices = join(noise_slices(23), noise_slices(4, Kind.UNLABELLED), noise_slices(2, Kind.HEALTHY))
    parts = folds(slices, k, seed)
    assert sorted(np.concatenate([fold.test for fold in parts])) == list(range(23))
    for fold in parts:
        assert not set(fold.train) & set(fold.test)
        assert sorted([*fold.train, *fold.test]) == list(range(23))
    sizes = [len(fold.test) for fold in parts]
    assert max(sizes) - min(sizes) <= 1
    dense = [sum(int((slices.lesions[row] == 2).any()) for row in fold.test) for fold in parts]
    assert max(dense) - min(dense) <= 1


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_near_copies_and_cases_stay_together(seed):
    slices = noise_slices(12)
    slices = with_picture(slices, 7, np.ascontiguousarray(slices.pictures[2][1:, 1:]))
    slices = with_origin(slices, 9, case=slices.cases[7])
    for fold in folds(slices, 3, seed):
        inside = {2, 7, 9} & set(fold.test)
        assert inside in (set(), {2, 7, 9})


def test_a_seed_gives_the_same_folds_and_another_others():
    slices = noise_slices(20)
    one, two, other = ([fold.test.tolist() for fold in folds(slices, 4, seed)] for seed in (1, 1, 2))
    assert one == two != other


def test_groups_are_chains():
    assert connected(6, [(0, 2), (4, 2), (5, 1)]).tolist() == [0, 1, 0, 3, 0, 1]
    assert len(set(fold_groups(noise_slices(9)))) == 9


def test_too_few_slices_for_the_folds():
    with pytest.raises(DataError, match="2 groups of near copies, too few for 3 folds"):
        folds(noise_slices(2), 3)
    with pytest.raises(UsageError, match="at least 2 folds"):
        folds(noise_slices(2), 1)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 500))
def test_few_labels_are_nested_and_hold_both_classes(seed):
    slices, rows = noise_slices(16), np.arange(1, 16)
    drawn = [few_labels(slices, rows, count, seed).tolist() for count in (2, 5, 15)]
    assert set(drawn[0]) < set(drawn[1]) < set(drawn[2]) == set(rows)
    for some in drawn:
        assert len(set(some)) == len(some)
        assert {1, 2} <= set(np.unique(np.concatenate([slices.lesions[row].ravel() for row in some])))


def test_more_labels_than_there_are_cannot_be_drawn():
    with pytest.raises(DataError, match="5 labelled slices were asked for, there are 3"):
        few_labels(noise_slices(3), np.arange(3), 5)


def test_unknown_masks_cost_no_memory():
    assert unknown_like(np.zeros((500, 500), np.uint8)).strides == (0, 0)
