"""Maps of relevance as colour: warm for the finding, cool against it; a sheet of slices with and without."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from glasslung.data.montage import TILE_PX, framed, reduced, windowed
from glasslung.data.preview import HEAT_TOP, Preview, View

# From little to most; they differ in lightness too, so they hold without colour.
FOR_RGB = ((178, 24, 43), (244, 109, 67), (255, 237, 140))
AGAINST_RGB = ((33, 80, 190), (67, 147, 235), (190, 235, 255))
FAINT = 0.08  # of the most: below this nothing is laid over the slice
STRENGTH = 0.8  # of the colour over the grey, at most
LESION_RGB = (255, 255, 255)  # the outline of lesions on a map
BAR_PX = 40


def heat_rgba(heat: np.ndarray) -> np.ndarray:
    """A map (H, W) int8 -> (H, W, 4) uint8: the more relevance, the lighter and the less clear."""
    much = np.abs(heat.astype(np.float32)) / HEAT_TOP
    out = np.zeros((*heat.shape, 4), np.uint8)
    for side, colours in ((heat > 0, FOR_RGB), (heat < 0, AGAINST_RGB)):
        for channel in range(3):
            levels = [colour[channel] for colour in colours]
            ramp = np.interp(much, np.linspace(FAINT, 1, len(colours)), levels)
            out[..., channel] = np.where(side, np.rint(ramp), out[..., channel])
    clear = np.clip((much - FAINT) / (1 - FAINT), 0, 1) ** 0.5
    out[..., 3] = np.rint(255 * STRENGTH * clear)
    out[out[..., 3] == 0] = 0
    return out


def heat_sheet(preview: Preview, finding: str) -> bytes:
    """The slices with most relevance in pairs, plain and with the map and the lesions' outlines, as a PNG."""
    if not preview.reasons:
        return _png(np.vstack([np.zeros((BAR_PX, 2 * TILE_PX, 3), np.uint8), _bar(2 * TILE_PX, finding)]))
    window = preview.windows[0]
    pairs = [
        [reduced(picture) for picture in _pair(view, windowed(view.grey, window))] for view in preview.reasons
    ]
    columns = 1 if len(pairs) == 1 else 2
    frame = max(one.shape[0] for pair in pairs for one in pair), max(p.shape[1] for q in pairs for p in q)
    tiles = [np.hstack([framed(one, frame) for one in pair]) for pair in pairs]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[n : n + columns]) for n in range(0, len(tiles), columns)]
    return _png(np.vstack([*rows, _bar(rows[0].shape[1], finding)]))


def _pair(view: View, grey: np.ndarray) -> Sequence[np.ndarray]:
    """The slice (H, W, 3) as it is, and with its map."""
    plain = np.repeat(grey[..., None], 3, axis=2)
    if view.heat is None:
        return plain, plain
    rgba = heat_rgba(view.heat).astype(np.float32)
    clear = rgba[..., 3:] / 255.0
    laid = plain * (1 - clear) + rgba[..., :3] * clear
    if view.lesions is not None:
        inside = view.lesions > 0
        laid[inside & ~ndimage.binary_erosion(inside, border_value=1)] = LESION_RGB
    return plain, np.rint(laid).astype(np.uint8)


def _bar(width: int, finding: str) -> np.ndarray:
    """What the colours mean, (BAR_PX, width, 3)."""
    strip = Image.new("RGB", (width, BAR_PX))
    pen, x, size = ImageDraw.Draw(strip), BAR_PX // 2, BAR_PX // 3
    for name, colour in (
        (f"for {finding}", FOR_RGB[1]),
        ("against it", AGAINST_RGB[1]),
        ("lesions' outline", LESION_RGB),
    ):
        pen.rectangle((x, size, x + size, 2 * size), fill=colour)
        x += size + size // 2
        pen.text((x, BAR_PX // 2), name, fill=(230, 230, 230), anchor="lm", font_size=size + 2)
        x += round(pen.textlength(name, font_size=size + 2)) + BAR_PX // 2
    return np.asarray(strip)


def _png(picture: np.ndarray) -> bytes:
    written = io.BytesIO()
    Image.fromarray(picture).save(written, "png", optimize=True)
    return written.getvalue()
