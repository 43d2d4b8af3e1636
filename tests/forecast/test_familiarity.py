"""What is familiar: real slices of unseen patients are, other greys and other crops are not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from made_lungs import lung, lungs

from glasslung.errors import DataError
from glasslung.forecast.familiarity import (
    NEAREST,
    VOTES,
    Trust,
    familiarity,
    make_reference,
    read_reference,
    votes_on_day,
    write_reference,
)
from glasslung.measure.lungfeatures import plain_features


@pytest.fixture(scope="module")
def reference():
    return make_reference(lungs(40, seed=1), lungs(20, seed=2))


def test_unseen_slices_of_the_same_kind_are_familiar(reference):
    others = lungs(20, seed=3).images
    told = [familiarity(reference, image) for image in others]
    assert np.mean([one.trust is Trust.FAMILIAR for one in told]) > 0.8
    assert 0.35 < np.mean([one.farther for one in told]) < 0.65  # a rank among its like is uniform


@pytest.mark.parametrize(
    "change",
    [
        lambda image: np.clip(1.5 * image, 0, 1),
        lambda image: 0.6 * image,
        lambda image: np.where(np.arange(64) < 32, image, 0),
        lambda image: np.pad(image[::2, ::2], 16),
    ],
    ids=["brighter", "darker", "one lung", "small in its frame"],
)
def test_other_greys_and_crops_are_told(reference, change):
    for seed in range(5):
        image = change(lung(np.random.default_rng(seed), 6.0)).astype(np.float32)
        told = familiarity(reference, image)
        assert told.trust is Trust.DOUBT
        assert "do not trust" in told.text


def test_what_lies_outside_every_training_slice_is_named(reference):
    bright = np.clip(1.8 * lung(np.random.default_rng(0), 6.0), 0, 1)
    told = familiarity(reference, bright)
    assert "mean grey" in told.above
    assert "above every training slice in mean grey" in told.text
    inside = familiarity(reference, lungs(1, seed=4).images[2])
    assert (inside.above, inside.below) == ((), ())
    everyone = dataclasses.replace(reference, held_out=np.full(20, 1e6, np.float32))
    near = familiarity(everyone, bright)
    assert (near.farther, near.trust) == (1.0, Trust.CARE)
    assert near.text.endswith("read the forecast with care.")


def slow_distance(training: np.ndarray, image: np.ndarray) -> float:
    """The mean distance to the nearest five, slice by slice."""
    rows = plain_features(training)
    mean, deviation = rows.mean(0), rows.std(0)
    own = (plain_features(image[None])[0] - mean) / deviation
    apart = sorted(float(np.sqrt((((row - mean) / deviation - own) ** 2).sum())) for row in rows)
    return sum(apart[:NEAREST]) / NEAREST


def test_the_distance_is_that_of_its_definition(reference):
    image = lungs(1, seed=5).images[3]
    wanted = slow_distance(lungs(40, seed=1).images, image)
    assert familiarity(reference, image).distance == pytest.approx(wanted, rel=1e-4)


def test_neighbours_know_the_day_better_than_nobody(reference):
    assert reference.day_error is not None
    assert reference.day_error < 0.7 * reference.blind_error
    early = votes_on_day(reference, lung(np.random.default_rng(1), 1.0))
    late = votes_on_day(reference, lung(np.random.default_rng(1), 13.0))
    assert len(early.days) == VOTES
    assert np.median(early.days) + 4 < np.median(late.days)
    assert votes_on_day(reference, lung(np.random.default_rng(1), np.nan)).healthy > 0.5


def test_without_a_single_day_there_is_no_vote():
    slices = lungs(5, seed=1)
    undated = type(slices)(
        slices.images,
        slices.group,
        np.full(20, np.nan, np.float32),
        slices.patient,
        slices.patients,
        slices.scans,
    )
    reference = make_reference(undated, lungs(5, seed=2))
    assert reference.day_error is None
    with pytest.raises(DataError, match="--seen"):
        votes_on_day(reference, slices.images[0])


def test_too_few_unseen_slices_judge_nothing():
    with pytest.raises(DataError, match="hold out 20"):
        make_reference(lungs(5, seed=1), lungs(4, seed=2))


def test_a_reference_is_the_same_after_writing(reference, tmp_path):
    image = lungs(1, seed=6).images[1]
    assert read_reference(tmp_path) is None
    write_reference(reference, tmp_path)
    again = read_reference(tmp_path)
    assert again is not None
    assert familiarity(again, image) == familiarity(reference, image)
    assert np.array_equal(votes_on_day(again, image).days, votes_on_day(reference, image).days)
    (tmp_path / "familiar.safetensors").write_bytes(b"short")
    with pytest.raises(DataError, match="damaged"):
        read_reference(tmp_path)
