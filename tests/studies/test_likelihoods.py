"""A U-SVAE or CAGE on every slice of a folder: the exact evaluator's figures, and who was trained on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from glasslung.errors import DataError, UsageError
from glasslung.models import build
from glasslung.predict.trained import open_trained
from glasslung.studies.evaluation import evaluate
from glasslung.studies.likelihoods import bare_figures, part_figures, parts_of
from glasslung.studies.progression.heldout import figures, score_slices
from glasslung.studies.training import PART, dealt, describe, load_slices
from glasslung.train.rundir import RunDir

SMALL = {"net": "slim", "likelihood": "beta", "kl_schedule": "warm-up"}


def write_cage(folder: Path, people: int = 10, twice: bool = False, alone: bool = False) -> Path:
    """Cut-out lungs in the layout of the CAGE set: `people` at every age, in JPEG.

    twice  the first diseased patient has a slice of another age, too; alone: one patient of the last age
    """
    rows, columns = np.mgrid[:60, :90]
    places = [("healthy/h{n}/s{n}", 0), ("ncp/day2/p{n}/s{n}", 1), ("ncp/day7/q{n}/s{n}", 2)]
    places.append(("ncp/day12/r{n}/s{n}", 3))
    for place, age in places:
        for n in range(1 if alone and age == 3 else people):
            _draw(folder / place.format(n=n) / "1.jpg", 10 * n + age, rows, columns)
    if twice:
        _draw(folder / "ncp/day12/p0/again/1.jpg", 99, rows, columns)
    return folder


def _draw(path: Path, seed: int, rows: np.ndarray, columns: np.ndarray) -> None:
    lungs = np.minimum(*(((rows - 30) / 28) ** 2 + ((columns - at) / 18) ** 2 for at in (24, 66))) < 1
    grey = np.where(lungs, np.random.default_rng(seed).integers(40, 160, (60, 90)), 0)
    path.parent.mkdir(parents=True)
    Image.fromarray(grey.astype(np.uint8)).save(path, quality=95)


def write_run(folder: Path, method: str, trained_on: Path | None = None, **settings) -> Path:
    """A run's folder with untrained weights; `trained_on`: whose training part it says it was fed."""
    training = {"split_seed": 0}
    if trained_on is not None:
        cohort, slices = load_slices(trained_on, 64)
        rows = np.array([case.split == PART for case in dealt(cohort, 0).cases])
        training["slices"] = describe(slices.take(rows))
    run = RunDir.create(folder, "progression", method, {**settings, "training": training}, 0)
    with run.writing():
        run.save(method, build(method, 0, **settings))
    return folder


@pytest.fixture(scope="module")
def cage_folder(tmp_path_factory) -> Path:
    return write_cage(tmp_path_factory.mktemp("cage"))


def test_every_slice_is_scored_by_the_exact_evaluator(cage_folder, tmp_path):
    run = write_run(tmp_path / "run", "usvae", **SMALL)
    steps: list[tuple[str, float]] = []
    found = evaluate(run, cage_folder, tmp_path / "out", progress=lambda *step: steps.append(step))
    assert [done for _, done in steps] == sorted(done for _, done in steps)
    assert [words for words, _ in steps].count("scoring 40 slices") == 2
    told = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert set(told["parts"]) == {"all"}
    _, slices = load_slices(cage_folder, 64)
    model = build("usvae", 0, **SMALL)
    scores = score_slices(model, slices, torch.Generator().manual_seed(0))
    expected = figures(scores, slices, np.random.default_rng(0))
    got = told["parts"]["all"]
    assert got["readings"] == json.loads(json.dumps(expected["readings"]))
    assert (got["slices"], got["patients"]) == (40, 40)
    for level, reference in zip(got["levels"], expected["levels"], strict=True):
        low, high = level["interval"]
        assert low <= level["nats, groups alike"] == reference["nats, groups alike"] <= high
    assert "paper" not in found.figures
    assert told["printed"]["U-SVAE"]["nll"] == -7.98
    assert "is not known" in found.text
    assert (tmp_path / "out" / "evaluation.txt").read_text() == found.text


def test_training_slices_are_told_apart_where_the_run_was_fed_them(cage_folder, tmp_path):
    found = evaluate(write_run(tmp_path / "run", "usvae", cage_folder, **SMALL), cage_folder)
    parts = found.figures["parts"]
    assert list(parts) == ["test", "val", "trained on", "all"]
    assert [parts[name]["slices"] for name in parts] == [8, 4, 28, 40]
    cohort, slices = load_slices(cage_folder, 64)
    rows = np.array([case.split == "test" for case in dealt(cohort, 0).cases])
    scores = score_slices(build("usvae", 0, **SMALL), slices, torch.Generator().manual_seed(0))
    expected = part_figures(scores, slices, np.flatnonzero(rows), 0)
    assert expected["readings"]["as trained"]["nll"][1] is not None
    assert parts["test"] == expected
    assert "Quote 'test' alone" in found.text
    assert "trained on 28 of these 40" in found.text


def test_another_folder_is_not_taken_for_the_training_data(cage_folder, tmp_path):
    other = write_cage(tmp_path / "other", people=4)
    found = evaluate(write_run(tmp_path / "run", "usvae", cage_folder, **SMALL), other)
    assert list(found.figures["parts"]) == ["all"]
    assert [remark.code for remark in found.remarks] == ["training-unknown"]


def test_a_patient_seen_at_two_ages_is_scored_at_both(tmp_path):
    folder = write_cage(tmp_path / "cage", people=2, twice=True)
    found = evaluate(write_run(tmp_path / "run", "usvae", **SMALL), folder)
    assert found.figures["parts"]["all"]["slices"] == 9
    assert "1 patient(s) have slices of more than one age" in found.text


def test_an_age_with_one_patient_has_figures_without_intervals(cage_folder, tmp_path):
    folder = write_cage(tmp_path / "cage", people=2, alone=True)
    found = evaluate(write_run(tmp_path / "run", "usvae", **SMALL), folder, tmp_path / "out")
    row = found.figures["parts"]["all"]["readings"]["as trained"]
    assert row["nll"][1:] == [None, None]
    assert row["by group"]["t3"]["lung"][0] is not None
    _, slices = load_slices(cage_folder, 64)
    scores = score_slices(build("usvae", 0, **SMALL), slices, torch.Generator().manual_seed(0))
    whole, bare = figures(scores, slices, np.random.default_rng(0)), bare_figures(scores, slices)
    for reading, expected in whole["readings"].items():
        for name in ("nll", "rec", "kl", "lung", "black"):
            got = bare["readings"][reading]
            assert got[name][0] == pytest.approx(expected[name][0], abs=2e-4)
            for group, each in expected["by group"].items():
                assert got["by group"][group][name][0] == pytest.approx(each[name][0], abs=2e-4)


def test_a_model_that_failed_on_an_age_is_told_in_one_line(cage_folder):
    _, slices = load_slices(cage_folder, 64)
    scores = score_slices(build("usvae", 0, **SMALL), slices, torch.Generator().manual_seed(0))
    some = np.arange(len(slices))
    scores.kl[np.flatnonzero(slices.group == 1)[:-1]] = np.nan  # one patient of t1 is left
    scores.use[0]["nats"] = float("nan")
    found = part_figures(scores, slices, some, 0)
    json.dumps(found, allow_nan=False)
    assert found["not finite"] == 9
    assert found["readings"]["as trained"]["nll"][1] is None
    scores.kl[slices.group == 1] = np.nan
    with pytest.raises(DataError, match="failed on these data"):
        part_figures(scores, slices, some, 0)


def test_a_cage_is_scored_at_the_ages_it_owns(cage_folder, tmp_path):
    whole = evaluate(write_run(tmp_path / "whole", "cage", net="slim"), cage_folder)
    assert whole.figures["parts"]["all"]["slices"] == 40
    assert len(whole.figures["parts"]["all"]["levels"]) == 25
    one = evaluate(write_run(tmp_path / "one", "cage", cage_folder, net="slim", single_age=2), cage_folder)
    assert one.figures["parts"]["all"]["slices"] == 10


def test_folders_that_do_not_fit_are_refused_in_one_line(cage_folder, tmp_path):
    run = write_run(tmp_path / "run", "usvae", **SMALL)
    with pytest.raises(DataError, match="there is no"):
        evaluate(run, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="layouts"):
        evaluate(run, tmp_path / "empty")
    lonely = write_cage(tmp_path / "lonely", people=2)
    for age in ("day2", "day7", "day12"):
        for path in sorted((lonely / "ncp" / age).rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
    model = write_run(tmp_path / "one", "cage", net="slim", single_age=2)
    with pytest.raises(UsageError, match="age 2"):
        evaluate(model, lonely)


@pytest.mark.real
def test_the_shipped_weights_know_their_own_patients(real):
    trained = open_trained("usvae")
    cohort, slices = load_slices(real / "cage", 64)
    parts = parts_of(trained, real / "cage", cohort, slices)
    assert {name: int((parts == name).sum()) for name in ("train", "val", "test")} == {
        "train": 765,
        "val": 104,
        "test": 199,
    }
