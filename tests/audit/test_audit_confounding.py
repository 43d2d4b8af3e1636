"""Columns that go with the label or the outcome are named; those that do not are left in peace."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from glasslung.audit.confounding import audit_confounding, contingency, day_bands
from glasslung.audit.patients import audit_patients
from glasslung.audit.record import AuditSettings
from glasslung.types import Case, Intensity, Severity

QUICK = AuditSettings(draws=300)


def made(count: int = 120, **rules) -> list[Case]:
    """Cases with independent columns; a rule (case, rng) -> value puts a dependence in."""
    rng = np.random.default_rng(0)
    cases = []
    for number in range(count):
        case = Case(
            patient=f"p{number}",
            scan="s",
            image=Path("x.png"),
            intensity=Intensity.HU,
            day=float(rng.integers(0, 15)),
            site=str(rng.choice(["A", "B", "C"])),
            label=str(rng.choice(["covid", "healthy"])),
            event=bool(rng.random() < 0.4),
            split=str(rng.choice(["train", "val", "test"])),
            extra={"age": str(rng.integers(20, 90)), "sex": str(rng.integers(0, 2)), "id": f"x{number}"},
        )
        for field, rule in rules.items():
            case = replace(case, **{field: rule(case, rng)})
        cases.append(case)
    return cases


def remarks(cases: list[Case]) -> dict[str, str]:
    return {remark.code: remark.text for remark in audit_confounding(cases, QUICK).remarks}


def test_independent_columns_raise_nothing():
    part = audit_confounding(made(), QUICK)
    assert part.remarks == ()
    assert {check.outcome for check in part.checks} == {"clear"}
    assert {tell.column for tell in part.columns} == {"site", "split", "day", "event", "label", "age", "sex"}


def test_a_day_that_tells_the_outcome_is_named_with_its_direction():
    falls = made(event=lambda case, rng: rng.random() < (0.95 if case.day < 5 else 0.1))
    text = remarks(falls)["day-tells-event"]
    assert "falling with day" in text
    assert " on day 0 to " in text
    rises = made(event=lambda case, rng: rng.random() < (0.05 if case.day < 9 else 0.9))
    assert "rising with day" in remarks(rises)["day-tells-event"]
    assert "day-tells-label" not in remarks(rises)


def test_a_missing_day_that_tells_the_label():
    cases = made(day=lambda case, rng: 3.0 if case.label == "covid" else None)
    text = remarks(cases)["day-known-tells-label"]
    assert "of 'covid'" in text
    assert "0 of" in text


def test_site_and_columns_that_tell_the_label():
    cases = made(
        site=lambda case, rng: "A" if case.label == "covid" else str(rng.choice(["A", "B"])),
        extra=lambda case, rng: (
            case.extra
            | {"age": str(50 + 20 * (case.label == "covid") + int(rng.integers(0, 9))), "note": case.label}
        ),
    )
    found = remarks(cases)
    assert "Cramer's V" in found["site-tells-label"]
    assert "age (AUC" in found["columns-tell-label"]
    assert "note (V 1.00" in found["columns-tell-label"]
    assert "sex" not in found["columns-tell-label"]


def test_tables_count_scans():
    table = contingency("label by site", ["c", "c", "h", "h"], ["A", "B", "A", ""])
    assert (table.rows, table.columns) == (("c", "h"), ("unknown", "A", "B"))
    assert table.scans == ((0, 1, 1), (1, 1, 0))
    titles = {table.title for table in audit_confounding(made(), QUICK).tables}
    assert {"label by site", "label by split", "outcome by day", "outcome by label"} <= titles


def test_day_bands_hold_like_days_together():
    bands = day_bands(np.array([0.0] * 10 + [1, 2, 3, 4, 5, 9, 9, 9, 9, 9]))
    assert len(set(bands[:10])) == 1
    assert bands == sorted(bands)
    assert set(day_bands(np.zeros(5))) == {"1: day 0 to 0"}


def codes(cases: list[Case]) -> dict[str, Severity]:
    return {remark.code: remark.severity for remark in audit_patients(cases).remarks}


def test_patients_and_labels():
    assert codes(made()) == {}
    leak = [replace(case, patient="p0") if case.patient in ("p1", "p2", "p3") else case for case in made()]
    assert len({case.split for case in leak if case.patient == "p0"}) > 1
    assert codes(leak)["patient-leak"] is Severity.REFUSE
    assert codes(leak)["several-scans"] is Severity.NOTE
    assert codes(made(label=lambda case, rng: "covid"))["one-label"] is Severity.WARN
    assert codes(made(label=lambda case, rng: "")) == {"no-label": Severity.NOTE}
    lost = made(label=lambda case, rng: "covid" if case.split == "test" else case.label)
    assert codes(lost)["label-not-in-split"] is Severity.WARN
    assert audit_patients(made(split=lambda case, rng: "")).checks[0].outcome == "skipped"
