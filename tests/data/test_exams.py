import numpy as np
import pytest

from glasslung.data.exams import ExamSet, join_exams, label_of
from glasslung.errors import DataError, ShapeError
from made_exams import made_exam, made_exam_set


def test_words_of_a_table_become_labels():
    assert [label_of(word) for word in ("covid", "bacterial", "healthy", "other", "")] == [1, 0, 0, 0, -1]


def test_an_exam_knows_which_of_its_slices_show_lung():
    assert made_exam(5).lung_slices.tolist() == [1, 2, 3]
    assert made_exam(1).lung_slices.tolist() == [0]


def test_a_part_of_a_set_keeps_every_line_together():
    exams = made_exam_set()
    part = exams.part("val")
    assert part.scans == tuple(s for s, where in zip(exams.scans, exams.split, strict=True) if where == "val")
    assert part.extra["severity"] == tuple(s.removeprefix("s") for s in part.scans)
    assert all(part.exams[row] is exams.exams[exams.scans.index(scan)] for row, scan in enumerate(part.scans))
    with pytest.raises(DataError, match="no exam is in split 'later'"):
        exams.part("later")


def test_joined_sets_fill_columns_that_one_of_them_has_not():
    first = made_exam_set(1)
    second = ExamSet(first.exams, first.label, first.words, *[("x", "y")] * 4)
    both = join_exams(first, second)
    assert len(both) == 4 and both.extra["severity"] == ("0", "1", "", "")
    assert both.label.tolist() == [*first.label, *first.label]


def test_one_class_is_no_ground_for_a_classifier():
    exams = made_exam_set()
    sick = exams.take(np.flatnonzero(exams.label == 1))
    with pytest.raises(DataError, match=r"scans with 'covid' and scans without.*are: covid"):
        sick.labelled()


def test_scans_of_unknown_label_are_left_out():
    exams = made_exam_set(2)
    unknown = ExamSet(
        exams.exams,
        np.where(np.arange(4) == 0, -1, exams.label),
        exams.words,
        exams.patients,
        exams.sites,
        exams.scans,
        exams.split,
    )
    assert unknown.labelled().scans == exams.scans[1:]


def test_lines_of_different_length_are_refused():
    exams = made_exam_set(1)
    with pytest.raises(ShapeError, match="2 exams need as many words, got 1"):
        ExamSet(exams.exams, exams.label, ("covid",), *[("x", "y")] * 4)
    with pytest.raises(ShapeError, match="one size"):
        ExamSet((made_exam(size=32), made_exam(size=48)), exams.label, *[("x", "y")] * 5)
