"""A run from prepared slices to weights: by patient, killed and gone on with, refused when it is another."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glasslung.data.cohort import Cohort, write_cohort
from glasslung.data.prepare import PrepareSettings, prepare_cohort
from glasslung.errors import DataError, TrainingError, UsageError
from glasslung.studies.settings import parse_settings, typed_settings
from glasslung.studies.training import (
    LEAST_STEPS,
    Job,
    TrainingSettings,
    config_of,
    load_slices,
    train_model,
    training_slices,
)
from glasslung.train.machine import Machine
from glasslung.train.rundir import RunDir
from glasslung.types import Case, Intensity

CPU = Machine(device="cpu", precision="32-true")
SHORT = TrainingSettings(steps=20, batch=4, log_every=1, checkpoint_every=3)  # the schedule needs 20


def draw(seed: int) -> np.ndarray:
    """Two grey ellipses on black, as cut-out lungs look."""
    y, x = np.mgrid[:60, :90]
    lungs = np.minimum(*(((y - 30) / 28) ** 2 + ((x - at) / 18) ** 2 for at in (24, 66))) < 1
    return np.where(lungs, np.random.default_rng(seed).integers(40, 160, (60, 90)), 0).astype(np.uint8)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """Prepared slices of 24 patients, two scans each, six patients of every age."""
    folder = tmp_path_factory.mktemp("training")
    cases = []
    for number in range(48):
        Image.fromarray(draw(number)).save(folder / f"{number}.png")
        age = number % 24 // 6
        day, label = (None, "healthy") if age == 0 else (5.0 * age - 3, "covid")
        name = Path(f"{number}.png")
        cases.append(Case(f"p{number % 24:02d}", f"s{number}", name, Intensity.DISPLAY8, day, label=label))
    prepare_cohort(Cohort("toy", folder, tuple(cases)), folder / "slices", PrepareSettings())
    return folder / "slices"


def job(cohort: Path, **changes) -> Job:
    return replace(Job("usvae", cohort, SHORT, seed=5, machine=CPU), **changes)


def command(cohort: Path, out: Path, *more: str) -> list[str]:
    words = f"train usvae --cohort {cohort} --out {out} --steps 20 --batch 4 --checkpoint-every 3 --seed 5"
    return [sys.executable, "-m", "glasslung", *words.split(), "--device", "cpu", *more]


def test_a_killed_run_goes_on_with_the_same_command_to_the_same_bits(prepared, tmp_path):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen(command(prepared, killed), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while not list(killed.glob("checkpoint-*")):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert RunDir.open(killed).state == "killed"
    assert not (killed / "weights").exists()
    done = subprocess.run(command(prepared, killed), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "20 steps done" in done.stdout
    train_model(job(prepared, training=replace(SHORT, log_every=10)), whole)
    for name in ("weights/usvae.safetensors", "checkpoint-00000020/optimisers.safetensors", "metrics.jsonl"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name
    assert RunDir.open(killed).state == "finished"


def test_a_run_is_of_the_training_patients_alone_and_says_what_made_it(prepared, tmp_path):
    told = []
    wanted = job(prepared, training=replace(SHORT, ema=0.9, mirror=True), settings={"lr": 0.01})
    run = train_model(wanted, tmp_path / "run", progress=lambda what, done: told.append((what, done)))
    settings = json.loads((run.folder / "settings.json").read_text())["settings"]
    slices = training_slices(wanted, config_of(wanted))
    assert settings["lr"] == 0.01
    assert settings["steps"] == 20  # the schedule is as long as the run
    assert settings["training"]["slices"]["patients"] == len(set(slices.patient.tolist())) < 24
    assert {key: settings["training"]["slices"][key] for key in ("t0", "t1", "t2", "t3")} == dict.fromkeys(
        ("t0", "t1", "t2", "t3"), len(slices) // 4
    )
    assert [record["step"] for record in run.metrics()] == list(range(20))
    assert told[-1][1] == 1.0
    assert told[-1][0].startswith("training usvae: step 20 of 20, usvae ")
    before = (run.folder / "weights" / "usvae.safetensors").read_bytes()
    train_model(wanted, tmp_path / "run")  # done already: the same again
    assert (run.folder / "weights" / "usvae.safetensors").read_bytes() == before
    others = {
        "its seed is 5, asked for: 6": replace(wanted, seed=6),
        "its lr is 0.01, asked for: 0.02": replace(wanted, settings={"lr": 0.02}),
        r"its training\.mirror is True": replace(wanted, training=replace(wanted.training, mirror=False)),
        r"its training\.split_seed is 0, asked for: 9 \(and 1 more\)": replace(
            wanted, training=replace(wanted.training, split_seed=9)
        ),
    }
    for said, other in others.items():
        with pytest.raises(UsageError, match=said):
            train_model(other, tmp_path / "run")


def test_a_loss_that_is_not_finite_ends_with_advice_and_goes_on_from_the_last_checkpoint(prepared, tmp_path):
    with pytest.raises(TrainingError, match="Lower the learning rate"):
        train_model(job(prepared, settings={"lr": 1e30}), tmp_path / "run")
    run = RunDir.open(tmp_path / "run")
    assert run.state == "stopped"
    assert "TrainingError" in (run.folder / "status.json").read_text()
    assert not (run.folder / "weights").exists()


def test_what_cannot_be_trained_leaves_nothing(prepared, tmp_path):
    lonely = load_slices(prepared, 64)[0]
    kept = [case for case in lonely.cases if case.extra["group"] != "t2"]
    one = next(case for case in lonely.cases if case.extra["group"] == "t2")
    table = tmp_path / "few" / "cohort.csv"
    write_cohort(replace(lonely, cases=tuple(replace(case, split="train") for case in [*kept, one])), table)
    mistakes = [
        (UsageError, "no model 'gan'", job(prepared, model="gan")),
        (
            UsageError,
            "^5 steps are too few for usvae, whose schedules are stretched over the run; train 20 or more$",
            job(prepared, training=replace(SHORT, steps=5)),
        ),
        (UsageError, "^19 steps are too few", job(prepared, settings={"steps": 19})),
        (UsageError, "no setting 'widht'", job(prepared, settings={"widht": 3})),
        (UsageError, "cannot be shared evenly by 4 ages", job(prepared, training=replace(SHORT, batch=6))),
        (UsageError, "prepare them with --size 128", job(prepared, settings={"size": 128})),
        (DataError, r"has 1 slice\(s\) of t2 to train on; usvae needs 2", job(table)),
        (UsageError, "learning rate must be above 0", job(prepared, settings={"lr": -1e-3})),
    ]
    for model in ("cage", "ageflow", "agetransport"):  # they carry lungs through all ages
        missing = replace(lonely, cases=tuple(replace(case, split="train") for case in kept))
        write_cohort(missing, tmp_path / model / "cohort.csv")
        three = job(tmp_path / model / "cohort.csv", model=model)
        mistakes.append((DataError, rf"has 0 slice\(s\) of t2 to train on; {model} needs 2", three))
    undated = tuple(replace(case, day=None, split="train") for case in lonely.cases)
    write_cohort(replace(lonely, cases=undated), tmp_path / "undated" / "cohort.csv")
    dated = job(tmp_path / "undated" / "cohort.csv", model="cage", settings={"day": True, "net": "slim"})
    mistakes.append((DataError, "tells no day of any ill slice", dated))
    for kind, said, wrong in mistakes:
        with pytest.raises(kind, match=said):
            train_model(wrong, tmp_path / "run")
    with pytest.raises(UsageError, match="no run to go on with"):
        train_model(job(prepared), tmp_path / "run", must_exist=True)
    assert not (tmp_path / "run").exists()


def test_only_a_schedule_takes_the_length_of_the_run(prepared):
    """A flow's `steps` are those of its rule of integration: they are no matter of how long it is trained."""
    from glasslung.models import entry_for

    long = replace(SHORT, steps=3000)
    assert config_of(job(prepared, training=long)).steps == 3000
    assert config_of(job(prepared, training=long, settings={"steps": 40})).steps == 40
    assert config_of(job(prepared, model="unet", training=long)).steps == 3000
    least = LEAST_STEPS["usvae"]
    assert config_of(job(prepared, training=replace(SHORT, steps=least))).steps == least
    with pytest.raises(UsageError, match="steps"):
        entry_for("usvae").config(steps=least - 1)
    flow = config_of(job(prepared, model="ageflow", training=long))
    assert flow.steps == entry_for("ageflow").config().steps


def test_settings_are_read_from_text_and_checked():
    from glasslung.models import entry_for

    given = parse_settings(["lr=1e-3", "kl=sampled", "single_age=null", "decode_all=true", "tourist_vote=1"])
    typed = typed_settings(entry_for("cage").config, given)
    assert typed == {
        "lr": 1e-3,
        "kl": "sampled",
        "single_age": None,
        "decode_all": True,
        "tourist_vote": 1.0,
    }
    assert type(typed["tourist_vote"]) is float
    with pytest.raises(UsageError, match="finite"):
        typed_settings(entry_for("cage").config, parse_settings(["lr=NaN"]))
    for wrong in ({"lr": "fast"}, {"single_age": 1.5}, {"decode_all": 1}, {"kl": None}):
        with pytest.raises(UsageError, match="must be"):
            typed_settings(entry_for("cage").config, wrong)
    for pair in ("lr", "=3"):
        with pytest.raises(UsageError, match="name=value"):
            parse_settings([pair])
    for wrong in ({"steps": 0}, {"steps": 5, "ema": 1.0}):
        with pytest.raises(UsageError):
            TrainingSettings(**wrong)
