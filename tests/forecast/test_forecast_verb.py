"""The forecast as a person meets it: the verb, and the report of an analysis that was asked for one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from glasslung.analyze import ForecastSettings, Settings, analyze
from glasslung.errors import DataError, UsageError
from glasslung.forecast.outlook import OutlookSettings
from glasslung.report.page import write_report


def glasslung(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "glasslung", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_a_slice_is_forecast_into_a_folder(run_folder, slice_file, tmp_path):
    out = tmp_path / "out"
    done = glasslung("forecast", slice_file, "--run", run_folder, "--days", "0,5", "--draws", 8, "--out", out)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in out.iterdir()} == {"forecast.json", "forecast.png"}
    record = json.loads((out / "forecast.json").read_text())
    assert [moment["days"] for moment in record["moments"]] == [0, 5]
    told = " ".join(done.stdout.split())
    for words in ("5 d later", "training slices", "not identified by cross-sectional data", "Not a medical"):
        assert words in told
    again = tmp_path / "again"
    done = glasslung("forecast", slice_file, "--run", run_folder, "--days", "0,5", "--draws", 8, "-o", again)
    assert done.returncode == 0, done.stderr
    assert (again / "forecast.png").read_bytes() == (out / "forecast.png").read_bytes()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--days", "20"], "0 to 14"),
        (["--days", "10", "--seen", "7"], "0 to 7 after the scan"),
        (["--seen", "3", "--healthy"], "one of the two"),
        (["--draws", "1"], "choose 2 to"),
        (["--seed", "-1"], "0 or more"),
        (["--middle", "belly"], "scan, lungs"),
    ],
)
def test_what_cannot_be_forecast_leaves_nothing(run_folder, slice_file, tmp_path, more, told):
    done = glasslung("forecast", slice_file, "--run", run_folder, "--out", tmp_path / "out", *more)
    assert done.returncode == 2
    assert told in done.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------- in the report of an analysis


def settings(run_folder, *days: float, seen: float | None = 2.0) -> Settings:
    asked = OutlookSettings(days or (5.0, 10.0), seen, draws=6)
    return Settings(forecast=ForecastSettings(str(run_folder), asked))


def test_the_report_tells_what_is_likely_next_and_forgets_it_when_not_asked(course, run_folder, tmp_path):
    out, scans = tmp_path / "out", [course / "day09.nii.gz"]
    plain = analyze(scans, out, then=write_report)
    bare = (out / "report.html").read_text()
    assert "What is likely next" not in bare
    story = analyze(scans, out, settings(run_folder), then=write_report)
    assert story == plain  # measured once
    page = (out / "report.html").read_text()
    section = page[page.index('id="next"') : page.index('id="scan-01"')]
    for words in (
        "What is likely next",
        "data:image/png;base64,",
        "5 days later",
        "10 days later",
        "80 % of draws",
    ):
        assert words in section
    for words in (
        "not identified by cross-sectional data",
        "Not a medical device",
        "Run toy (ageflow), trained on",
    ):
        assert words in section
    drawn = page
    write_report(out)
    assert (out / "report.html").read_text() == drawn
    analyze(scans, out, then=write_report)
    assert (out / "report.html").read_text() == bare
    assert {p.name for p in out.iterdir()} == {"findings.csv", "masks", "report.html", "story.json"}


def test_the_last_scan_is_the_one_that_is_forecast(course, run_folder, tmp_path):
    import dataclasses

    wanted = dataclasses.replace(settings(run_folder), days=(9.0, 0.0))
    analyze([course / "day09.nii.gz", course / "day00.nii.gz"], tmp_path / "both", wanted)
    analyze([course / "day09.nii.gz"], tmp_path / "one", settings(run_folder))
    both, one = (json.loads((tmp_path / name / "forecast.json").read_text()) for name in ("both", "one"))
    assert (both["scan"], one["scan"]) == ("scan-02", "scan-01")
    assert both["slice_sha256"] == one["slice_sha256"]


def test_the_last_scan_is_not_dated_before_its_day_in_the_story(course, run_folder, tmp_path):
    import dataclasses

    asked = dataclasses.replace(settings(run_folder, 0.0, seen=None), days=(33.0, 21.0))
    analyze([course / "day09.nii.gz", course / "day00.nii.gz"], tmp_path, asked)
    dating = json.loads((tmp_path / "forecast.json").read_text())["dating"]
    assert dating["since"] == 12
    assert min(dating["days"]) >= 12


def test_a_forecast_that_cannot_be_made_costs_no_story(course, run_folder, tmp_path):
    out, late = tmp_path / "out", OutlookSettings((10.0,), draws=6)
    run = shutil.copytree(run_folder, tmp_path / "run")
    (run / "familiar.json").unlink()
    with pytest.raises(DataError, match="is whole, but has no forecast: this run keeps no reference"):
        analyze(
            [course / "day09.nii.gz"],
            out,
            Settings(forecast=ForecastSettings(str(run), late)),
            then=write_report,
        )
    assert {p.name for p in out.iterdir()} == {"findings.csv", "masks", "report.html", "story.json"}


def test_a_wrong_run_is_told_before_anything_is_measured(course, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="there is no run"):
        analyze([course / "day09.nii.gz"], out, settings(tmp_path / "none"))
    assert not out.exists()


def test_without_a_run_or_a_segmenter_no_network_is_loaded(course, tmp_path):
    probe = """
import sys
from pathlib import Path
from glasslung.analyze import MaskMaking, Settings, analyze
from glasslung.report.page import write_report
analyze([Path(sys.argv[1])], Path(sys.argv[2]), Settings(masks=MaskMaking("none")), then=write_report)
print('torch' in sys.modules)
"""
    command = [sys.executable, "-c", probe, str(course / "day09.nii.gz"), str(tmp_path / "out")]
    assert subprocess.check_output(command, text=True).strip() == "False"
