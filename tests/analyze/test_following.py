"""A scan laid on the one before it: whether it may be, by whose lesions, and what is told where it fails."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import glasslung.data.registration
from glasslung.analyze.following import (
    CHANGE,
    CHANGE_FILE,
    Held,
    follow,
    lesions_of_both,
    obstacles,
    pair_key,
)
from glasslung.data import results
from glasslung.data.formats import read_mask, write_mask
from glasslung.data.registration import Registration
from glasslung.errors import DataError
from glasslung.types import Geometry, Intensity, MaskOrigin, Remark, Severity, Volume
from made_findings import BAD, findings

SLAB = Remark("slab-only", Severity.WARN, "a slab")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"geometry": Geometry.ASSUMED}, "no spacing and no position"),
        ({"shape": (1, 90, 90)}, "has one slice"),
        ({"shape": (4, 90, 90)}, "has 4 slices"),
        ({"gate": (SLAB,)}, "only a slab"),
        ({"regions": ()}, "shows no lung"),
        ({"lung_quality": BAD}, "not trusted"),
    ],
)
def test_what_cannot_be_laid_on_another_says_why(change, words):
    one, other = findings(), replace(findings("scan-02"), **change)
    assert any(words in reason and "the later scan" in reason for reason in obstacles(one, other))
    assert any(words in reason and "the earlier scan" in reason for reason in obstacles(other, one))
    assert not obstacles(one, one)


def test_what_both_scans_lack_is_said_once():
    flat = replace(findings(), geometry=Geometry.ASSUMED)
    (reason,) = obstacles(flat, flat)
    assert reason.startswith("both scans have no spacing and no position")


def test_lesions_are_compared_where_one_hand_drew_both():
    ours, theirs = findings(), findings("scan-02")
    assert lesions_of_both(ours, theirs) == ("lesions-made", "lesions.nii.gz")
    other = replace(theirs, origin=replace(theirs.origin, digest="def"))
    assert lesions_of_both(ours, other) == ("density", "opacities.nii.gz")
    doubted = replace(theirs, lesion_quality=BAD)
    assert lesions_of_both(ours, doubted) == ("density", "opacities.nii.gz")
    given = [replace(one, origin=MaskOrigin("given", "given"), lesion_quality=None) for one in (ours, theirs)]
    assert lesions_of_both(*given) == ("mask given", "lesions.nii.gz")
    grey = [replace(findings(network=""), intensity=Intensity.DISPLAY8, masks={"lungs": ""})] * 2
    assert lesions_of_both(*grey) is None


def test_a_pairs_key_knows_its_order():
    assert pair_key("a", "b") != pair_key("b", "a")


# --- two scans whose registration is known ------------------------------------------------------------------

SHAPE = (20, 32, 32)
AFFINE = np.array([[0, 0, 2, -30], [0, 2, 0, -30], [5, 0, 0, 10], [0, 0, 0, 1.0]])


@pytest.fixture
def pair(tmp_path, monkeypatch):
    """Two scans of one chest: a lesion that grew, one that went, one that came. They need no registration."""
    import SimpleITK as sitk

    found = Registration(sitk.Transform(3, sitk.sitkIdentity), 0.9, 0.97, 0.0, 1.4, ())
    monkeypatch.setattr(glasslung.data.registration, "register", lambda *_: found)
    lungs = np.zeros(SHAPE, np.uint8)
    lungs[2:18, 4:28, 4:28] = 1
    lesions = np.zeros((2, *SHAPE), np.uint8)
    lesions[0, 4:7, 8:12, 8:12] = 1  # 3 slices, then 6
    lesions[1, 4:10, 8:12, 8:12] = 1
    lesions[0, 14:17, 20:24, 20:24] = 1
    lesions[1, 12:15, 6:10, 20:24] = 2
    lesions[1, 4:8, 26:31, 8:12] = 1  # half of it outside the lungs
    volume = Volume(np.zeros(SHAPE, np.int16), AFFINE, Intensity.HU)
    held = []
    for n in range(2):
        folder = tmp_path / f"scan-0{n + 1}"
        folder.mkdir()
        write_mask(lungs, volume, folder / "lungs.nii.gz")
        write_mask(lesions[n], volume, folder / "lesions.nii.gz")
        held.append(Held(f"k{n}", findings(folder.name, shape=SHAPE), folder, partial(lambda v: v, volume)))
    masks = tmp_path / "masks"
    masks.mkdir()
    return held, masks, volume


def test_lesions_have_a_fate_and_a_place(pair):
    (before, after), masks, volume = pair
    told = follow(before, after, masks, lambda what, done: None).told
    assert told.compared
    assert told.lesions_by == "lesions-made"
    counts = {one.fate: one.count for one in told.fates}
    assert counts == {"new": 2, "grown": 1, "steady": 0, "shrunk": 0, "resolved": 1}
    grown = next(one for one in told.lesions if one.fate == "grown")
    assert grown.before_ml == pytest.approx(3 * 16 * volume.voxel_ml)
    assert grown.after_ml == pytest.approx(2 * grown.before_ml)
    assert grown.centre_mm == pytest.approx((-11.0, -11.0, 42.5))
    assert grown.slice in (7, 8)
    assert told.outside_ml == pytest.approx((0.0, 4 * 3 * 4 * volume.voxel_ml))
    assert any("breathed" in text for text in told.cautions)


def test_the_change_map_lies_on_the_later_scans_grid(pair):
    (before, after), masks, volume = pair
    follow(before, after, masks, lambda what, done: None)
    folder = results.finished_parts(masks, CHANGE)[pair_key("k0", "k1")]
    tissue = read_mask(folder / CHANGE_FILE, volume)
    assert (tissue[5, 9, 9], tissue[9, 9, 9], tissue[15, 21, 21]) == (1, 2, 3)


def test_levels_of_a_chest_on_itself_are_its_own(pair):
    (before, after), masks, _ = pair
    levels = follow(before, after, masks, lambda what, done: None).levels
    assert np.allclose(levels[0], np.arange(2, 18))
    assert np.allclose(levels[0], levels[1])


def test_what_was_compared_is_not_compared_again(pair, monkeypatch):
    (before, after), masks, _ = pair
    first = follow(before, after, masks, lambda what, done: None)
    monkeypatch.setattr(glasslung.data.registration, "register", lambda *_: pytest.fail("registered again"))
    again = follow(before, after, masks, lambda what, done: None)
    assert again.told == first.told
    assert np.allclose(again.levels, first.levels)


def test_a_registration_that_failed_gives_no_figure(pair, monkeypatch):
    (before, after), masks, _ = pair
    bad = Registration(
        None, 0.5, 0.7, 0.0, 1.0, ("after registration the lungs overlap with Dice 0.70 only",)
    )
    monkeypatch.setattr(glasslung.data.registration, "register", lambda *_: bad)
    told = follow(before, after, masks, lambda what, done: None)
    assert not told.told.compared
    assert told.levels is None
    assert told.told.fates == ()
    assert told.told.dice_after == 0.7
    assert "one patient" in told.told.reasons[0]


def test_what_cannot_be_tried_is_not_tried(pair, monkeypatch):
    (before, after), masks, _ = pair
    monkeypatch.setattr(glasslung.data.registration, "register", lambda *_: pytest.fail("tried"))
    flat = replace(after, findings=replace(after.findings, geometry=Geometry.ASSUMED))
    told = follow(before, flat, masks, lambda what, done: None).told
    assert "no spacing" in told.reasons[0]
    assert told.dice_after is None


def test_a_damaged_comparison_is_no_answer(pair):
    from glasslung.analyze.following import read_followed

    (before, after), masks, _ = pair
    follow(before, after, masks, lambda what, done: None)
    folder = results.finished_parts(masks, CHANGE)[pair_key("k0", "k1")]
    (folder / CHANGE_FILE).write_bytes(b"cut")
    with pytest.raises(DataError, match="changed while it was read"):
        read_followed(folder)
    assert not results.finished_parts(masks, CHANGE)
    assert follow(before, after, masks, lambda what, done: None).told.compared
