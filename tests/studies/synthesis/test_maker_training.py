"""A run of a model that makes lungs: from a folder of pictures to weights, stopped and gone on with."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from glasslung.data.slices import SliceSet
from glasslung.errors import DataError, TrainingError, UsageError
from glasslung.nn.discriminators import batch_spread
from glasslung.predict.trained import open_trained
from glasslung.studies.synthesis.training import KindsInTurn, MakerJob, MakerTraining, train_maker
from glasslung.train.checkpoint import load_tensors
from glasslung.train.machine import Machine
from glasslung.train.watchdog import WatchSettings

CPU = Machine(device="cpu", precision="32-true")
WATCH = WatchSettings(every=2, pictures=8)
SMALL = {"size": 16, "width": 8, "codes": 6}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of pictures with a table: 24 discs of 24 patients, half of them called covid."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    lines = ["patient,scan,image,intensity,label,split"]
    for number in range(24):
        rows, columns = np.mgrid[:30, :40]
        y, x = rng.uniform(12, 18), rng.uniform(15, 25)
        disc = ((rows - y) ** 2 + (columns - x) ** 2 < 80) * rng.uniform(120, 230)
        Image.fromarray(disc.astype(np.uint8)).convert("RGB" if number % 3 else "RGBA").save(
            folder / f"{number}.png"
        )
        split = "train" if number < 18 else "val"
        lines.append(
            f"p{number},s{number},{number}.png,display8,{'covid' if number % 2 else 'other'},{split}"
        )
    (folder / "cohort.csv").write_text("\n".join(lines) + "\n")
    return folder


def job(pictures, model="leangan", steps=4, **given) -> MakerJob:
    settings = SMALL | given.pop("settings", {})
    training = MakerTraining(
        steps, batch=4, watch=given.pop("watch", WATCH), log_every=1, checkpoint_every=2, **given
    )
    return MakerJob(model, pictures, training, settings, 0, CPU)


def test_a_stopped_run_goes_on_to_the_same_weights_and_can_be_opened(pictures, tmp_path):
    train_maker(job(pictures), tmp_path / "whole")
    train_maker(job(pictures, steps=2), tmp_path / "parts")
    run = train_maker(job(pictures), tmp_path / "parts")
    name = "weights/leangan.safetensors"
    whole, parts = (load_tensors(tmp_path / one / name) for one in ("whole", "parts"))
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    logs = [(tmp_path / one / "watchdog.jsonl").read_text() for one in ("whole", "parts")]
    assert logs[0] == logs[1] and len(logs[0].splitlines()) == 3  # two looks, and the end
    assert run.state == "finished"
    opened = open_trained(tmp_path / "whole")
    assert opened.method == "leangan" and opened.model.code_width == 6


@pytest.mark.parametrize(
    ("model", "more"),
    [
        ("dcgan", {}),
        ("wgangp", {"critic_turns": 1}),
        ("veegan", {}),
        ("conditionalgan", {"condition": "class"}),
    ],
)
def test_every_maker_trains(pictures, tmp_path, model, more):
    run = train_maker(job(pictures, model, 2, settings=more), tmp_path / "run")
    assert (run.folder / "weights" / f"{model}.safetensors").is_file()
    assert {record["player"] for record in run.metrics()} == {"generator", "discriminator"}


def test_a_batch_goes_through_the_kinds_in_turn_so_that_the_spread_is_of_one_kind():
    """A discriminator that compared kinds with one another would not see that each is one picture."""
    images = np.repeat(np.array([0.1, 0.4, 0.6, 0.9], np.float32), 5)[:, None, None] * np.ones((20, 16, 16))
    names = tuple(str(number) for number in range(20))
    kinds = np.repeat(np.arange(4), 5)
    slices = SliceSet(
        images.astype(np.float32), kinds, np.full(20, np.nan, np.float32), np.arange(20), names, names
    )
    batch = next(KindsInTurn(slices, 4, np.random.default_rng(0), (0, 1, 2, 3)))
    assert batch.group.tolist() == [0, 1, 2, 3] * 4
    assert torch.allclose(batch.image[:, 0, 0, 0], torch.tensor([0.1, 0.4, 0.6, 0.9]).repeat(4))
    assert float(batch_spread(batch.image).max()) == pytest.approx(1e-4)  # the floor under the root
    in_blocks = batch.image[batch.group.argsort(stable=True)]
    assert float(batch_spread(in_blocks).min()) > 0.2


def test_labels_choose_pictures_and_the_run_tells_how_many(pictures, tmp_path):
    run = train_maker(job(pictures, labels=("covid",)), tmp_path / "run")
    assert run.about["settings"]["training"]["slices"]["patients"] == 9
    with pytest.raises(UsageError, match=r"training\.labels"):
        train_maker(job(pictures, labels=("other",)), tmp_path / "run")
    with pytest.raises(DataError, match="no picture labelled"):
        train_maker(job(pictures, labels=("flu",)), tmp_path / "none")


def test_the_watchdog_ends_a_literal_run_and_says_why(pictures, tmp_path):
    heard = []
    asked = job(
        pictures,
        "dcgan",
        settings={"literal_scaling": True},
        watch=WatchSettings(every=2, pictures=8, action="stop"),
    )
    with pytest.raises(TrainingError, match="black training pictures"):
        train_maker(asked, tmp_path / "run", bark=heard.append)
    assert heard[0].sign == "black training pictures"
    line = json.loads((tmp_path / "run" / "watchdog.jsonl").read_text().splitlines()[0])
    assert line["fed"] < 0.01 and line["real_bright"] > 0.4


def test_what_cannot_be_is_refused(pictures, tmp_path):
    with pytest.raises(UsageError, match="makes no lungs"):
        train_maker(job(pictures, "usvae"), tmp_path / "a")
    with pytest.raises(UsageError, match="no setting"):
        train_maker(job(pictures, settings={"colour": 1}), tmp_path / "b")
    with pytest.raises(DataError, match=r"group|neither"):
        train_maker(job(pictures, "conditionalgan"), tmp_path / "c")  # ages, of which the table tells none
    with pytest.raises(UsageError, match="no run"):
        train_maker(job(pictures), tmp_path / "d", must_exist=True)
    with pytest.raises(UsageError, match="no decay"):
        MakerTraining(10, ema=1.0)
