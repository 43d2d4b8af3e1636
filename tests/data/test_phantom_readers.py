"""Simulated readers: called so, better than chance, worse than the truth, each with a lean of their own."""

from __future__ import annotations

import numpy as np
import pytest

from glasslung.data.phantom.readers import NAME, Eyes, simulate_readers
from glasslung.data.readers import read_readers, write_readers
from glasslung.errors import ShapeError
from glasslung.measure.ranking import auc


def ward(count=400, seed=0):
    rng = np.random.default_rng(seed)
    covid = rng.random(count) < 0.5
    burden = rng.gamma(2.0, 8.0, count)
    prior = np.where(rng.random(count) < 0.7, burden * rng.uniform(0.4, 1.2, count), np.nan)
    days = np.where(np.isnan(prior), np.nan, rng.uniform(2, 8, count))
    names = [f"p{n}" for n in range(count)]
    return names, [f"s{n}" for n in range(count)], covid, burden, prior, days


def test_they_are_called_simulated_and_see_the_truth_through_noise():
    patients, scans, covid, burden, prior, days = ward()
    found = simulate_readers(patients, scans, covid, burden, np.random.default_rng(1), prior, days)
    assert list(found) == ["diagnosis", "prognosis one scan", "prognosis two scans"]
    for one in found.values():
        assert one.readers == (f"{NAME} 1", f"{NAME} 2")
        assert one.rating.shape == (400, 2)
    calls = found["diagnosis"].rating
    right = (calls == covid[:, None]).mean(0)
    assert (right > 0.65).all()
    assert (right < 0.99).all()
    assert right[0] != right[1]
    high = found["prognosis one scan"].rating
    assert 0.65 < auc(high[:, 0] > 0, burden) < 0.99
    assert high[:, 0].mean() > 0.5 > high[:, 1].mean()  # one calls readily, the other holds back
    both = found["prognosis two scans"].rating
    np.testing.assert_array_equal(np.isnan(both[:, 0]), np.isnan(prior))
    growing = (burden - prior)[~np.isnan(prior)]
    assert auc(both[~np.isnan(prior), 0] > 0, growing) > 0.55


def test_without_noise_they_are_always_right_where_it_is_plain():
    patients, scans, covid, burden, _, _ = ward()
    found = simulate_readers(
        patients, scans, covid, np.maximum(burden, 3.0), np.random.default_rng(1), eyes=(Eyes(1e-9, 0.0),)
    )
    assert list(found) == ["diagnosis", "prognosis one scan"]
    np.testing.assert_array_equal(found["diagnosis"].rating[:, 0], covid)


def test_the_same_seed_says_the_same_and_their_table_can_be_read(tmp_path):
    patients, scans, covid, burden, _, _ = ward(20)
    one, two = (simulate_readers(patients, scans, covid, burden, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one["diagnosis"].rating, two["diagnosis"].rating)
    again = read_readers(write_readers(one, tmp_path))
    np.testing.assert_array_equal(again["diagnosis"].rating, one["diagnosis"].rating)


def test_columns_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError):
        simulate_readers(["p"], ["s", "t"], np.ones(2, bool), np.ones(2), np.random.default_rng(0))
