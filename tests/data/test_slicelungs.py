"""Lungs of single slices: found, completed by what was drawn, and unknown where nobody can tell."""

from __future__ import annotations

import numpy as np
import pytest
from made_slices import chest, ellipse, noise_slices

from glasslung.data.labelled import Kind, LabelledSlices, SliceOrigin, unknown_like
from glasslung.data.slicelungs import lungs_of_slice, with_lungs

SHAPE = (240, 300)


def dice(one: np.ndarray, two: np.ndarray) -> float:
    return float(2 * (one & two).sum() / (one.sum() + two.sum()))


def consolidated() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A chest whose right lung is white at the back."""
    picture, _, lung = chest(SHAPE)
    dense = ellipse(SHAPE, 0.8, 0.25, 0.25, 0.25) & (lung > 0)
    picture = np.where(dense, 195, picture).astype(np.uint8)
    return picture, np.where(dense, 2, 0).astype(np.int8), lung


def test_plain_lungs_are_found():
    picture, lesion, lung = chest(SHAPE)
    found = lungs_of_slice(picture, lesion)
    assert found.dtype == np.int8 and set(np.unique(found)) == {0, 1}
    assert dice(found == 1, lung == 1) > 0.95


def test_what_was_drawn_is_lung():
    picture, lesion, lung = consolidated()
    found = lungs_of_slice(picture, lesion)
    assert (found[lesion > 0] == 1).all()
    assert dice(found == 1, lung == 1) > 0.95


def test_where_nobody_drew_dense_lung_is_unknown_rather_than_outside():
    picture, lesion, _ = consolidated()
    found = lungs_of_slice(picture, unknown_like(picture))
    assert (found[lesion > 0] == -1).mean() > 0.85 and (found[lesion > 0] == 0).mean() < 0.1
    assert (found[:5] == 0).all()  # the chest wall is outside


def test_hazy_slices_and_slices_without_lungs_are_wholly_unknown():
    picture, lesion, lung = chest(SHAPE)
    hazy = np.where((lung > 0) & ellipse(SHAPE, 0.7, 0.75, 0.3, 0.3), 150, picture).astype(np.uint8)
    assert (lungs_of_slice(hazy, unknown_like(hazy)) == -1).all()
    assert (lungs_of_slice(np.full(SHAPE, 90, np.uint8), lesion) == -1).all()


def test_masks_that_are_known_are_kept_and_rows_may_be_chosen():
    picture, lesion, _ = chest(SHAPE)
    given = np.zeros(SHAPE, np.int8)
    slices = LabelledSlices(
        (picture,) * 3,
        (lesion,) * 3,
        (given, unknown_like(picture), unknown_like(picture)),
        tuple(SliceOrigin(str(n), str(n), Kind.LABELLED) for n in range(3)),
    )
    seen = []
    done = with_lungs(slices, rows=[0, 1], progress=lambda what, share: seen.append(share))
    assert done.lungs[0] is given and (done.lungs[1] == 1).any() and (done.lungs[2] == -1).all()
    assert seen == [0.0, 0.5]
    assert (slices.lungs[1] == -1).all()
    assert len(with_lungs(noise_slices(2))) == 2


@pytest.mark.real
def test_most_published_slices_get_lungs_that_hold_their_lesions(real):
    from glasslung.data.labelfolders import read_labelled_folder

    slices = with_lungs(read_labelled_folder(real / "covid_semiseg"))
    known = [n for n, lung in enumerate(slices.lungs) if (lung >= 0).any()]
    assert 40 <= len(known) <= 47
    for n in known:
        assert (slices.lungs[n][slices.lesions[n] > 0] == 1).all()
        assert 0.3 < (slices.lungs[n] == 1).mean() < 0.75
