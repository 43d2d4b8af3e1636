"""Small made pictures for tests of the explorer: discs whose place and size are known."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 64


def disc(row: float, column: float, radius: float, grey: int = 200, side: int = SIDE) -> np.ndarray:
    """(side, side) uint8: a disc on black."""
    y, x = np.mgrid[:side, :side]
    return np.where((y - row) ** 2 + (x - column) ** 2 <= radius**2, grey, 12).astype(np.uint8)


def discs(count: int, seed: int = 0, grey: int = 200) -> list[np.ndarray]:
    """Discs drawn from one law, in random places."""
    rng = np.random.default_rng(seed)
    return [disc(*rng.uniform(22, 42, 2), rng.uniform(6, 16), grey) for _ in range(count)]


def write_cohort(folder: Path, count: int = 40, stages: bool = False) -> Path:
    """A cohort of discs: label by grey, two sources alike, five patients with two pictures each."""
    (folder / "slices").mkdir(parents=True)
    head = ["patient", "scan", "image", "intensity", "label", "site", "day", "severity"]
    rows = []
    for number in range(count):
        ill = number % 2
        Image.fromarray(discs(1, number, 120 + 120 * ill)[0]).save(folder / "slices" / f"{number:03d}.png")
        patient = f"p{number if number >= 10 else number % 5}"
        label, site = ("covid", "healthy")[1 - ill], f"site {(number // 2) % 2}"
        rows.append(
            [patient, f"s{number}", f"slices/{number:03d}.png", "display8", label, site, number % 14, number]
        )
    if stages:
        head.append("group")
        rows = [[*row, f"t{number % 4}"] for number, row in enumerate(rows)]
    with (folder / "cohort.csv").open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    return folder


def write_codes(folder: Path, rows: list[list[object]], head: list[str]) -> Path:
    """codes.csv in a folder with pictures 000.png ... as many as there are rows."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(discs(len(rows))):
        Image.fromarray(picture).save(folder / f"{number:03d}.png")
    with (folder / "codes.csv").open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    return folder / "codes.csv"


def save_run(folder: Path, cohort: Path, method: str = "autoencoder", **settings: object) -> Path:
    """A run that learned nothing: its weights as they are drawn."""
    from glasslung.models import build
    from glasslung.train.rundir import RunDir

    run = RunDir.create(folder, "explorer", method, settings, 0, {"cohort": cohort})
    with run.writing():
        run.save(method, build(method, 0, **settings))
    return folder
