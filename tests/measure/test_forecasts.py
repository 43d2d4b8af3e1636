"""Forecast errors, naive forecasts, and the paired comparison."""

from __future__ import annotations

import numpy as np
import pytest

from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.measure.forecasts import (
    GROUP_MEAN_CHANGE,
    NO_CHANGE,
    compare_forecasts,
    group_grey_change,
    group_mean_change,
    image_error,
    volume_error,
)


def test_errors_are_taken_inside_the_lungs():
    rng = np.random.default_rng(0)
    truth, forecast = rng.random((3, 5, 6)), rng.random((3, 5, 6))
    lungs = rng.random((3, 5, 6)) < 0.5
    slow = [
        sum(abs(f[i] - t[i]) for i in np.ndindex(5, 6) if m[i]) / m.sum()
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


def test_the_group_mean_change_of_volumes_and_images():
    last, before, after = np.array([1.0, 4.0]), np.array([2.0, 4.0]), np.array([2.0, 3.0, 1.0])
    assert group_mean_change(last, before, after) == pytest.approx([0.0, 3.0])
    images = np.full((2, 3, 3), 0.9)
    risen = group_mean_change(images, np.zeros((4, 3, 3)), np.full((5, 3, 3), 0.3))
    assert risen == pytest.approx(np.ones((2, 3, 3)))
    with pytest.raises(DataError):
        group_mean_change(last, before[:0], after)
    with pytest.raises(ShapeError):
        group_mean_change(images, before, after)


def test_the_grey_change_stays_inside_each_lung():
    last = np.zeros((1, 4, 4))
    lungs = np.zeros((1, 4, 4), bool)
    lungs[0, 1:3] = True
    last[lungs] = 0.3
    train = np.where(lungs, 0.2, 0.0), lungs
    later = np.where(lungs, 0.5, 0.0), lungs
    found = group_grey_change(last, lungs, train, later)
    assert found[lungs] == pytest.approx(np.full(8, 0.6)) and (found[~lungs] == 0).all()


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
