"""What a slice shows outside the lungs: its rim, its background, the edge between background and patient.

A network reads these as easily as it reads a lesion, and they tell where a scan came from: how it was
cropped, padded, windowed and compressed.
"""

from __future__ import annotations

import numpy as np

RIM_SHARE = 0.02  # of the shorter side: the ring that is looked at, at least one pixel
DARK_8BIT = 12  # grey levels above the darkest that still count as black: JPEG rings by about that much
DARK_HU = -900  # air and padding
BRIGHT_8BIT = 243  # white paper, with the same allowance
BRIGHT_HU = 300  # bone, metal, or a frame drawn on the picture
STRAIGHT_PX = 4  # a run of edge this long is a drawn or blocky edge; a smooth outline turns sooner

BORDER_NAMES = {
    "rim_level": "mean grey of the outermost ring",
    "rim_spread": "spread of grey in the outermost ring",
    "rim_dark": "share of black in the outermost ring",
    "rim_bright": "share of white in the outermost ring",
    "background_share": "share of the picture that is background",
    "background_level": "grey level of the background",
    "background_spread": "spread of grey in the background (noise, compression)",
    "edge_straight": "straightness of the background's outline (blocky or smooth crop)",
}


def border_facts(grey: np.ndarray, is_hu: bool) -> dict[str, float]:
    """Facts of one slice (H, W) that leave the lungs out; names as in BORDER_NAMES. Grey levels or HU.

    Background: dark pixels joined to the picture's rim through dark pixels.
    """
    values = grey.astype(np.float32)
    dark_below = DARK_HU if is_hu else float(values.min()) + DARK_8BIT
    dark = values <= dark_below
    ring = rim(values)
    background = joined_to_rim(dark)
    within = values[background]
    return {
        "rim_level": float(ring.mean()),
        "rim_spread": float(ring.std()),
        "rim_dark": float((ring <= dark_below).mean()),
        "rim_bright": float((ring >= (BRIGHT_HU if is_hu else BRIGHT_8BIT)).mean()),
        "background_share": float(background.mean()),
        "background_level": float(within.mean()) if within.size else float(values.min()),
        "background_spread": float(within.std()) if within.size else 0.0,
        "edge_straight": straight_share(background),
    }


def rim(values: np.ndarray) -> np.ndarray:
    """The pixels of the outermost ring, (H, W) -> (K,)."""
    width = max(1, round(RIM_SHARE * min(values.shape)))
    inside = np.zeros(values.shape, dtype=bool)
    inside[width:-width, width:-width] = True
    return values[~inside]


def joined_to_rim(dark: np.ndarray) -> np.ndarray:
    """The dark pixels joined to the rim of the slice, (H, W) bool -> (H, W) bool."""
    from scipy import ndimage

    parts, count = ndimage.label(dark)
    at_rim = np.zeros(count + 1, dtype=bool)
    at_rim[np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])] = True
    at_rim[0] = False
    return at_rim[parts]


def straight_share(mask: np.ndarray) -> float:
    """Share of a mask's outline that runs straight for STRAIGHT_PX or more: 1 for blocks, less for a disc.

    mask (H, W) bool; the outline consists of the unit steps between a pixel inside and one outside. 0 for a
    mask without outline.
    """
    lengths = np.concatenate([_run_lengths(mask), _run_lengths(mask.T)])
    total = lengths.sum()
    return float(lengths[lengths >= STRAIGHT_PX].sum() / total) if total else 0.0


def _run_lengths(mask: np.ndarray) -> np.ndarray:
    """Lengths of the outline's horizontal runs: equal steps from row r to r + 1 in neighbouring columns."""
    steps = np.diff(mask.astype(np.int8), axis=0)
    framed = np.pad(steps, ((0, 0), (1, 1))).ravel()
    changes = np.flatnonzero(np.diff(framed)) + 1
    return np.diff(changes)[framed[changes[:-1]] != 0]
