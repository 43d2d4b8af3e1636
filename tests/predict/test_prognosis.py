"""A prognosis: the law that reads most of what is known, its curve, its doubts, its plain file."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from glasslung.errors import DataError, UsageError
from glasslung.files import write_json
from glasslung.predict.prognosis import (
    FILE,
    Outlook,
    PrognosisModel,
    columns_of,
    open_prognosis,
    paired_columns,
    shipped_prognosis,
    told_of,
    words_for,
)
from glasslung.predict.risklaw import RiskLaw
from glasslung.types import Amount, Intensity, RegionMeasures, RiskCurve, SeverityScore

EDGES = np.array([0.0, 3.0, 7.0, 14.0])


def law(*names, causes=2):
    rng = np.random.default_rng(len(names))
    return RiskLaw(
        names,
        np.full(len(names), 10.0),
        np.full(len(names), 5.0),
        rng.normal(-2, 0.3, (3, causes)),
        np.full((len(names), causes), 0.8),
        EDGES,
    )


def outlook(*names, endpoint="critical illness", still=False):
    mine = law(*names, causes=1 if still else 2)
    group = [
        RiskCurve(name, (0.0, 7.0), (0.0, top), (0.0, top), (0.0, top), 20, (20, 9))
        for name, top in (("lower risk", 0.1), ("higher risk", 0.4))
    ]
    rng = np.random.default_rng(1)
    members = tuple(one + rng.normal(0, 0.1, (20, *one.shape)) for one in (mine.base, mine.weights))
    return Outlook(
        endpoint,
        mine,
        (members[0], members[1]),
        1,
        still,
        7.0,
        (0.0, 7.0),
        {name: (0.0, 4.0 if name == "log_days" else 40.0) for name in names},
        tuple(np.linspace(0, 1, 101)),
        0.3,
        tuple(group),
        "Harrell's C",
        (0.7, 0.6, 0.8),
        (0.6, 0.5, 0.7),
    )


@pytest.fixture
def model():
    return PrognosisModel(
        "made",
        "",
        Intensity.HU,
        (
            outlook("burden", "burden_change", "log_days", "age"),
            outlook("burden", "age"),
            outlook("burden"),
            outlook("burden", endpoint="long stay", still=True),
        ),
        "nobody",
        "none",
        ("it was made by hand",),
    )


TWO = {"burden": 20.0, "burden_change": 5.0, "log_days": 1.5, "age": 30.0}


def test_what_is_known_decides_which_law_is_asked(model):
    assert model.foresee(TWO, ("a", "b")).scans == ("a", "b")
    assert set(model.foresee(TWO, ("b",)).columns) == {"burden", "age"}
    assert set(model.foresee(TWO | {"age": math.nan}, ("a", "b")).columns) == {"burden"}
    assert model.columns == ("burden",) and model.wants_prior
    assert model.endpoints == ("critical illness", "long stay")
    assert set(model.reads) == set(TWO)


def test_the_curve_is_the_laws_and_lies_in_its_limits(model):
    told = model.foresee({"burden": 20.0}, ("a",))
    expected = law("burden").incidence({"burden": [20.0]})[0, :, 0]
    np.testing.assert_allclose(told.curve.chance, expected)
    assert told.chance == pytest.approx(expected[2])
    assert told.interval[0] < told.chance < told.interval[1]
    assert told.curve.chance[0] == 0 and np.diff(told.curve.chance).min() >= 0
    assert 0 <= told.percentile <= 100


def test_more_burden_is_more_risk_and_another_group(model):
    low, high = (model.foresee({"burden": value}, ("a",)) for value in (0.0, 40.0))
    assert low.chance < high.chance and low.percentile < high.percentile
    assert (low.group, high.group) == ("lower risk", "higher risk")


def test_who_has_not_left_yet(model):
    told = model.foresee({"burden": 20.0}, ("a",), "long stay")
    assert told.curve.chance[0] == 1 and np.diff(told.curve.chance).max() <= 0


def test_doubts_are_said(model):
    def doubts(columns, scans, **more):
        return " | ".join(model.foresee(columns, scans, **more).doubts)

    assert doubts(TWO, ("a", "b")) == "it was made by hand"
    assert "age and sex are not known" in doubts({"burden": 20.0}, ("a",))
    told = doubts({k: v for k, v in TWO.items() if k != "log_days"}, ("a", "b"))
    assert "the days between the scans are not known" in told
    assert "burden is 90, and the model learned from 0 to 40" in doubts({"burden": 90.0}, ("a",))
    poor = replace(model, outlooks=tuple(replace(one, worth=(0.6, 0.5, 0.7)) for one in model.outlooks))
    assert "age and sex alone" in poor.foresee(TWO, ("a", "b")).doubts[-1]
    late = doubts(TWO | {"log_days": math.log1p(90)}, ("a", "b"))
    assert "the number of days between the scans is 90, and the model learned from 0 to 53.6" in late
    assert "days lie between" not in late
    assert "grey values are display8" in doubts(TWO, ("a", "b"), intensity=Intensity.DISPLAY8)


def test_a_scan_from_far_longer_ago_is_not_part_of_a_trend(model):
    """Beyond half the range of gaps (log days 0 to 4) the law of one scan answers, and the doubt says so."""
    far = TWO | {"log_days": 6.1}
    told, alone = model.foresee(far, ("a", "b")), model.foresee({"burden": 20.0, "age": 30.0}, ("b",))
    assert told.scans == ("b",) and told.curve == alone.curve
    assert any("445 days lie between the two, and the model learned from 0 to 53.6" in d for d in told.doubts)
    only = replace(model, outlooks=tuple(one for one in model.outlooks if one.paired))
    assert only.foresee(far, ("a", "b")).scans == ("a", "b")


def test_what_cannot_be_asked_is_refused(model):
    with pytest.raises(DataError, match="without burden"):
        model.foresee({"age": 60.0}, ("a",))
    with pytest.raises(UsageError, match="critical illness, long stay"):
        model.foresee({"burden": 1.0}, ("a",), "rain")


def test_the_file_is_plain_and_gives_the_same_answers(model, tmp_path):
    write_json(tmp_path / FILE, told_of(model))
    again = open_prognosis(tmp_path)
    first, second = (one.foresee(TWO, ("a", "b")) for one in (model, again))
    np.testing.assert_allclose(first.curve.chance, second.curve.chance, rtol=1e-4)
    np.testing.assert_allclose(first.curve.low, second.curve.low, rtol=1e-4, atol=1e-9)
    assert first.groups == second.groups and len(second.digest) == 16
    assert open_prognosis(tmp_path / FILE).digest == again.digest


def test_damaged_files_are_named(model, tmp_path):
    with pytest.raises(UsageError, match="no prognosis"):
        open_prognosis(tmp_path / "nothing")
    for broken in ({"format": "another"}, {"outlooks": [{}]}, {"intensity": "red"}):
        write_json(tmp_path / FILE, told_of(model) | broken)
        with pytest.raises(DataError, match="make it again"):
            open_prognosis(tmp_path)
    told = told_of(model)
    told["outlooks"][0]["law"]["mean"] = [1.0]
    (tmp_path / FILE).write_text(json.dumps(told))
    with pytest.raises(DataError, match="do not fit"):
        open_prognosis(tmp_path)


def test_columns_of_two_scans():
    now, prior = {"affected_percent": 30.0, "log_odds": 2.0}, {"affected_percent": 10.0}
    found = paired_columns(now, prior, 4.0)
    assert found["affected_percent_change"] == 20 and found["affected_percent_prior"] == 10
    assert found["log_days"] == pytest.approx(math.log(5)) and "log_odds_change" not in found
    assert "log_days" not in paired_columns(now, prior, None)
    for days in (0.0, -2.0):
        with pytest.raises(UsageError, match="before the last"):
            paired_columns(now, prior, days)


def test_columns_have_words():
    assert words_for("affected_percent_change") == "change of affected lung (%)"
    assert words_for("strange") == "strange"


def test_findings_give_columns():
    regions = (
        RegionMeasures("both lungs", None, 9, None, Amount(None, 12.0), {"consolidation": Amount(None, 3.0)}),
        RegionMeasures("left lung", None, 4, None, Amount(None, 99.0)),
    )
    told = SimpleNamespace(
        regions=regions,
        severity=SeverityScore(7, 24, (), ""),
        diagnosis=SimpleNamespace(log_odds=1.5),
    )
    expected = {
        "affected_percent": 12.0,
        "consolidation_percent": 3.0,
        "severity_points": 7.0,
        "log_odds": 1.5,
    }
    assert columns_of(told) == expected
    bare = SimpleNamespace(regions=regions[1:], severity=None, diagnosis=None)
    assert columns_of(bare) == {}


def test_what_ships_is_named_or_absent():
    assert shipped_prognosis(Intensity.DISPLAY8) is None
