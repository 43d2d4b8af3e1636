"""Tables of readings: what they mean, which scans they are of, and mistakes named by row."""

from __future__ import annotations

import numpy as np
import pytest

from glasslung.data.readers import Scale, read_readers, write_readers
from glasslung.errors import DataError, UsageError

GOOD = """patient,scan,reader,task,rating,remark
p1,s1,rad 1,diagnosis,1,clear
p1,s1,rad 2,diagnosis,0,
p2,s1,rad 1,diagnosis,0,
p1,s2,rad 1,prognosis two scans,0.8,
p1,s2,rad 2,prognosis two scans,0.25,
p1,s1,rad 1,prognosis one scan,3,

"""


def table(tmp_path, text):
    (tmp_path / "readers.csv").write_text(text)
    return tmp_path


def test_readings_are_told_by_task_with_their_scale(tmp_path):
    found = read_readers(table(tmp_path, GOOD))
    assert list(found) == ["diagnosis", "prognosis one scan", "prognosis two scans"]
    one = found["diagnosis"]
    assert one.scale is Scale.YES_NO
    assert one.readers == ("rad 1", "rad 2")
    assert one.patients == ("p1", "p2")
    np.testing.assert_array_equal(one.rating, [[1, 0], [0, np.nan]])
    assert found["prognosis two scans"].scale is Scale.PROBABILITY
    assert found["prognosis one scan"].scale is Scale.ORDERED
    assert read_readers(tmp_path / "readers.csv").keys() == found.keys()


def test_calls_need_a_cut_on_an_ordered_scale(tmp_path):
    found = read_readers(table(tmp_path, GOOD))
    np.testing.assert_array_equal(found["diagnosis"].says_yes(), [[1, 0], [0, np.nan]])
    np.testing.assert_array_equal(found["prognosis two scans"].says_yes(), [[1, 0]])
    np.testing.assert_array_equal(found["prognosis two scans"].says_yes(0.2), [[1, 1]])
    with pytest.raises(UsageError, match="need a cut"):
        found["prognosis one scan"].says_yes()
    np.testing.assert_array_equal(found["prognosis one scan"].says_yes(3), [[1]])


def test_readings_are_brought_to_the_scans_of_a_cohort(tmp_path):
    one = read_readers(table(tmp_path, GOOD))["diagnosis"]
    mine = one.of(["p2", "p3", "p1"], ["s1", "s1", "s1"])
    np.testing.assert_array_equal(mine.rating, [[0, np.nan], [np.nan, np.nan], [1, 0]])
    assert mine.rows == (4, 0, 2)
    with pytest.raises(DataError, match="none of these 2 scans was read"):
        one.of(["x", "y"], ["s1", "s1"])


def test_patients_or_scans_alone_may_name_a_scan_but_not_two(tmp_path):
    lines = "reader,task,rating,{}\nr,diagnosis,1,{}\nr,diagnosis,0,{}\n"
    by_patient = read_readers(table(tmp_path, lines.format("patient", "p1", "p2")))["diagnosis"]
    np.testing.assert_array_equal(by_patient.of(["p2", "p1"], ["a", "b"]).rating, [[0], [1]])
    with pytest.raises(DataError, match=r"row 2 .* patient 'p1' stands for 2 scans"):
        by_patient.of(["p1", "p1"], ["a", "b"])
    by_scan = read_readers(table(tmp_path, lines.format("scan", "a", "b")))["diagnosis"]
    np.testing.assert_array_equal(by_scan.of(["p1", "p1"], ["a", "b"]).rating, [[1], [0]])


def test_what_is_written_is_read_again(tmp_path):
    found = read_readers(table(tmp_path, GOOD))
    again = read_readers(write_readers(found, tmp_path / "copy"))
    assert again.keys() == found.keys()
    for task, one in found.items():
        np.testing.assert_array_equal(again[task].rating, one.rating)
        assert again[task].readers == one.readers


HEAD = "patient,scan,reader,task,rating\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "needs the column 'reader'"),
        ("patient;scan;reader\n", "needs the column 'reader'"),
        ("reader,task,rating\nr,diagnosis,1\n", "names no scans"),
        (HEAD, "no readings"),
        (HEAD + "p,s,r,diagnosis\n", "row 2 has 4 fields for 5 columns"),
        (HEAD + "p,s,,diagnosis,1\n", "row 2, column reader: is empty"),
        (HEAD + ",,r,diagnosis,1\n", "row 2 names neither"),
        (HEAD + "p,s,r,guess,1\n", "row 2, column task: 'guess' is none of diagnosis"),
        (HEAD + "p,s,r,diagnosis,yes\n", "row 2, column rating: 'yes' is no rating"),
        (HEAD + "p,s,r,diagnosis,-1\n", "row 2, column rating: '-1'"),
        (HEAD + "p,s,r,diagnosis,\n", "row 2, column rating: ''"),
        (HEAD + "p,s,r,diagnosis,nan\n", "row 2, column rating: 'nan'"),
        (HEAD + "p,s,r,diagnosis,1\np,s,r,diagnosis,0\n", "rows 2 and 3: 'r' reads the same scan twice"),
        (
            HEAD + "p,s,r,diagnosis,0.5\nq,s,r,diagnosis,3\nt,s,r,diagnosis,0.1\n",
            "row 3, column rating: 3 does",
        ),
        (
            HEAD + "p,s,r,diagnosis,2\nq,s,r,diagnosis,3.5\nt,s,r,diagnosis,4\n",
            "row 3, column rating: 3.5 does",
        ),
    ],
)
def test_mistakes_name_their_row(text, words, tmp_path):
    with pytest.raises(DataError, match=words.replace("(", r"\(")):
        read_readers(table(tmp_path, text))


def test_a_table_that_is_not_there_is_said(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_readers(tmp_path)
