"""Windows of 8-bit slices: of which family they are, and all seen through about the same one.

Sets come in windows of all kinds: in some, soft tissue is nearly white, in others it is grey. What the
numbers were nobody wrote down; dark air and soft tissue are in every picture, and two points fix a window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from glasslung.data.labelled import Kind, LabelledSlices, Window
from glasslung.data.lungs.pictures import BLACK, cut_out

WIDE_TISSUE = 150.0  # grey of soft tissue: wide windows have 90 to 120, lung windows 190 to 250
VOTERS = 9  # slices of a stack whose window is looked at: they share one
AIR_GREY, TISSUE_GREY = 18.0, 212.0
"""Where dark air and soft tissue are put: about -1000 and 40 HU in a window from -1100 to 270 HU, as most
published lung windows of these sets look."""
DARK_PERCENT = 5.0  # of the greys below Otsu's threshold: dark air, whatever lies in the lungs
LEAST_APART = 20.0  # grey levels between air and tissue; with less there is nothing to tell apart


def tell_window(pictures: Sequence[np.ndarray]) -> Window:
    """The family of the window of one stack's pictures (H, W) uint8, by the grey of what is not air."""
    some = _some(pictures)
    if cut_out(some[len(some) // 2][None]) is not None:
        return Window.CUT_OUT
    ends = air_and_tissue(some)
    if ends is None:
        return Window.UNKNOWN
    return Window.WIDE if ends[1] < WIDE_TISSUE else Window.LUNG


def air_and_tissue(pictures: Sequence[np.ndarray]) -> tuple[float, float] | None:
    """Greys of dark air and of soft tissue on pictures of one window; None where they cannot be told.

    The medians on both sides of Otsu's threshold, the darker one moved down to the 5th percentile, so that
    hazy lungs do not pass for bright air.
    """
    from skimage.filters import threshold_otsu

    grey = np.concatenate([picture.ravel() for picture in pictures])
    if grey.min() == grey.max():
        return None
    split = threshold_otsu(grey)
    lungs = grey[(grey <= split) & (grey > BLACK)]  # padding is black
    dark = float(np.percentile(lungs, DARK_PERCENT)) if lungs.size > grey.size / 50 else 0.0
    bright = float(np.median(grey[grey > split]))
    return (dark, bright) if bright - dark >= LEAST_APART else None


def alike(slices: LabelledSlices) -> LabelledSlices:
    """The same slices as if seen through one window: dark air at grey 18, soft tissue at 212.

    A stack keeps one window for all its slices; labelled slices, of which each may have its own, are looked
    at one by one. Cut-out lungs show no soft tissue: they stay as they are, as do slices without contrast.
    """
    pictures = list(slices.pictures)
    for rows in _one_window(slices):
        shown = [pictures[row] for row in rows]
        ends = air_and_tissue(_some(shown))
        for row in rows if ends else []:
            pictures[row] = rewindowed(pictures[row], *ends) if ends else pictures[row]
    origins = tuple(
        origin if origin.window is Window.CUT_OUT else replace(origin, window=Window.LUNG)
        for origin in slices.origins
    )
    return replace(slices, pictures=tuple(pictures), origins=origins)


def rewindowed(picture: np.ndarray, air: float, tissue: float) -> np.ndarray:
    """(H, W) uint8 of these greys of air and tissue -> uint8 of the common ones; clipped at white."""
    scale = (TISSUE_GREY - AIR_GREY) / (tissue - air)
    table = np.rint((np.arange(256) - air) * scale + AIR_GREY).clip(0, 255).astype(np.uint8)
    table[0] = 0  # padding stays black
    return np.asarray(table[picture])


def _one_window(slices: LabelledSlices) -> list[list[int]]:
    """Rows that share a window: the slices of an unlabelled stack, every other slice alone."""
    groups: dict[str, list[int]] = {}
    for row, origin in enumerate(slices.origins):
        if origin.window is Window.CUT_OUT:
            continue
        stacked = origin.kind in (Kind.UNLABELLED, Kind.PSEUDO)
        key = f"stack {origin.name.rpartition('-')[0]}" if stacked else f"slice {origin.name}"
        groups.setdefault(key, []).append(row)
    return list(groups.values())


def _some(pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
    asked = np.unique(np.linspace(0, len(pictures) - 1, min(VOTERS, len(pictures))).astype(int))
    return [pictures[n] for n in asked]
