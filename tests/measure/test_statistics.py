"""Intervals by patient: slow and fast agree, coverage is right, scans of a patient stay together."""

from __future__ import annotations

import numpy as np
import pytest

from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.measure.statistics import (
    Interval,
    bootstrap_by_patient,
    cramers_v,
    cramers_v_interval,
    draw_patients,
    mcnemar,
    paired_difference,
    patient_codes,
    share_by_patient,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def mean_weighted(values, weights):
    return (weights * values).sum(1) / weights.sum(1)


def slow_bootstrap(values, patients, draws, generator):
    """Patient by patient: the same draws, the rows gathered one by one."""
    names = sorted(set(patients))
    counts = generator.multinomial(len(names), [1 / len(names)] * len(names), size=draws)
    means = []
    for count in counts:
        rows = []
        for name, times in zip(names, count, strict=True):
            for _ in range(times):
                rows += [v for v, p in zip(values, patients, strict=True) if p == name]
        means.append(sum(rows) / len(rows))
    return np.quantile(means, [0.025, 0.975])


def test_both_faces_agree_with_the_slow_twin():
    values = rng(1).normal(size=30)
    patients = np.array([f"p{i // 3}" for i in range(30)])
    low, high = slow_bootstrap(values, patients, 200, rng(5))
    looped = bootstrap_by_patient(lambda v: float(v.mean()), patients, values, rng=rng(5), draws=200)
    fast = bootstrap_by_patient(mean_weighted, patients, values, rng=rng(5), draws=200, weighted=True)
    for interval in (looped, fast):
        assert interval.value == pytest.approx(values.mean())
        assert (interval.low, interval.high) == pytest.approx((low, high))
    assert looped.patients == 10
    assert looped.draws == 200


def test_scans_of_a_patient_move_together():
    """Ten copies of each scan of a patient teach nothing: the interval must not shrink."""
    values = rng(2).normal(size=25)
    patients = np.arange(25)
    once = bootstrap_by_patient(mean_weighted, patients, values, rng=rng(), weighted=True)
    often = bootstrap_by_patient(
        mean_weighted, np.repeat(patients, 10), np.repeat(values, 10), rng=rng(), weighted=True
    )
    assert (often.low, often.high) == pytest.approx((once.low, once.high))


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    generator = rng(3)
    hits = 0
    for _ in range(200):
        patient_effect = generator.normal(size=40)
        patients = np.repeat(np.arange(40), 3)
        values = patient_effect[patients] + 0.1 * generator.normal(size=120)
        hits += not bootstrap_by_patient(
            mean_weighted, patients, values, rng=generator, draws=300, weighted=True
        ).excludes(0.0)
    assert 0.88 <= hits / 200 <= 0.99


def test_every_stratum_keeps_its_number_of_patients():
    codes = np.array([0, 0, 1, 2, 3, 4, 4])
    strata = np.array(["a", "a", "a", "b", "b", "b", "b"])
    counts = draw_patients(codes, 100, rng(), strata)
    assert (counts[:, :2].sum(1) == 2).all()
    assert (counts[:, 2:].sum(1) == 3).all()
    with pytest.raises(DataError, match="two strata"):
        draw_patients(codes, 5, rng(), np.array(["a", "b", "a", "b", "b", "b", "b"]))


def test_row_order_does_not_matter():
    values, patients = rng(4).normal(size=40), np.array([f"p{i % 13}" for i in range(40)])
    order = rng(9).permutation(40)
    one = bootstrap_by_patient(mean_weighted, patients, values, rng=rng(), weighted=True)
    two = bootstrap_by_patient(mean_weighted, patients[order], values[order], rng=rng(), weighted=True)
    assert (one.low, one.high) == pytest.approx((two.low, two.high))


def test_paired_difference_is_tighter_than_the_two_apart():
    generator = rng(6)
    truth = np.zeros(60)
    hard = generator.normal(size=60) * 3
    first, second = hard, hard + 0.5 + 0.1 * generator.normal(size=60)

    def error(truth, score):
        return float((score - truth).mean())

    both = paired_difference(error, np.arange(60), truth, first, second, rng=rng(), draws=400)
    alone = bootstrap_by_patient(error, np.arange(60), truth, second, rng=rng(), draws=400)
    assert both.value == pytest.approx((second - first).mean())
    assert both.high - both.low < 0.2 * (alone.high - alone.low)
    assert both.excludes(0.0)


def slow_cramers_v(first, second):
    """Bergsma's formula, cell by cell."""
    n = len(first)
    rows, columns = sorted(set(first)), sorted(set(second))
    phi2 = 0.0
    for a in rows:
        for b in columns:
            seen = sum(x == a and y == b for x, y in zip(first, second, strict=True))
            expected = sum(x == a for x in first) * sum(y == b for y in second) / n
            phi2 += (seen - expected) ** 2 / expected / n
    r, c = len(rows), len(columns)
    phi2 = max(0.0, phi2 - (r - 1) * (c - 1) / (n - 1))
    shrunk = min(r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)) - 1
    return (phi2 / shrunk) ** 0.5


def test_cramers_v_is_the_slow_formula():
    generator = rng(7)
    first = generator.integers(0, 4, size=80)
    second = (first + generator.integers(0, 2, size=80)) % 3
    fast = cramers_v(first, second, np.ones((1, 80)))[0]
    assert fast == pytest.approx(slow_cramers_v(list(first), list(second)))
    weights = generator.integers(0, 3, size=(1, 80))
    repeated = slow_cramers_v(list(np.repeat(first, weights[0])), list(np.repeat(second, weights[0])))
    assert cramers_v(first, second, weights.astype(float))[0] == pytest.approx(repeated)


def test_cramers_v_landmarks():
    label = np.array(["covid", "other"] * 50)
    site = np.where(label == "covid", "A", "B")
    assert cramers_v_interval(label, site, np.arange(100), rng=rng()).value == pytest.approx(1.0)
    unrelated = rng(8).choice(["A", "B", "C"], size=100)
    assert cramers_v_interval(label, unrelated, np.arange(100), rng=rng()).low < 0.1
    assert cramers_v_interval(label, np.full(100, "A"), np.arange(100), rng=rng()).value == 0.0


def test_an_interval_reads_well_and_a_wrong_call_is_told():
    assert str(Interval(0.912, 0.88, 0.9444, 0.95, 2000, 80)) == "0.91 [0.88, 0.94]"
    values = np.arange(4.0)
    with pytest.raises(ShapeError, match="one row per scan"):
        bootstrap_by_patient(mean_weighted, ["a", "b"], values, rng=rng(), weighted=True)
    with pytest.raises(DataError, match="two patients"):
        bootstrap_by_patient(mean_weighted, ["a"] * 4, values, rng=rng(), weighted=True)
    with pytest.raises(UsageError, match="level"):
        bootstrap_by_patient(mean_weighted, list("abcd"), values, rng=rng(), level=95, weighted=True)
    with pytest.raises(DataError, match="undefined"):
        bootstrap_by_patient(
            lambda v: float("nan") if (v == 0).any() else 1.0, list("abcd"), values, rng=rng()
        )


def test_patient_numbers_follow_the_names():
    assert patient_codes(["b", "a", "b", "c"]).tolist() == [1, 0, 1, 2]


def test_mcnemar_counts_who_is_right_alone():
    from scipy.stats import binomtest

    truth = np.ones(20, bool)
    first, second = np.arange(20) < 15, np.arange(20) >= 12
    found = mcnemar(truth, first, second)
    assert (found.only_first, found.only_second) == (12, 5)
    assert found.p == pytest.approx(binomtest(5, 17).pvalue)
    assert mcnemar(truth, first, first).p == 1
    turned = mcnemar(~truth, ~first, ~second)
    assert turned == found


def test_mcnemar_lets_a_patient_speak_once():
    truth = np.ones(9, bool)
    first = np.array([1, 1, 0, 1, 0, 0, 1, 1, 1], bool)
    second = np.array([0, 0, 1, 0, 1, 1, 1, 1, 1], bool)
    patients = list("aaabbbccc")  # a: two to one for the first; b: one to two; c: no difference
    found = mcnemar(truth, first, second, patients)
    assert (found.only_first, found.only_second) == (1, 1)
    with pytest.raises(ShapeError, match="one per scan"):
        mcnemar(truth, first, second, "ab")
    with pytest.raises(ShapeError, match="must be"):
        mcnemar(truth, first[:3], second)


def test_a_share_of_all_is_not_certain():
    patients = np.arange(24) // 2
    found = share_by_patient(np.ones(24, bool), patients, rng=rng())
    assert (found.value, found.high) == (1, 1)
    assert found.low == pytest.approx(0.025 ** (1 / 12))
    some = share_by_patient(np.arange(24) < 6, patients, rng=rng())
    assert 0 <= some.low < 0.25 < some.high < 1
