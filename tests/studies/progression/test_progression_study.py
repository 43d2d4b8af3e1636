"""The whole study on a tiny world: it goes on where it stopped, and refuses what is not its own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glasslung.data.cohort import Cohort, write_cohort
from glasslung.errors import DataError, UsageError
from glasslung.studies.progression.contest import Budget, Outcome, contestants
from glasslung.studies.progression.ground import cohort_ground
from glasslung.studies.progression.limits.summaries import LimitSettings
from glasslung.studies.progression.page import CARRIED, _forecast_pictures
from glasslung.studies.progression.papertable import PRINTED, paper_rows
from glasslung.studies.progression.study import FULL, QUICK, Plan, methods_of, run_progression
from glasslung.studies.progression.words import weak_references
from glasslung.types import Case, Intensity

TINY = Plan(
    True,
    Budget(seconds=0.2, slices=8, samples=6, draws=1),
    each=4,
    people=8,
    draws=20,
    reader_batches=10,
    limits=LimitSettings(draws=20, folds=2, second=""),
)
NAMES = ("CAGE-T1", "CAGE-ALL A3")
METHODS = {name: contestants()[name] for name in NAMES}


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("study") / "out"
    run_progression(None, out, TINY, methods=METHODS)
    return out


def numbers_of(out: Path) -> dict:
    return json.loads((out / "numbers.json").read_text())


def test_the_folder_holds_page_figures_and_one_set_of_files_for_each_job(study):
    assert {p.name for p in study.iterdir()} == {
        *("study.json", "numbers.json", "index.html", "world.npz", "outcomes"),
        *("checklist.md", "methods.txt"),
    }
    keys = {"reader-0", "u-svae-0", "cage-t1-0", "cage-all-a3-0"}
    files = {p.name for p in (study / "outcomes").iterdir() if not p.name.startswith(".")}
    asked = keys - {"reader-0", "u-svae-0"}
    assert files == {f"{k}.{end}" for k in keys for end in ("json", "safetensors")} | {
        f"{k}.npz" for k in asked
    }


def test_the_figures_are_all_there(study):
    numbers = numbers_of(study)
    assert set(numbers["outcomes"]["methods"]) == set(NAMES)
    assert set(numbers["outcomes"]["about"]["features"]) == {"plain", "classifier"}
    assert numbers["forecasts"]["about"]["people"] == 8
    assert numbers["limits"]["conclusions"]["cannot"]
    assert numbers["verdicts"]
    assert numbers["versions"]["torch"]
    assert {job["name"] for job in numbers["jobs"]} == {"reader", "U-SVAE", *NAMES}
    rows = {(row["name"], row.get("part")) for row in numbers["paper"]}
    assert {
        ("U-SVAE", "train"),
        ("U-SVAE", "unseen"),
        ("CAGE-T1", "unseen"),
        ("CAGE-ALL A3", "train"),
    } <= rows


def test_the_page_says_what_it_is_and_shows_every_method(study):
    text = (study / "index.html").read_text()
    for word in (
        *NAMES,
        "far too short",
        "not a medical device",
        "cannot say who ends where",
        "CAGE-T0 as printed",
    ):
        assert word.lower() in text.lower(), word
    assert 'src="http' not in text


def test_a_forecast_is_shown_beside_one_draw_only_where_they_differ():
    pair, many = (0, 2), np.stack([np.full((7, 4, 4), grey, np.float32) for grey in (0.2, 0.4)])
    unsure = Outcome({}, {}, {pair: many}, {}, {}, {})
    shown = _forecast_pictures(unsure, pair)
    assert len(shown) == 2 * CARRIED + 1
    assert shown[0, 0, 0] == pytest.approx(0.3) and shown[-1, 0, 0] == pytest.approx(0.2)
    sure = replace(unsure, expected={pair: many[0]})
    assert np.array_equal(_forecast_pictures(sure, pair), many[0, :CARRIED])


def test_the_same_command_trains_nothing_again_and_more_seeds_are_added(study):
    before = {p: p.stat().st_mtime_ns for p in (study / "outcomes").glob("*-0.*")}
    world = (study / "world.npz").stat().st_mtime_ns
    run_progression(None, study, TINY, seeds=2, methods={"CAGE-T1": METHODS["CAGE-T1"]})
    assert before == {p: p.stat().st_mtime_ns for p in (study / "outcomes").glob("*-0.*")}
    assert world == (study / "world.npz").stat().st_mtime_ns
    spread = numbers_of(study)["over_seeds"]["outcomes"]["methods"]["CAGE-T1"]
    assert spread["fidelity"]["plain"]["1"]["prior"]["distance"]["seeds"] == 2
    assert "Between seeds" in (study / "index.html").read_text()


def test_another_budget_or_a_strange_folder_is_refused(study, tmp_path):
    longer = replace(TINY, budget=replace(TINY.budget, seconds=1.0))
    with pytest.raises(UsageError, match=r"seconds is 0.2, asked for: 1.0"):
        run_progression(None, study, longer, methods=METHODS)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds no study"):
        run_progression(None, tmp_path, TINY)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


# ------------------------------------------------------------------------------------------- a cohort


def cohort(folder: Path, counts: tuple[int, ...], days: bool = True) -> Path:
    """Grey ellipses of as many patients of every age."""
    cases = []
    y, x = np.mgrid[:60, :90]
    lungs = np.minimum(*(((y - 30) / 28) ** 2 + ((x - at) / 18) ** 2 for at in (24, 66))) < 1
    folder.mkdir()
    for age, count in enumerate(counts):
        for number in range(count):
            name = f"{age}-{number}"
            rng = np.random.default_rng([age, number])
            grey = np.where(lungs, rng.integers(20, 120 + 30 * age, (60, 90)), 0).astype(np.uint8)
            Image.fromarray(grey).save(folder / f"{name}.png")
            day = 5.0 * age - 3 if age and days else None
            label = "covid" if age else "healthy"
            path = Path(f"{name}.png")
            cases.append(
                Case(name, name, path, Intensity.DISPLAY8, day, label=label, extra={"group": f"t{age}"})
            )
    write_cohort(Cohort("toy", folder, tuple(cases)), folder / "cohort.csv")
    return folder


def test_a_cohort_is_split_by_patient_and_has_no_truth(tmp_path):
    out, one = tmp_path / "out", {"CAGE-T1": METHODS["CAGE-T1"]}
    run_progression(cohort(tmp_path / "c", (24, 24, 24, 24), days=False), out, TINY, methods=one)
    numbers = numbers_of(out)
    assert "forecasts" not in numbers
    assert not (out / "world.npz").exists()
    assert "Days are missing" in (out / "index.html").read_text()


def test_of_a_cohort_nobody_is_on_both_sides_and_known_days_are_known(tmp_path):
    ground = cohort_ground(cohort(tmp_path / "c", (24, 24, 24, 24)))
    assert ground.told()["days known"]
    assert not set(ground.training.patient.tolist()) & set(ground.scored.patient.tolist())
    assert sum(len(images) for images in ground.unseen.images.values()) == len(ground.scored)
    assert len(ground.whole) == 96


@pytest.mark.parametrize(
    ("counts", "told"), [((24, 24, 1, 24), "'t2' has 1 patient"), ((24, 24, 0, 24), "of t2 to train on")]
)
def test_too_few_of_an_age_are_told_before_anything_is_made(tmp_path, counts, told):
    with pytest.raises(DataError, match=told):
        run_progression(cohort(tmp_path / "c", counts), tmp_path / "out", TINY)
    assert not (tmp_path / "out").exists()


def test_a_reference_that_makes_nothing_real_is_told():
    def looks(value: float, high: float) -> dict:
        return {"1": {"neighbourhoods": {"precision": {"value": value, "low": 0.0, "high": high}}}}

    def told(value: float, high: float) -> list[str]:
        made = {"CAGE-T1": {"samples": {"plain": looks(value, high)}}}
        return weak_references({"real": {"plain": {"samples": looks(0.9, 1.0)}}, "methods": made})

    assert told(0.1, 0.2) == ["precision on plain features CAGE-T1 0.10 beside 0.90"]
    assert told(0.1, 0.6) == []


def test_the_plans(tmp_path):
    assert set(methods_of(QUICK)) < set(methods_of(FULL)) == set(contestants())
    assert len(methods_of(QUICK)) * QUICK.budget.seconds < 240  # with page and all within ten minutes
    assert FULL.for_minutes(2).budget.seconds == 120
    with pytest.raises(UsageError, match="--minutes"):
        FULL.for_minutes(float("nan"))


def test_the_papers_rows_stand_whether_or_not_ours_do():
    rows = paper_rows(lambda name: None)
    assert [row["name"] for row in rows] == list(PRINTED)
    for row in PRINTED.values():
        assert row["nll"] == pytest.approx(row["rec"] + row["kl"], abs=0.011)  # they print two digits
