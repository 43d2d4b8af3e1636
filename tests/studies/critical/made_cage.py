"""A folder in the layout of the CAGE set whose lungs we drew: who becomes critically ill has denser ones."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image

COLUMNS = (
    *("path", "group", "days", "patient", "scan", "slice", "scan_slices", "label", "width", "height"),
    *("progression_days", "critical_illness", "age", "sex", "liver_function", "lung_function"),
)


def draw_lungs(rng: np.random.Generator, dense: float, shape: tuple[int, int] = (120, 180)) -> np.ndarray:
    """Two lungs on black, (H, W) uint8, with dense patches at the back as large as `dense`, 0 to 1."""
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(float)
    picture = np.zeros(shape)
    for middle in (0.26 * shape[1], 0.74 * shape[1]):
        lung = ((rows - shape[0] / 2) / (0.46 * shape[0])) ** 2 + (
            (columns - middle) / (0.21 * shape[1])
        ) ** 2 < 1
        grey = 85 + 8 * rng.standard_normal(shape)
        back = rows > shape[0] * (0.95 - 0.5 * dense)
        picture = np.where(lung, grey + 90 * back, picture)
    return np.clip(picture, 0, 255).astype(np.uint8)


def write_folder(
    folder: Path, patients: int = 30, healthy: int = 2, seed: int = 0, kept: str = "jpg"
) -> Path:
    """Half of the patients become critically ill; one has no endpoint, one an age of 0; some are healthy."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(patients + healthy):
        ill = number % 2 == 0
        sick = number < patients
        days = round(float(rng.uniform(0.1, 8) if ill else rng.uniform(3, 14)), 2)
        group = "t0" if not sick else f"t{min(3, int(days) // 5 + 1)}"
        place = f"ncp/day{int(days)}" if sick else "healthy"
        path = f"{place}/{100 + number}/{500 + number}/0050.{kept}"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        dense = float(np.clip(rng.normal(0.55 if ill else 0.3, 0.15), 0, 1)) if sick else 0.0
        Image.fromarray(draw_lungs(rng, dense)).save(folder / path, quality=95)
        row = dict.fromkeys(COLUMNS, "")
        row |= {"path": path, "group": group, "patient": str(100 + number), "scan": str(500 + number)}
        row |= {"slice": "50", "scan_slices": str(int(rng.integers(100, 200)))}
        row["label"] = "NCP" if sick else "Normal"
        if sick and number != 1:
            row |= {"days": str(int(days)), "progression_days": str(days), "critical_illness": str(int(ill))}
            row |= {"age": "0" if number == 3 else str(int(rng.integers(20, 80))), "sex": str(number % 3 % 2)}
        rows.append(row)
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return folder
