"""The whole study on lungs that we drew, and its model scored on patients it never saw."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from made_cage import write_folder

from glasslung.data.sources import open_cohort
from glasslung.errors import DataError, UsageError
from glasslung.studies.critical import nested, sight, study
from glasslung.studies.critical.evaluation import evaluate_critical
from glasslung.studies.critical.ground import critical_ground
from glasslung.studies.critical.keeping import fit_all, in_single, open_kept, place_of, write_kept
from glasslung.studies.critical.nested import CHOSEN
from glasslung.studies.critical.study import QUICK, deal_all, look, run_critical
from glasslung.studies.evaluation import evaluate

PLAN = replace(QUICK, draws=60)


@pytest.fixture(scope="module", autouse=True)
def few():
    """Small squares, few candidates, shallow forests: the road is tested here, not the figures."""
    some = [one for one in nested.candidates() if one.name in ("lesions; C 0.1", "greys; C 0.1")]
    forest = nested.by_forest
    patch = pytest.MonkeyPatch()
    patch.setattr(sight, "SIDES", (64,))
    patch.setattr(sight, "EYES_SIDE", 64)
    patch.setattr(study, "candidates", lambda: some)
    patch.setattr("glasslung.studies.critical.keeping.candidates", lambda: some)
    patch.setattr(study, "by_forest", lambda features, event, leaf=2: forest(features, event, 20, leaf))
    yield
    patch.undo()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("cage"))


@pytest.fixture(scope="module")
def kept(folder, tmp_path_factory):
    ground = critical_ground(open_cohort(folder))
    tables = look(ground, None)
    models, hazards, middle = fit_all(ground, tables, deal_all(ground, tables, PLAN))
    about = {"middle": middle, "pictures": []}
    place = tmp_path_factory.mktemp("model") / "made"
    return write_kept(place, {name: in_single(one) for name, one in models.items()}, hazards, about)


def test_the_study_ends_in_a_page(folder, tmp_path):
    page = run_critical(folder, tmp_path / "out", PLAN)
    text = page.read_text("utf-8")
    sheet = page.with_name("checklist.md").read_text("utf-8")
    assert "Nested cross-validation: " in sheet and "**For the authors.** Ethics committee" in sheet
    assert "Ridge logistic regressions" in page.with_name("methods.txt").read_text("utf-8")
    assert "Research use only" in text and "Harrell" in text and "length alone" in text
    numbers = json.loads((tmp_path / "out" / "numbers.json").read_text())
    assert numbers["ground"]["patients"] == 29 and numbers["ground"]["age_unknown"] == 1
    assert numbers["all"]["auc"][CHOSEN]["value"] > 0.6
    assert set(numbers["ground"]["left_out"].values()) == {1, 2}
    with pytest.raises(UsageError, match="holds another study"):
        run_critical(folder, tmp_path / "out", replace(PLAN, folds=4))


def test_a_kept_model_answers_as_it_was_fitted(kept, folder):
    model = open_kept(kept)
    ground = critical_ground(open_cohort(folder))
    answers = model.models[CHOSEN].log_odds(look(ground, None))
    assert np.isfinite(answers).all() and answers[ground.event].mean() > answers[~ground.event].mean()
    unknown = {"image": np.array([0.0]), "age": np.array([np.nan]), "male": np.array([np.nan])}
    assert np.isfinite(model.risk("image, age, sex", unknown)).all()


def test_patients_it_never_saw_are_scored_by_one_command(kept, tmp_path):
    others = write_folder(tmp_path / "kept", patients=26, healthy=5, seed=7)
    found = evaluate(kept, others, tmp_path / "out")
    assert found.kind == "critical" and found.figures["ranking"]["patients"] == 25
    assert found.figures["ranking"]["auc"][CHOSEN]["value"] > 0.6
    assert any("5 row(s) left out: healthy" in remark.text for remark in found.remarks)
    lines = (tmp_path / "out" / "predictions.csv").read_text().splitlines()
    assert len(lines) == 26 and (tmp_path / "out" / "evaluation.json").is_file()
    with pytest.raises(UsageError, match="all rows"):
        evaluate(kept, others, None, part="test")


def test_damaged_pictures_and_missing_columns_are_told(kept, tmp_path):
    others = write_folder(tmp_path / "kept", patients=26, healthy=0, seed=8)
    table = others / "labels.csv"
    first = table.read_text().splitlines()[1].split(",")[0]
    (others / first).write_bytes(b"no picture")
    table.write_text(table.read_text().replace(",age,", ",years,"))
    scored = evaluate_critical(kept, open_cohort(others), draws=40)
    told = " ".join(remark.text for remark in scored.remarks)
    assert "no picture of cut-out lungs" in told and "age of 24 patient(s)" in told


def test_too_few_patients_are_refused(kept, tmp_path):
    with pytest.raises(DataError, match="the least"):
        evaluate_critical(kept, open_cohort(write_folder(tmp_path / "few", patients=10)))


def test_a_damaged_model_says_so(kept, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(kept, copy)
    (copy / "model.safetensors").write_bytes(b"x")
    with pytest.raises(DataError, match="damaged"):
        open_kept(copy)
    assert place_of("usvae") is None
    with pytest.raises(UsageError, match="critical-8bit"):
        open_kept(tmp_path)
