"""Grey slices with a bright disc and a brighter spot in it, as a cohort's table or as a plain folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage


def write_slice(picture: Path, mask: Path, seed: int) -> None:
    """One slice of odd size, and its mask: 1 the disc, 2 the spot."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: 40 + seed, : 52 - seed]
    away = np.hypot(rows - rng.integers(15, 25), columns - rng.integers(15, 25))
    lesion = np.where(away < 4, 2, np.where(away < 10, 1, 0)).astype(np.uint8)
    clouds = ndimage.gaussian_filter(rng.normal(0, 8, lesion.shape), 4)  # no slice is a near copy of another
    grey = np.array([50, 140, 230])[lesion] + 40 * clouds
    for path, array in ((picture, grey.clip(0, 255).astype(np.uint8)), (mask, lesion)):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path)


def write_folder(folder: Path, count: int = 6) -> Path:
    """img/ and multiclass/."""
    for n in range(count):
        write_slice(folder / "img" / f"{n}.png", folder / "multiclass" / f"{n}.png", n)
    return folder


def write_table(folder: Path, labelled: int = 6, unlabelled: int = 4, healthy: int = 2) -> Path:
    """cohort.csv with slices of three kinds, each of a patient of its own."""
    rows = ["patient,scan,image,intensity,label,lesions"]
    for n in range(labelled + unlabelled + healthy):
        write_slice(folder / "slices" / f"{n}.png", folder / "mask" / f"{n}.png", n)
        mask = f"mask/{n}.png" if n < labelled else ""
        label = "covid" if n < labelled + unlabelled else "healthy"
        rows.append(f"p{n},{folder.name}-{n},slices/{n}.png,display8,{label},{mask}")
    (folder / "cohort.csv").write_text("\n".join(rows) + "\n")
    return folder
