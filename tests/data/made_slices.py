"""Upright slices drawn from a few ellipses: quick, and nothing about them is unknown."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from glasslung.data.labelled import Kind, LabelledSlices, SliceOrigin, unknown_like

AIR, TISSUE, BONE, GLASS, DENSE = 25, 200, 250, 100, 170


def ellipse(shape: tuple[int, int], y: float, x: float, high: float, wide: float) -> np.ndarray:
    """Bool; centre and half axes as shares of the height and width."""
    rows, columns = np.indices(shape)
    down = (rows + 0.5) / shape[0] - y
    right = (columns + 0.5) / shape[1] - x
    return (down / high) ** 2 + (right / wide) ** 2 <= 1


def chest(shape: tuple[int, int] = (120, 150), seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Picture uint8, lesions int8 and lungs int8 of a slice cropped around the lungs; spine below."""
    rng = np.random.default_rng(seed)
    lung = ellipse(shape, 0.5, 0.25, 0.46, 0.21) | ellipse(shape, 0.5, 0.75, 0.46, 0.21)
    grey = np.where(lung, AIR, TISSUE).astype(float)
    grey[ellipse(shape, 0.9, 0.5, 0.11, 0.08)] = BONE
    lesion = np.zeros(shape, np.int8)
    y, x = rng.uniform(0.3, 0.6), rng.choice([0.25, 0.75]) + rng.uniform(-0.04, 0.04)
    lesion[ellipse(shape, y, x, 0.12, 0.1) & lung] = 1
    lesion[ellipse(shape, y, x, 0.05, 0.04) & lung] = 2
    grey[lesion == 1], grey[lesion == 2] = GLASS, DENSE
    grey += rng.normal(0, 6, shape)
    return grey.clip(0, 255).round().astype(np.uint8), lesion, lung.astype(np.int8)


def noise_slices(count: int, kind: Kind = Kind.LABELLED, side: int = 40, seed: int = 0) -> LabelledSlices:
    """Slices unlike one another, of different sizes; row n has grey values near 20 + 4 n."""
    rng = np.random.default_rng(seed)
    pictures, lesions = [], []
    for n in range(count):
        shape = (side + n % 5, side + n % 7)
        coarse = rng.integers(0, 9, (6, 6))
        grown = np.kron(coarse, np.ones((12, 12)))[: shape[0], : shape[1]]
        pictures.append((20 + 4 * n + grown).clip(0, 255).astype(np.uint8))
        labels = (rng.random(shape) < 0.3) * (1 + n % 2)
        known = kind is not Kind.UNLABELLED
        drawn = labels if kind is Kind.LABELLED else np.zeros(shape)
        lesions.append(drawn.astype(np.int8) if known else unknown_like(pictures[-1]))
    origins = tuple(SliceOrigin(f"{kind.value}-{n}", f"{kind.value}-{n}", kind) for n in range(count))
    lungs = tuple(unknown_like(picture) for picture in pictures)
    return LabelledSlices(tuple(pictures), tuple(lesions), lungs, origins)


def write_slice(folder: Path, name: str, picture: np.ndarray, lesion: np.ndarray) -> None:
    """img, lesion and multiclass of one slice, as they lie, in the layout of the published set."""
    from PIL import Image

    for part in ("img", "lesion", "multiclass"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(picture)).save(folder / "img" / f"{name}.png")
    Image.fromarray(np.ascontiguousarray((lesion > 0) * np.uint8(255))).save(
        folder / "lesion" / f"{name}.png"
    )
    palette = Image.fromarray(np.ascontiguousarray(lesion.astype(np.uint8)), "P")
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255, 0, 255, 0] + [0] * 756)
    palette.save(folder / "multiclass" / f"{name}.png")
