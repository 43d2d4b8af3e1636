"""Leakage, prior hole and the permutation test on clouds whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.measure.featuresets import feature_set
from glasslung.measure.separability import (
    leakage,
    mean_auc,
    mmd_permutation,
    multiquadric_kernel,
    out_of_fold,
    prior_hole,
    told_rightly,
)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_latents_without_a_trace_are_at_chance_and_shifted_ones_are_read():
    group, latents = np.arange(200) % 4, rng(1).normal(size=(200, 20))
    blind = leakage(latents, group, np.arange(200), rng=rng(), draws=300)
    assert blind.chance == 0.25 and not blind.balanced_accuracy.excludes(0.25)
    told = leakage(latents + 2.0 * np.eye(4, 20)[group], group, np.arange(200), rng=rng(), draws=300)
    assert told.balanced_accuracy.low > 0.6
    assert not blind.mean_auc.excludes(0.5) and told.mean_auc.low > 0.8


def test_a_small_group_in_many_dimensions_is_seen_by_the_auc():
    group = (np.arange(300) < 30).astype(int)
    latents = rng(30).normal(size=(300, 600)) + 0.12 * group[:, None]
    found = leakage(latents, group, np.arange(300), rng=rng(), kind="linear", draws=300)
    assert found.mean_auc.low > 0.6
    assert found.mean_auc.value > found.balanced_accuracy.value + 0.1


def test_the_mean_auc_is_counted_pair_by_pair():
    truth, chances = np.arange(12) % 3, rng(31).random((12, 3)).round(1)
    slow = []
    for kind in range(3):
        wins = [
            float(chances[i, kind] > chances[j, kind]) + 0.5 * (chances[i, kind] == chances[j, kind])
            for i in range(12)
            for j in range(12)
            if truth[i] == kind and truth[j] != kind
        ]
        slow.append(np.mean(wins))
    assert mean_auc(truth, chances, np.arange(12), rng=rng()).value == pytest.approx(np.mean(slow))


def test_only_the_quadratic_reader_sees_another_width():
    group = np.arange(300) % 2
    latents = rng(2).normal(size=(300, 30)) * np.where(group, 1.0, 0.6)[:, None]
    linear = leakage(latents, group, np.arange(300), rng=rng(), kind="linear", draws=300)
    quadratic = leakage(latents, group, np.arange(300), rng=rng(), draws=300)
    assert linear.balanced_accuracy.high < 0.65 and quadratic.balanced_accuracy.low > 0.9


def test_scans_of_one_patient_do_not_teach_each_other():
    """Each patient has a signature of his own, no group has: told by scan, not by patient."""
    patients = np.repeat(np.arange(40), 5)
    latents = rng(3).normal(size=(40, 10))[patients] + 0.01 * rng(4).normal(size=(200, 10))
    group = rng(5).permutation(np.arange(40) % 2)[patients]
    fair = leakage(latents, group, patients, rng=rng(), kind="forest", draws=300)
    naive = leakage(latents, group, np.arange(200), rng=rng(), kind="forest", draws=300)
    assert naive.balanced_accuracy.value > 0.95
    assert fair.balanced_accuracy.value < 0.75


def test_chances_sum_to_one_and_every_row_has_its_own():
    codes = np.arange(60) % 3
    chances = out_of_fold(rng(6).normal(size=(60, 4)), codes, np.arange(60), rng=rng())
    assert chances.sum(1) == pytest.approx(np.ones(60)) and chances.shape == (60, 3)
    with pytest.raises(DataError, match="5 folds"):
        out_of_fold(np.zeros((8, 2)), np.arange(8) % 2, np.arange(8), rng=rng())
    with pytest.raises(ShapeError):
        out_of_fold(np.zeros((8, 2)), np.arange(7), np.arange(8), rng=rng())
    with pytest.raises(UsageError, match="linear, quadratic, forest"):
        leakage(rng().normal(size=(20, 2)), np.arange(20) % 2, np.arange(20), rng=rng(), kind="svm")


def test_balanced_accuracy_is_the_mean_of_the_groups():
    truth = np.array([0] * 8 + [1] * 2)
    answer = np.array([0] * 6 + [1] * 2 + [1, 0])
    found = told_rightly(truth, answer, np.arange(10), rng=rng())
    assert found.value == pytest.approx((6 / 8 + 1 / 2) / 2)
    patients = np.array([0, 1, 2, 3, 4, 5, 6, 7, 0, 1])  # two patients have scans in both groups
    assert told_rightly(truth, answer, patients, rng=rng()).value == found.value


# ------------------------------------------------------------------------------------------ prior hole


def test_owners_like_the_prior_leave_no_hole():
    prior, owners = feature_set(rng(7).normal(size=(300, 6))), feature_set(rng(8).normal(size=(300, 6)))
    found = prior_hole(prior, owners, rng=rng(), draws=300)
    assert abs(found.auc.value - 0.5) < 0.1
    assert found.owner_mass.value == pytest.approx(0.95, abs=0.04)


def test_owners_of_a_quarter_of_the_prior_are_found_to_fill_a_quarter():
    """Four clouds far apart make the prior; the owners have one of them."""
    centres = 8.0 * np.eye(4)
    prior = centres[rng(9).integers(0, 4, 800)] + rng(10).normal(size=(800, 4))
    owners = centres[0] + rng(11).normal(size=(200, 4))
    found = prior_hole(feature_set(prior), feature_set(owners), rng=rng(), draws=300)
    assert found.owner_mass.low < 0.25 * 0.95 < found.owner_mass.high
    assert found.owner_mass.high < 0.35 and found.auc.low > 0.8


def test_a_narrow_posterior_is_a_hole_too():
    prior, owners = rng(12).normal(size=(300, 20)), 0.5 * rng(13).normal(size=(300, 20))
    found = prior_hole(feature_set(prior), feature_set(owners), rng=rng(), draws=300)
    assert found.auc.low > 0.95 and found.owner_mass.high < 0.2
    with pytest.raises(UsageError):
        prior_hole(feature_set(prior), feature_set(owners), rng=rng(), recall=1.0)


# ---------------------------------------------------------------------------------------- permutations


def slow_mmd(gram, first, second):
    inside = [np.mean([gram[i, j] for i in one for j in one if i != j]) for one in (first, second)]
    return sum(inside) - 2 * np.mean([gram[i, j] for i in first for j in second])


def slow_kernel(rows):
    squared = np.array([[sum((a - b) ** 2) for b in rows] for a in rows])
    middle = np.median([squared[i, j] for i in range(len(rows)) for j in range(i + 1, len(rows))])
    return np.array(
        [[np.mean([1 / (1 + d / (s * middle)) for s in (0.25, 1, 4)]) for d in row] for row in squared]
    )


def test_the_test_statistic_is_its_formula():
    first, second = rng(14).normal(size=(7, 3)), rng(15).normal(size=(9, 3)) + 0.5
    both = np.concatenate([first, second])
    assert multiquadric_kernel(both) == pytest.approx(slow_kernel(both))
    found = mmd_permutation(feature_set(first), feature_set(second), rng=rng(), permutations=19)
    assert found.mmd == pytest.approx(slow_mmd(slow_kernel(both), range(7), range(7, 16)))


def test_p_is_even_where_nothing_differs_and_small_where_something_does():
    ps = []
    for seed in range(80):
        draw = rng(seed)
        sets = feature_set(draw.normal(size=(15, 3))), feature_set(draw.normal(size=(20, 3)))
        ps.append(mmd_permutation(*sets, rng=draw, permutations=99).p)
    assert 0.35 < np.mean(ps) < 0.65 and np.mean(np.array(ps) <= 0.1) < 0.25
    apart = mmd_permutation(
        feature_set(rng(16).normal(size=(30, 3))), feature_set(rng(17).normal(size=(30, 3)) + 1.5), rng=rng()
    )
    assert apart.p == 1 / 1000


def test_many_scans_of_few_patients_prove_little():
    """Ten scans each of three patients against three: by scan they differ, by patient p is 1/20 at best."""
    first, second = rng(18).normal(size=(3, 4)), rng(19).normal(size=(3, 4))
    units = np.repeat(np.arange(3), 10)
    sets = [feature_set(one[units] + 0.01 * rng(20).normal(size=(30, 4)), units) for one in (first, second)]
    assert mmd_permutation(*sets, rng=rng()).p > 0.02
    with pytest.raises(DataError, match="same"):
        mmd_permutation(feature_set(np.zeros((5, 2))), feature_set(np.zeros((5, 2))), rng=rng())
