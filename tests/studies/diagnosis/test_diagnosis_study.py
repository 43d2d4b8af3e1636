"""The study of diagnosis from end to end on a few phantoms, and what it refuses."""

import json
from dataclasses import replace

import pytest

from glasslung.errors import UsageError
from glasslung.studies.diagnosis.contest import Budget
from glasslung.studies.diagnosis.learning import Pace
from glasslung.studies.diagnosis.stress import StressSettings
from glasslung.studies.diagnosis.study import QUICK, REFERENCE, run_diagnosis

SMALL = replace(
    QUICK.for_methods("slice-wise"),
    budget=Budget(1.0, Pace(each=2, slices=3, side_each=2), looks=1),
    people=40,
    size=32,
    stress=StressSettings(level=(0, 200), width=(1400,), noise=(0,), thickness=(1,), scans=4, draws=50),
    reasons=2,
    draws=50,
    drawn=True,
)


@pytest.mark.slow
def test_the_study_tells_its_story_and_goes_on(tmp_path):
    out = tmp_path / "study"
    page = run_diagnosis(None, out, SMALL)
    numbers = json.loads((out / "numbers.json").read_text())
    assert list(numbers["parts"]) == ["test", "external"]
    for part in numbers["parts"].values():
        assert set(part["methods"]) == {REFERENCE, "slice-wise"}
        assert {"outline", "grain", "greys"} == set(part["source"])
        assert 0 <= part["methods"][REFERENCE]["auc"][0] <= 1
    assert numbers["ground"]["parts"]["train"]["with"] > 0
    assert {row["rule"] for row in numbers["conservation"]} == {"LRP, conserving", "LRP, the paper's"}
    by_rule = {row["rule"]: abs(row["error"]) for row in numbers["conservation"]}
    assert by_rule["LRP, conserving"] < 0.01
    assert "not a medical device" in page.read_text().lower()
    again = [dict(job) for job in numbers["jobs"]]
    run_diagnosis(None, out, SMALL)
    assert json.loads((out / "numbers.json").read_text())["jobs"] == again  # nothing was trained again
    with pytest.raises(UsageError, match="another study"):
        run_diagnosis(None, out, SMALL.with_masks(False))


def test_plans_are_checked(tmp_path):
    with pytest.raises(UsageError, match="--minutes"):
        QUICK.for_minutes(0)
    with pytest.raises(UsageError, match="--size"):
        QUICK.for_size(4)
    with pytest.raises(UsageError, match="no method"):
        QUICK.for_methods("a crystal ball")
    with pytest.raises(UsageError, match="--seeds"):
        run_diagnosis(None, tmp_path / "x", QUICK, seeds=0)
    assert QUICK.for_methods("3D DenseNet").methods == (REFERENCE, "3D DenseNet")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds no study"):
        run_diagnosis(None, tmp_path / "full", QUICK)
