"""Walks as strip and film, and what they may be called."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from glasslung.errors import UsageError
from glasslung.measure.monotony import measure_monotony
from glasslung.models import build
from glasslung.studies.synthesis.walking import INTERPOLATION, PROGRESSION, Walk, draw_walk, name_of
from glasslung.train.rundir import RunDir


def run_of(folder, name, **settings):
    """A run of an untrained model: walks ask nothing of what it makes."""
    settings = {"size": 16, "width": 8, "codes": 4} | settings
    run = RunDir.create(folder, "synthesis", name, {**settings, "training": {"framing": "pad"}}, 0)
    run.save(name, build(name, 0, **settings))
    return folder


def test_between_two_codes_it_is_an_interpolation(tmp_path):
    told = draw_walk(run_of(tmp_path / "run", "leangan"), tmp_path / "out", Walk(5, seed=2))
    assert told["called"] == INTERPOLATION and told["ends"] == "drawn"
    assert len(told["dense_share_of_lung"]) == len(told["affected_share_of_lung"]) == 5
    with Image.open(tmp_path / "out" / "strip.png") as strip:
        assert strip.size == (5 * 18 - 2, 16) and "interpolation" in strip.text["Title"]
    with Image.open(tmp_path / "out" / "film.gif") as film:
        assert film.n_frames == 8
    assert json.loads((tmp_path / "out" / "walk.json").read_text()) == told


def test_between_two_real_pictures_a_reconstructor_is_asked_and_its_error_told(tmp_path):
    for number in range(3):
        grey = np.random.default_rng(number).integers(0, 255, (20, 30), dtype=np.uint8)
        Image.fromarray(grey).save(tmp_path / f"{number}.png")
    files = [tmp_path / f"{number}.png" for number in range(3)]
    run = run_of(tmp_path / "run", "veegan")
    told = draw_walk(run, tmp_path / "out", Walk(4), files[:2])
    assert told["ends"] == "reconstructor" and len(told["error_at_ends"]) == 2
    sought = draw_walk(run, tmp_path / "sought", Walk(4, optimise=True), files[:2])
    assert sought["ends"] == "optimised" and len(sought["error_at_ends"]) == 2
    with pytest.raises(UsageError, match="give two, not 3"):
        draw_walk(run, tmp_path / "more", Walk(4), files)


def test_stages_need_a_model_that_was_told_them(tmp_path):
    ages = run_of(tmp_path / "ages", "conditionalgan", condition="age")
    told = draw_walk(ages, tmp_path / "out", Walk(4, stages=True, walks=4))
    assert told["called"] in (INTERPOLATION, PROGRESSION) and 0 <= told["monotony"]["rising"]["value"] <= 1
    classes = run_of(tmp_path / "classes", "conditionalgan", condition="class")
    with pytest.raises(UsageError, match="not told the ages"):
        draw_walk(classes, tmp_path / "b", Walk(4, stages=True))
    with pytest.raises(UsageError, match="leave the pictures away"):
        draw_walk(ages, tmp_path / "c", Walk(4, stages=True), [tmp_path / "x.png"])
    with pytest.raises(UsageError, match="makes no lungs"):
        draw_walk("usvae", tmp_path / "d", Walk())


def test_only_growing_affected_lung_is_a_progression():
    """Loads that rise in all walks, and loads that fall in all."""

    def lungs(shares):
        out = np.zeros((len(shares), len(shares[0]), 12, 12))
        for at in np.ndindex(out.shape[:2]):
            lung = np.full(100, 0.3)
            lung[: round(100 * shares[at[0]][at[1]])] = 0.9
            out[at][1:11, 1:11] = lung.reshape(10, 10)
        return measure_monotony(out, rng=np.random.default_rng(0), draws=100)

    rising = lungs([np.linspace(0, end, 5) for end in (0.2, 0.3, 0.4, 0.5)])
    assert name_of(rising)[0] == PROGRESSION
    falling = lungs([np.linspace(end, 0, 5) for end in (0.2, 0.3, 0.4, 0.5)])
    assert name_of(falling)[0] == INTERPOLATION and "0 %" in name_of(falling)[1]
