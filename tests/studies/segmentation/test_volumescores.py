"""Figures of masks in whole scans: against formulas, under every rule, and where a part is not known."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from glasslung.data.volumecohort import Labelled
from glasslung.errors import DataError, ShapeError
from glasslung.studies.segmentation.volumescores import (
    FoundMasks,
    figures_of_volumes,
    scan_table,
    score_scan,
    table_of_volumes,
)
from glasslung.types import Case, Geometry, Intensity
from made_volumes import SPACING, chest, volume_of

KINDS = ("ground glass", "consolidation", "crazy paving")
ML = float(np.prod(SPACING)) / 1000


def labelled(seed: int, ill: bool = True, **changes) -> Labelled:
    hu, lungs, lesions = chest(seed, ill)
    case = Case(f"patient-{seed}", f"s{seed}", Path("image.nii.gz"), Intensity.HU)
    return replace(Labelled(case, volume_of(hu), lungs > 0, lesions), **changes)


def shifted(one: Labelled, by: int = 1) -> FoundMasks:
    """What was found lies some columns beside the truth."""
    return FoundMasks(np.roll(one.lungs, by, 2), np.roll(one.lesions, by, 2))


def figures(*scores):
    return figures_of_volumes(scores, np.random.default_rng(0), draws=200)


def test_figures_are_those_of_the_formulas():
    one = labelled(0)
    found = shifted(one)
    score = score_scan("s0", one, found, KINDS)
    assert list(score.targets) == ["lungs", "infection", *KINDS]
    for name, truth, answer in (
        ("lungs", one.lungs, found.lungs),
        ("infection", one.lesions > 0, found.lesions > 0),
        ("consolidation", one.lesions == 2, found.lesions == 2),
    ):
        target = score.targets[name]
        assert target.both == np.count_nonzero(truth & answer)
        assert target.true_ml == pytest.approx(truth.sum() * ML)
        assert target.found_ml == pytest.approx(answer.sum() * ML)
        assert target.hd95_mm == pytest.approx(SPACING[2])
        assert 0 < target.surface_dice < 1
    overlap = figures(score)["overlap"]["lungs"]["undefined"]
    dice = 2 * score.targets["lungs"].both / (one.lungs.sum() + found.lungs.sum())
    assert overlap["f1"]["value"] == pytest.approx(dice, abs=1e-4)


def test_the_truth_found_is_perfect():
    one = labelled(1)
    told = figures(score_scan("s1", one, FoundMasks(one.lungs, one.lesions), KINDS))
    for name in ("lungs", "infection", *KINDS):
        assert told["overlap"][name]["zero"]["f1"]["value"] == 1
        assert told["surface"][name]["hd95_mm"]["value"] == 0
        assert told["volume"][name]["absolute_error_ml"]["value"] == 0
    assert "lungs" not in told["lesionwise"]
    assert told["lesionwise"]["infection"]["f1"]["value"] == 1
    assert told["lesionwise"]["infection"]["lesions"] == 3


def test_empty_masks_follow_the_named_rule():
    """Two scans: one perfect, one healthy with nothing found."""
    ill, well = labelled(2), labelled(3, ill=False)
    told = figures(
        score_scan("a", ill, FoundMasks(ill.lungs, ill.lesions), KINDS),
        score_scan("b", well, FoundMasks(well.lungs, well.lesions), KINDS),
    )
    overlap, surface = told["overlap"]["consolidation"], told["surface"]["consolidation"]["surface_dice"]
    for rule, value, count in (("undefined", 1, 1), ("perfect", 1, 2), ("zero", 0.5, 2)):
        assert (overlap[rule]["f1"]["value"], overlap[rule]["f1"]["images"]) == (value, count)
        assert (surface[rule]["value"], surface[rule]["images"]) == (value, count)
    assert told["with"]["consolidation"] == 1 and told["with"]["lungs"] == 2
    assert overlap["undefined"]["f1"]["undefined"] == 1


def test_a_missed_lesion_has_no_distance_and_is_counted():
    ill = labelled(4)
    told = figures(
        score_scan("a", ill, FoundMasks(ill.lungs, np.zeros_like(ill.lesions)), KINDS),
        score_scan("b", replace(ill), shifted(ill), KINDS),
    )
    surface = told["surface"]["infection"]
    assert surface["one_empty"] == 1
    assert surface["hd95_mm"]["value"] == pytest.approx(SPACING[2]) and surface["hd95_mm"]["images"] == 1
    assert told["overlap"]["infection"]["perfect"]["f1"]["value"] < 0.5
    json.dumps(told, allow_nan=False)


def test_what_nobody_drew_is_not_scored():
    one = labelled(5)
    no_lungs = score_scan("a", replace(one, lungs=None), shifted(one), KINDS)
    assert "lungs" not in no_lungs.targets and "infection" in no_lungs.targets
    no_lesions = score_scan("b", replace(one, lesions=None), shifted(one), KINDS)
    assert list(no_lesions.targets) == ["lungs"]
    told = figures(no_lungs, no_lesions)
    assert told["overlap"]["lungs"]["perfect"]["f1"]["images"] == 1
    blind = score_scan("c", replace(one, lungs=None), FoundMasks(one.lungs, None), ())
    with pytest.raises(DataError, match="no scan has a mask of what this network tells"):
        figures(blind)
    with pytest.raises(DataError, match="not a single"):
        figures()


def test_a_network_without_crazy_paving_is_scored_for_ground_glass():
    one = labelled(6)
    folded = np.where(one.lesions == 3, 1, one.lesions).astype(np.uint8)
    score = score_scan("a", one, FoundMasks(one.lungs, folded), KINDS[:2])
    assert list(score.targets) == ["lungs", "infection", "ground glass", "consolidation"]
    assert score.targets["ground glass"].only_found == 0
    binary = score_scan("a", one, FoundMasks(None, (one.lesions > 0).astype(np.uint8)), ())
    assert list(binary.targets) == ["infection"] and binary.targets["infection"].only_truth == 0


def test_without_a_measured_spacing_there_are_no_millilitres():
    one = labelled(7)
    flat = replace(one, volume=replace(one.volume, geometry=Geometry.ASSUMED))
    told = figures(score_scan("a", flat, shifted(flat), KINDS))
    assert told["volume"]["lungs"]["error_ml"]["value"] is None
    assert told["surface"]["lungs"]["hd95_mm"]["value"] is None
    assert told["overlap"]["lungs"]["perfect"]["f1"]["value"] > 0.5
    assert table_of_volumes(told).count("lungs") >= 5


def test_intervals_are_over_patients():
    scans = [labelled(n) for n in range(6)]
    each = [score_scan(f"s{n}", one, shifted(one, n % 3), KINDS) for n, one in enumerate(scans)]
    one_patient = [replace(score, patient="same") for score in each]
    assert figures(*each)["overlap"]["lungs"]["perfect"]["f1"]["interval"] is not None
    assert figures(*one_patient)["overlap"]["lungs"]["perfect"]["f1"]["interval"] is None


def test_the_table_names_scans_and_no_patient():
    one, well = labelled(8), labelled(9, ill=False)
    text = scan_table(
        [
            score_scan("a", one, shifted(one), KINDS),
            score_scan("b", replace(well, lungs=None), FoundMasks(well.lungs, well.lesions), KINDS),
        ]
    )
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["scan"] for row in rows] == ["a", "b"]
    assert float(rows[0]["infection_hd95_mm"]) == pytest.approx(SPACING[2])
    assert rows[1]["lungs_f1"] == "" and rows[1]["infection_f1"] == ""
    assert rows[0]["ground_glass_lesions"] == "1" and "patient" not in text


def test_masks_of_another_grid_are_refused():
    one = labelled(0)
    with pytest.raises(ShapeError, match="lungs"):
        score_scan("a", one, FoundMasks(one.lungs[1:], None), KINDS)
