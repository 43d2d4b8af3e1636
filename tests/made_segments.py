"""Slices with drawn lesions and maps of a model that is right about most of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from glasslung.studies.segmentation.scores import Segmented


def made_truth(seed: int, shape: tuple[int, int] = (44, 60)) -> np.ndarray:
    """Ground glass with some consolidation inside; every third slice has no consolidation."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    truth = np.zeros(shape, np.uint8)
    at = (rng.integers(12, shape[0] - 12), rng.integers(14, shape[1] - 14))
    far = np.hypot(rows - at[0], columns - at[1])
    truth[far < 9] = 1
    if seed % 3:
        truth[far < 4] = 2
    return truth


def made_maps(truth: np.ndarray, seed: int, classes: int = 3, sure: float = 3.0) -> np.ndarray:
    """Softmax of noise with the truth added: (classes, H, W) float32."""
    rng = np.random.default_rng(1000 + seed)
    label = np.minimum(truth, classes - 1)
    logits = rng.normal(0, 1, (classes, *truth.shape)) + sure * (label == np.arange(classes)[:, None, None])
    each = np.exp(logits)
    return (each / each.sum(0)).astype(np.float32)


def made_picture(truth: np.ndarray, seed: int) -> np.ndarray:
    """Dark lungs, grey ground glass, bright consolidation."""
    rng = np.random.default_rng(2000 + seed)
    return np.clip(np.array([40, 120, 200])[truth] + rng.integers(-15, 16, truth.shape), 0, 255).astype(
        np.uint8
    )


def made_slices(count: int = 7, classes: int = 3) -> list[Segmented]:
    """Slices of different sizes, two of them of one patient."""
    made = []
    for seed in range(count):
        truth = made_truth(seed, (44 + seed, 60 - seed))
        maps, picture = made_maps(truth, seed, classes), made_picture(truth, seed)
        made.append(Segmented(f"s{seed}", f"p{max(seed, 1)}", truth, maps, picture))
    return made


def write_labelled(folder: Path, count: int = 6) -> Path:
    """A folder with img/ and multiclass/ as labelled slices come."""
    for seed in range(count):
        truth = made_truth(seed)
        for name, array, kind in (("img", made_picture(truth, seed), "png"), ("multiclass", truth, "png")):
            (folder / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(folder / name / f"{seed}.{kind}")
    return folder
