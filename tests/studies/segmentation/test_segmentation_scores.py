"""Figures of segmented slices: each against the measure it is made of; tables and sheets that can be read."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from glasslung.data.sliceviews import View
from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.measure.greymaps import score_maps
from glasslung.measure.overlap import BothEmpty, dice, precision
from glasslung.studies.segmentation.papers import PRINTED, STICHNET_ROWS, ours_beside
from glasslung.studies.segmentation.scores import (
    Segmented,
    figures_of,
    paired_gain,
    per_slice,
    score_segmentations,
    slice_values,
)
from glasslung.studies.segmentation.sheet import (
    BOTH_RGB,
    FOUND_RGB,
    TRUE_RGB,
    file_name,
    overlay,
    sheets,
    write_segmented,
)
from glasslung.studies.segmentation.table import table_of
from made_segments import made_maps, made_picture, made_slices, made_truth


@pytest.fixture(scope="module")
def scores():
    return score_segmentations(made_slices())


@pytest.fixture(scope="module")
def figures(scores):
    return figures_of(scores, np.random.default_rng(0), draws=300)


def test_infection_is_cut_at_a_half_and_kinds_are_the_likeliest(figures):
    slices = made_slices()
    cut = [dice(one.truth > 0, 1 - one.probabilities[0] >= 0.5) for one in slices]
    assert figures["overlap"]["infection"]["undefined"]["f1"]["value"] == pytest.approx(
        np.mean(cut), abs=1e-4
    )
    dense = [(one.truth == 2, one.probabilities.argmax(0) == 2) for one in slices]
    for rule in BothEmpty:
        each = [precision(truth, found, rule) for truth, found in dense]
        got = figures["overlap"]["consolidation"][rule.value]["precision"]
        assert got["value"] == pytest.approx(np.nanmean(each), abs=1e-4)
        assert got["undefined"] == int(np.isnan(each).sum())
    all_truth, all_found = (np.concatenate([pair[side].ravel() for pair in dense]) for side in (0, 1))
    pooled = figures["overlap"]["consolidation"]["pooled"]["f1"]
    assert pooled["value"] == pytest.approx(dice(all_truth, all_found), abs=1e-4)
    assert pooled["interval"][0] <= pooled["value"] <= pooled["interval"][1]


def test_means_over_classes_are_means_of_their_means(figures):
    for rule in ("perfect", "zero"):
        of = {name: figures["overlap"][name][rule]["f1"]["value"] for name in figures["overlap"]}
        assert of["lesions"] == pytest.approx((of["ground glass"] + of["consolidation"]) / 2, abs=1e-4)
        three = (of["ground glass"] + of["consolidation"] + of["background"]) / 3
        assert of["overall"] == pytest.approx(three, abs=1e-4)


def test_maps_are_scored_by_both_protocols(figures):
    slices = made_slices()
    pairs = [(one.truth == 1, one.probabilities[1]) for one in slices]
    for how, stretch in (("stretched", True), ("as they are", False)):
        expected = score_maps(pairs, stretch).each()
        for name in ("dice", "s", "e", "mae"):
            got = figures["maps"]["ground glass"][how][name]["value"]
            assert got == pytest.approx(float(expected[name].mean()), abs=1e-4)
    assert set(figures["maps"]) == {"infection", "ground glass", "consolidation"}


def test_two_models_are_compared_slice_by_slice(scores):
    """Surer maps are better, and the gain is the mean of differences."""
    better = [
        Segmented(one.name, one.patient, one.truth, made_maps(one.truth, n, sure=5.0), one.picture)
        for n, one in enumerate(scores.slices)
    ]
    second = score_segmentations(better)
    for target, figure in (("infection", "f1"), ("ground glass", "stretched dice")):
        gain = paired_gain(scores, second, target, figure, np.random.default_rng(0))
        each = slice_values(second, target, figure) - slice_values(scores, target, figure)
        assert gain.value == pytest.approx(each.mean())
        assert gain.interval.low > 0
    zero = slice_values(scores, "consolidation", "f1", BothEmpty.ZERO)
    assert np.isnan(slice_values(scores, "consolidation", "f1")).sum() <= (zero == 0).sum()
    with pytest.raises(UsageError, match="another order"):
        paired_gain(scores, score_segmentations(better[::-1]), "infection", "f1", np.random.default_rng(0))
    with pytest.raises(UsageError, match="crazy paving"):
        slice_values(scores, "crazy paving", "f1")
    with pytest.raises(UsageError, match="stretched dice"):
        slice_values(scores, "infection", "dice")


def test_figures_are_json_and_name_no_patient(figures, scores):
    told = json.dumps(figures, allow_nan=False)
    assert figures["slices"] == 7
    assert figures["patients"] == 6
    assert figures["with"] == {"ground glass": 7, "consolidation": 4, "crazy paving": 0}
    assert '"p1"' not in told
    assert "p1" not in {str(value) for row in per_slice(scores) for value in row.values()}


def test_a_model_of_infection_alone_has_no_kinds():
    figures = figures_of(score_segmentations(made_slices(5, classes=2)), np.random.default_rng(0), 100)
    assert set(figures["overlap"]) == {"infection", "background"}
    assert set(figures["maps"]) == {"infection"}
    assert "no kinds" in table_of(figures)
    assert {row["target"] for row in ours_beside(figures)} == {"infection", "background"}


def test_a_single_slice_has_figures_and_no_intervals():
    figures = figures_of(score_segmentations(made_slices(1)), np.random.default_rng(0), 100)
    assert figures["overlap"]["infection"]["zero"]["f1"]["interval"] is None
    assert figures["overlap"]["consolidation"]["undefined"]["f1"]["value"] is None or figures["with"]
    assert "infection Dice" in table_of(figures)


def test_what_does_not_belong_together_is_refused():
    truth = made_truth(1)
    maps, picture = made_maps(truth, 1), made_picture(truth, 1)
    with pytest.raises(ShapeError, match="one grid"):
        Segmented("s", "p", truth[1:], maps, picture)
    with pytest.raises(DataError, match="label 7"):
        Segmented("s", "p", np.where(truth == 2, 7, truth), maps, picture)
    with pytest.raises(DataError, match="every pixel must be known"):
        Segmented("s", "p", np.full(truth.shape, -1), maps, picture)
    with pytest.raises(DataError, match="sum to 1"):
        Segmented("s", "p", truth, maps * 2, picture)
    with pytest.raises(ShapeError, match="classes"):
        Segmented("s", "p", truth, maps[:1], picture)
    one = Segmented("s", "p", truth, maps, picture)
    two = Segmented("t", "p", truth, made_maps(truth, 1, 2), picture)
    with pytest.raises(UsageError, match="different classes"):
        score_segmentations([one, two])
    with pytest.raises(DataError, match="one name"):
        score_segmentations([one, one])
    with pytest.raises(DataError, match="not a single"):
        score_segmentations([])


# ------------------------------------------------------------------------------------------ files


def test_masks_and_maps_can_be_read_back(scores, tmp_path):
    write_segmented(scores, tmp_path)
    one = scores.slices[4]
    with Image.open(tmp_path / "masks" / "s4.png") as mask:
        assert mask.mode == "P"
        assert np.array_equal(np.asarray(mask), one.label)
    soft = np.asarray(Image.open(tmp_path / "soft" / "ground-glass" / "s4.png"))
    assert np.abs(soft / 255 - one.probabilities[1]).max() <= 0.5 / 255 + 1e-6
    rows = list(csv.DictReader(io.StringIO((tmp_path / "per_slice.csv").read_text())))
    assert [row["slice"] for row in rows] == [f"s{n}" for n in range(7)]
    assert float(rows[4]["infection_f1"]) == pytest.approx(dice(one.truth > 0, one.infected), abs=1e-4)
    assert rows[0]["consolidation_f1"] == "" or float(rows[0]["consolidation_found_pixels"]) > 0
    assert (tmp_path / "overlays-1.png").is_file()


def test_names_become_files_and_two_of_one_name_are_refused(tmp_path):
    assert file_name("labelled/train 7") == "labelled-train-7"
    assert file_name("../..") == "slice"
    first, second, *_ = made_slices(2)
    twins = [
        Segmented(name, "p", one.truth, one.probabilities, one.picture)
        for name, one in (("a/1", first), ("a-1", second))
    ]
    with pytest.raises(DataError, match="one file"):
        write_segmented(score_segmentations(twins), tmp_path)


def test_outlines_are_where_the_masks_end():
    truth = np.zeros((40, 40), np.uint8)
    truth[10:20, 10:20] = 1
    maps = np.zeros((3, 40, 40), np.float32)
    maps[0], maps[1] = 1.0, 0.0
    maps[:, 10:20, 15:25] = np.array([0.0, 1.0, 0.0])[:, None, None]
    picture = overlay(Segmented("s", "p", truth, maps, np.full((40, 40), 90, np.uint8)), 40)
    assert tuple(picture[14, 10]) == TRUE_RGB
    assert tuple(picture[14, 24]) == FOUND_RGB
    assert tuple(picture[10, 17]) == BOTH_RGB
    assert picture[14, 12].max() < 90
    lying = Segmented("s", "p", truth, maps, np.full((40, 40), 90, np.uint8), View.FRONT_LEFT)
    assert np.array_equal(overlay(lying, 40), picture.swapaxes(0, 1))


def test_the_worst_slices_come_first_and_all_come():
    slices = made_slices(7)
    many = [
        Segmented(f"{one.name}-{n}", "p", one.truth, one.probabilities, one.picture)
        for n in range(5)
        for one in slices
    ]
    pages = sheets(score_segmentations(many))
    assert len(pages) == 2
    assert pages[0].width == pages[1].width or pages[1].height < pages[0].height


# ------------------------------------------------------------------------------------------ papers


def test_printed_overall_is_the_mean_of_the_classes():
    """The corrected errata close: each overall row is the unweighted mean of its three classes."""
    for method in {row.method for row in STICHNET_ROWS}:
        for part in ("test", "validation"):
            rows = {row.target: row for row in STICHNET_ROWS if (row.method, row.part) == (method, part)}
            if {"ground glass", "consolidation", "background", "overall"} <= set(rows):
                for name, overall in rows["overall"].figures.items():
                    classes = [rows[t].figures[name] for t in ("ground glass", "consolidation", "background")]
                    assert overall == pytest.approx(np.mean(classes), abs=0.0151), (method, part, name)


def test_every_printed_row_has_a_source_and_figures_between_0_and_1():
    assert len({(row.method, row.part, row.target, row.source) for row in PRINTED}) == len(PRINTED)
    for row in PRINTED:
        assert row.source
        assert all(0 <= value <= 1 for value in row.figures.values())


def test_ours_stand_beside_by_the_papers_own_rules(figures):
    rows = {(row["protocol"], row["target"]): row["figures"] for row in ours_beside(figures)}
    assert rows["Inf-Net", "infection"]["dice"] == figures["maps"]["infection"]["stretched"]["dice"]
    assert rows["StichNet", "consolidation"]["f1"] == figures["overlap"]["consolidation"]["zero"]["f1"]
    text = table_of(figures)
    for word in ("Semi-Inf-Net", "StichNet", "nothing hit = 0", "lesion by lesion"):
        assert word in text
