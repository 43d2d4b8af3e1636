"""The lung window: how Hounsfield units become the grey values of a slice."""

from __future__ import annotations

import numpy as np

LUNG_WINDOW_HU = (-1350.0, 150.0)  # level -600, width 1500: what 0 and 255 stand for


def lung_grey(hu: np.ndarray, lungs: np.ndarray) -> np.ndarray:
    """The lung window as grey values 1 to 255, 0 outside the lungs; uint8 of the same shape."""
    low, high = LUNG_WINDOW_HU
    grey = np.clip(np.rint(1 + 254 * (hu.astype(np.float32) - low) / (high - low)), 1, 255)
    return np.where(lungs > 0, grey, 0).astype(np.uint8)
