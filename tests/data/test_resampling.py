"""Resizing: constants stay, probabilities still sum to one, areas are kept, labels are never mixed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasslung.data.resampling import resample, resample_labels, resampling
from glasslung.errors import ShapeError

lengths = st.integers(1, 70)


@given(lengths, lengths)
def test_every_new_pixel_is_a_mean_of_old_ones(length, size):
    matrix = resampling(length, size)
    assert matrix.shape == (size, length)
    assert matrix.min() >= 0
    np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-5)


@given(lengths, st.data())
def test_shrinking_keeps_the_mean(length, data):
    size = data.draw(st.integers(1, length))
    values = np.random.default_rng(length).random(length)
    shrunk = resampling(length, size) @ values
    assert shrunk.mean() == pytest.approx(values.mean(), abs=1e-4)


def test_halving_averages_blocks_of_four():
    image = np.random.default_rng(0).random((8, 6)).astype(np.float32)
    slow = np.array(
        [[image[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean() for j in range(3)] for i in range(4)]
    )
    np.testing.assert_allclose(resample(image, 4, 3), slow, atol=1e-6)


def test_growing_is_bilinear_between_centres():
    import torch

    image = np.random.default_rng(1).random((2, 7, 5)).astype(np.float32)
    theirs = torch.nn.functional.interpolate(torch.from_numpy(image)[None], size=(20, 13), mode="bilinear")
    np.testing.assert_allclose(resample(image, 20, 13), theirs[0].numpy(), atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(lengths, lengths, lengths, lengths)
def test_probabilities_still_sum_to_one(height, width, tall, wide):
    maps = np.random.default_rng(height).random((3, height, width)) + 1e-3
    maps /= maps.sum(0)
    np.testing.assert_allclose(resample(maps, tall, wide).sum(0), 1, atol=1e-4)


@given(lengths, lengths)
def test_labels_keep_their_values_and_shape(height, size):
    mask = np.random.default_rng(height).integers(-1, 4, (height, height)).astype(np.int8)
    other = resample_labels(mask, size, size)
    assert other.shape == (size, size) and other.dtype == np.int8
    assert set(np.unique(other)) <= set(np.unique(mask))


@given(st.integers(1, 40), st.integers(1, 5))
def test_labels_that_grow_whole_times_shrink_back_exactly(length, times):
    mask = np.random.default_rng(length).integers(0, 4, (length, length))
    grown = resample_labels(mask, length * times, length * times)
    assert np.array_equal(resample_labels(grown, length, length), mask)


def test_nothing_cannot_be_resized():
    with pytest.raises(ShapeError, match="cannot be resized"):
        resample(np.zeros((0, 4)), 3, 3)
