"""Planted copies are found in whatever way they are hidden; new pictures of the same kind pass."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from glasslung.errors import DataError, ShapeError
from glasslung.measure.copycheck import check_copies, nearest_greys, nearest_pattern, patterns

SIDE = 48


def blobs(count: int, seed: int) -> np.ndarray:
    """Pictures with several soft spots on a common bright field, (N, 48, 48) float32."""
    rng = np.random.default_rng(seed)
    noise = gaussian_filter(rng.standard_normal((count, SIDE, SIDE)), (0, 3, 3))
    whole = 0.5 + 1.2 * noise
    return whole.clip(0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def sets():
    return blobs(60, 0), blobs(40, 1)


def found(made, sets, **given):
    train, unseen = sets
    rng = np.random.default_rng(0)
    return check_copies(made, train, unseen, np.arange(len(unseen)), rng=rng, draws=50, **given)


def cropped(images: np.ndarray) -> np.ndarray:
    """The middle 46 pixels, enlarged by the nearest ones."""
    rows = np.rint(np.linspace(1, SIDE - 2, SIDE)).astype(int)
    return images[:, rows][:, :, rows]


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x,
        lambda x: x[:, :, ::-1],
        lambda x: np.roll(x, (2, -1), (1, 2)),
        lambda x: 0.1 + 0.7 * x,
        lambda x: gaussian_filter(x, (0, 0.8, 0.8)),
        cropped,
        lambda x: np.roll(0.1 + 0.7 * x[:, :, ::-1], (1, 2), (1, 2)),
    ],
    ids=["as it is", "mirrored", "moved", "paler", "blurred", "cropped", "mirrored, moved, paler"],
)
def test_a_planted_copy_is_found_and_its_original_named(change, sets):
    rows = np.arange(0, 60, 3)
    check = found(np.ascontiguousarray(change(sets[0][rows])), sets)
    assert check.rate.value == 1 and (check.nearest % 60 == rows).all()


def test_new_pictures_of_the_same_kind_pass_at_the_stated_rate(sets):
    check = found(blobs(60, 2), sets)
    assert check.rate.value <= 0.1 and check.expected == 1 / 40
    assert check.sights == ("greys", "pattern") and set(check.seen_by) <= {0, 1}


def test_a_pattern_does_not_see_brightness_and_greys_do(sets):
    train, _ = sets
    pale = 0.2 + 0.5 * train[:5]
    assert nearest_pattern(pale, train)[1].max() < 0.05
    assert nearest_greys(pale, train)[1].min() > 0.02
    flat = patterns(np.full((2, SIDE, SIDE), 0.4, np.float32))
    assert np.abs(flat).max() == 0  # an empty picture is not blown up


def test_the_best_shift_is_the_one_a_loop_finds(sets):
    train, unseen = sets
    own, known = patterns(unseen[:3]), patterns(train[:4])
    slow = np.array(
        [
            [
                max(
                    float((np.roll(a, (down, right), (0, 1)) * b).sum())
                    for down in range(-3, 4)
                    for right in range(-3, 4)
                )
                for b in known
            ]
            for a in own
        ]
    )
    assert (1 - nearest_pattern(unseen[:3], train[:4])[1] >= slow.max(1) - 1e-5).all()  # crops may be better


def test_what_cannot_be_checked_is_refused(sets):
    train, _ = sets
    with pytest.raises(ShapeError, match="square"):
        check_copies(
            train[:, :40], train[:, :40], train[:, :40], range(60), rng=np.random.default_rng(0), draws=5
        )
    with pytest.raises(DataError, match="hold out several"):
        check_copies(
            train, train, np.repeat(train[:1], 5, 0), range(5), rng=np.random.default_rng(0), draws=5
        )
