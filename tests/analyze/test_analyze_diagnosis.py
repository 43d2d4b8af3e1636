"""A classifier in a story: who is asked, what it says, why, and what is measured again when it changes."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

import glasslung.predict.diagnosing
import glasslung.predict.opening
from glasslung.analyze import MaskMaking, Settings, analyze
from glasslung.analyze.asking import AskSettings, ask
from glasslung.analyze.diagnosing import Classifiers
from glasslung.analyze.masks import GivenPaths
from glasslung.data.formats import read_scan, write_mask, write_volume
from glasslung.data.phantom import draw_patient, render
from glasslung.data.previewfile import read_preview
from glasslung.data.story import read_story
from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.files import read_json, write_json
from glasslung.predict.operating import OPERATING
from glasslung.types import Intensity, Standing, Volume
from made_classifiers import lesion_classifier, told, write_classifier
from made_segmenters import GreyNet, grey_segmenter

SMALL = (40, 96, 96)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A folder with a phantom scan of day 9, its true lungs and lesions, and masks without any lesion."""
    folder = tmp_path_factory.mktemp("drawn")
    truth = render(draw_patient(4, severity=0.7), 9, shape=SMALL)
    write_volume(truth.volume, folder / "scan.nii.gz")
    write_mask(truth.lungs, truth.volume, folder / "lungs.nii.gz")
    write_mask(truth.lesions, truth.volume, folder / "lesions.nii.gz")
    write_mask(np.zeros(SMALL, np.uint8), truth.volume, folder / "none.nii.gz")
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run of a small NetVLAD as it is drawn, which goes by given lesions."""
    folder = tmp_path_factory.mktemp("runs") / "vlad"
    return write_classifier(folder, "netvlad", reads={"lesions_by": "given"})


@pytest.fixture
def by_lesions(tmp_path, monkeypatch):
    """Whoever is asked for, one that goes by the share of lesions answers."""
    asked = lesion_classifier(tmp_path / "classifier", reads={"lesions_by": "given"})
    monkeypatch.setattr(
        glasslung.predict.diagnosing, "open_classifier", lambda which: replace(asked, name=str(which))
    )
    monkeypatch.setattr(glasslung.predict.diagnosing, "classifier_identity", str)
    return asked


def given(folder: Path, classifier: str, lesions: str = "lesions.nii.gz") -> Settings:
    masks = MaskMaking("none", lungs=(folder / "lungs.nii.gz",), lesions=(folder / lesions,))
    return Settings(masks=masks, classifier=classifier)


def test_a_story_tells_the_answer_its_reasons_and_where_they_lie(drawn, run, tmp_path):
    out = tmp_path / "out"
    story = analyze([drawn / "scan.nii.gz"], out, given(drawn, str(run)))
    (scan,) = story.scans
    said = scan.diagnosis
    assert read_story(out) == story and scan.unasked == ""
    assert (said.classifier, said.finding, said.method) == ("vlad", "COVID-19", "netvlad")
    assert 0 < said.probability < 1 and said.percentile is None
    reasons = {one.region: one for one in said.explanation.shares}
    assert next(iter(reasons)) == "lesions" and {"right lung", "left upper third"} <= set(reasons)
    assert said.explanation.error < 0.01
    lungs = scan.region("both lungs")
    assert reasons["lesions"].volume == pytest.approx(lungs.all_lesions.percent / 100, abs=0.05)
    assert said.explanation.map == "masks/scan-01/relevance.nii.gz"
    volume = read_scan(drawn / "scan.nii.gz")
    kept = nibabel.load(out / said.explanation.map)
    assert kept.shape == volume.shape[::-1] and np.isfinite(kept.get_fdata()).all()
    assert np.abs(kept.get_fdata()).max() > 0
    np.testing.assert_allclose(kept.affine, nibabel.load(out / scan.masks["lungs"]).affine, atol=1e-4)
    preview = read_preview(out / scan.preview)
    assert 0 < len(preview.reasons) <= 4 and all(view.heat.any() for view in preview.reasons)
    row = next(csv.DictReader((out / "findings.csv").read_text().splitlines()))
    assert (row["classifier"], row["answer"]) == ("vlad", said.answer.value)
    assert float(row["probability_percent"]) == pytest.approx(100 * said.probability, abs=1e-3)
    assert story.provenance.settings["classifier"] == "vlad"


def test_the_same_is_not_asked_twice_and_another_reading_is(drawn, tmp_path, monkeypatch):
    run = write_classifier(tmp_path / "run", "netvlad", reads={"lesions_by": "given"})
    scans, settings = [drawn / "scan.nii.gz"], given(drawn, str(run))
    first = analyze(scans, tmp_path / "out", settings)
    again = {**told(familiar=None, reads={"lesions_by": "given"}), "temperature": 7.0}
    write_json(run / "weights" / OPERATING, again)
    other = analyze(scans, tmp_path / "out", settings)
    assert (first.scans[0].diagnosis.temperature, other.scans[0].diagnosis.temperature) == (2.0, 7.0)
    silent = analyze(scans, tmp_path / "out", replace(settings, classifier="none"))
    assert silent.scans[0].diagnosis is None and "no classifier was to be asked" in silent.scans[0].unasked
    import glasslung.data.lungs

    third = analyze(scans, tmp_path / "out", settings)
    assert third.scans == other.scans
    monkeypatch.setattr(glasslung.data.lungs, "segment_lungs", lambda *_: pytest.fail("examined again"))
    assert analyze(scans, tmp_path / "out", settings) == third


def test_more_lesions_are_likelier_and_none_at_all_is_said(drawn, by_lesions):
    many = ask(drawn / "scan.nii.gz", None, asking(drawn))
    none = ask(drawn / "scan.nii.gz", None, asking(drawn, "none.nii.gz"))
    assert many.probability > 0.6 > none.probability and none.log_odds == -4
    assert many.standing is Standing.FINDING and none.standing is Standing.OTHER
    assert "the mask of lesions that was given is empty, and the classifier goes by lesions" in none.doubts
    assert not any("is empty" in doubt for doubt in many.doubts)
    assert many.explanation is None


def asking(folder: Path, lesions: str = "lesions.nii.gz", **more) -> AskSettings:
    masks = GivenPaths(folder / "lungs.nii.gz", folder / lesions)
    return AskSettings(**({"classifier": "c", "segmenter": "none", "given": masks, "explain": False} | more))


def test_what_of_the_scan_stands_against_it_becomes_a_doubt(drawn, by_lesions, tmp_path):
    said = ask(drawn / "scan.nii.gz", None, asking(drawn))
    assert any(doubt.startswith("Slices lie") for doubt in said.doubts)  # the gate's
    assert not any("drawn by" in doubt or "learned with" in doubt for doubt in said.doubts)
    volume = read_scan(drawn / "scan.nii.gz")
    truth = render(draw_patient(4, severity=0.7), 9, shape=SMALL)
    write_mask(np.roll(truth.lungs, 20, axis=1), volume, tmp_path / "elsewhere.nii.gz")
    masks = GivenPaths(tmp_path / "elsewhere.nii.gz", drawn / "lesions.nii.gz")
    doubted = ask(drawn / "scan.nii.gz", None, asking(drawn, given=masks))
    assert "it was shown lungs whose outline is not trusted" in doubted.doubts


@pytest.mark.parametrize(("threshold", "likely"), [(0.0, True), (1.0, False)])
def test_no_lesion_is_a_doubt_of_likely_alone_where_a_network_looked(
    drawn, tmp_path, monkeypatch, threshold, likely
):
    reads = {"lesions_by": "grey"}
    asked = lesion_classifier(tmp_path / "classifier", reads=reads, threshold=threshold)
    monkeypatch.setattr(glasslung.predict.diagnosing, "open_classifier", lambda which: asked)
    blind = grey_segmenter(model=GreyNet(glass=2.0, dense=3.0))
    monkeypatch.setattr(glasslung.predict.opening, "open_segmenter", lambda which: blind)
    settings = asking(drawn, segmenter="grey", given=GivenPaths(drawn / "lungs.nii.gz"))
    said = ask(drawn / "scan.nii.gz", None, settings)
    assert any("and yet it is called likely" in doubt for doubt in said.doubts) is likely


def test_reasons_outside_the_lungs_are_a_doubt_of_likely(drawn, run, tmp_path, monkeypatch):
    import glasslung.explain.ledger as ledger
    from glasslung.types import RelevanceShare

    outside = (RelevanceShare("lesions", 0.1, 0.1), RelevanceShare(ledger.OUTSIDE, 0.72, None))
    monkeypatch.setattr(ledger, "shares", lambda relevance, exam: outside)
    settings = asking(drawn, classifier=str(run), explain=True)
    for threshold, doubted in ((0.0, True), (1.0, False)):
        changed = {**told(familiar=None, reads={"lesions_by": "given"}), "threshold": threshold}
        other = write_classifier(tmp_path / f"run-{doubted}", "netvlad", reads={"lesions_by": "given"})
        write_json(other / "weights" / OPERATING, changed)
        said = ask(drawn / "scan.nii.gz", None, replace(settings, classifier=str(other)))
        assert any("72 % of what spoke for it lies outside" in doubt for doubt in said.doubts) is doubted


def test_lesions_by_another_hand_than_in_training_are_a_doubt(drawn, tmp_path, monkeypatch):
    asked = lesion_classifier(tmp_path / "classifier")  # learned with those of lesions-hu
    monkeypatch.setattr(glasslung.predict.diagnosing, "open_classifier", lambda which: asked)
    said = ask(drawn / "scan.nii.gz", None, asking(drawn))
    assert any(
        "given by hand or another program, and it learned with those of lesions-hu" in doubt
        for doubt in said.doubts
    )


def test_ask_writes_its_answer_map_and_picture_and_replaces_its_own(drawn, run, tmp_path):
    out = tmp_path / "answer"
    said = ask(drawn / "scan.nii.gz", out, asking(drawn, classifier=str(run), explain=True))
    assert {path.name for path in out.iterdir()} == {"diagnosis.json", "relevance.nii.gz", "overlay.png"}
    record = read_json(out / "diagnosis.json")
    assert record["format"] == "glasslung-diagnosis/1" and "Not a medical device" in record["disclaimer"]
    assert record["diagnosis"]["probability"] == said.probability
    assert record["diagnosis"]["explanation"]["map"] == "relevance.nii.gz"
    assert str(tmp_path) not in (out / "diagnosis.json").read_text()
    ask(drawn / "scan.nii.gz", out, asking(drawn, classifier=str(run)))
    assert {path.name for path in out.iterdir()} == {"diagnosis.json"}
    (out / "mine.txt").write_text("not yours")
    with pytest.raises(UsageError, match="holds other files"):
        ask(drawn / "scan.nii.gz", out, asking(drawn, classifier=str(run)))


def test_progress_rises_to_the_end(drawn, run, tmp_path):
    seen = []
    settings = asking(drawn, classifier=str(run), explain=True)
    ask(drawn / "scan.nii.gz", tmp_path / "out", settings, lambda what, done: seen.append((what, done)))
    shares = [done for _, done in seen]
    assert shares == sorted(shares) and shares[0] == 0 and shares[-1] < 1
    assert [what for what, _ in seen][-1] == "writing" and "reasons" in [what for what, _ in seen]


@pytest.fixture
def nothing_ships(monkeypatch):
    monkeypatch.setattr(glasslung.predict.diagnosing, "shipped_classifier", lambda intensity: None)


def test_where_none_ships_the_story_says_that_nobody_was_asked(drawn, tmp_path, nothing_ships):
    settings = Settings(masks=MaskMaking("none"))
    (scan,) = analyze([drawn / "scan.nii.gz"], tmp_path / "out", settings).scans
    assert scan.diagnosis is None
    assert scan.unasked == "no classifier for scans in Hounsfield units comes with this version"
    with pytest.raises(UsageError, match=r"no classifier for scans in Hounsfield units .* --classifier"):
        ask(drawn / "scan.nii.gz", None, AskSettings(segmenter="none"))


def test_what_ships_is_asked_by_default_but_not_without_lesions(drawn, tmp_path, monkeypatch, by_lesions):
    ships = {Intensity.HU: "diagnosis-hu", Intensity.DISPLAY8: "diagnosis-8bit"}
    monkeypatch.setattr(glasslung.predict.diagnosing, "shipped_classifier", ships.get)
    monkeypatch.setattr(glasslung.predict.diagnosing, "operating_of", lambda which: by_lesions.operating)
    asked = Classifiers()
    assert asked.fitting(Intensity.HU, lesions=True).name == "diagnosis-hu"
    assert "goes by lesions, and nobody drew them" in asked.fitting(Intensity.HU, lesions=False)
    assert asked.identity() == "diagnosis-hu; diagnosis-8bit, with reasons"
    assert Classifiers(explain=False).identity() != asked.identity()
    assert Classifiers("none").identity() == "none"


def test_a_named_one_is_refused_before_anything_is_measured(drawn, tmp_path, by_lesions, monkeypatch):
    scans = [drawn / "scan.nii.gz"]
    with pytest.raises(UsageError, match="goes by lesions, and nobody draws them"):
        analyze(scans, tmp_path / "out", Settings(masks=MaskMaking("none"), classifier="c"))
    pictures = lesion_classifier(tmp_path / "pictures", Intensity.DISPLAY8)
    monkeypatch.setattr(glasslung.predict.diagnosing, "open_classifier", lambda which: pictures)
    with pytest.raises(UsageError, match=r"--classifier c reads display8.*hu: leave it out"):
        analyze(scans, tmp_path / "out", given(drawn, "c"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("which", "error", "words"),
    [
        ("{tmp}/none", UsageError, "there is no run"),
        ("no-such", DataError, "comes with the package"),
        ("usvae", UsageError, "classifies no scans"),
    ],
)
def test_what_is_no_classifier_is_refused_at_once(drawn, tmp_path, which, error, words):
    settings = given(drawn, which.format(tmp=tmp_path))
    with pytest.raises(error, match=words):
        analyze([drawn / "scan.nii.gz"], tmp_path / "out", settings)
    assert not (tmp_path / "out").exists()


def test_one_slice_no_lung_and_masks_of_another_grid(drawn, by_lesions, tmp_path):
    volume = read_scan(drawn / "scan.nii.gz")
    middle = Volume(volume.voxels[20:21].copy(), volume.affine, Intensity.HU)
    write_volume(middle, tmp_path / "one.nii.gz")
    write_mask((middle.voxels < -500).astype(np.uint8), middle, tmp_path / "marked.nii.gz")
    masks = GivenPaths(None, tmp_path / "marked.nii.gz")
    said = ask(tmp_path / "one.nii.gz", None, asking(drawn, given=masks))
    assert "it is one slice, and the classifier learned from whole scans" in said.doubts
    water = Volume(np.full(SMALL, 40, np.int16), volume.affine, Intensity.HU)
    write_volume(water, tmp_path / "water.nii.gz")
    with pytest.raises(DataError, match=r"water\.nii\.gz"):
        ask(tmp_path / "water.nii.gz", None, asking(drawn, given=GivenPaths()))
    with pytest.raises(ShapeError):
        ask(tmp_path / "one.nii.gz", None, asking(drawn))


@pytest.mark.real
def test_a_stack_of_pictures_is_asked_by_a_classifier_of_pictures(real, tmp_path):
    """Fifty slices without spacing: the answer, and a map that lies in the chest of each."""
    reads = {"intensity": "display8", "lesions_by": "lesions-8bit"}
    run = write_classifier(tmp_path / "run", "netvlad", reads=reads)
    (scan,) = analyze([real / "covid_volume_8bit"], tmp_path / "out", Settings(classifier=str(run))).scans
    said = scan.diagnosis
    assert 0 < said.probability < 1 and said.explanation.error < 0.01
    kept = nibabel.load(tmp_path / "out" / said.explanation.map).get_fdata()
    assert kept.shape == scan.shape[::-1] and np.abs(kept).max() > 0
    slices = np.flatnonzero(np.abs(kept).sum((0, 1)))
    assert len(slices) > 30
    preview = read_preview(tmp_path / "out" / scan.preview)
    assert len(preview.reasons) == 4 and all(view.pixel_mm is None for view in preview.reasons)


def test_every_classifier_can_say_why():
    from glasslung.explain.gradients import last_maps
    from glasslung.explain.lrp import plan_of
    from glasslung.models import TABLE, build
    from glasslung.nn.batches import ExamBatch

    methods = [name for name, entry in TABLE.items() if entry.batch is ExamBatch]
    assert {"netvlad", "slicewise", "densenet3d", "i3d", "resnet2d"} <= set(methods)
    by_maps = []
    for method in methods:
        model = build(method).eval()
        try:
            plan_of(model)
        except UsageError:  # no rules of propagation: Grad-CAM answers, which must know its last maps
            last_maps(model)
            by_maps.append(method)
    assert sorted(by_maps) == ["i3d", "resnet2d"]
