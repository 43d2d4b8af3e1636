"""Neighbours against a slow twin; groups told by neighbours, and not told where there is nothing to tell."""

import numpy as np
import pytest

from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.measure.nearby import nearest, told, told_by_neighbours


def slow_nearest(codes, k, units):
    rows = []
    for one in range(len(codes)):
        others = [r for r in range(len(codes)) if units[r] != units[one]]
        rows.append(sorted(others, key=lambda r: (np.linalg.norm(codes[one] - codes[r]), r))[:k])
    return np.array(rows)


def test_neighbours_are_those_of_the_definition():
    rng = np.random.default_rng(0)
    codes, units = rng.normal(size=(60, 5)), rng.integers(0, 20, 60)
    for owners in (np.arange(60), units):
        found = nearest(codes, 4, owners)
        assert np.array_equal(found.rows, slow_nearest(codes, 4, owners))
        away = np.linalg.norm(codes[:, None] - codes[found.rows], axis=2)
        assert np.allclose(found.distances, away)
        assert np.allclose(found.apart, away.mean(1))


def test_more_rows_than_fit_at_once_give_the_same():
    codes = np.random.default_rng(1).normal(size=(1100, 3))
    found = nearest(codes, 3)
    few = np.array([0, 511, 512, 1099])
    table = np.linalg.norm(codes[few, None] - codes[None], axis=2)
    table[np.arange(4), few] = np.inf
    assert np.array_equal(found.rows[few], np.argsort(table, axis=1)[:, :3])


def test_twins_have_distance_zero_and_are_neighbours():
    codes = np.random.default_rng(2).normal(size=(10, 4)) * 1e4
    codes[7] = codes[2]
    found = nearest(codes, 1)
    assert found.rows[7, 0] == 2
    assert found.distances[7, 0] == 0


@pytest.mark.parametrize("k", [0, 6, 9])
def test_too_many_neighbours_are_refused(k):
    with pytest.raises(UsageError):
        nearest(np.eye(9), k, np.array([0, 0, 0, 0, 1, 2, 3, 4, 5]))


def test_codes_that_are_no_numbers_are_refused():
    with pytest.raises(ShapeError):
        nearest(np.full((5, 2), np.nan), 1)


def test_a_source_that_stands_apart_is_told_and_one_that_does_not_is_not():
    rng = np.random.default_rng(3)
    codes = rng.normal(size=(120, 4))
    source = np.repeat(["a", "b"], 60)
    nothing = told_by_neighbours(codes, source, np.arange(120), rng=np.random.default_rng(0))
    assert nothing.accuracy.low < nothing.chance_high
    assert 0.4 < nothing.chance < 0.6
    assert nothing.p > 0.02
    codes[60:] += 3
    apart = told_by_neighbours(codes, source, np.arange(120), rng=np.random.default_rng(0))
    assert apart.accuracy.value > 0.9
    assert apart.accuracy.low > apart.chance_high
    assert apart.p == pytest.approx(1 / 200)
    assert apart.groups == ("a", "b") and apart.counts == (60, 60)


def test_pictures_of_one_patient_do_not_give_its_source_away():
    """Every patient is a tight cloud of its own; sources are dealt to patients by chance."""
    rng = np.random.default_rng(4)
    patients = np.repeat(np.arange(30), 6)
    codes = (10 * rng.normal(size=(30, 3)))[patients] + 0.01 * rng.normal(size=(180, 3))
    source = rng.permutation(np.repeat(["a", "b"], 15))[patients]
    fair = told_by_neighbours(codes, source, patients, rng=np.random.default_rng(0), k=6)
    naive = told_by_neighbours(codes, source, np.arange(180), rng=np.random.default_rng(0), k=5)
    assert naive.accuracy.value > 0.95  # what one would believe without minding patients
    assert fair.accuracy.low < fair.chance_high
    assert fair.shuffled == "patients"


def test_a_large_group_does_not_win_by_its_size():
    truth = np.array([0] * 90 + [1] * 10)
    rows = np.array([[0, 1, 2, 95]])  # three of ninety against one of ten
    assert told(rows, truth, 2)[0] == 1


def test_ties_go_to_the_nearer():
    truth = np.array([0, 0, 1, 1])
    assert told(np.array([[0, 2]]), truth, 2)[0] == 0
    assert told(np.array([[2, 0]]), truth, 2)[0] == 1


def test_groups_of_few_patients_are_not_asked():
    with pytest.raises(DataError, match="'rare' of 2"):
        told_by_neighbours(
            np.random.default_rng(0).normal(size=(20, 2)),
            np.array(["rare"] * 2 + ["often"] * 18),
            np.arange(20),
            rng=np.random.default_rng(0),
        )
