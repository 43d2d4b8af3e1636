"""One command scores what it is given: segmenters on labelled slices, and says what they were trained on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from glasslung.data.labelfolders import read_labelled_folder
from glasslung.data.sliceviews import upright as as_upright
from glasslung.errors import DataError, UsageError
from glasslung.models import build
from glasslung.predict.trained import Trained, open_trained
from glasslung.studies import evaluation
from glasslung.studies.evaluation import (
    Evaluation,
    evaluate,
    evaluate_segmenter,
    picture_digest,
    predict_with,
    read_labelled,
    segmented,
)
from glasslung.studies.segmentation.scores import score_segmentations
from glasslung.train.rundir import RunDir, hash_input
from made_segments import write_labelled


class Bright(torch.nn.Module):
    """A stand-in for a segmenter: the brighter a pixel, the denser the lesion."""

    def probabilities(self, image: torch.Tensor) -> torch.Tensor:
        any_lesion = torch.sigmoid((image - 0.3) * 30)
        dense = torch.sigmoid((image - 0.62) * 30)
        return torch.cat([1 - any_lesion, any_lesion * (1 - dense), any_lesion * dense], 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_labelled(tmp_path_factory.mktemp("labelled"))


def trained(training: dict | None = None, **about) -> Trained:
    settings = {"classes": 3, "training": {"size": 64, **(training or {})}}
    return Trained(
        Bright(),
        "bright",
        {"settings": settings, "seed": 0, **about},
        "bright-run",
        Path("run"),
        Path("run/weights"),
        False,
    )


@pytest.fixture
def bright(monkeypatch):
    monkeypatch.setattr(evaluation, "open_trained", lambda which: trained())


def test_a_segmenter_is_scored_and_everything_is_written(bright, folder, tmp_path):
    heard: list[float] = []
    found = evaluate("bright-run", folder, tmp_path / "out", lambda words, share: heard.append(share))
    told = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert told["kind"] == "segmentation"
    assert told["about"]["size"] == 64
    assert told["figures"]["overlap"]["infection"]["zero"]["f1"]["value"] > 0.8
    assert told["figures"] == json.loads(json.dumps(found.figures["figures"]))
    assert {row["method"] for row in told["beside"]["printed"]} >= {"StichNet", "Semi-Inf-Net"}
    assert "not a medical device" in told["disclaimer"].lower()
    written = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    names = [f"{folder.name}-{n}.png" for n in range(6)]
    for place in ("masks", "soft/infection", "soft/ground-glass", "soft/consolidation"):
        assert {f"{place}/{name}" for name in names} <= written
    assert {"evaluation.txt", "per_slice.csv", "overlays-1.png"} <= written
    assert heard == sorted(heard)
    assert heard[0] >= 0
    assert heard[-1] <= 1


def test_the_same_call_gives_the_same_figures(bright, folder):
    first, second = (evaluate("bright-run", folder) for _ in range(2))
    assert isinstance(first, Evaluation)
    assert first.as_dict() == second.as_dict()
    assert first.text == second.text


def test_maps_come_back_to_the_grid_of_each_slice(folder):
    slices = read_labelled(folder)
    scores = evaluate_segmenter(predict_with(Bright()), slices, side=64, batch=4)
    for row, one in enumerate(scores.slices):
        assert np.array_equal(one.truth, slices.native(slices.lesions[row], row))
        assert one.probabilities.shape[1:] == one.truth.shape
    assert [one.name for one in scores.slices] == list(slices.names)
    mirrored, plain = (
        predict_with(Bright(), m)(np.random.default_rng(0).random((2, 32, 32), np.float32))
        for m in (True, False)
    )
    assert mirrored == pytest.approx(plain, abs=1e-6)  # this one looks at single pixels


def test_maps_of_a_cross_validation_are_scored_like_those_of_one_model(folder):
    slices = read_labelled(folder)
    whole = evaluate_segmenter(predict_with(Bright()), slices, side=64)
    upright_maps = {
        row: np.stack([as_upright(each, one.view) for each in one.probabilities])
        for row, one in enumerate(whole.slices)
    }
    again = score_segmentations(segmented(slices, upright_maps))
    assert np.array_equal(again.counts["infection"].both, whole.counts["infection"].both)
    with pytest.raises(UsageError, match="slice 99"):
        segmented(slices, {99: upright_maps[0]})


def test_slices_that_were_trained_on_are_told(monkeypatch, folder):
    pictures = read_labelled_folder(folder).pictures
    cases = {
        "on 2 of these 6": trained({"pictures": [picture_digest(p) for p in pictures[:2]]}),
        "this very folder": trained(inputs={"cohort": {"sha256": hash_input(folder)}}),
        "is not known": trained(),
    }
    for words, one in cases.items():
        monkeypatch.setattr(evaluation, "open_trained", lambda which, one=one: one)
        found = evaluate("bright-run", folder)
        assert words in found.text
        assert any(words in remark.text for remark in found.remarks)
    monkeypatch.setattr(evaluation, "open_trained", lambda which: trained({"pictures": ["0" * 16]}))
    codes = {remark.code for remark in evaluate("bright-run", folder).remarks}
    assert not codes & {"trained-on-these", "training-unknown"}


def test_mistakes_are_told_before_any_work(bright, folder, tmp_path):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "note.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        evaluate("bright-run", folder, tmp_path / "used")
    with pytest.raises(DataError, match="no labelled slices"):
        evaluate("bright-run", tmp_path / "used")
    with pytest.raises(DataError, match="there is no"):
        evaluate("bright-run", tmp_path / "nowhere")


class Prior(Bright):
    """Needs the answer of another model."""

    def probabilities(self, image: torch.Tensor, prior: torch.Tensor) -> torch.Tensor:
        return super().probabilities(image) * prior


@pytest.mark.parametrize(
    ("model", "method", "words"),
    [
        (torch.nn.Identity(), "something", "something"),
        (Bright(), "slicenet", "no lesions in single slices"),
        (Prior(), "something", "prior"),
    ],
)
def test_a_model_that_cannot_be_scored_is_named(folder, monkeypatch, model, method, words):
    other = Trained(model, method, {"settings": {}, "seed": 0}, "x", Path("run"), Path("run/weights"), False)
    monkeypatch.setattr(evaluation, "open_trained", lambda which: other)
    with pytest.raises(UsageError, match=words):
        evaluate("x", folder)


def test_a_network_for_hounsfield_units_is_not_asked_about_pictures(folder, monkeypatch):
    other = trained({"reads": {"intensity": "hu"}})
    monkeypatch.setattr(evaluation, "open_trained", lambda which: other)
    with pytest.raises(UsageError, match="bright-run reads hu, and these are 8-bit slices"):
        evaluate("x", folder)


def test_runs_and_shipped_weights_are_opened_and_others_refused(tmp_path):
    run = RunDir.create(tmp_path / "run", "progression", "slicenet", {"training": {"size": 64}}, 3)
    with pytest.raises(DataError, match="no weights yet"):
        open_trained(tmp_path / "run")
    with run.writing():
        run.save("slicenet", build("slicenet", 3))
    assert open_trained(tmp_path / "run").method == "slicenet"
    assert open_trained("usvae").method == "usvae"
    with pytest.raises(UsageError, match="no run"):
        open_trained(tmp_path / "nowhere")
    with pytest.raises(DataError, match="comes with the package"):
        open_trained("nothing-of-that-name")


@pytest.mark.real
def test_the_real_labelled_slices_are_scored(bright, real):
    found = evaluate("bright-run", real / "covid_semiseg" / "labelled" / "train")
    figures = found.figures["figures"]
    assert figures["slices"] == 50
    assert figures["with"]["consolidation"] == 39
    value = figures["overlap"]["infection"]["undefined"]["f1"]["value"]
    assert 0.1 < value < 0.6  # brightness alone takes soft tissue for disease
