"""Who draws the masks of a story: a network, another program, or the rules alone."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pytest

import glasslung.predict.opening
from glasslung.analyze import MaskMaking, Settings, analyze
from glasslung.data.formats import read_mask, read_scan, write_mask, write_volume
from glasslung.data.phantom import draw_patient, render
from glasslung.data.previewfile import read_preview
from glasslung.data.story import read_story
from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.types import Intensity, Lesion, Volume
from made_segmenters import GreyNet, grey_segmenter, lesion_share

SMALL = (40, 96, 96)
ASKED = Settings(masks=MaskMaking("grey"))


@pytest.fixture
def greynet(monkeypatch):
    """Whoever is asked for, a network that looks at grey values answers; which ones were opened."""
    opened = []

    def open_grey(which):
        opened.append(which)
        return grey_segmenter(Intensity.DISPLAY8 if "8bit" in str(which) else Intensity.HU, name=str(which))

    monkeypatch.setattr(glasslung.predict.opening, "open_segmenter", open_grey)
    return opened


@pytest.fixture(scope="module")
def drawn():
    return render(draw_patient(4, severity=0.7), 9, shape=SMALL)


def test_a_network_s_lesions_are_in_story_table_and_masks(course, tmp_path, greynet):
    out = tmp_path / "out"
    story = analyze([course / "day00.nii.gz", course / "day09.nii.gz"], out, ASKED)
    assert greynet == ["grey"] and read_story(out) == story
    early, late = (scan.regions[0].all_lesions.percent for scan in story.scans)
    assert late > early + 5
    scan = story.scans[1]
    assert (scan.origin.lesions, scan.origin.network) == ("network", "grey")
    assert scan.origin.kinds == ("ground glass", "consolidation") == tuple(scan.regions[0].lesions)
    assert scan.lesion_quality is not None and 0 <= scan.lesion_quality.confidence <= 1
    volume = read_scan(course / "day09.nii.gz")
    lungs, lesions = (read_mask(out / scan.masks[name], volume) for name in ("lungs", "lesions"))
    assert lesion_share(lesions, lungs) == pytest.approx(scan.regions[0].all_lesions.percent)
    import nibabel

    chance = nibabel.load(out / scan.masks["infection"])
    assert chance.header.get_data_dtype() == np.uint8
    values = np.asarray(chance.dataobj).transpose(2, 1, 0)
    assert 0.9 < values.max() <= 1.0 and ((values > 0.5) <= (lesions > 0)).all()
    rows = list(csv.DictReader((out / "findings.csv").read_text().splitlines()))
    row = next(r for r in rows if r["scan"] == "scan-02" and r["region"] == "both lungs")
    assert float(row["lesion_all_percent"]) == pytest.approx(scan.regions[0].all_lesions.percent, abs=1e-3)
    assert row["lesions_by"] == "network" and row["lesions_trusted"] in ("yes", "no")
    views = read_preview(out / scan.preview).views
    assert any(view.lesions is not None and view.lesions.any() for view in views)
    assert all(view.opacities is not None for view in views)


def test_sides_and_thirds_add_up(course, tmp_path, greynet):
    (scan,) = analyze([course / "day09.nii.gz"], tmp_path / "out", ASKED).scans
    for kind in ("ground glass", "consolidation"):
        parts = [r.lesions[kind].ml for r in scan.regions if r.name.endswith("third")]
        assert len(parts) == 6
        assert sum(parts) == pytest.approx(scan.region("both lungs").lesions[kind].ml)


def test_lesions_change_from_scan_to_scan_where_they_are_trusted(course, tmp_path, greynet):
    story = analyze([course / "day00.nii.gz", course / "day09.nii.gz"], tmp_path / "out", ASKED)
    told = {c.measure for c in story.changes}
    trusted = all(scan.lesion_quality.trusted for scan in story.scans)
    assert ("lesions by grey, both lungs" in told) is trusted


def test_another_network_measures_again_and_the_same_does_not(course, tmp_path, greynet, monkeypatch):
    import glasslung.data.lungs

    scans, out = [course / "day09.nii.gz"], tmp_path / "out"
    first = analyze(scans, out, ASKED)
    without = analyze(scans, out, Settings(masks=MaskMaking("none")))
    assert without.scans[0].regions[0].lesions is None and "lesions" not in without.scans[0].masks
    assert without.scans[0].origin.lungs == "rules" and without.scans[0].lesion_quality is None
    again = analyze(scans, out, ASKED)
    assert again.scans == first.scans
    monkeypatch.setattr(glasslung.data.lungs, "segment_lungs", lambda *_: pytest.fail("measured again"))
    assert analyze(scans, out, ASKED) == again


def test_what_ships_is_asked_by_default_each_for_its_grey_values(drawn, tmp_path, greynet, monkeypatch):
    ships = {Intensity.HU: "lesions-hu", Intensity.DISPLAY8: "lesions-8bit"}
    monkeypatch.setattr(glasslung.predict.opening, "shipped_for", ships.get)
    monkeypatch.setattr(glasslung.predict.opening, "identity_of", str)
    grey = np.clip((drawn.volume.voxels.astype(float) + 1106) / 1373 * 255, 0, 255).astype(np.uint8)
    write_volume(drawn.volume, tmp_path / "hu.nii.gz")
    write_volume(Volume(grey, drawn.volume.affine, Intensity.DISPLAY8), tmp_path / "grey.nii.gz")
    for name, network in (("hu", "lesions-hu"), ("grey", "lesions-8bit")):
        (scan,) = analyze([tmp_path / f"{name}.nii.gz"], tmp_path / f"out-{name}").scans
        assert scan.origin.network == network and scan.regions[0].lesions is not None
    assert greynet == ["lesions-hu", "lesions-8bit"]
    monkeypatch.setattr(glasslung.predict.opening, "shipped_for", lambda intensity: None)
    (scan,) = analyze([tmp_path / "hu.nii.gz"], tmp_path / "out-none").scans
    assert scan.origin.lesions == "none" and scan.regions[0].lesions is None


def test_masks_made_elsewhere_take_the_place_of_ours(drawn, tmp_path, greynet):
    write_volume(drawn.volume, tmp_path / "scan.nii.gz")
    write_mask(drawn.lungs, drawn.volume, tmp_path / "lungs.nii.gz")
    write_mask((drawn.lesions > 0).astype(np.uint8) * 4, drawn.volume, tmp_path / "lesions.nii.gz")
    masks = MaskMaking(
        lungs=(tmp_path / "lungs.nii.gz",),
        lesions=(tmp_path / "lesions.nii.gz",),
        labels={4: Lesion.CONSOLIDATION},
    )
    (scan,) = analyze([tmp_path / "scan.nii.gz"], tmp_path / "out", Settings(masks=masks)).scans
    both = scan.region("both lungs")
    assert greynet == [] and (scan.origin.lungs, scan.origin.lesions) == ("given", "given")
    assert both.voxels == np.count_nonzero(drawn.lungs) and scan.lesion_quality is None
    wanted = lesion_share(drawn.lesions, drawn.lungs)
    assert list(both.lesions) == ["consolidation"]
    assert both.lesions["consolidation"].percent == pytest.approx(wanted)
    assert scan.origin.agreement > 0.9


def test_given_lungs_and_a_network_s_lesions(drawn, tmp_path, greynet):
    write_volume(drawn.volume, tmp_path / "scan.nii.gz")
    write_mask((drawn.lungs > 0).astype(np.uint8), drawn.volume, tmp_path / "lungs.nii.gz")
    masks = MaskMaking("grey", lungs=(tmp_path / "lungs.nii.gz",))
    (scan,) = analyze([tmp_path / "scan.nii.gz"], tmp_path / "out", Settings(masks=masks)).scans
    assert (scan.origin.lungs, scan.origin.lesions) == ("given", "network")
    assert scan.region("both lungs").voxels == np.count_nonzero(drawn.lungs)
    assert {region.name for region in scan.regions} == {
        "both lungs",
        "upper third",
        "middle third",
        "lower third",
    }


def test_lungs_that_lie_elsewhere_are_not_trusted(drawn, tmp_path):
    write_volume(drawn.volume, tmp_path / "scan.nii.gz")
    wrong = np.roll(drawn.lungs, 20, axis=1)
    write_mask(wrong, drawn.volume, tmp_path / "lungs.nii.gz")
    masks = MaskMaking("none", lungs=(tmp_path / "lungs.nii.gz",))
    (scan,) = analyze([tmp_path / "scan.nii.gz"], tmp_path / "out", Settings(masks=masks)).scans
    assert not scan.lung_quality.trusted and "rules of density" in scan.lung_quality.reasons[-1]


def test_masks_follow_their_scans_when_days_reorder_them(course, tmp_path):
    patient = draw_patient(4, severity=0.7)
    paths = []
    for day in (9, 0):
        truth = render(patient, day, shape=SMALL)
        paths.append(tmp_path / f"lesions{day}.nii.gz")
        write_mask(truth.lesions, truth.volume, paths[-1])
    scans = [course / "day09.nii.gz", course / "day00.nii.gz"]
    settings = Settings(days=(9, 0), masks=MaskMaking(lesions=tuple(paths)))
    story = analyze(scans, tmp_path / "out", settings)
    early, late = (scan.regions[0].all_lesions.percent for scan in story.scans)
    assert [scan.day for scan in story.scans] == [0, 9] and late > early


@pytest.mark.parametrize(
    ("masks", "error", "words"),
    [
        (MaskMaking("{tmp}/none"), UsageError, "there is no run"),
        (MaskMaking("no-such-weights"), DataError, "comes with the package"),
        (MaskMaking(lungs=("{tmp}/none.nii.gz",)), UsageError, "--lungs .* does not exist"),
        (MaskMaking(lesions=("{tmp}/half.nii.gz",) * 2), UsageError, r"2 mask\(s\) by --lesions for 1 scan"),
        (MaskMaking(labels={1: Lesion.GROUND_GLASS}), UsageError, "--lesion-labels"),
        (MaskMaking(lungs=("{tmp}/half.nii.gz",)), ShapeError, "no geometry"),
        (MaskMaking(lesions=("{tmp}/odd.nii.gz",)), DataError, "0, 7.*what 7 means"),
        (MaskMaking(lungs=("{tmp}/note.txt",)), DataError, "note.txt"),
    ],
)
def test_requests_that_cannot_be_met_leave_nothing(course, tmp_path, masks, error, words):
    volume = read_scan(course / "day00.nii.gz")
    plain = np.array([[0, 0, -1, 0], [0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
    half = Volume(np.zeros((20, 48, 48), np.int16), plain, Intensity.HU)
    write_mask(np.ones((20, 48, 48), np.uint8), half, tmp_path / "half.nii.gz")
    odd = np.zeros(volume.shape, np.uint8)
    odd[20, 40:50, 40:50] = 7
    write_mask(odd, volume, tmp_path / "odd.nii.gz")
    (tmp_path / "note.txt").write_text("no mask")
    at = {"tmp": tmp_path}
    made = MaskMaking(
        masks.segmenter.format(**at),
        tuple(tmp_path / str(p).format(tmp=".") for p in masks.lungs),
        tuple(tmp_path / str(p).format(tmp=".") for p in masks.lesions),
        masks.labels,
    )
    with pytest.raises(error, match=words):
        analyze([course / "day00.nii.gz"], tmp_path / "out", Settings(masks=made))
    assert not (tmp_path / "out").exists()


def test_a_network_for_other_grey_values_is_refused_before_anything_is_measured(
    course, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        glasslung.predict.opening, "open_segmenter", lambda which: grey_segmenter(Intensity.DISPLAY8)
    )
    with pytest.raises(UsageError, match=r"reads display8.*hu: leave it out"):
        analyze([course / "day00.nii.gz"], tmp_path / "out", ASKED)
    assert not (tmp_path / "out").exists()


def test_damaged_lesions_are_made_again(course, tmp_path, greynet):
    out = tmp_path / "out"
    story = analyze([course / "day09.nii.gz"], out, ASKED)
    (out / "masks/scan-01/lesions.nii.gz").write_bytes(b"cut")
    again = analyze([course / "day09.nii.gz"], out, ASKED)
    assert again.scans == story.scans
    shutil.rmtree(out)


def test_a_network_that_is_unsure_is_not_trusted(course, tmp_path, monkeypatch):
    unsure = grey_segmenter(model=GreyNet(sure=2.0))
    monkeypatch.setattr(glasslung.predict.opening, "open_segmenter", lambda which: unsure)
    (scan,) = analyze([course / "day09.nii.gz"], tmp_path / "out", ASKED).scans
    assert not scan.lesion_quality.trusted
    assert any("unsure" in reason for reason in scan.lesion_quality.reasons)


@pytest.mark.real
def test_what_ships_reads_a_real_stack_of_pictures(real, tmp_path):
    """Fifty slices of a patient with COVID-19: disease low at the back of both lungs, hardly any above."""
    settings = Settings(classifier="none")
    (scan,) = analyze([real / "covid_volume_8bit"], tmp_path / "out", settings).scans
    both = scan.region("both lungs").all_lesions
    assert scan.origin.network == "lesions-8bit" and both.ml is None and 1 < both.percent < 15
    upper, lower = (
        scan.region(f"{side} {level} third").all_lesions.percent
        for side, level in (("right", "upper"), ("right", "lower"))
    )
    assert lower > 3 * upper and scan.involvement is None
