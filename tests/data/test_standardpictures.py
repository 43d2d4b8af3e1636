import numpy as np
import pytest
from made_slices import chest

from glasslung.data.sliceviews import View, as_it_lay
from glasslung.data.standardpictures import stand_in_lungs, standardised, view_of_pictures


def test_two_windows_of_one_slice_become_one():
    picture, _, lung = chest()
    wide = (picture * 0.5 + 20).astype(np.uint8)
    one, two = (standardised(grey[None])[0].astype(int) for grey in (picture, wide))
    assert np.abs(one - two)[lung > 0].mean() < 6
    assert abs(np.median(one[lung == 0]) - 212) < 6


def test_pictures_without_contrast_and_lungs_cut_out_stay_as_they_are():
    flat = np.full((1, 40, 50), 90, np.uint8)
    assert standardised(flat) is flat
    picture, _, lung = chest()
    cut = np.where(lung > 0, picture, 0).astype(np.uint8)[None]
    np.testing.assert_array_equal(standardised(cut), cut)


@pytest.mark.parametrize("view", list(View))
def test_a_single_picture_is_turned_only_from_its_side(view):
    picture, _, lung = chest()
    laid, mask = (np.ascontiguousarray(as_it_lay(one, view))[None] for one in (picture, lung))
    wanted = View.UPRIGHT if view in (View.UPRIGHT, View.PRONE) else view
    assert view_of_pictures(laid, mask) is wanted


def test_a_stack_on_its_front_is_turned_by_its_vote():
    pictures, _, lungs = zip(*(chest(seed=n) for n in range(12)), strict=True)
    laid = np.stack([as_it_lay(one, View.PRONE) for one in pictures])
    mask = np.stack([as_it_lay(one, View.PRONE) for one in lungs])
    assert view_of_pictures(laid, mask) is View.PRONE


def test_one_lung_alone_does_not_lie_on_its_side():
    picture, _, lung = chest()
    lung[:, lung.shape[1] // 2 :] = 0
    assert view_of_pictures(picture[None], lung[None]) is View.UPRIGHT
    assert view_of_pictures(picture[None], np.zeros_like(lung)[None]) is View.UPRIGHT


def test_a_stand_in_lies_inside_the_frame_alike_in_every_picture():
    framed = np.pad(np.full((50, 80), 150, np.uint8), ((10, 20), (5, 15)), constant_values=255)
    framed[30, 40] = 100
    mask = stand_in_lungs(framed[None])[0]
    assert set(np.unique(mask)) == {0, 3}
    inner = mask[10:60, 5:85]
    assert inner.sum() == mask.sum()
    np.testing.assert_array_equal(inner, inner[::-1, ::-1])
    assert 0.3 < (inner > 0).mean() < 0.45
