"""The phantom world is cross-sectional to train on and whole for the truth."""

from __future__ import annotations

import numpy as np
import pytest

from glasslung.errors import UsageError
from glasslung.studies.progression.agingworld import AGES, GROUP_DAYS, World, draw_world
from glasslung.studies.progression.ground import once_each, phantom_ground


@pytest.fixture(scope="module")
def world() -> World:
    return draw_world(each=4, people=5, seed=1)


def test_nobody_is_seen_twice_and_the_truth_is_other_people(world):
    training = world.training
    assert len(set(training.patients)) == len(training) == 16
    assert training.group.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4
    assert np.isnan(training.day[:4]).all()
    for age, (first, last) in enumerate(GROUP_DAYS, start=1):
        days = training.day[training.group == age]
        assert ((days >= first) & (days <= last)).all()
    for image in world.truth.images.reshape(-1, 64, 64):
        assert not (training.images == image).all((1, 2)).any()


def test_the_truth_is_one_lung_at_every_age(world):
    truth = world.truth
    assert truth.images.shape == (4, 5, 64, 64)
    assert not truth.lesions[0].any()
    assert (truth.lesions[3].sum((1, 2)) > truth.lesions[1].sum((1, 2))).all()
    assert (truth.lungs == truth.lungs[:1]).mean() > 0.99
    assert np.isnan(truth.days(0)).all()
    assert truth.days(2).tolist() == [7.0] * 5


def test_a_world_needs_people():
    with pytest.raises(UsageError, match="people"):
        draw_world(0, 1, 0)


def test_each_person_is_scored_once_at_one_age(world):
    scored = once_each(world.truth)
    assert scored.group.tolist() == [0, 1, 2, 3, 0]
    assert len(set(scored.patient.tolist())) == 5
    for row, age in enumerate(scored.group):
        assert (scored.images[row] == world.truth.images[age, row]).all()


def test_a_world_is_drawn_once_and_comes_back_bit_for_bit(tmp_path):
    drawn, kept = ([], [])
    file = tmp_path / "world.npz"
    one = phantom_ground(2, AGES, 7, file, lambda text, share: drawn.append(text))
    two = phantom_ground(2, AGES, 7, file, lambda text, share: kept.append(text))
    assert drawn
    assert not kept
    assert one.told() == two.told()
    assert one.world
    assert two.world
    for name in ("images", "lungs", "lesions"):
        assert np.array_equal(getattr(one.world.truth, name), getattr(two.world.truth, name))
    other = phantom_ground(2, AGES, 8, file, None)
    assert other.told() != one.told()
    file.write_bytes(b"damaged")
    assert phantom_ground(2, AGES, 8, file, None).told() == other.told()
