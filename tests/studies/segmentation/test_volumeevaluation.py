"""A trained network scored on whole scans, by the one command that scores everything."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from glasslung.data.cohort import read_cohort
from glasslung.data.formats import read_mask, read_scan
from glasslung.errors import DataError, UsageError
from glasslung.predict.trained import Trained
from glasslung.studies.evaluation import evaluate
from glasslung.studies.segmentation import volumeevaluation
from glasslung.studies.segmentation.volumeevaluation import finder_of
from glasslung.studies.segmentation.volumes import VolumeJob, VolumeTraining, train_volumes
from made_volumes import HU, SPACING, chest, write_cohort, write_pictures

NAMES = ("outside", "lung", "ground glass", "consolidation", "crazy paving")


class Thresholds(torch.nn.Module):
    """A stand-in for a network: each voxel's class from its own grey, as the made chests have it."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = torch.nn.Parameter(torch.zeros(1))

    @torch.no_grad()
    def probabilities(self, image: torch.Tensor) -> torch.Tensor:
        hu = image.float() * 1400 - 1000
        far = torch.stack([(hu - HU[name]).abs() for name in NAMES], 1)[:, :, 0]
        far[:, 1] -= 60  # healthy lung has the widest range
        return torch.softmax(-(far + self.kept) / 5, 1)


def stand_in(method: str = "unet3d", **training) -> Trained:
    reads = {"intensity": "hu", "spacing_mm": list(SPACING), "window_hu": [-1000, 400], "margin_mm": 10.0}
    told = {"reads": reads, "classes": list(NAMES), "scans": [], **training}
    return Trained(
        Thresholds(),
        method,
        {"settings": {"training": told}, "seed": 0},
        "stand-in",
        Path("run"),
        Path("run/weights"),
        False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_cohort(tmp_path_factory.mktemp("cohort"))


@pytest.fixture
def opened(monkeypatch):
    def give(trained: Trained) -> None:
        monkeypatch.setattr("glasslung.studies.evaluation.open_trained", lambda which: trained)

    give(stand_in())
    return give


def test_scans_are_scored_and_masks_lie_on_their_own_grid(opened, folder, tmp_path):
    heard: list[float] = []
    found = evaluate("run", folder, tmp_path / "out", lambda words, share: heard.append(share))
    told = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert told["kind"] == found.kind == "volumes"
    assert told["figures"]["overlap"]["lungs"]["perfect"]["f1"]["value"] > 0.8
    assert told["figures"]["overlap"]["consolidation"]["undefined"]["recall"]["value"] > 0.9
    assert told["figures"]["with"] == {"lungs": 3, "infection": 2, **dict.fromkeys(NAMES[2:], 2)}
    assert "not a medical device" in told["disclaimer"].lower()
    assert "Dice" in found.text and "Not a medical device" in found.text
    for n in range(3):
        volume = read_scan(folder / f"s{n}" / "image.nii.gz")
        for name in ("lungs", "lesions"):
            mask = read_mask(tmp_path / "out" / "masks" / f"s{n}" / f"{name}.nii.gz", volume)
            assert mask.any() or (name, n) == ("lesions", 2)
    lesions = read_mask(
        tmp_path / "out" / "masks" / "s0" / "lesions.nii.gz", read_scan(folder / "s0" / "image.nii.gz")
    )
    truth = chest(0)[2]
    assert np.mean(lesions[truth == 2] == 2) > 0.9
    assert len((tmp_path / "out" / "per_scan.csv").read_text().splitlines()) == 4
    assert (tmp_path / "out" / "overlays-1.png").is_file()
    assert heard == sorted(heard) and heard[0] >= 0 and heard[-1] <= 1


def test_the_truth_is_not_shown_to_the_network(opened, folder, tmp_path):
    """Without any lung mask in the table the same lesions are found."""
    other = write_cohort(tmp_path / "set", columns=("lesions",))
    one, two = (evaluate("run", data).figures["figures"]["overlap"] for data in (folder, other))
    assert "lungs" in one and "lungs" not in two
    for score, told in one["infection"]["undefined"].items():
        assert told["value"] == two["infection"]["undefined"][score]["value"]


def test_scans_that_were_trained_on_are_told(opened, folder):
    digest = read_scan(folder / "s0" / "image.nii.gz").source.sha256[:16]
    opened(stand_in(scans=[digest]))
    assert "trained on 1 of these 3 scans" in evaluate("run", folder).text
    opened(stand_in(scans=None))
    assert "is not known" in evaluate("run", folder).text


def test_the_part_kept_aside_is_scored(opened, tmp_path):
    folder = write_cohort(tmp_path / "set", split=("train", "test", "train"))
    found = evaluate("run", folder)
    assert found.figures["figures"]["scans"] == 1
    assert "1 of 3 scans" in found.text


def test_a_cohort_without_truth_is_refused_and_leaves_nothing(opened, folder, tmp_path):
    bare = write_cohort(tmp_path / "bare", columns=())
    text = (bare / "cohort.csv").read_text().replace("healthy", "covid")
    (bare / "cohort.csv").write_text(text)
    with pytest.raises(DataError, match="no labelled scan"):
        evaluate("run", bare, tmp_path / "out")
    pictures = write_cohort(tmp_path / "pictures", intensity="display8")
    with pytest.raises(UsageError, match="Hounsfield"):
        evaluate("run", pictures, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_stack_of_pictures_gets_its_masks_as_pictures(opened, tmp_path):
    """Its spacing is only assumed: overlap is told, millilitres are not."""
    reads = {"intensity": "display8", "spacing_mm": [6, 5, 5], "window_hu": [-1000, 400], "margin_mm": 1000.0}
    opened(stand_in(reads=reads))
    found = evaluate("run", write_pictures(tmp_path), tmp_path / "out")
    assert len(list((tmp_path / "out" / "masks" / "s" / "lungs").glob("*.png"))) == 20
    told = found.figures["figures"]
    assert told["overlap"]["infection"]["perfect"]["f1"]["value"] is not None
    assert told["volume"]["lungs"]["error_ml"]["value"] is None


def test_two_scans_of_one_name_are_kept_apart(opened, tmp_path):
    folder = write_cohort(tmp_path / "set")
    table = folder / "cohort.csv"
    table.write_text(table.read_text().replace("p1,s1,", "p1,s0,"))
    evaluate("run", folder, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out" / "masks").iterdir()) == ["p0-s0", "p1-s0", "s2"]


def test_each_network_is_asked_about_what_it_tells(folder, tmp_path):
    training = VolumeTraining(1, boxes=1, box=(16, 16, 16), spacing_mm=SPACING)
    for model, settings, targets in (
        ("unet3d", {"width": 4, "levels": 2}, {"infection", *NAMES[2:]}),
        ("twopath", {"width": 0.1}, {"lungs"}),
        ("patchnet", {"width": 4, "patch": 32}, {"infection"}),
    ):
        short = replace(training, box=None) if model == "patchnet" else training
        train_volumes(VolumeJob(model, folder, short, settings), tmp_path / model)
        found = evaluate(tmp_path / model, folder)
        assert set(found.figures["figures"]["overlap"]) == targets
        assert "trained on 3 of these 3 scans" in found.text


def test_a_segmenter_of_slices_is_asked_as_analyze_asks_it(folder, tmp_path, monkeypatch):
    """A U-Net with a lung output, for Hounsfield units."""
    from glasslung.models import build
    from glasslung.train.rundir import RunDir

    settings = {"classes": 4, "width": 4, "lung_weight": 1.0}
    reads = {"intensity": "hu", "spacing_mm": [6.0, 5.0, 5.0], "window_hu": [-1000, 400]}
    run = RunDir.create(
        tmp_path / "run", "segmentation", "unet", {**settings, "training": {"reads": reads}}, 0
    )
    run.save("unet", build("unet", 0, **settings))
    found = evaluate(tmp_path / "run", folder, tmp_path / "out")
    assert found.kind == "volumes"
    assert set(found.figures["figures"]["overlap"]) == {"lungs", "infection", *NAMES[2:]}
    assert (tmp_path / "out" / "masks" / "s1" / "lungs.nii.gz").is_file()


def test_what_finds_nothing_in_scans_is_named(folder):
    with pytest.raises(UsageError, match="usvae"):
        finder_of(replace(stand_in(), method="usvae"), "usvae")
    cohort = read_cohort(folder)
    assert volumeevaluation._names(cohort.cases) == ["s0", "s1", "s2"]
