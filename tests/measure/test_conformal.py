"""Conformal answers: the promised coverage, the definition by p-values, and what too few scans do."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glasslung.errors import DataError, UsageError
from glasslung.measure.conformal import (
    Answer,
    Conformal,
    fit_conformal,
    limit_of,
    measure_coverage,
)


def made(generator, scans, apart=2.0):
    truth = generator.random(scans) < 0.4
    return truth, 1 / (1 + np.exp(-(apart * (truth - 0.5) + generator.normal(size=scans))))


@pytest.mark.parametrize(("level", "apart"), [(0.9, 2.0), (0.8, 0.0), (0.9, 8.0)])
def test_both_classes_are_covered_as_promised_on_exchangeable_scans(level, apart):
    """Mean coverage over many validation sets lies in [level, level + 1 / (n + 1)], whatever the score."""
    generator, kept = np.random.default_rng(0), []
    for _ in range(400):
        truth = np.arange(60) < 25
        logit = apart * (truth - 0.5) + generator.normal(size=60)
        conformal = fit_conformal(truth, 1 / (1 + np.exp(-logit)), level)
        truth = np.arange(200) < 100
        logit = apart * (truth - 0.5) + generator.normal(size=200)
        with_it, without = conformal.kept(1 / (1 + np.exp(-logit)))
        kept.append((with_it[truth].mean(), without[~truth].mean()))
    for mean, scans in zip(np.mean(kept, axis=0), (25, 35), strict=True):
        assert level - 0.012 <= mean <= level + 1 / (scans + 1) + 0.012


PROBABILITIES = st.lists(st.integers(0, 10).map(lambda n: n / 10), min_size=1, max_size=15)


@given(PROBABILITIES, PROBABILITIES, st.integers(0, 10), st.sampled_from([0.5, 0.7, 0.8, 0.9, 0.95]))
@settings(deadline=None, max_examples=100)
def test_the_quantile_is_the_rule_by_p_values(sick, well, tenth, level):
    """A class is kept where its p-value is above 1 - level: counting, without any quantile."""
    truth = np.r_[np.ones(len(sick), bool), np.zeros(len(well), bool)]
    conformal = fit_conformal(truth, np.array(sick + well), level)
    with_it, without = conformal.kept(np.array([tenth / 10]))
    p_with, p_without = conformal.p_values(tenth / 10)
    assert with_it[0] == (p_with > 1 - level + 1e-9)
    assert without[0] == (p_without > 1 - level + 1e-9)


def test_the_four_answers():
    sick, well = np.linspace(0.55, 0.95, 19), np.linspace(0.05, 0.45, 19)
    truth = np.r_[np.ones(19, bool), np.zeros(19, bool)]
    conformal = fit_conformal(truth, np.r_[sick, well])
    assert conformal.answer(0.9) is Answer.WITH
    assert conformal.answer(0.1) is Answer.WITHOUT
    assert conformal.answer(0.5) is Answer.UNFAMILIAR
    unsure = fit_conformal(truth, np.r_[sick - 0.3, well + 0.3])
    assert unsure.answer(0.5) is Answer.CANNOT_TELL
    asked = np.array([0.9, 0.1, 0.5])
    assert conformal.answers(asked).tolist() == [conformal.answer(p).value for p in asked]


def test_too_few_scans_rule_nothing_out():
    truth = np.r_[np.ones(8, bool), np.zeros(40, bool)]
    conformal = fit_conformal(truth, np.r_[np.full(8, 0.99), np.full(40, 0.01)])
    assert conformal.limits == (math.inf, 0.01)
    assert conformal.answer(0.0) is Answer.CANNOT_TELL
    assert limit_of([0.1] * 9, 0.9) == 0.1
    assert limit_of([0.1] * 8, 0.9) == math.inf


def test_it_goes_through_json():
    conformal = fit_conformal(*made(np.random.default_rng(1), 50))
    assert Conformal.from_json(conformal.to_json()) == conformal
    for damaged in ({}, {"level": 0.9, "covid": None, "other": []}, {"level": "x", "covid": [], "other": []}):
        with pytest.raises(DataError, match="damaged"):
            Conformal.from_json(damaged)
    with pytest.raises(DataError, match="rising"):
        Conformal(0.9, (0.2, 0.1), ())
    with pytest.raises(UsageError, match="level"):
        Conformal(90, (), ())


def test_coverage_is_counted():
    generator = np.random.default_rng(2)
    conformal = fit_conformal(*made(generator, 300))
    truth, probability = made(generator, 200)
    found = measure_coverage(conformal, truth, probability, np.arange(200), rng=generator, draws=300)
    names = np.array([conformal.answer(p) for p in probability])
    right = np.where(truth, names == "with", names == "without")
    covered = right | (names == "cannot tell")
    assert found.coverage.value == pytest.approx(covered.mean())
    assert found.coverage_with.value == pytest.approx(covered[truth].mean())
    assert found.coverage_without.value == pytest.approx(covered[~truth].mean())
    single = np.isin(names, ["with", "without"])
    assert found.certain == pytest.approx(single.mean())
    assert found.right is not None
    assert found.right.value == pytest.approx(right[single].mean())
    assert sum(found.shares.values()) == pytest.approx(1)
    assert found.coverage.low < found.coverage.value < found.coverage.high


def test_an_answer_that_never_commits_covers_all_and_says_so():
    truth = np.arange(20) < 10
    never = Conformal(0.9, (), ())
    found = measure_coverage(never, truth, np.full(20, 0.5), np.arange(20), rng=np.random.default_rng(0))
    assert found.coverage.value == 1
    assert found.coverage.low == pytest.approx(0.025 ** (1 / 20))
    assert found.shares[Answer.CANNOT_TELL] == 1
    assert found.right is None


def test_wrong_calls_are_told():
    truth = np.arange(20) < 10
    with pytest.raises(DataError, match="log-odds"):
        fit_conformal(truth, np.linspace(-3, 3, 20))
    with pytest.raises(DataError, match="with and without"):
        fit_conformal(np.ones(20, bool), np.full(20, 0.5))
