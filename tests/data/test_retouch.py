"""Retouched slices: dense lung is marked, gas stays out of the lungs, and nothing unknown becomes known."""

from __future__ import annotations

import numpy as np
import pytest

from glasslung.data.pairaugment import Pairs
from glasslung.data.retouch import Retouch, retouch
from glasslung.errors import UsageError
from glasslung.types import Lesion

WINDOW = (-1000.0, 400.0)


def grey(hu: float) -> float:
    return (hu + 1000) / 1400


def chests(count: int = 12, size: int = 96, lesion: int = 0) -> Pairs:
    """Two black lungs in a grey body, air around it."""
    y, x = np.indices((size, size)) / size
    body = ((x - 0.5) / 0.46) ** 2 + ((y - 0.5) / 0.4) ** 2 < 1
    lungs = sum((((x - at) / 0.14) ** 2 + ((y - 0.45) / 0.24) ** 2 < 1) for at in (0.3, 0.7)) > 0
    picture = np.where(lungs, grey(-850), np.where(body, grey(40), 0)).astype(np.float32)
    masks = np.where(lungs, lesion, min(lesion, 0)).astype(np.int8), lungs.astype(np.int8)
    return Pairs(*(np.repeat(field[None], count, 0) for field in (picture, *masks)))


def touched(pairs: Pairs, seed: int = 0, **chances: float) -> Pairs:
    return retouch(pairs, Retouch(window_hu=WINDOW, **chances), np.random.default_rng(seed))


def test_no_chance_changes_nothing_and_the_slices_given_stay():
    pairs = chests()
    for after in (touched(pairs), pairs):
        for name in ("pictures", "lesions", "lungs"):
            assert np.array_equal(getattr(after, name), getattr(chests(), name))
    before = chests()
    touched(before, dense=1.0, gas=1.0, cut=1.0, crop=1.0)
    assert np.array_equal(before.pictures, pairs.pictures) and not before.lesions.any()


def test_dense_lung_is_as_dense_as_tissue_and_marked_pixel_for_pixel():
    pairs, after = chests(), touched(chests(), dense=1.0)
    marked = after.lesions == Lesion.CONSOLIDATION
    assert marked.any((1, 2)).all() and not (marked & (pairs.lungs == 0)).any()
    assert np.median(after.pictures[marked]) == pytest.approx(grey(40), abs=0.04)
    left = (pairs.lungs > 0) & ~marked
    assert np.median(after.pictures[left]) == pytest.approx(grey(-850), abs=0.01)
    assert np.array_equal(after.lungs, pairs.lungs)
    shares = marked.sum((1, 2)) / (pairs.lungs[0] > 0).sum()
    assert shares.max() < 0.55 and shares.std() > 0.05  # one lung at most, and not always all of it


def test_of_slices_with_unknown_lesions_only_what_was_painted_is_known():
    after = touched(chests(lesion=-1), dense=1.0)
    assert set(np.unique(after.lesions)) == {-1, int(Lesion.CONSOLIDATION)}


def test_gas_lies_in_soft_tissue_away_from_the_lungs():
    pairs, after = chests(), touched(chests(), gas=1.0)
    changed = np.abs(after.pictures - pairs.pictures) > 0.3
    assert changed.any((1, 2)).sum() > 6
    assert (pairs.pictures[changed] > grey(-150)).all() and not pairs.lungs[changed].any()
    assert np.array_equal(after.lesions, pairs.lesions) and np.array_equal(after.lungs, pairs.lungs)


def test_lungs_cut_out_are_all_that_is_left_but_only_where_they_are_known():
    pairs = chests()
    assert np.array_equal(touched(pairs, cut=1.0).pictures > 0, pairs.lungs > 0)
    lungs = pairs.lungs.copy()
    lungs[:, 0, 0] = -1
    unsure = Pairs(pairs.pictures, pairs.lesions, lungs)
    assert np.array_equal(touched(unsure, cut=1.0).pictures, pairs.pictures)


def test_a_crop_keeps_the_lungs_and_a_little_more():
    pairs, after = chests(), touched(chests(), crop=1.0)
    lungs = pairs.lungs > 0
    assert np.array_equal(after.pictures[lungs], pairs.pictures[lungs])
    inside = np.argwhere(lungs[0])
    first, last = inside.min(0), inside.max(0)
    most = 0.08 * (last + 1 - first) + 1
    for picture in after.pictures:
        seen = np.argwhere(picture > 0)
        assert (seen.min(0) >= first - most).all() and (seen.max(0) <= last + most).all()


def test_slices_of_which_nothing_is_known_stay_as_they_are():
    pairs = chests()
    unknown = np.full_like(pairs.lungs, -1)
    after = touched(Pairs(pairs.pictures, unknown, unknown), dense=1.0, gas=1.0, cut=1.0, crop=1.0)
    assert np.array_equal(after.pictures, pairs.pictures) and (after.lesions == -1).all()


def test_the_same_generator_gives_the_same_slices():
    one, other = (touched(chests(), 3, dense=0.5, gas=0.5, crop=0.5) for _ in range(2))
    assert np.array_equal(one.pictures, other.pictures) and np.array_equal(one.lesions, other.lesions)


@pytest.mark.parametrize("wrong", [{"dense": 1.5}, {"gas": -0.1}, {"window_hu": (400.0, -1000.0)}])
def test_chances_and_windows_are_checked(wrong):
    with pytest.raises(UsageError):
        Retouch(**wrong)
