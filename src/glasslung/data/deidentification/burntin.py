"""Text burnt into a picture: letters drawn with the pixels themselves, which no header can take away.

What gives letters away on a CT slice
    contrast      far from the grey around it, on every side; text is drawn to be read
    like heights  marks of about one height
    in a row      side by side on one line, with small gaps
    thin strokes  a few pixels wide
Four marks that are all of this make a text. Joined handwriting, upright lines of text, single letters (the R
or L of a marker) and text in a picture's middle greys are not found: this finder narrows down what a person
must look at, it is no proof that nothing is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TextSettings:
    """How marks must look to be taken for letters, pixels unless said otherwise.

    lowest, tallest   heights of letters: below 5 nobody can read them, above 48 they would be headlines
    widest            of a letter by its height; two joined letters still fit
    gap               between letters, by their height
    heights           ratio of the heights of neighbours; a comma beside a capital falls out, b beside a not
    overlap           share of the lower one's height on which both stand beside each other
    letters           marks in a row that make a text: three may be ribs or clips
    stroke            half the thickest part of a letter
    levels            greys above which marks are looked for, shares of the way from the slice's lowest to
                      its highest: text is white most often, and 1000 HU or so where somebody minded
    dark              grey below which dark marks are looked for
    contrast          between a letter and what lies around it, share of the slice's range
    contrast_white    the same for letters at the highest grey of all, which read as white on near-white
    """

    lowest: int = 5
    tallest: int = 48
    widest: float = 1.8
    gap: float = 0.9
    heights: float = 1.7
    overlap: float = 0.6
    letters: int = 4
    stroke: float = 4.0
    levels: tuple[float, ...] = (0.4, 0.55, 0.7, 0.85, 0.99)
    dark: float = 0.01
    contrast: float = 0.3
    contrast_white: float = 0.06


@dataclass(frozen=True)
class _Mark:
    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top


def has_burnt_in_text(pixels: np.ndarray, settings: TextSettings = TextSettings()) -> bool:
    """Whether a slice (H, W), any whole or real numbers, shows a row of letters."""
    return any(len(row) >= settings.letters for row in text_rows(pixels, settings))


def text_rows(pixels: np.ndarray, settings: TextSettings) -> list[list[_Mark]]:
    """Rows of marks that look like letters, brighter than each level or darker than all."""
    values = np.asarray(pixels, dtype=np.float32)
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return []
    values = (values - low) / (high - low)
    rows: list[list[_Mark]] = []
    for mask in (values <= settings.dark, *(values >= level for level in settings.levels[:-1])):
        rows += _rows_of(_marks(mask, values, settings, settings.contrast), settings)
    rows += _rows_of(
        _marks(values >= settings.levels[-1], values, settings, settings.contrast_white), settings
    )
    return rows


def _marks(mask: np.ndarray, values: np.ndarray, settings: TextSettings, contrast: float) -> list[_Mark]:
    from scipy import ndimage

    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    if not count:
        return []
    found = []
    for number, (ys, xs) in enumerate(ndimage.find_objects(labels), start=1):
        mark = _Mark(ys.start, xs.start, ys.stop, xs.stop)
        fits = settings.lowest <= mark.height <= settings.tallest
        if fits and mark.right - mark.left <= settings.widest * mark.height:
            around = tuple(slice(max(0, s.start - 1), s.stop + 1) for s in (ys, xs))
            if _is_drawn(labels[around] == number, values[around], settings.stroke, contrast):
                found.append(mark)
    return found


def _is_drawn(own: np.ndarray, values: np.ndarray, stroke: float, contrast: float) -> bool:
    """Thin strokes that stand out sharply from what lies around them."""
    from scipy import ndimage

    thick = ndimage.distance_transform_edt(np.pad(own, 1)).max()
    ring = ndimage.binary_dilation(own, np.ones((3, 3))) & ~own
    return bool(
        thick <= stroke
        and ring.any()
        and abs(float(np.median(values[ring])) - float(values[own].mean())) >= contrast
    )


def _rows_of(marks: Sequence[_Mark], settings: TextSettings) -> list[list[_Mark]]:
    """Marks chained to the nearest fitting one on their right."""
    left_to_right = sorted(marks, key=lambda mark: mark.left)
    follows: dict[int, int] = {}
    taken: set[int] = set()
    for n, mark in enumerate(left_to_right):
        for m in range(n + 1, len(left_to_right)):
            if left_to_right[m].left - mark.right > settings.gap * settings.tallest:
                break
            if m not in taken and _stand_together(mark, left_to_right[m], settings):
                follows[n] = m
                taken.add(m)
                break
    rows = []
    for start in set(range(len(left_to_right))) - taken:
        row, at = [left_to_right[start]], start
        while at in follows:
            at = follows[at]
            row.append(left_to_right[at])
        rows.append(row)
    return rows


def _stand_together(one: _Mark, other: _Mark, settings: TextSettings) -> bool:
    lower, higher = sorted((one.height, other.height))
    gap = other.left - one.right
    overlap = min(one.bottom, other.bottom) - max(one.top, other.top)
    return (
        -1 <= gap <= settings.gap * higher
        and higher <= settings.heights * lower
        and (overlap >= settings.overlap * lower)
    )
