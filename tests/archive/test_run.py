"""A cohort's analysis from the table to the table: what is kept, what is refused, what nothing is lost by."""

from __future__ import annotations

import csv
import errno
import json
import time
from dataclasses import replace

import filelock
import pytest
from made_archives import RULES, crew_of, measured, write_table

import glasslung.archive.run
from glasslung.archive.ledger import open_ledger
from glasslung.archive.run import LOCK, analyze_cohort
from glasslung.archive.settings import FIGURES, Limits
from glasslung.data.cohort import read_cohort
from glasslung.errors import DataError, UsageError

ROWS = ("a,a0,0", "b,b0,3", "a,a1,9", "c,c0,1")
FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """run(do) analyses the cohort with workers that answer as `do` says; `asked` lists their cases."""
    (tmp_path / "in").mkdir()
    write_table(tmp_path / "in", ROWS)

    def go(do=measured, settings=RULES, retry=False, progress=None):
        go.asked = []

        def note(job):
            go.asked.append(job["key"])
            return do(job)

        monkeypatch.setattr(glasslung.archive.run, "_crew", lambda *_: crew_of(note))
        return analyze_cohort(
            read_cohort(tmp_path / "in"), tmp_path / "out", settings, Limits(), "", retry, progress
        )

    go.table, go.out = tmp_path / "in", tmp_path / "out"
    return go


def rows_in(out):
    return list(csv.DictReader((out / "scans.csv").read_text().splitlines()))


def contents(out):
    return {path.name: path.read_bytes() for path in out.glob("scans.*")}


def test_every_scan_has_one_row_and_a_second_run_does_nothing(run):
    done = run()
    assert (done.patients, done.aside, done.now, done.scans) == (3, 0, 3, {"done": 4})
    rows = rows_in(run.out)
    assert [(row["patient"], row["scan"]) for row in rows] == [
        ("a", "a0"),
        ("a", "a1"),
        ("b", "b0"),
        ("c", "c0"),
    ]
    assert [row["both_lungs_ml"] for row in rows] == ["0", "10", "0", "0"]
    assert rows[0]["lungs_trusted"] == "yes"
    before = contents(run.out)
    assert run(lambda job: pytest.fail("done again")).now == 0
    assert contents(run.out) == before


def test_parquet_holds_what_the_csv_holds(run):
    from pyarrow import parquet

    run(
        lambda job: (
            {"state": "set aside", "kind": "data", "reason": "no lung"}
            if "c0" in job["scans"][0]
            else measured(job)
        )
    )
    table = parquet.read_table(run.out / "scans.parquet").to_pylist()
    assert [(row["scan"], row["both_lungs_ml"]) for row in table] == [
        ("a0", 0.0),
        ("a1", 10.0),
        ("b0", 0.0),
        ("c0", None),
    ]
    assert [row["reason"] for row in table] == [None, None, None, "no lung"]
    assert table[0]["lungs_trusted"] is True
    assert list(table[0]) == list(rows_in(run.out)[0])


def test_a_run_that_is_stopped_goes_on_where_it_was(run):
    whole = run()
    wanted = contents(whole.out)
    for path in sorted(run.out.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()

    def stop(job):
        if len(run.asked) == 2:
            raise KeyboardInterrupt
        return measured(job)

    with pytest.raises(KeyboardInterrupt):
        run(stop)
    assert not (run.out / "scans.csv").exists()
    (run.out / ".123.part.scans.csv").write_text("half")
    assert run().now == 2
    assert contents(run.out) == wanted
    assert not list(run.out.glob(".*part*"))


def test_bad_cases_are_set_aside_and_tried_again_when_asked(run):
    def bad(job):
        bad = "b0" in job["scans"][0]
        return (
            {"state": "set aside", "kind": "data", "reason": "no lung, by\nthe gate"}
            if bad
            else measured(job)
        )

    assert run(bad).aside == 1
    (aside,) = csv.DictReader((run.out / "set-aside.csv").read_text().splitlines())
    assert (aside["patient"], aside["kind"], aside["scans"]) == ("b", "data", "1")
    assert [row["state"] for row in rows_in(run.out)] == ["done", "done", "set aside", "done"]
    assert run().now == 0
    assert run(retry=True).aside == 0
    assert len(run.asked) == 1
    assert {row["state"] for row in rows_in(run.out)} == {"done"}


def test_a_cohort_may_grow_and_change(run):
    run()
    write_table(run.table, (*ROWS[:3], "c,c0,2", "d,d0,0"))
    assert run().now == 2
    assert rows_in(run.out)[-1]["patient"] == "d"
    write_table(run.table, ROWS[:3])
    assert run().patients == 2
    assert len(rows_in(run.out)) == 3


def test_a_story_that_is_gone_is_made_again_unless_only_figures_are_kept(run):
    run()
    story = next(run.out.glob("cases/*/*/story.json"))
    story.unlink()
    assert run().now == 1
    assert run.asked == [story.parent.name]


def test_other_settings_and_other_patients_are_refused(run):
    run()
    with pytest.raises(UsageError, match="was begun with keep 'everything', asked for is 'figures'"):
        run(settings=replace(RULES, keep=FIGURES))
    with pytest.raises(UsageError, match="was begun with threads '1', asked for is '2'"):
        run(settings=replace(RULES, threads=2))
    write_table(run.table, ["z,z0,0"])
    with pytest.raises(UsageError, match="holds the results of other patients"):
        run()


def test_one_process_writes_to_a_folder_and_an_old_lock_locks_nothing(run):
    run.out.mkdir()
    (run.out / LOCK).write_text("12345")
    assert run().now == 3
    other = filelock.FileLock(run.out / LOCK)
    with other, pytest.raises(UsageError, match="another analyze-cohort is writing"):
        run()
    assert run().now == 0


def test_somebody_elses_folder_and_the_scans_own_are_left_alone(run):
    run.out.mkdir()
    (run.out / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds other files"):
        run()
    assert [path.name for path in run.out.iterdir()] == ["thesis.txt"]
    (run.out / "thesis.txt").unlink()
    run.out.rmdir()
    scan = run.table / "a0.nii.gz"
    scan.unlink()
    (scan / "results").mkdir(parents=True)  # a scan that is a folder
    with pytest.raises(UsageError, match="lies inside a scan of the cohort"):
        analyze_cohort(read_cohort(run.table), scan / "results", RULES, Limits())
    run.out.write_text("a file")
    with pytest.raises(UsageError, match="is a file"):
        run()


def test_a_place_that_fails_stops_the_run_and_keeps_what_is_done(run):
    def full(job):
        return measured(job) if len(run.asked) < 3 else {"state": "stop", "reason": "the disk is full"}

    with pytest.raises(DataError, match="stopped: the disk is full; finished cases are kept"):
        run(full)
    assert run().now == 1


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
def test_a_table_that_cannot_be_written_is_told_and_nothing_is_lost(run, monkeypatch, code):
    problem = OSError(code, "refused")
    with monkeypatch.context() as patch:
        patch.setattr("glasslung.archive.tables._write_csv", lambda *_: (_ for _ in ()).throw(problem))
        with pytest.raises(DataError, match=r"scans\.csv: cannot be written"):
            run()
    assert run(lambda job: pytest.fail("done again")).scans == {"done": 4}


def test_a_clock_that_goes_backwards_changes_nothing(run, monkeypatch):
    wanted = (run().scans, contents(run.out))
    for path in sorted(run.out.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    now = [2_000_000_000.0]

    def backwards():
        now[0] -= 3600.0
        return now[0]

    monkeypatch.setattr(time, "time", backwards)
    said = []
    assert (run(progress=lambda what, done: said.append(done)).scans, contents(run.out)) == wanted
    assert said == sorted(said)
    assert run().now == 0


def test_the_manifest_tells_what_was_asked_and_how_much_was_done(run):
    run()
    told = json.loads((run.out / "manifest.json").read_text())
    assert told["asked"]["segmenter"] == "none"
    assert told["asked"]["glasslung"] == told["versions"]["glasslung"]
    assert (told["patients"], told["scans"]) == (3, {"done": 4})
    assert "4 scans of 3 patients" in (run.out / "summary.txt").read_text()
    assert "Not a medical device" in (run.out / "summary.txt").read_text()


def test_no_patient_is_named_outside_the_tables(run):
    write_table(run.table, ["Doe^Jane,x0,0"])
    run()
    with open_ledger(run.out) as ledger:
        assert all("Doe" not in key for key in ledger.states())
    for path in run.out.rglob("*"):
        assert "Doe" not in str(path.relative_to(run.out))
        if path.is_file() and path.name not in ("scans.csv", "scans.parquet", "set-aside.csv"):
            assert b"Doe" not in path.read_bytes()
