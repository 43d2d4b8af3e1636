"""`glasslung train` for models that make lungs: flags, the watchdog's voice, exit codes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from verb_process import glasslung_here, one_line


@pytest.fixture(scope="module")
def discs(tmp_path_factory):
    """A plain folder of pictures without a table."""
    folder = tmp_path_factory.mktemp("discs")
    rng = np.random.default_rng(0)
    for number in range(16):
        rows, columns = np.mgrid[:24, :24]
        y, x = rng.uniform(9, 15, 2)
        disc = ((rows - y) ** 2 + (columns - x) ** 2 < 50) * rng.uniform(120, 230)
        Image.fromarray(disc.astype(np.uint8)).save(folder / f"{number}.png")
    return folder


def words(model, discs, out, *more):
    small = ("--size", 16, "--set", "width=8", "--batch", 4, "--checkpoint-every", 2, "--device", "cpu")
    return ("train", model, "--cohort", discs, "--out", out, "--steps", 4, *small, *more)


def test_a_folder_of_pictures_becomes_a_run(discs, tmp_path):
    done = glasslung_here(*words("leangan", discs, tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    assert "4 steps done" in done.stdout
    assert (tmp_path / "run" / "weights" / "leangan.safetensors").is_file()
    assert len((tmp_path / "run" / "watchdog.jsonl").read_text().splitlines()) == 3  # two looks, the end


def test_the_watchdog_speaks_and_stops(discs, tmp_path):
    literal = ("--set", "literal_scaling=true")
    told = glasslung_here(*words("dcgan", discs, tmp_path / "told", *literal))
    assert told.returncode == 0 and "watchdog: black training pictures" in told.stderr
    done = glasslung_here(*words("dcgan", discs, tmp_path / "stopped", *literal, "--watch", "stop"))
    assert done.returncode == 2 and "glasslung: step 2: black training pictures" in done.stderr


@pytest.mark.parametrize(
    ("model", "more", "told"),
    [
        ("leangan", ("--watch", "bite"), "tell, stop"),
        ("leangan", ("--label", "covid"), "no picture labelled covid"),
        ("leangan", ("--augment", "usual"), "--augment is not for leangan"),
        ("leangan", ("--reads", "hu"), "--reads is not for leangan"),
        ("leangan", ("--batch", "4,4"), "takes one number"),
        ("pix2pix", (), "learns from pairs"),
        ("unet", ("--watch", "stop"), "only models that make lungs"),
    ],
)
def test_mistakes_are_told_in_one_line(discs, tmp_path, model, more, told):
    assert told in one_line(glasslung_here(*words(model, discs, tmp_path / "run", *more)))


def test_pictures_are_made_and_walked_between(discs, tmp_path):
    run = tmp_path / "run"
    assert glasslung_here(*words("leangan", discs, run)).returncode == 0
    done = glasslung_here("make", run, "--out", tmp_path / "made", "--count", 6)
    assert done.returncode == 0, done.stderr
    assert "made, not patients" in done.stdout and (tmp_path / "made" / "cohort.csv").is_file()
    walked = glasslung_here("walk", run, "--out", tmp_path / "walk", "--steps", 4)
    assert walked.returncode == 0 and walked.stdout.startswith("interpolation: ")
    assert (tmp_path / "walk" / "film.gif").is_file()
    told = one_line(glasslung_here("walk", run, "--out", tmp_path / "stages", "--stages"))
    assert "not told the ages" in told


def test_a_study_says_what_is_wrong_before_it_begins(discs, tmp_path):
    out = tmp_path / "study"
    told = one_line(glasslung_here("study", "synthesis", "--out", out, "--cohort", discs, "--methods", "GAN"))
    assert "there is no 'GAN'" in told and "LeanGAN" in told
    few = one_line(glasslung_here("study", "synthesis", "--out", out, "--cohort", discs, "--quick"))
    assert "held out" in few and not out.exists()
