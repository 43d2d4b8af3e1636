"""Pictures and maps on another grid: by area where they shrink, between pixel centres where they grow.

Each axis is one matrix whose rows sum to 1, so that a constant stays constant and probabilities that sum to
1 over classes still do.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from glasslung.errors import ShapeError


def resample(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """(..., H, W) -> (..., height, width) float32; each axis shrinks by area or grows bilinearly."""
    if height < 1 or width < 1 or not image.size:
        raise ShapeError(f"{image.shape} cannot be resized to {height} x {width}")
    image = np.asarray(image, np.float32)
    if image.shape[-2] != height:
        image = resampling(image.shape[-2], height) @ image
    if image.shape[-1] != width:
        image = image @ resampling(image.shape[-1], width).T
    return image


def resample_labels(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """(..., H, W) -> (..., height, width): the label at the nearest pixel centre."""
    rows, columns = _nearest(mask.shape[-2], height), _nearest(mask.shape[-1], width)
    return np.asarray(mask[..., rows[:, None], columns[None]])


@lru_cache(maxsize=256)
def resampling(length: int, size: int) -> np.ndarray:
    """(size, length) float32: how much each old pixel gives to each new one; rows sum to 1."""
    return _by_area(length, size) if size < length else _between_centres(length, size)


def _by_area(length: int, size: int) -> np.ndarray:
    edges = np.arange(size + 1) * (length / size)
    pixel = np.arange(length)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return (overlap.clip(0) * (size / length)).astype(np.float32)


def _between_centres(length: int, size: int) -> np.ndarray:
    centre = np.clip((np.arange(size) + 0.5) * (length / size) - 0.5, 0, length - 1)
    before = np.minimum(centre.astype(int), length - 1)
    after = np.minimum(before + 1, length - 1)
    share = centre - before
    matrix = np.zeros((size, length))
    np.add.at(matrix, (np.arange(size), before), 1 - share)
    np.add.at(matrix, (np.arange(size), after), share)
    return matrix.astype(np.float32)


def _nearest(length: int, size: int) -> np.ndarray:
    return np.minimum(((np.arange(size) + 0.5) * (length / size)).astype(int), length - 1)
