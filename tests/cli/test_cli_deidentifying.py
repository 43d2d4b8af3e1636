"""`glasslung deidentify` as a person meets it: what it says, what it keeps to itself, exit codes."""

from __future__ import annotations

import csv
import stat

import pytest
from verb_process import glasslung_here, one_line

from made_identities import PLANTED, identified


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans") / "Quastenberg"
    files = identified(folder / "a")
    (folder / "notes.txt").write_text("Friedebert")
    return folder, files


def test_a_folder_is_deidentified_and_nobody_is_named(scans, tmp_path):
    folder, files = scans
    words = ("deidentify", folder, tmp_path / "out", "--keys", tmp_path / "key.json")
    done = glasslung_here(*words, "--links", tmp_path / "links.csv")
    assert done.returncode == 0, done.stderr
    assert f"{len(files)} of 4 files, 1 patient(s)" in done.stdout and "set aside: 1 x no scan" in done.stdout
    said = (done.stdout + done.stderr).lower()
    assert not [text for text in PLANTED if text in said]
    assert (tmp_path / "out" / "changes.csv").is_file()
    assert stat.S_IMODE((tmp_path / "links.csv").stat().st_mode) == 0o600
    rows = list(csv.DictReader((tmp_path / "links.csv").read_text().splitlines()))
    assert {row["input"] for row in rows} == {*map(str, files), str(folder / "notes.txt")}


def test_one_file_is_enough(scans, tmp_path):
    words = ("deidentify", scans[1][0], tmp_path / "out", "--keys", tmp_path / "key.json")
    done = glasslung_here(*words)
    assert done.returncode == 0 and "1 of 1 files" in done.stdout


def test_links_that_cannot_be_written_leave_nothing(scans, tmp_path):
    (tmp_path / "file").write_text("")
    words = ("deidentify", scans[1][0], tmp_path / "out", "--keys", tmp_path / "key.json")
    assert "--links" in one_line(glasslung_here(*words, "--links", tmp_path / "file" / "l.csv"))
    assert {path.name for path in tmp_path.iterdir()} == {"file", "key.json"}


@pytest.mark.parametrize(
    ("more", "fact"),
    [
        (("nowhere", "out", "--keys", "k.json"), "there is no such file"),
        (("in", "in/out", "--keys", "k.json"), "lie in one another"),
        (("in", "out", "--keys", "out/k.json"), "keep it apart"),
        (("in", "out", "--keys", "k.json", "--links", "in/l.csv"), "keep it apart"),
        (("in", "full", "--keys", "k.json"), "not empty"),
        (("in", "out", "--keys", "k.json"), "all 1 files were set aside: 1 x no scan"),
        (("empty", "out", "--keys", "k.json"), "holds no files"),
        (("in/a.txt", "out", "--keys", "k.json"), "all 1 files were set aside: 1 x no scan"),
        (("in", "full/a.txt/out", "--keys", "k.json"), "cannot be written"),
    ],
)
def test_mistakes_are_told_in_one_line_and_leave_nothing(tmp_path, more, fact):
    for name in ("in", "full", "empty"):
        (tmp_path / name).mkdir()
    for name in ("in", "full"):
        (tmp_path / name / "a.txt").write_text("no scan")
    done = glasslung_here("deidentify", *more, cwd=tmp_path)
    assert fact in one_line(done)
    left = {path.name for path in tmp_path.iterdir()} - {"k.json"}
    assert left == {"in", "full", "empty"} and len(list((tmp_path / "in").iterdir())) == 1
