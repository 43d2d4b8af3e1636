"""Small made cohorts for the audit's tests: dark, textured ovals in a body, all different."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from glasslung.data.cohort import Cohort
from glasslung.types import Case, Intensity

SIZE = 160


def lungs(rng: np.random.Generator, size: int = SIZE) -> np.ndarray:
    """(size, size) uint8: body grey, two lungs with a texture that no other draw has, black around."""
    rows, columns = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    texture = ndimage.gaussian_filter(rng.normal(size=(size, size)), size / 48)
    texture /= texture.std()
    body = (rows / (0.85 + 0.1 * rng.random())) ** 2 + (columns / (0.9 + 0.08 * rng.random())) ** 2 < 1
    picture = np.where(body, 170 + 8 * texture, 0.0)
    tilt = 0.2 * rng.normal()
    for side in (-1, 1):
        wide, high = 0.22 + 0.12 * rng.random(), 0.45 + 0.2 * rng.random()
        down, out = 0.1 * rng.normal(), side * (0.36 + 0.12 * rng.random()) + tilt * rows
        lung = ((rows - down) / high) ** 2 + ((columns - out) / wide) ** 2 < 1
        picture[lung] = 60 + 25 * texture[lung]
    return np.clip(picture, 0, 255).astype(np.uint8)


def save(picture: np.ndarray, path: Path, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, **options)
    return path


def clean_cohort(folder: Path, patients: int = 40, seed: int = 0, **fields) -> Cohort:
    """One picture per patient; label, site, split, day and event are drawn independently of all else."""
    rng = np.random.default_rng(seed)
    cases = []
    for number in range(patients):
        save(lungs(rng), folder / f"p{number:02d}.png")
        cases.append(
            Case(
                patient=f"p{number:02d}",
                scan="s",
                image=Path(f"p{number:02d}.png"),
                intensity=Intensity.DISPLAY8,
                day=float(rng.integers(0, 20)),
                site=str(rng.choice(["A", "B"])),
                label=["covid", "healthy"][number % 2],
                event=bool(rng.random() < 0.5),
                split=["train", "train", "test", "test"][number % 4],
                **fields,
            )
        )
    return Cohort("made", folder, tuple(cases))
