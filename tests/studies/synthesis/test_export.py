"""Made lungs as files: provenance in each, copies refused, and nothing written by halves."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pydicom
import pytest
import torch
from PIL import Image

from glasslung.data.cohort import read_cohort
from glasslung.errors import DataError, UsageError
from glasslung.predict.trained import open_trained
from glasslung.studies.synthesis.export import (
    Export,
    copies_among,
    export_pictures,
    neighbours,
    training_parts,
)
from glasslung.studies.synthesis.training import MakerJob, MakerTraining, train_maker
from glasslung.train.machine import Machine
from glasslung.train.watchdog import WatchSettings


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of four steps on 40 discs, and where these are."""
    folder = tmp_path_factory.mktemp("discs")
    rng = np.random.default_rng(0)
    for number in range(40):
        rows, columns = np.mgrid[:24, :24]
        y, x = rng.uniform(8, 16, 2)
        disc = ((rows - y) ** 2 + (columns - x) ** 2 < rng.uniform(20, 60)) * rng.uniform(120, 230)
        Image.fromarray(disc.astype(np.uint8)).save(folder / f"{number:02d}.png")
    training = MakerTraining(4, batch=4, watch=WatchSettings(every=2, pictures=8), checkpoint_every=4)
    job = MakerJob(
        "leangan", folder, training, {"size": 16, "width": 8, "codes": 5}, 0, Machine("cpu", "32-true")
    )
    train_maker(job, folder.parent / "made-run")
    return folder.parent / "made-run", folder


def test_pictures_carry_where_they_come_from(run, tmp_path):
    out = export_pictures(run[0], tmp_path / "out", Export(count=12, seed=3))
    facts = json.loads((out / "provenance.json").read_text())
    assert facts["synthetic"] and facts["model"] == "leangan" and facts["export"]["seed"] == 3
    assert facts["written"] + facts["copy_check"]["left_out"] == 12
    assert facts["copy_check"]["rate"] <= facts["copy_check"]["refused_above"]
    cohort = read_cohort(out)
    assert len(cohort.cases) == facts["written"] and {case.site for case in cohort.cases} == {"synthetic"}
    with Image.open(cohort.path(cohort.cases[0].image)) as picture:
        assert picture.size == (16, 16) and picture.mode == "L"
        assert "NOT A PATIENT" in picture.text["Title"] and "made-run" in picture.text["Description"]
    codes = list(csv.reader(io.StringIO((out / "codes.csv").read_text())))
    assert codes[0] == ["name", "z1", "z2", "z3", "z4", "z5"] and len(codes) == facts["written"] + 1
    assert not (out / "neighbours.png").exists()
    with pytest.raises(DataError, match="not empty"):
        export_pictures(run[0], out, Export(count=12))


def test_the_same_seed_gives_the_same_pictures(run, tmp_path):
    first, second = (export_pictures(run[0], tmp_path / name, Export(count=6)) for name in ("a", "b"))
    for file in sorted((first / "pictures").iterdir()):
        assert file.read_bytes() == (second / "pictures" / file.name).read_bytes()


def test_secondary_captures_say_that_they_are_made(run, tmp_path):
    out = export_pictures(run[0], tmp_path / "out", Export(count=4, kind="dicom"))
    ds = pydicom.dcmread(sorted((out / "pictures").iterdir())[0])
    assert (
        ds.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7" and ds.ConversionType == "SYN" and ds.Modality == "OT"
    )
    assert str(ds.PatientName) == "SYNTHETIC^NOBODY" and "SYNTHETIC" in ds.ImageType
    assert "NOT A PATIENT" in ds.ImageComments and ds.pixel_array.shape == (16, 16)


def test_copies_are_refused_and_nothing_is_written(run, tmp_path, monkeypatch):
    """A generator that hands back its training pictures, mirrored."""
    parts = training_parts(open_trained(run[0]), None, None)
    stolen = parts["train"].images[:12, :, ::-1].copy()
    assert copies_among(stolen, parts, 0).rate.value == 1

    def thief(model, count, seed, group=None):
        return np.zeros((12, 5), np.float32), np.zeros(12, np.int64), stolen

    monkeypatch.setattr("glasslung.studies.synthesis.export.sample_pictures", thief)
    with pytest.raises(DataError, match=r"100 % of 12 made pictures"):
        export_pictures(run[0], tmp_path / "out", Export(count=12))
    assert not (tmp_path / "out").exists()


def test_neighbours_are_shown_nearest_first(run):
    parts = training_parts(open_trained(run[0]), None, None)
    stolen = parts["train"].images[[5, 2]].copy()
    sheet = neighbours(stolen, parts["train"], copies_among(stolen, parts, 0))
    with Image.open(io.BytesIO(sheet)) as picture:
        grey = np.asarray(picture)
    assert grey.shape[0] == 32 and np.array_equal(grey[:16, :16], grey[16:, :16])


def test_what_cannot_be_checked_is_not_exported(run, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(DataError, match="hash differs"):
        export_pictures(run[0], tmp_path / "out", Export(count=4), other)
    with pytest.raises(UsageError, match="is not there"):
        export_pictures(run[0], tmp_path / "out", Export(count=4), tmp_path / "gone")
    with pytest.raises(UsageError, match="makes no lungs"):
        export_pictures("usvae", tmp_path / "out", Export(count=4))
    with pytest.raises(UsageError, match="kind"):
        Export(kind="jpeg")
    with torch.no_grad():
        assert open_trained(run[0]).model.groups == 1
