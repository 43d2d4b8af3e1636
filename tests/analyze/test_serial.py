"""Planes at matched levels: where lesion is largest, followed back through registration or by height."""

from __future__ import annotations

import numpy as np
import pytest

from glasslung.analyze.following import Followed
from glasslung.analyze.serial import (
    BY_HEIGHT,
    LEVELS,
    REFERENCE,
    REGISTERED,
    UNPLACED,
    _best_of_thirds,
    _levels,
    _named,
    _Profile,
    serial_key,
)


def profile(slices, low, high, lesions=()):
    """Lung from `low` to `high`, lesion at some slices."""
    lung, lesion = np.zeros(slices), np.zeros(slices)
    lung[low : high + 1] = 100
    for at in lesions:
        lesion[at] = 50
    return _Profile(lung, lesion)


def test_one_level_in_each_third_where_lesion_is_largest():
    weight = np.zeros(30)
    weight[[3, 14, 28]] = [5, 7, 1]
    assert _best_of_thirds(weight) == [28, 14, 3]


def test_a_third_without_lesion_shows_its_middle():
    weight = np.zeros(30)
    weight[3] = 5
    assert _best_of_thirds(weight) == [25, 15, 3]


@pytest.mark.parametrize("slices", [1, 2])
def test_fewer_slices_than_levels_are_shown_once_each(slices):
    assert _best_of_thirds(np.ones(slices)) == list(range(slices))[::-1]


def test_levels_follow_registration_back_to_the_first_scan():
    last, middle, first = profile(40, 5, 34, [12]), profile(40, 7, 36), profile(40, 8, 37, [30])
    here = np.arange(5, 35, dtype=float)
    pairs = [
        Followed(None, np.array([here + 2, here + 3])),  # first <- middle: one slice up
        Followed(None, np.array([here, here + 2])),  # middle <- last: two slices up
    ]
    ways, rows = _levels([first, middle, last], pairs)
    assert ways == [REGISTERED, REGISTERED, REFERENCE]
    assert rows[2][2] == 12
    assert rows[1][2] == 14
    assert rows[0][2] == 15
    assert rows[0][0] == 30  # the lesion that only the first scan has chose a level too


def test_without_registration_levels_lie_at_the_same_share_of_the_lungs():
    last, first = profile(40, 10, 30, [15]), profile(80, 20, 60)
    ways, rows = _levels([first, last], [Followed(None, None)])
    assert ways == [BY_HEIGHT, REFERENCE]
    assert (rows[1][2], rows[0][2]) == (15, 30)


def test_rows_are_named_by_what_is_known_of_their_place():
    assert _named(3, True) == list(LEVELS)
    assert _named(3, False) == list(UNPLACED)
    assert _named(1, False) == ["slice"]
    assert _named(2, True) == ["first slice", "second slice"]


def test_the_key_knows_the_order_of_scans():
    assert serial_key(["a", "b"]) != serial_key(["b", "a"])
