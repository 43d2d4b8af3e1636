"""A cohort's rows as cases of one patient each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from glasslung.archive.cases import cases_of
from glasslung.data.cohort import Cohort
from glasslung.errors import DataError
from glasslung.types import Case, Intensity


def row(patient, scan, **more):
    return Case(patient, scan, Path(f"{scan}.nii.gz"), more.pop("intensity", Intensity.HU), **more)


def cohort(*rows):
    return Cohort("made", Path("/cohort"), rows)


def test_one_case_is_one_patient_with_all_scans_in_the_tables_order():
    one, two = cases_of(cohort(row("a", "2"), row("b", "1"), row("a", "1")))
    assert [scan.scan for scan in one.rows] == ["2", "1"]
    assert len(two.rows) == 1
    assert one.key != two.key
    assert "a" not in one.folder.parts
    assert one.folder == Path("cases", one.key[:2], one.key)


def test_a_worker_is_told_places_days_and_who_it_is():
    told = {"age": "61", "sex": "F"}
    rows = row("a", "1", day=0.0, extra=told, lungs=Path("m.nii.gz")), row("a", "2", day=4.0)
    (case,) = cases_of(cohort(*rows))
    job = case.job(cohort(*rows), Path("/out"), given_masks=True)
    assert job["scans"] == ["/cohort/1.nii.gz", "/cohort/2.nii.gz"]
    assert job["folder"] == f"/out/{case.folder}"
    assert (job["days"], job["age"], job["male"], job["intensity"]) == ([0.0, 4.0], 61.0, False, "hu")
    assert job["lungs"] == []  # only one of the two scans has a mask
    (both,) = cases_of(cohort(rows[0], replace(rows[1], lungs=Path("n.nii.gz"))))
    given = both.job(cohort(*rows), Path("/out"), given_masks=True)["lungs"]
    assert given == ["/cohort/m.nii.gz", "/cohort/n.nii.gz"]
    assert both.job(cohort(*rows), Path("/out"), given_masks=False)["lungs"] == []


def test_days_and_greys_are_told_only_where_all_scans_have_them():
    rows = row("a", "1", day=0.0), row("a", "2", intensity=Intensity.DISPLAY8)
    (case,) = cases_of(cohort(*rows))
    job = case.job(cohort(*rows), Path("/out"), given_masks=False)
    assert (job["days"], job["intensity"], job["age"], job["male"]) == ([], None, None, None)


@pytest.mark.parametrize("age", ["old", "-1", "1e9", "nan"])
def test_an_age_that_cannot_be_is_not_known(age):
    (case,) = cases_of(cohort(row("a", "1", extra={"Age": age, "male": "1"})))
    job = case.job(cohort(), Path("/out"), given_masks=False)
    assert (job["age"], job["male"]) == (None, True)


def test_the_signature_follows_what_decides_the_result():
    first = row("a", "1", day=0.0)
    (case,) = cases_of(cohort(first))
    for changed in ({"day": 1.0}, {"image": Path("x")}, {"extra": {"age": "5"}}):
        assert cases_of(cohort(replace(first, **changed)))[0].signature() != case.signature()
    for free in ({"label": "covid"}, {"site": "north"}, {"extra": {"note": "5"}}):
        assert cases_of(cohort(replace(first, **free)))[0].signature() == case.signature()


def test_patients_that_differ_in_spaces_alone_are_refused():
    with pytest.raises(DataError, match="two patients differ in spaces"):
        cases_of(cohort(row("a", "1"), row("a ", "2")))
