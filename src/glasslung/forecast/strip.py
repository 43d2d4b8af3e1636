"""The strip: what was seen, what is expected day by day, and under each day where the draws disagree."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from glasslung.forecast.course import Course, Moment

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

TILE, GAP, EDGE = 232, 14, 26  # pixels
HEAD, FOOT = 54, 50  # rows of text over the pictures and under the maps
INK, SOFT, FAINT, AMBER = (236, 240, 244), (150, 160, 170), (92, 102, 112), (247, 180, 80)
# From nothing (black) through violet and orange to pale: order is seen without colour, too.
HEAT = (
    (0, 0, 0),
    (48, 14, 92),
    (128, 31, 122),
    (206, 66, 92),
    (247, 134, 66),
    (252, 206, 118),
    (252, 250, 216),
)
LEAST_TOP = 0.04  # of the map's scale: less is noise, and must not look like news
HIGHEST = 99.5  # percentile of all spreads that is drawn brightest


def draw_strip(course: Course, cautions: Sequence[str] = ()) -> bytes:
    """The strip as a PNG on black: one column for the scan, one for every day.

    cautions  short words that must travel with the picture: 'do not trust'
    """
    from PIL import Image, ImageDraw

    columns = 1 + len(course.moments)
    width = 2 * EDGE + columns * TILE + (columns - 1) * GAP
    height = EDGE + HEAD + TILE + GAP + TILE + FOOT + EDGE
    canvas = Image.new("RGB", (width, height))
    pen = ImageDraw.Draw(canvas)
    top = scale_top([moment.spread for moment in course.moments])
    upper, lower = EDGE + HEAD, EDGE + HEAD + TILE + GAP
    _head(pen, EDGE, "The scan", _dated(course), INK)
    canvas.paste(_grey_tile(course.seen), (EDGE, upper))
    _legend(canvas, pen, lower, top, course.seen_dense)
    for row, text in enumerate(cautions):
        _text(pen, (EDGE, lower + 32 + 22 * row), text, 15, AMBER)
    for number, moment in enumerate(course.moments, start=1):
        left = EDGE + number * (TILE + GAP)
        _head(pen, left, after_words(moment.days), _illness(course, moment), INK)
        canvas.paste(_grey_tile(moment.mean), (left, upper))
        canvas.paste(_heat_tile(moment.spread, top), (left, lower))
        _foot(pen, left, lower + TILE, moment, moment.days == 0 and course.dating.how != "never ill")
    written = io.BytesIO()
    canvas.save(written, "PNG", optimize=True)
    return written.getvalue()


def after_words(days: float) -> str:
    """0 -> 'the same day', 1 -> '1 day later', 5 -> '5 days later'."""
    if days == 0:
        return "The same day"
    return f"{days:g} day{'' if days == 1 else 's'} later"


def scale_top(spreads: Sequence[np.ndarray]) -> float:
    """The spread that is drawn brightest: one scale for all days."""
    return max(LEAST_TOP, float(np.percentile(np.stack(spreads), HIGHEST)))


def heat(share: np.ndarray) -> np.ndarray:
    """(...) 0 to 1 -> (..., 3) uint8, on the colours of `HEAT`."""
    stops = np.linspace(0, 1, len(HEAT))
    flat = [np.interp(share, stops, [colour[channel] for colour in HEAT]) for channel in range(3)]
    return np.rint(np.stack(flat, -1)).astype(np.uint8)


def _dated(course: Course) -> str:
    dating = course.dating
    if dating.how == "never ill":
        return "never ill"
    if dating.how == "told":
        return f"day {dating.days[0]:g} of illness"
    low, high = dating.days[0], dating.days[-1]
    return f"about day {dating.middle:g} of illness ({low:g} to {high:g})"


def _illness(course: Course, moment: Moment) -> str:
    dating = course.dating
    if dating.how == "estimated":
        return f"about day {(dating.middle or 0.0) + moment.days:g} of illness"
    return f"day {(dating.middle or 0.0) + moment.days:g} of illness"


def _font(size: int) -> object:
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _text(
    pen: ImageDraw.ImageDraw, at: tuple[int, int], text: str, size: int, ink: tuple[int, int, int]
) -> None:
    pen.text(at, text, ink, _font(size))  # type: ignore[arg-type]


def _head(pen: ImageDraw.ImageDraw, left: int, title: str, under: str, ink: tuple[int, int, int]) -> None:
    _text(pen, (left, EDGE - 4), title, 19, ink)
    _text(pen, (left, EDGE + 22), under, 14, SOFT)


def _foot(pen: ImageDraw.ImageDraw, left: int, under: int, moment: Moment, now: bool) -> None:
    """now: the day of the scan itself, from which changes are counted."""
    dense, change = moment.dense, moment.change
    told = f"dense {dense.mean:.1f} %  ({dense.low:.1f} to {dense.high:.1f})"
    _text(pen, (left, under + 8), told, 15, INK)
    if now:
        _text(pen, (left, under + 30), "as the model sees it", 14, SOFT)
        return
    told = f"change {_signed(change.mean)} points  ({_signed(change.low)} to {_signed(change.high)})"
    _text(pen, (left, under + 30), told, 14, SOFT)


def _signed(value: float) -> str:
    """One decimal with its sign, none for zero; the font that comes with Pillow has no minus but this."""
    return f"{value:+.1f}" if abs(value) >= 0.05 else "0.0"


def _legend(canvas: Image.Image, pen: ImageDraw.ImageDraw, upper: int, top: float, seen_dense: float) -> None:
    """What the maps' colours mean, in the place under the scan."""
    from PIL import Image

    bar = heat(np.repeat(np.linspace(0, 1, TILE - 40)[None], 10, 0))
    _text(pen, (EDGE, upper + 8), f"dense {seen_dense:.1f} % of the lung", 15, INK)
    _text(pen, (EDGE, upper + 118), "Spread of the draws", 15, INK)
    canvas.paste(Image.fromarray(bar), (EDGE, upper + 148))
    _text(pen, (EDGE, upper + 164), "0", 13, SOFT)
    _text(pen, (EDGE + TILE - 118, upper + 164), f"{100 * top:.0f} % of white", 13, SOFT)
    _text(pen, (EDGE, upper + 196), "Research use only.", 13, FAINT)
    _text(pen, (EDGE, upper + 213), "Not a medical device.", 13, FAINT)


def _grey_tile(picture: np.ndarray) -> Image.Image:
    from PIL import Image

    grey = np.rint(255 * np.clip(picture, 0, 1)).astype(np.uint8)
    return Image.fromarray(grey).resize((TILE, TILE), Image.Resampling.BICUBIC).convert("RGB")


def _heat_tile(spread: np.ndarray, top: float) -> Image.Image:
    """Enlarged before it is coloured, so that colours between two pixels are on the scale."""
    from PIL import Image

    share = np.clip(spread / top, 0, 1).astype(np.float32)
    large = np.asarray(Image.fromarray(share).resize((TILE, TILE), Image.Resampling.BICUBIC))
    return Image.fromarray(heat(np.clip(large, 0, 1)))
