"""Forecast errors, naive forecasts, and the paired comparison."""

from __future__ import annotations

import numpy as np
import pytest

from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.measure.forecasts import (
    GROUP_MEAN_CHANGE,
    NO_CHANGE,
    OPAQUE_GREY,
    add_change,
    compare_forecasts,
    group_mean_change,
    group_mean_load,
    image_error,
    opaque_within,
    volume_error,
)


def test_errors_are_taken_inside_the_lungs():
    rng = np.random.default_rng(0)
    truth, forecast = rng.random((3, 5, 6)), rng.random((3, 5, 6))
    lungs = rng.random((3, 5, 6)) < 0.5
    slow = [
        (sum((f[i] - t[i]) ** 2 for i in np.ndindex(5, 6) if m[i]) / m.sum()) ** 0.5
        for t, f, m in zip(truth, forecast, lungs, strict=True)
    ]
    assert image_error(truth, forecast, lungs) == pytest.approx(slow)
    assert image_error(truth, np.where(lungs, truth, 0.9), lungs) == pytest.approx(np.zeros(3))
    lungs[1] = False
    with pytest.raises(DataError, match="slice 1 has no lung"):
        image_error(truth, forecast, lungs)
    with pytest.raises(ShapeError):
        image_error(truth[:1], forecast[:2], lungs[:1])


def test_grey_values_of_eight_bits_do_not_wrap_round():
    truth, forecast = np.full((1, 2, 2), 10, np.uint8), np.full((1, 2, 2), 250, np.uint8)
    assert image_error(truth, forecast, np.ones((1, 2, 2), bool)) == pytest.approx([240])


def test_volume_errors():
    assert volume_error(np.array([1.0, 5.0]), np.array([2.0, 3.0])) == pytest.approx([1, 2])
    with pytest.raises(DataError):
        volume_error(np.array([1.0]), np.array([np.nan]))
    with pytest.raises(ShapeError):
        volume_error(np.array([1.0]), np.array([1.0, 2.0]))


def test_the_opaque_share_is_counted_in_the_true_lungs():
    images = np.zeros((1, 4, 4))
    lungs = np.zeros((1, 4, 4), bool)
    lungs[0, :2] = True
    images[0, 0, :3], images[0, 3] = OPAQUE_GREY + 0.01, 1.0  # three of eight, and dense tissue outside
    images[0, 1, 0] = OPAQUE_GREY
    assert opaque_within(images, lungs) == pytest.approx([3 / 8])
    assert opaque_within(images, lungs, above=0.4) == pytest.approx([4 / 8])


def test_the_group_mean_change_of_volumes():
    last, before, after = np.array([1.0, 4.0]), np.array([2.0, 4.0]), np.array([2.0, 3.0, 1.0])
    assert group_mean_load(last, before, after) == pytest.approx([0.0, 3.0])
    with pytest.raises(DataError):
        group_mean_load(last, before[:0], after)
    with pytest.raises(ShapeError):
        group_mean_load(last, np.zeros((2, 3)), after)


def test_the_group_mean_change_of_images_is_that_of_lung_at_each_place():
    rng = np.random.default_rng(3)
    before, after, last = (np.where(rng.random((n, 4, 5)) < 0.6, rng.random((n, 4, 5)), 0) for n in (6, 7, 3))
    before[:, 1, 1] = 0.0  # never lung here: the mean of all lung stands in
    found = group_mean_change(last, before, after, lung_above=0.1)

    def mean_at(images, row, column):
        lung = [image[row, column] for image in images if image[row, column] > 0.1]
        return np.mean(lung) if lung else np.mean([grey for grey in images.flat if grey > 0.1])

    for patient, row, column in np.ndindex(last.shape):
        grey = last[patient, row, column]
        grown = np.clip(grey + mean_at(after, row, column) - mean_at(before, row, column), 0, 1)
        assert found[patient, row, column] == pytest.approx(grown if grey > 0.1 else grey)
    with pytest.raises(ShapeError):
        group_mean_change(last, before[:, :3], after)
    with pytest.raises(DataError, match="with lung"):
        group_mean_change(last, np.zeros((2, 4, 5)), after)


def test_what_a_method_cannot_show_stays_as_it_was_seen():
    last = np.array([[[0.0, 0.4], [0.9, 0.6]]])
    blurred = np.full((1, 2, 2), 0.5)
    assert np.array_equal(add_change(last, blurred, blurred), last)
    assert add_change(last, blurred, blurred + 0.2) == pytest.approx(np.array([[[0.0, 0.6], [1.0, 0.8]]]))
    with pytest.raises(ShapeError):
        add_change(last, blurred[:, :1], blurred)


def test_a_better_forecast_beats_both_naive_ones_and_an_equal_one_does_not():
    rng = np.random.default_rng(1)
    hard = rng.gamma(2, 1, 60)  # some patients are hard for everyone
    errors = {
        NO_CHANGE: hard + 0.1 * rng.normal(size=60),
        GROUP_MEAN_CHANGE: hard + 0.1 * rng.normal(size=60),
        "better": hard - 0.2 + 0.1 * rng.normal(size=60),
        "equal": hard + 0.1 * rng.normal(size=60),
    }
    scores = {s.name: s for s in compare_forecasts(errors, np.arange(60), rng=rng)}
    assert list(scores) == list(errors)
    assert scores["better"].beats_all and not scores["equal"].beats_all
    assert scores["better"].error.high > scores[NO_CHANGE].error.low  # only the pairing shows it
    assert list(scores[NO_CHANGE].against) == [GROUP_MEAN_CHANGE]
    against = scores["better"].against[NO_CHANGE]
    assert against.value == pytest.approx((errors["better"] - errors[NO_CHANGE]).mean())


def test_slices_of_one_patient_are_one_patient():
    rng = np.random.default_rng(2)
    gain = rng.normal(0.0, 1, 8)
    patients = np.repeat(np.arange(8), 20)
    errors = {NO_CHANGE: np.ones(160), "other": 1 + gain[patients]}
    by_patient = compare_forecasts(errors, patients, rng=rng, naive=[NO_CHANGE])[1].against[NO_CHANGE]
    by_slice = compare_forecasts(errors, np.arange(160), rng=rng, naive=[NO_CHANGE])[1].against[NO_CHANGE]
    assert by_patient.high - by_patient.low > 3 * (by_slice.high - by_slice.low)


def test_the_naive_forecasts_must_be_there():
    with pytest.raises(UsageError, match="no errors of"):
        compare_forecasts({"x": np.ones(4)}, np.arange(4), rng=np.random.default_rng(0))
    with pytest.raises(ShapeError):
        compare_forecasts(
            {NO_CHANGE: np.ones(3)}, np.arange(4), rng=np.random.default_rng(0), naive=[NO_CHANGE]
        )
