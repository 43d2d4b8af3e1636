"""Toy lungs: two discs each, the denser the later the day, and a run that learned them for some steps."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from glasslung.data.slices import SliceSet
from glasslung.forecast.familiarity import make_reference, write_reference

SIDE = 64
AIR, DENSE = 75, 190  # of 255


def lung(rng: np.random.Generator, day: float) -> np.ndarray:
    """(64, 64) float32: two discs of lung; a patch of dense tissue that grows with the day, NaN for none."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    high, wide, drop = rng.uniform(19, 26), rng.uniform(11, 14), rng.uniform(-2, 2)
    picture = np.zeros((SIDE, SIDE))
    for middle in (16, 47):
        inside = ((rows - 32 - drop) / high) ** 2 + ((columns - middle) / wide) ** 2 < 1
        grey = AIR + 14 * rng.random() + 9 * rng.standard_normal((SIDE, SIDE))
        if np.isfinite(day):
            ill = (rows - 42) ** 2 + (columns - middle) ** 2 < (2 + 0.6 * day) ** 2
            grey = np.where(ill, DENSE, grey)
        picture[inside] = grey[inside]
    return (np.rint(np.clip(picture, 0, 255)) / 255).astype(np.float32)


def lungs(each: int, seed: int) -> SliceSet:
    """`each` slices of every age."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(4), each)
    days = np.where(group > 0, 5 * (group - 1) + rng.integers(0, 5, len(group)), np.nan)
    images = np.stack([lung(rng, day) for day in days])
    names = tuple(f"p{n:03d}" for n in range(len(group)))
    return SliceSet(images, group, days.astype(np.float32), np.arange(len(group)), names, names)


def train_run(folder: Path, steps: int = 20) -> Path:
    """The folder of a small AgeFlow that made `steps` steps of each stage, with its reference."""
    import torch

    from glasslung.data.batches import GroupBalancedBatches
    from glasslung.models import build, entry_for
    from glasslung.train.game import Game
    from glasslung.train.loop import fit
    from glasslung.train.machine import Machine
    from glasslung.train.rundir import RunDir

    torch.set_num_threads(1)
    slices = lungs(25, seed=1)
    model = build("ageflow", width=32, depth=2, steps=4)
    for player in entry_for("ageflow").players(model):
        stream = GroupBalancedBatches(slices, 2, np.random.default_rng(0))
        fit(Game({"ageflow": model}, [player], stream, 0, Machine("cpu", "32-true")), range(steps))
    told = {**asdict(model.config), "training": {"steps": steps}}
    run = RunDir.create(folder, "progression", "ageflow", told, 0)
    run.save("ageflow", model)
    write_reference(make_reference(slices, lungs(12, seed=2)), folder)
    return folder
