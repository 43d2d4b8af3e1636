"""Many small pictures as one: a grid, made pictures over what they are nearest to, a strip, a film."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from glasslung.errors import ShapeError, UsageError

GAP = 2  # pixels between pictures
GAP_GREY = 90  # darker than most lungs' surroundings, brighter than black
FRAME_MS = 80  # of a film: a walk of 24 steps takes two seconds
HOLD_MS = 800  # at both ends, so that the eye finds them


def grid(images: np.ndarray, columns: int = 8, gap: int = GAP) -> np.ndarray:
    """Pictures in rows, with a line between: (N, S, S) in [0, 1] -> (H, W) uint8; empty places stay grey."""
    grey = _greys(images)
    count, height, width = grey.shape
    rows = -(-count // columns)
    columns = min(columns, count)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), GAP_GREY, np.uint8)
    for number, picture in enumerate(grey):
        top, left = number // columns * (height + gap), number % columns * (width + gap)
        sheet[top : top + height, left : left + width] = picture
    return sheet


def beside_nearest(made: np.ndarray, nearest: np.ndarray, columns: int = 8) -> np.ndarray:
    """Every made picture over the training picture it is nearest to: (N, S, S) twice -> (H, W) uint8."""
    if made.shape != nearest.shape:
        raise ShapeError(f"each made picture needs its neighbour, got {made.shape} and {nearest.shape}")
    pairs = np.concatenate([made, nearest], axis=1)  # (N, 2S, S), one above the other
    return grid(pairs, columns, gap=2 * GAP)


def as_png(sheet: np.ndarray, facts: dict[str, str] | None = None) -> bytes:
    """(H, W) uint8 -> PNG, with facts as its text fields."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    told = PngInfo()
    for key, value in (facts or {}).items():
        told.add_text(key, value)
    written = io.BytesIO()
    Image.fromarray(sheet).save(written, "png", optimize=True, pnginfo=told)
    return written.getvalue()


def as_film(images: np.ndarray, back: bool = True, zoom: int = 2) -> bytes:
    """Pictures one after another as an animated GIF, (N, S, S) in [0, 1]; `back`: and back, for ever."""
    from PIL import Image

    if len(images) < 2 or zoom < 1:
        raise UsageError("a film needs two pictures or more, and a zoom of 1 or more")
    grey = _greys(images).repeat(zoom, 1).repeat(zoom, 2)
    order = [*range(len(grey)), *(range(len(grey) - 2, 0, -1) if back else [])]
    frames = [Image.fromarray(grey[number]) for number in order]
    ends = (0, len(grey) - 1)
    times: Sequence[int] = [HOLD_MS if number in ends else FRAME_MS for number in order]
    written = io.BytesIO()
    frames[0].save(written, "gif", save_all=True, append_images=frames[1:], duration=list(times), loop=0)
    return written.getvalue()


def _greys(images: np.ndarray) -> np.ndarray:
    if images.ndim != 3 or images.size == 0:
        raise ShapeError(f"pictures must be (N, H, W), got {images.shape}")
    grey: np.ndarray = np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)
    return grey
