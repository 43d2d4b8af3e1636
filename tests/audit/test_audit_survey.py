"""The whole audit: nothing on a clean cohort, planted faults on a spoiled one, and real collections."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_scans import SIZE, clean_cohort, lungs, save

from glasslung.audit import Audit, AuditSettings, audit_cohort
from glasslung.data.cohort import read_cohort, write_cohort
from glasslung.data.sources import SOURCES
from glasslung.types import DISCLAIMER, Intensity, Severity

QUICK = AuditSettings(trees=20, draws=300)


def codes(audit: Audit, severity: Severity | None = None) -> set[str]:
    return {remark.code for remark in audit.remarks if severity in (None, remark.severity)}


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return clean_cohort(tmp_path_factory.mktemp("clean"))


def test_a_clean_cohort_has_no_remark_and_every_check_says_what_it_did(clean):
    told = []
    audit = audit_cohort(clean, QUICK, progress=lambda what, done: told.append(done))
    assert audit.remarks == ()
    assert not audit.serious
    assert {check.outcome for check in audit.checks} == {"clear"}
    assert all(check.text for check in audit.checks)
    assert told == [n / 40 for n in range(1, 41)]
    assert audit.disclaimer == DISCLAIMER


def test_the_audit_is_json_names_nobody_and_comes_out_the_same_twice(clean):
    audit = audit_cohort(clean, QUICK)
    text = json.dumps(audit.as_dict(), allow_nan=False)
    assert "p07" not in text
    assert json.loads(text)["settings"]["draws"] == 300
    assert audit_cohort(clean, QUICK) == audit


def test_the_order_of_rows_changes_no_remark(clean):
    turned = replace(clean, cases=clean.cases[::-1])
    assert audit_cohort(turned, QUICK).remarks == ()


def test_everything_at_once(tmp_path):
    """A cohort with one fault of each kind, through cohort.csv as a user would bring it."""
    cohort = clean_cohort(tmp_path)
    cases = list(cohort.cases)
    rng = np.random.default_rng(5)
    cases[0] = replace(cases[0], patient=cases[2].patient, scan="t")  # train and test: a leak
    save(lungs(rng), tmp_path / "p04.png")
    (tmp_path / "p05.png").write_bytes((tmp_path / "p06.png").read_bytes())  # train and test: a copy
    (tmp_path / "p08.png").unlink()
    (tmp_path / "p09.png").write_bytes(b"\x89PNG\r\n\x1a\nnonsense")
    cases[10] = replace(cases[10], intensity=Intensity.HU)
    save(np.full((SIZE, SIZE), 9, np.uint8), tmp_path / "mask.png")
    save(np.ones((20, 20), np.uint8), tmp_path / "small.png")
    cases[11] = replace(cases[11], lungs=Path("mask.png"), lesions=Path("small.png"), lobes=Path("gone.png"))
    audit = audit_cohort(read_cohort(write_cohort(replace(cohort, cases=tuple(cases)), tmp_path)), QUICK)
    assert audit.serious
    assert codes(audit, Severity.REFUSE) == {
        *("patient-leak", "duplicates-across-splits", "files-missing", "files-unreadable"),
        *("intensity-wrong", "masks-labels", "masks-shape"),
    }
    assert {"intensity-mixed", "duplicates-labels-differ"} <= codes(audit, Severity.WARN)
    problems = {(one.row, one.what): one.problem for one in audit.files}
    assert problems.keys() == {
        (10, "image"),
        (11, "image"),
        *((13, m) for m in ("lungs", "lesions", "lobes")),
    }
    assert problems[10, "image"] == "is missing"
    assert "unknown labels: 9" in problems[13, "lungs"]
    assert "20 x 20" in problems[13, "lesions"]
    severities = [remark.severity for remark in audit.remarks]
    assert severities == sorted(severities, key=list(Severity).index)


@pytest.fixture(scope="module")
def cage_audit(real) -> Audit:
    return audit_cohort(SOURCES["cage"](real / "cage"), QUICK)


@pytest.mark.real
def test_cage_what_its_readme_warns_of_is_found(cage_audit):
    """Days and severity are confounded, severity falls with day; greys, edges and sizes differ by label."""
    text = {remark.code: remark.text for remark in cage_audit.remarks}
    assert "falling with day" in text["day-tells-event"]
    assert "'healthy'" in text["day-known-tells-label"]
    day = next(t for t in cage_audit.columns if (t.target, t.column, t.aspect) == ("event", "day", "value"))
    assert day.strength.high < 0.15
    facts = {f.fact: f.auc for f in cage_audit.facts if f.target == "label"}
    assert facts["mean grey without the background"].low > 0.8
    assert facts["straightness of the background's outline (blocky or smooth crop)"].low > 0.7
    assert facts["width in pixels"].high < 0.4
    assert "72 of 891 patients" in text["several-scans"]
    tells = {t.seen: t.auc for t in cage_audit.tells if t.target == "label"}
    assert tells["both"].low > 0.95
    assert tells["file facts"].low > 0.75
    assert "proves nothing" in text["source-tells-label"]
    assert not {"duplicates-across-patients", "files-unreadable"} & text.keys()


@pytest.mark.real
def test_ucsd_one_patient_on_two_sides_and_files_that_tell_the_label(real):
    audit = audit_cohort(SOURCES["ucsd_covid_ct"](real / "ucsd_covid_ct"), QUICK)
    text = {remark.code: remark.text for remark in audit.remarks}
    assert "1 patient(s) are in both train and val" in text["patient-leak"]
    assert "source_mode" in text["columns-tell-label"]
    assert next(t.auc for t in audit.tells if t.seen == "file facts").low > 0.9


@pytest.mark.real
def test_semiseg_slices_of_one_patient_under_two_names(real):
    audit = audit_cohort(SOURCES["covid_semiseg"](real / "covid_semiseg"), QUICK)
    assert {"one-label", "duplicates-across-patients"} <= codes(audit)
    assert not audit.files
    assert not audit.tells
