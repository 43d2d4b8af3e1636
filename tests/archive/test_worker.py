"""The worker on phantoms: rows of stories, what it sets aside, what stops everything, equal from any crew."""

from __future__ import annotations

import csv
import errno
import json
import shutil

import pytest
from made_archives import RULES, crew_of, write_phantoms

import glasslung.archive.run
from glasslung.archive.cases import cases_of
from glasslung.archive.run import analyze_cohort
from glasslung.archive.settings import FIGURES, REPORTS, ArchiveSettings, Limits
from glasslung.archive.worker import Analyst
from glasslung.data.cohort import read_cohort
from glasslung.data.story import read_story


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return read_cohort(write_phantoms(tmp_path_factory.mktemp("phantoms")))


@pytest.fixture(scope="module")
def here(cohort, tmp_path_factory):
    """The cohort analysed in this process: its output folder."""
    out = tmp_path_factory.mktemp("archive") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(glasslung.archive.run, "_crew", lambda *_: crew_of(Analyst(RULES).answer))
        analyze_cohort(cohort, out, RULES, Limits())
    return out


def jobs(cohort, out):
    return [case.job(cohort, out, given_masks=False) for case in cases_of(cohort)]


def test_the_table_tells_what_the_stories_tell(here):
    rows = list(csv.DictReader((here / "scans.csv").read_text().splitlines()))
    assert [(row["patient"], row["scan"], row["day"]) for row in rows] == [
        *(("p1", "s9", "9"), ("p1", "s0", "0"), ("p2", "s5", "5"), ("p3", "s0", "")),
    ]
    assert [row["story_scan"] for row in rows] == ["scan-02", "scan-01", "scan-01", ""]
    story = read_story(here / "cases" / rows[0]["case"][:2] / rows[0]["case"])
    for row, scan in zip(rows, (story.scans[1], story.scans[0]), strict=False):
        both = scan.region("both lungs")
        assert float(row["both_lungs_ml"]) == pytest.approx(both.ml)
        assert int(row["both_lungs_voxels"]) == both.voxels
        assert float(row["involvement_percent"]) == pytest.approx(scan.involvement)
        assert row["lungs_trusted"] == ("yes" if scan.lung_quality.trusted else "no")
        assert row["sha256"] == scan.sha256
        assert row["glasslung"] == story.provenance.glasslung
    assert rows[0]["since"] == "scan-01"
    assert rows[0]["compared"] in ("yes", "no")
    assert (rows[3]["state"], rows[3]["both_lungs_ml"]) == ("set aside", "")
    assert "bad.nii.gz" in rows[3]["reason"]


@pytest.mark.slow
def test_workers_of_their_own_give_the_same_bytes(here, cohort, tmp_path):
    done = analyze_cohort(cohort, tmp_path / "out", RULES, Limits(workers=2))
    assert (done.scans, done.aside) == ({"done": 3, "set aside": 1}, 1)
    for name in ("scans.csv", "scans.parquet", "set-aside.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (here / name).read_bytes()


@pytest.mark.parametrize(("keep", "left"), [(REPORTS, {"story.json", "report.html"}), (FIGURES, set())])
def test_less_can_be_kept(cohort, tmp_path, keep, left):
    job = jobs(cohort, tmp_path)[1]
    answer = Analyst(ArchiveSettings("none", "none", "none", keep=keep)).answer(job)
    assert answer["state"] == "done"
    folder = tmp_path / "cases"
    there = {path.name for path in folder.rglob("*") if path.is_file()}
    assert left <= there
    assert bool(there) == bool(left)
    assert not list(folder.rglob("*.nii.gz"))


def test_a_bug_of_ours_sets_the_case_aside_with_its_trace(cohort, tmp_path, monkeypatch):
    monkeypatch.setattr("glasslung.archive.rows.rows_of", lambda *_: 1 / 0)
    answer = Analyst(RULES).answer(jobs(cohort, tmp_path)[1])
    assert (answer["state"], answer["kind"]) == ("set aside", "bug")
    assert "ZeroDivisionError in glasslung itself" in answer["reason"]
    assert "rows_of" in answer["trace"]
    json.dumps(answer)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_full_or_read_only_disk_stops_everything(cohort, tmp_path, monkeypatch, code):
    def refuse(*_):
        raise OSError(code, "refused")

    monkeypatch.setattr("glasslung.files._to_disk", refuse)
    answer = Analyst(RULES).answer(jobs(cohort, tmp_path)[1])
    assert answer["state"] == "stop"
    assert "the output folder cannot be written" in answer["reason"]


def test_one_scan_that_vanished_is_set_aside_and_a_vanished_cohort_stops_everything(tmp_path):
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    cohort = read_cohort(write_phantoms(tmp_path / "in"))
    job = jobs(cohort, tmp_path / "out")[1]
    (tmp_path / "in" / "p2-5.nii.gz").unlink()
    answer = Analyst(RULES).answer(job)
    assert (answer["state"], answer["kind"]) == ("set aside", "data")
    assert "does not exist" in answer["reason"]
    for name in ("out", "in"):
        shutil.rmtree(tmp_path / name)
        answer = Analyst(RULES).answer(job)
        assert answer["state"] == "stop"
        assert answer["reason"] == f"{tmp_path / name} is gone: bring that folder back"
        (tmp_path / name).mkdir()
