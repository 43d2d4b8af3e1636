"""The chest wall's inside: a smooth surface over the ribs that holds also where the lung beneath is dense."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from glasslung.data.lungs.morphology import Spacing
from glasslung.data.lungs.settings import Settings

SECTORS = 180  # of the full circle: 2 degrees, 4 mm at the wall
WINDOW_DEG = 50.0  # a gap in aerated contact narrower than this is bridged along the wall
WINDOW_MM = 60.0  # likewise from slice to slice
RIB_WINDOW_MM = 30.0  # ribs run obliquely: within this height each sector meets one
BEHIND_RIB_MM = 4.0  # from a rib's inner cortex to the lung: fat and pleura
PUSH_MM = 12.0  # farthest that the ribs may push the bridged surface out
CONTACT_MM = 10.0  # aerated lung nearer than this to the wall touches it
MARGIN_DEG = 40.0  # the lung's lower margin does not rise and fall again within this angle


@dataclass(frozen=True, eq=False)
class Cage:
    """Where one half of the chest wall is.

    inside   (z, y, x) bool: within the wall's inner surface, in sectors where this lung lies
    wall     (z, y, x) bool: beyond it, at heights to which this lung reaches
    """

    inside: np.ndarray
    wall: np.ndarray


def find_cage(
    lung: np.ndarray, both: np.ndarray, hu: np.ndarray, spacing_mm: Spacing, settings: Settings
) -> Cage:
    """The chest wall over one lung, from what aerated lung and ribs show of it.

    Each slice is read in polar coordinates round the middle of the chest (of both lungs). The radius of
    the outermost aerated lung is closed (bridged) over angle and height, and pushed out to the ribs where
    those lie farther out: a consolidation that touches the wall is a dent, and the ribs behind it remain.
    """
    radius, sector = _polar(both, spacing_mm)
    air = _outermost(lung, radius, sector)
    bridged = _bridge(air, (_odd(WINDOW_MM / spacing_mm[0]), _odd(WINDOW_DEG * SECTORS / 360)))
    ribs = _innermost(hu > settings.rib_hu, radius, sector, bridged * 0.92)
    ribs = ndimage.minimum_filter(ribs, (_odd(RIB_WINDOW_MM / spacing_mm[0]), 9), mode=("nearest", "wrap"))
    pushed = np.clip(ribs - BEHIND_RIB_MM, bridged, bridged + PUSH_MM)
    surface = np.where(np.isfinite(ribs), pushed, bridged)
    surface = ndimage.gaussian_filter(surface, (6.0 / spacing_mm[0], 2.0), mode=("nearest", "wrap"))
    surface = np.maximum(np.where(bridged > 0, surface, 0.0), air)
    inside = radius <= surface[:, sector] + 0.5 * spacing_mm[1]
    held = _between_margins((air > 0) & (air > surface - CONTACT_MM))
    return Cage(inside, ~inside & held[:, sector])


def _odd(number: float) -> int:
    return max(1, round(number)) | 1


def _polar(both: np.ndarray, spacing_mm: Spacing) -> tuple[np.ndarray, np.ndarray]:
    """Distance from the chest's middle in mm, and number of the sector, each (y, x)."""
    rows, columns = np.flatnonzero(both.any(axis=(0, 2))), np.flatnonzero(both.any(axis=(0, 1)))
    y = (np.arange(both.shape[1]) - (rows[0] + rows[-1]) / 2) * spacing_mm[1]
    x = (np.arange(both.shape[2]) - (columns[0] + columns[-1]) / 2) * spacing_mm[2]
    radius = np.hypot(y[:, None], x[None, :]).astype(np.float32)
    turn = (np.arctan2(y[:, None], x[None, :]) + np.pi) / (2 * np.pi)
    return radius, np.minimum((turn * SECTORS).astype(int), SECTORS - 1)


def _outermost(mask: np.ndarray, radius: np.ndarray, sector: np.ndarray) -> np.ndarray:
    """Largest radius of the mask in each slice and sector; 0 where there is none."""
    out = np.zeros((mask.shape[0], SECTORS), np.float32)
    for z, m in enumerate(mask):
        np.maximum.at(out[z], sector[m], radius[m])
    return out


def _innermost(mask: np.ndarray, radius: np.ndarray, sector: np.ndarray, beyond: np.ndarray) -> np.ndarray:
    """Smallest radius of the mask that lies beyond a surface; inf where there is none."""
    out = np.full((mask.shape[0], SECTORS), np.inf, np.float32)
    for z, m in enumerate(mask):
        far = m & (radius > beyond[z][sector])
        np.minimum.at(out[z], sector[far], radius[far])
    return out


def _bridge(air: np.ndarray, window: tuple[int, int]) -> np.ndarray:
    """Grey closing over height and angle; angles wrap, heights beyond the scan add nothing."""
    grown = ndimage.maximum_filter(air, size=window, mode=("constant", "wrap"), cval=0.0)
    return np.asarray(ndimage.minimum_filter(grown, size=window, mode=("nearest", "wrap")))


def _between_margins(touches: np.ndarray) -> np.ndarray:
    """Heights and sectors between the lung's lower and upper margins, narrow dents of the margins filled."""
    heights, count = np.arange(touches.shape[0])[:, None], touches.shape[0]
    lowest = np.where(touches.any(0), touches.argmax(0), count)
    highest = np.where(touches.any(0), count - 1 - touches[::-1].argmax(0), -1)
    width = _odd(MARGIN_DEG * SECTORS / 360)
    low = ndimage.grey_opening(lowest, size=width, mode="wrap")
    high = ndimage.grey_closing(highest, size=width, mode="wrap")
    return np.asarray((heights >= low) & (heights <= high))
