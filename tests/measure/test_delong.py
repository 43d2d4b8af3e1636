"""DeLong: the published example, the definition written out, and patients with several scans."""

from __future__ import annotations

import numpy as np
import pytest

from glasslung.errors import DataError, ShapeError
from glasslung.measure.delong import delong_area, delong_covariance, delong_test
from glasslung.measure.ranking import auc

# DeLong, DeLong & Clarke-Pearson 1988, ovarian cancer: albumin, total protein, K-G score, benefit of surgery;
# the 43 complete records, as in the example of PROC LOGISTIC in the SAS/STAT user's guide
OVARIAN = np.array(
    [
        (3.0, 5.8, 10, 0), (3.2, 6.3, 5, 1), (3.9, 6.8, 3, 1), (2.8, 4.8, 6, 0), (3.2, 5.8, 3, 1),
        (0.9, 4.0, 5, 0), (2.5, 5.7, 8, 0), (1.6, 5.6, 5, 1), (3.8, 5.7, 5, 1), (3.7, 6.7, 6, 1),
        (3.2, 5.4, 4, 1), (3.8, 6.6, 6, 1), (4.1, 6.6, 5, 1), (3.6, 5.7, 5, 1), (4.3, 7.0, 4, 1),
        (3.6, 6.7, 4, 0), (2.3, 4.4, 6, 1), (4.2, 7.6, 4, 0), (4.0, 6.6, 6, 0), (3.5, 5.8, 6, 1),
        (3.8, 6.8, 7, 1), (3.0, 4.7, 8, 0), (4.5, 7.4, 5, 1), (3.7, 7.4, 5, 1), (3.1, 6.6, 6, 1),
        (4.1, 8.2, 6, 1), (4.3, 7.0, 5, 1), (4.3, 6.5, 4, 1), (3.2, 5.1, 5, 1), (2.6, 4.7, 6, 1),
        (3.3, 6.8, 6, 0), (1.7, 4.0, 7, 0), (3.7, 6.1, 5, 1), (3.3, 6.3, 7, 1), (4.2, 7.7, 6, 1),
        (3.5, 6.2, 5, 1), (2.9, 5.7, 9, 0), (2.1, 4.8, 7, 1), (2.8, 6.2, 8, 0), (4.0, 7.0, 7, 1),
        (3.3, 5.7, 6, 1), (3.7, 6.9, 5, 1), (3.6, 6.6, 5, 1),
    ]
)  # fmt: skip


def ovarian():
    albumin, protein, kg, benefit = OVARIAN.T
    return benefit.astype(bool), albumin, protein, 10 - kg


def test_the_published_areas_and_errors():
    truth, albumin, protein, kg = ovarian()
    for score, area, error, low, high in (
        (kg, 0.7258, 0.1028, 0.5243, 0.9273),
        (protein, 0.6478, 0.1000, 0.4518, 0.8439),
        (albumin, 0.7366, 0.0927, 0.5549, 0.9182),
    ):
        found = delong_area(truth, score)
        assert (found.value, found.error) == pytest.approx((area, error), abs=6e-5)
        assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)


def test_the_published_comparison():
    truth, albumin, protein, kg = ovarian()
    found = delong_test(truth, kg, albumin)
    assert (found.difference, found.error, found.p) == pytest.approx((0.0108, 0.0953, 0.9102), abs=6e-5)
    areas, covariance = delong_covariance(truth, np.stack([kg, protein, albumin]))
    contrast = np.array([[-1, 1, 0], [-1, 0, 1]])  # both against the K-G score
    difference = contrast @ areas
    square = difference @ np.linalg.solve(contrast @ covariance @ contrast.T, difference)
    assert square == pytest.approx(2.5340, abs=6e-5)


def slow_components(truth, score):
    """V10 and V01 pair by pair."""

    def wins(x, y):
        return 1.0 if x > y else 0.5 if x == y else 0.0

    sick, well = score[truth], score[~truth]
    return (
        [sum(wins(x, y) for y in well) / len(well) for x in sick],
        [sum(wins(x, y) for x in sick) / len(sick) for y in well],
    )


def slow_variance(truth, score, patients):
    """Obuchowski's formula, patient by patient."""
    v10, v01 = slow_components(truth, score)
    area = sum(v10) / len(v10)
    names = sorted(set(patients))
    of_sick, of_well = list(patients[truth]), list(patients[~truth])
    a = {n: sum(v - area for v, p in zip(v10, of_sick, strict=True) if p == n) for n in names}
    b = {n: sum(v - area for v, p in zip(v01, of_well, strict=True) if p == n) for n in names}
    i10, i01, i = len(set(of_sick)), len(set(of_well)), len(names)
    m, n = len(v10), len(v01)
    s10 = i10 / ((i10 - 1) * m) * sum(value**2 for value in a.values())
    s01 = i01 / ((i01 - 1) * n) * sum(value**2 for value in b.values())
    s11 = i / (i - 1) * sum(a[name] * b[name] for name in names)
    return s10 / m + s01 / n + 2 * s11 / (m * n)


@pytest.mark.parametrize("scans_each", [1, 3])
def test_the_fast_variance_is_the_slow_formula(scans_each):
    generator = np.random.default_rng(0)
    truth = generator.random(60) < 0.4
    score = (truth + generator.normal(size=60)).round(1)
    patients = np.arange(60) // scans_each
    found = delong_area(truth, score, patients)
    assert found.value == pytest.approx(auc(truth, score))
    assert found.error**2 == pytest.approx(slow_variance(truth, score, patients))


def test_the_covariance_of_a_score_with_itself_is_its_variance():
    truth, albumin, protein, kg = ovarian()
    areas, covariance = delong_covariance(truth, np.stack([kg, protein, kg]))
    assert covariance == pytest.approx(covariance.T)
    assert covariance[0, 2] == pytest.approx(covariance[0, 0])
    assert areas[1] == pytest.approx(auc(truth, protein))
    same = delong_test(truth, albumin, albumin * 2)
    assert same.difference == 0
    assert same.z is None
    assert same.p is None


def test_copies_of_a_scan_do_not_make_us_surer():
    truth, albumin, _, _ = ovarian()
    copies = [np.repeat(a, 6) for a in (truth, albumin, np.arange(43))]
    assert delong_area(*copies).error == pytest.approx(delong_area(truth, albumin).error)
    assert delong_area(*copies[:2]).error < 0.6 * delong_area(truth, albumin).error


def test_a_test_that_knows_nothing_is_right_as_often_as_it_says():
    generator = np.random.default_rng(1)
    truth, sure = np.arange(80) < 35, 0
    for _ in range(300):
        quality = truth + generator.normal(size=80)
        first, second = (quality + generator.normal(size=80) for _ in range(2))
        p = delong_test(truth, first, second).p
        sure += p is not None and p < 0.05
    assert 0.02 <= sure / 300 <= 0.09


def test_what_has_no_variance_is_told():
    truth, albumin, protein, _ = ovarian()
    with pytest.raises(DataError, match="fewer than two patients"):
        delong_area(truth, albumin, np.zeros(43))
    with pytest.raises(ShapeError, match="same scans"):
        delong_test(truth, albumin, protein[:3])
    with pytest.raises(ShapeError, match="one per scan"):
        delong_area(truth, albumin, np.arange(3))
    with pytest.raises(ShapeError, match="one row per method"):
        delong_covariance(truth, albumin)
