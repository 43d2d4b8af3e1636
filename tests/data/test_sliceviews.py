"""How slices lie: told from the pictures, and undone exactly."""

from __future__ import annotations

import numpy as np
import pytest
from made_slices import chest

from glasslung.data.sliceviews import View, as_it_lay, tell_view, upright
from glasslung.errors import DataError, ShapeError


@pytest.mark.parametrize("view", View)
def test_there_and_back_is_exact(view):
    picture = np.arange(12).reshape(3, 4)
    assert np.array_equal(as_it_lay(upright(picture, view), view), picture)
    assert np.array_equal(upright(as_it_lay(picture, view), view), picture)


@pytest.mark.parametrize("view", View)
def test_maps_go_back_with_their_leading_axes(view):
    maps = np.arange(24).reshape(2, 3, 4)
    assert np.array_equal(as_it_lay(maps, view), np.stack([as_it_lay(one, view) for one in maps]))


def test_corners_of_lying_pictures_go_where_they_should():
    lying = np.array([[1, 2], [3, 4]])  # rows: the patient's right, then left
    assert upright(lying, View.FRONT_LEFT).tolist() == [[1, 3], [2, 4]]  # left column was the front
    assert upright(lying, View.FRONT_RIGHT).tolist() == [[2, 4], [1, 3]]


@pytest.mark.parametrize("view", View)
def test_the_view_of_a_chest_is_told(view):
    pictures = [as_it_lay(chest((110 + n, 150), n)[0], view) for n in range(3)]
    assert tell_view(pictures) is view


def test_cut_out_lungs_have_no_spine_and_stand():
    picture, _, lung = chest()
    assert tell_view([np.where(lung > 0, np.maximum(picture, 20), 0).astype(np.uint8)]) is View.UPRIGHT


def test_pictures_that_show_nothing_are_taken_to_stand():
    assert tell_view([np.full((60, 60), 9, np.uint8), np.zeros((5, 5), np.uint8)]) is View.UPRIGHT


def test_no_picture_and_wrong_pictures_are_refused():
    with pytest.raises(DataError, match="no picture"):
        tell_view([])
    with pytest.raises(ShapeError, match="uint8"):
        tell_view([np.zeros((40, 40))])


@pytest.mark.real
def test_labelled_slices_and_two_kinds_of_stacks_lie_three_ways(real):
    from glasslung.data.slices import read_picture

    def some(folder):
        files = sorted((real / "covid_semiseg" / folder).iterdir())
        return [read_picture(path) for path in files[:: max(1, len(files) // 9)]]

    assert tell_view(some("labelled/train/img")) is View.FRONT_LEFT
    assert tell_view(some("series/radiopaedia-7_85703_0/img")) is View.FRONT_LEFT
    assert tell_view(some("series/coronacases_009/img")) is View.FRONT_RIGHT
