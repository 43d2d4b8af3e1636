"""A forecast as files: runs that open or do not, scans that show a lung or do not, records that are whole."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from made_lungs import lung
from PIL import Image

from glasslung.data.lung_field import UnfitError
from glasslung.errors import DataError, UsageError
from glasslung.forecast.familiarity import read_reference, write_reference
from glasslung.forecast.opening import open_run
from glasslung.forecast.outlook import (
    FILES,
    OutlookSettings,
    add_outlook,
    forecast_schema,
    foretell,
    read_outlook,
    remove_outlook,
    write_outlook,
)
from glasslung.forecast.sight import look
from glasslung.forecast.strip import heat, scale_top
from glasslung.forecast.words import dating_words, familiarity_words, likeness_words, run_words

PUBLISHED = Path(__file__).parents[2] / "docs" / "forecast.schema.json"
ASKED = OutlookSettings((0.0, 5.0), draws=8)


@pytest.fixture(scope="module")
def told(run_folder, slice_file):
    run = open_run(run_folder)
    return foretell(run, look(slice_file, run.size), ASKED)


# ------------------------------------------------------------------------------------------------- opening


def test_a_run_opens_with_its_weights_and_its_reference(run_folder):
    from glasslung.train.rundir import RunDir

    run = open_run(str(run_folder))
    assert (run.name, run.method, run.size) == ("toy", "ageflow", 64)
    assert run.reference is not None
    saved = RunDir.open(run_folder)
    before = {name: weight.clone() for name, weight in run.model.state_dict().items()}
    saved.load("ageflow", run.model)
    assert all((weight == before[name]).all() for name, weight in run.model.state_dict().items())


def test_what_is_no_run_says_so(run_folder, tmp_path):
    with pytest.raises(UsageError, match="there is no run"):
        open_run(tmp_path / "none")
    with pytest.raises(DataError, match="no trained 'nothing'"):
        open_run("nothing")
    with pytest.raises(UsageError, match="carries no lung"):
        open_run("usvae")
    with pytest.raises(DataError, match="is not a run"):
        open_run(tmp_path)
    unfinished = tmp_path / "unfinished"
    shutil.copytree(run_folder, unfinished)
    shutil.rmtree(unfinished / "weights")
    with pytest.raises(DataError, match="no weights yet"):
        open_run(unfinished)


def test_a_run_without_a_reference_says_that_nothing_is_known(run_folder, slice_file, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(run_folder, bare, ignore=shutil.ignore_patterns("familiar.*"))
    run = open_run(bare)
    sight = look(slice_file, run.size)
    with pytest.raises(UsageError, match="--seen DAY"):
        foretell(run, sight, ASKED)
    record = foretell(run, sight, dataclasses.replace(ASKED, seen_day=3.0)).record
    assert record.familiarity is None
    assert "nothing says" in familiarity_words(record)
    assert "does not say" in run_words(record.run)


# --------------------------------------------------------------------------------------------------- sight


def test_a_prepared_slice_is_taken_as_it_is(slice_file):
    sight = look(slice_file, 64)
    assert np.array_equal(np.rint(sight.image * 255), np.asarray(Image.open(slice_file)))
    assert sight.lungs == "cut-out"


def test_a_volume_gives_its_middle_slice_as_prepare_does(course, tmp_path):
    from glasslung.data.cohort import Cohort
    from glasslung.data.prepare import prepare_cohort
    from glasslung.types import Case, Intensity

    scan = course / "day09.nii.gz"
    case = Case("p", "s", scan, Intensity.HU, day=3.0, label="covid")
    prepared = prepare_cohort(Cohort("one", course, (case,)), tmp_path / "slices")
    sight = look(scan, 64)
    assert sight.lungs == "found"
    assert np.array_equal(sight.image, prepared.slices.images[0])


def test_a_picture_with_hardly_any_lung_is_unfit(tmp_path):
    picture = np.zeros((64, 64), np.uint8)
    picture[20:44, 10:16] = picture[20:44, 50:56] = np.random.default_rng(0).integers(60, 120, (24, 6))
    Image.fromarray(picture).save(tmp_path / "strands.png")
    with pytest.raises(UnfitError, match="lung fills"):
        look(tmp_path / "strands.png", 64)


# -------------------------------------------------------------------------------------------- which days


@pytest.fixture(scope="module")
def late_run(run_folder, tmp_path_factory):
    """The toy run, all of whose ill patients were seen on day 12."""
    folder = shutil.copytree(run_folder, tmp_path_factory.mktemp("late") / "late")
    known = read_reference(folder)
    days = np.where(known.groups > 0, 12, np.nan).astype(np.float32)
    write_reference(dataclasses.replace(known, days=days), folder)
    return open_run(folder)


def test_the_default_days_are_forecast_as_far_as_they_go(late_run, slice_file):
    sight = look(slice_file, late_run.size)
    told = foretell(late_run, sight, OutlookSettings(draws=4)).record
    assert ([moment.days for moment in told.moments], told.left_out) == ([0, 2], (5, 10))
    assert "Left out: 5 and 10 days after the scan. That would be days 17 and 22" in dating_words(told)
    told = foretell(late_run, sight, OutlookSettings((5.0, 10.0), draws=4)).record  # as `analyze` asks
    assert ([moment.days for moment in told.moments], told.left_out) == ([2], (5, 10))
    with pytest.raises(UsageError, match="days 0 to 2 after the scan"):
        foretell(late_run, sight, OutlookSettings((6.0,), draws=4))


def test_days_told_and_days_asked_for_must_fit():
    with pytest.raises(UsageError, match="days 0 to 7 after the scan"):
        OutlookSettings((0.0, 8.0), seen_day=7.0)
    assert OutlookSettings(seen_day=7.0).days == (0, 5, 10)  # nobody asked for these


def test_a_story_holds_the_day_of_its_last_scan(run_folder, slice_file):
    run = open_run(run_folder)
    sight = look(slice_file, run.size)
    alone, after = (
        foretell(run, sight, OutlookSettings((0.0, 3.0), draws=16), "scan-02", day).record
        for day in (0.0, 9.0)
    )
    assert alone.dating.days[0] < 9 <= after.dating.days[0]
    assert "None is before day 9: the first scan was made 9 days earlier." in dating_words(after)
    assert "None is before" not in dating_words(alone)


def test_draws_that_stop_are_told(told):
    held = dataclasses.replace(told.record.moments[1], held=0.25)
    record = dataclasses.replace(told.record, moments=(told.record.moments[0], held))
    assert "Draws that come to day 14 before stay on it: 25% 5 days later." in dating_words(record)


# ------------------------------------------------------------------------------------------ record and strip


def test_the_record_is_told_in_words(told):
    record = told.record
    assert record.dating.how == "estimated"
    assert "nearest training slices of ill lungs" in dating_words(record)
    assert run_words(record.run).startswith(
        "Run toy (ageflow), trained on 100 slices: 25 never ill, 25 of days"
    )
    assert any("not identified by cross-sectional data" in text for text in record.caveats)
    assert "Not a medical device" in record.disclaimer
    far = dataclasses.replace(record, dense=record.now.mean + 20)
    assert "does not see this scan well" in likeness_words(far)
    assert likeness_words(dataclasses.replace(record, dense=record.now.mean)) == ""


def test_files_come_back_as_they_were_and_fit_their_schema(told, tmp_path):
    write_outlook(told, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert read_outlook(tmp_path / "out") == (told.record, told.strip)
    validator = jsonschema.Draft202012Validator(forecast_schema())
    validator.check_schema(forecast_schema())
    validator.validate(json.loads((tmp_path / "out" / "forecast.json").read_text()))
    write_outlook(told, tmp_path / "out")  # ours: replaced
    (tmp_path / "out" / "letter.txt").write_text("mine")
    with pytest.raises(UsageError, match="other files"):
        write_outlook(told, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_published_schema_is_the_one_the_types_make():
    made = json.dumps(forecast_schema(), indent=2, ensure_ascii=False) + "\n"
    assert PUBLISHED.read_text(encoding="utf-8") == made, (
        "write it anew: python -m glasslung.forecast.outlook > docs/forecast.schema.json"
    )


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_changed_file_is_noticed(told, tmp_path, name):
    add_outlook(told, tmp_path)
    assert read_outlook(tmp_path) is not None
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match="make the forecast again"):
        read_outlook(tmp_path)
    remove_outlook(tmp_path)
    assert read_outlook(tmp_path) is None


def test_the_strip_has_a_column_for_the_scan_and_every_day(told):
    picture = np.asarray(Image.open(io.BytesIO(told.strip)).convert("RGB")).astype(int)
    assert picture.shape[1] == 2 * 26 + 3 * 232 + 2 * 14
    upper, lower = picture[80:312], picture[326:558]
    assert (upper.max(-1) - upper.min(-1)).max() == 0  # greys
    lit = lower[:, 26 + 246 :]
    assert (lit.max(-1) - lit.min(-1)).max() > 60  # colours
    assert picture[:4].max() == 0


def test_heat_rises_in_lightness():
    shades = heat(np.linspace(0, 1, 50)).astype(float) @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(shades) > 0).all()
    assert scale_top([np.zeros((4, 4))]) > 0


@pytest.mark.parametrize("draws", [0, 1, 10**6])
def test_draws_have_bounds(draws):
    with pytest.raises(UsageError, match="draws"):
        OutlookSettings((0.0,), 1.0, draws=draws)


def test_greys_outside_the_training_set_are_not_trusted(run_folder, tmp_path):
    bright = np.clip(1.7 * lung(np.random.default_rng(2), 2.0), 0, 1)
    Image.fromarray(np.rint(255 * bright).astype(np.uint8)).save(tmp_path / "bright.png")
    run = open_run(run_folder)
    told = foretell(run, look(tmp_path / "bright.png", 64), dataclasses.replace(ASKED, seen_day=2.0))
    assert "do not trust the forecast" in familiarity_words(told.record)
    said = np.asarray(Image.open(io.BytesIO(told.strip)).convert("RGB")).astype(int)[:, :258]
    amber = (said[..., 0] - said[..., 2] > 120) & (said[..., 0] > 200)
    assert amber[:450].sum() > 50  # the caution travels with the picture
