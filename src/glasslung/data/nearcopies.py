"""Slices that show the same lungs again: neighbours of one scan, or the same scan cropped another way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from glasslung.data.resampling import resample

FLAT = 1.0  # grey levels, of all pixels of a thumbnail together: less is rounding
THUMB = 32  # side of the thumbnails that are compared
MOST_SHIFT = 3  # of a thumbnail's pixels: crops of neighbouring slices differ by about a tenth
LEAST_ALIKE = 0.85
"""Correlation of thumbnails. Of fifty slices from different patients, neighbours of one scan have 0.86 to
0.998, and other pairs 0.83 at most."""


def near_copies(pictures: Sequence[np.ndarray], least: float = LEAST_ALIKE) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, of pictures (H, W) that look like one scan: best correlation of small shifts."""
    if len(pictures) < 2:
        return []
    alike = likeness(pictures)
    first, second = np.nonzero(np.triu(alike >= least, 1))
    return list(zip(first.tolist(), second.tolist(), strict=True))


def likeness(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """(N, N) highest correlation of two pictures' thumbnails over small shifts, -1 to 1.

    Pictures are compared as cropped, each stretched to a square; one without contrast is like nothing.
    """
    thumbs = np.stack([resample(np.asarray(p, np.float32), THUMB, THUMB) for p in pictures])
    best = np.full((len(thumbs), len(thumbs)), -1.0, np.float32)
    steps = range(-MOST_SHIFT, MOST_SHIFT + 1)
    for down in steps:
        for right in steps:
            one = _standardised(
                thumbs[:, max(0, down) : THUMB + min(0, down), max(0, right) : THUMB + min(0, right)]
            )
            two = _standardised(
                thumbs[:, max(0, -down) : THUMB + min(0, -down), max(0, -right) : THUMB + min(0, -right)]
            )
            best = np.maximum(best, one @ two.T)
    return np.asarray(np.maximum(best, best.T))


def _standardised(thumbs: np.ndarray) -> np.ndarray:
    flat = thumbs.reshape(len(thumbs), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(np.divide(flat, length, out=np.zeros_like(flat), where=length > FLAT))
