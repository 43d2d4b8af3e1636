"""Planted shortcuts are found, each by its kind; a label that goes with nothing is told by nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_scans import clean_cohort, save
from PIL import Image

from glasslung.audit.borders import border_facts, straight_share
from glasslung.audit.record import AuditSettings
from glasslung.audit.scans import read_facts
from glasslung.audit.shortcuts import audit_shortcuts, cross_validated_scores
from glasslung.measure.ranking import auc

QUICK = AuditSettings(trees=20, draws=300)


def spoiled(folder: Path, how: str):
    """Every covid picture is changed in a way that has nothing to do with its lungs."""
    cohort = clean_cohort(folder, patients=30)
    cases = []
    for case in cohort.cases:
        grey = np.asarray(Image.open(folder / case.image)).copy()
        name = case.image.stem + ".png"
        if case.label == "covid":
            if how == "jpeg":
                name = case.image.stem + ".jpg"
            elif how == "wide":
                grey = np.pad(grey, ((0, 0), (0, 10)))
            elif how == "frame":
                grey[[0, -1]] = 255
            elif how == "floor":
                grey = np.maximum(grey, 6)
        save(grey, folder / name)
        cases.append(replace(case, image=Path(name)))
    cohort = replace(cohort, cases=tuple(cases))
    return audit_shortcuts(cohort.cases, read_facts(cohort, 15), QUICK)


@pytest.mark.parametrize(
    ("how", "kind", "fact"),
    [
        ("jpeg", "file facts", "file format JPEG"),
        ("wide", "file facts", "width in pixels"),
        ("frame", "borders", "grey of the outermost ring"),
        ("floor", "borders", "grey level of the background"),
    ],
)
def test_a_planted_shortcut_is_found_and_named(tmp_path, how, kind, fact):
    part = spoiled(tmp_path, how)
    tells = {tell.seen: tell.auc for tell in part.tells if tell.target == "label"}
    assert tells[kind].low > 0.95
    assert tells["both"].low > 0.9
    text = {remark.code: remark.text for remark in part.remarks}
    assert "score below this proves nothing" in text["source-tells-label"]
    assert fact in text["facts-tell-label"]
    assert not any("event" in code for code in text)


def test_no_shortcut_no_remark(tmp_path):
    part = spoiled(tmp_path, "not at all")
    assert part.remarks == ()
    assert [check.outcome for check in part.checks] == ["clear", "clear"]
    assert all(tell.auc.low < 0.6 for tell in part.tells)


def test_several_labels_are_told_one_against_the_rest(tmp_path):
    cohort = clean_cohort(tmp_path, patients=30)
    cases = []
    for number, case in enumerate(cohort.cases):
        label = ["covid", "healthy", "bacterial"][number % 3]
        if label == "bacterial":
            grey = np.asarray(Image.open(tmp_path / case.image))
            save(np.pad(grey, ((0, 9), (0, 0))), tmp_path / case.image)
        cases.append(replace(case, label=label))
    part = audit_shortcuts(cases, read_facts(replace(cohort, cases=tuple(cases)), 15), QUICK)
    aucs = {
        tell.group: tell.auc for tell in part.tells if tell.seen == "file facts" and tell.target == "label"
    }
    assert aucs.keys() == {"covid", "healthy", "bacterial"}
    assert aucs["bacterial"].low > 0.95
    assert aucs["covid"].high < 0.95


def test_too_few_patients_is_said_not_guessed(tmp_path):
    cohort = clean_cohort(tmp_path, patients=8)
    part = audit_shortcuts(cohort.cases, read_facts(cohort, 15), QUICK)
    assert part.tells == ()
    assert part.checks[0].outcome == "skipped"
    assert "at least 5 patients" in part.checks[0].text


def test_a_patient_is_never_in_training_and_test():
    """Facts that name the patient and nothing else: honest folds cannot use them."""
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(40), 5)
    truth = rng.random(40)[patients] < 0.5
    values = rng.normal(size=(40, 3))[patients]
    scores = cross_validated_scores(values, truth, patients.astype(str), QUICK)
    assert auc(truth, scores) < 0.75
    same_folds = cross_validated_scores(values, truth, np.arange(200).astype(str), QUICK)
    assert auc(truth, same_folds) > 0.95


def test_border_facts_landmarks():
    picture = np.zeros((50, 50), np.uint8)
    picture[10:40, 10:40] = 100
    picture[20:30, 20:30] = 0  # dark, but not joined to the rim: no background
    facts = border_facts(picture, is_hu=False)
    assert facts["background_share"] == pytest.approx(1 - 30 * 30 / 2500)
    assert facts["background_level"] == 0
    assert facts["rim_dark"] == 1
    assert facts["edge_straight"] == 1
    scan = np.full((50, 50), 40, np.int16)
    scan[:5] = -1000
    facts = border_facts(scan, is_hu=True)
    assert facts["background_level"] == -1000
    assert facts["background_share"] == pytest.approx(0.1)


def test_blocky_outlines_run_straighter_than_smooth_ones():
    rows, columns = np.mgrid[:200, :200]
    disc = (rows - 100) ** 2 + (columns - 100) ** 2 < 80**2
    blocks = np.kron(disc[::8, ::8], np.ones((8, 8), bool))
    assert straight_share(blocks) == 1
    assert straight_share(disc) < 0.75
    assert straight_share(np.zeros((9, 9), bool)) == 0
