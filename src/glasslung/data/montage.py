"""Sheets of slices with lungs outlined and lesions coloured: one PNG to look at."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from glasslung.data.preview import Plane, Preview, Window
from glasslung.types import Lesion

# Colours that stay apart for every kind of colour blindness and on paper; the report repeats them.
LESION_RGB = {
    Lesion.GROUND_GLASS: (240, 165, 0),
    Lesion.CONSOLIDATION: (170, 51, 160),
    Lesion.CRAZY_PAVING: (0, 150, 136),
}
OUTLINE_RGB = (86, 200, 245)
STRENGTH = 0.45  # of the colour over the grey
COLUMNS = 4
TILE_PX = 320
LEGEND_PX = 32
MOST_TILES = 24  # a sheet is looked at as a whole


class Tile(NamedTuple):
    """One slice: grey (H, W) uint8 as it is shown, lungs (H, W) and lesions (H, W) labels."""

    grey: np.ndarray
    lungs: np.ndarray
    lesions: np.ndarray | None


def windowed(grey: np.ndarray, window: Window) -> np.ndarray:
    """(H, W) grey values -> uint8 as the window shows them, 0 black to 255 white."""
    low = window.level - window.width / 2
    shown = (grey.astype(np.float32) - low) * (255.0 / window.width)
    return np.clip(np.rint(shown), 0, 255).astype(np.uint8)


def tiles_of(preview: Preview) -> list[Tile]:
    """The axial planes of a preview, from head to feet, in its first window."""
    window = preview.windows[0]
    return [
        Tile(windowed(view.grey, window), view.lungs, view.lesions)
        for view in preview.views
        if view.plane is Plane.AXIAL
    ]


def sheet(tiles: Sequence[Tile]) -> bytes:
    """Tiles in rows of four and a legend, as a PNG; of more than two dozen a spread is shown."""
    asked = np.unique(np.linspace(0, len(tiles) - 1, min(len(tiles), MOST_TILES)).astype(int))
    small = [reduced(coloured(tiles[n])) for n in asked]
    frame = max(one.shape[0] for one in small), max(one.shape[1] for one in small)
    drawn = [framed(one, frame) for one in small]
    columns = min(COLUMNS, len(drawn))
    drawn += [np.zeros_like(drawn[0])] * (-len(drawn) % columns)
    rows = [np.hstack(drawn[start : start + columns]) for start in range(0, len(drawn), columns)]
    kinds = {int(kind) for n in asked if (found := tiles[n].lesions) is not None for kind in np.unique(found)}
    picture = np.vstack([*rows, _legend(columns * frame[1], sorted(kinds - {0}))])
    written = io.BytesIO()
    Image.fromarray(picture).save(written, "png", optimize=True)
    return written.getvalue()


def _legend(width: int, kinds: Sequence[int]) -> np.ndarray:
    """(LEGEND_PX, width, 3): a line for the lungs and a square for each kind of lesion that is drawn."""
    strip = Image.new("RGB", (width, LEGEND_PX))
    pen, x = ImageDraw.Draw(strip), LEGEND_PX // 2
    shown = [("lungs", OUTLINE_RGB), *((Lesion(kind).words, LESION_RGB[Lesion(kind)]) for kind in kinds)]
    for name, colour in shown:
        pen.rectangle((x, LEGEND_PX // 3, x + LEGEND_PX // 3, 2 * LEGEND_PX // 3), fill=colour)
        x += LEGEND_PX // 2
        pen.text((x, LEGEND_PX // 2), name, fill=(230, 230, 230), anchor="lm", font_size=LEGEND_PX // 2)
        x += round(pen.textlength(name, font_size=LEGEND_PX // 2)) + LEGEND_PX
    return np.asarray(strip)


def coloured(tile: Tile) -> np.ndarray:
    """(H, W, 3) uint8: lesions laid over the grey, the lungs' inner rim as a line."""
    rgb = np.repeat(tile.grey[..., None].astype(np.float32), 3, axis=2)
    for lesion, colour in LESION_RGB.items():
        if tile.lesions is not None:
            there = tile.lesions == lesion
            rgb[there] = (1 - STRENGTH) * rgb[there] + STRENGTH * np.array(colour)
    inside = tile.lungs > 0
    rim = inside & ~ndimage.binary_erosion(inside, border_value=1)
    rgb[rim] = OUTLINE_RGB
    return np.rint(rgb).astype(np.uint8)


def reduced(picture: np.ndarray) -> np.ndarray:
    """The picture with its longer side TILE_PX long."""
    height, width = picture.shape[:2]
    scale = TILE_PX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))


def framed(picture: np.ndarray, frame: tuple[int, int]) -> np.ndarray:
    """The picture in the middle of a frame (height, width), on black."""
    out = np.zeros((*frame, 3), np.uint8)
    top, left = ((side - own) // 2 for side, own in zip(frame, picture.shape, strict=False))
    out[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return out
