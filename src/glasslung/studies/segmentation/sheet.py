"""Segmented slices as files: masks, soft maps, a table, and a sheet of pictures a person looks at.

masks/NAME.png               palette picture, 0 none, 1 ground glass, 2 consolidation, 3 crazy paving (1 is
                             infection, of a model that knows no kinds); as the slice's file lies
soft/infection/NAME.png      probability in 255ths; likewise soft/ground-glass/, soft/consolidation/, ...
per_slice.csv                every figure of every slice
overlays-1.png, ...          pictures with the true outline and the found one, upright, worst Dice first

Files are named by their slices alone; no patient is named.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from glasslung.data.sliceviews import upright
from glasslung.errors import DataError
from glasslung.files import write_whole
from glasslung.studies.segmentation.scores import INFECTION, SegmentationScores, Segmented, per_slice

TRUE_RGB, FOUND_RGB, BOTH_RGB = (230, 159, 0), (86, 180, 233), (255, 255, 255)  # Okabe & Ito; apart for all
PALETTE = (0, 0, 0, 240, 165, 0, 170, 51, 160, 0, 150, 136)  # none, and the lesions' colours of the reports
CELL, GAP, LINE, HEAD, MARGIN = 264, 8, 20, 62, 16  # pixels
DIMMED = 0.75  # of the grey values, so that outlines show on bright tissue too
COLUMNS, ROWS = 6, 5  # of one sheet; more slices take more sheets
INK, FAINT, PAPER = (235, 235, 235), (170, 170, 170), (18, 18, 18)


def write_segmented(scores: SegmentationScores, folder: Path) -> None:
    """All files of the head of this module, into a folder that is there."""
    names = [file_name(one.name) for one in scores.slices]
    if len(set(names)) < len(names):
        raise DataError("two slices would be written to one file; name the slices differently")
    for one, name in zip(scores.slices, names, strict=True):
        write_whole(
            folder / "masks" / f"{name}.png", palette_png(one.label if len(one.maps) > 1 else one.infected)
        )
        for target, soft in one.maps.items():
            write_whole(folder / "soft" / target.replace(" ", "-") / f"{name}.png", soft_png(soft))
    write_whole(folder / "per_slice.csv", slice_table(scores))
    for number, sheet in enumerate(sheets(scores), start=1):
        write_whole(folder / f"overlays-{number}.png", _png(sheet))


def file_name(name: str) -> str:
    """A slice's name as the name of a file: 'a/7' -> 'a-7'."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-") or "slice"


def palette_png(label: np.ndarray) -> bytes:
    """Classes (H, W) as a palette picture whose values are the class numbers."""
    picture = Image.fromarray(label.astype(np.uint8))
    picture.putpalette(PALETTE)
    return _png(picture)


def soft_png(soft: np.ndarray) -> bytes:
    """A map (H, W) in [0, 1] as an 8-bit grey picture."""
    return _png(Image.fromarray(np.rint(soft * 255).astype(np.uint8)))


def slice_table(scores: SegmentationScores) -> str:
    """per_slice.csv"""
    rows = per_slice(scores)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _png(picture: Image.Image) -> bytes:
    kept = io.BytesIO()
    picture.save(kept, "PNG")
    return kept.getvalue()


# -------------------------------------------------------------------------------------------------- sheets


def sheets(scores: SegmentationScores) -> list[Image.Image]:
    """Contact sheets of all slices, the worst infection Dice (cut at 0.5) first."""
    counts = scores.counts[INFECTION]
    dice = 2 * counts.both / np.maximum(2 * counts.both + counts.only_truth + counts.only_found, 1)
    order = np.argsort(dice, kind="stable")
    each = COLUMNS * ROWS
    parts = [order[start : start + each] for start in range(0, len(order), each)]
    return [
        _sheet([(scores.slices[n], float(dice[n])) for n in part], f"{number} of {len(parts)}")
        for number, part in enumerate(parts, start=1)
    ]


def _sheet(cells: Sequence[tuple[Segmented, float]], number: str) -> Image.Image:
    columns = min(COLUMNS, len(cells))
    rows = -(-len(cells) // columns)
    width = max(2 * MARGIN + columns * (CELL + GAP) - GAP, 820)
    height = HEAD + MARGIN + rows * (CELL + LINE + GAP)
    sheet = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(sheet)
    _legend(pen, number)
    for place, (one, dice) in enumerate(cells):
        left = MARGIN + (place % columns) * (CELL + GAP)
        top = HEAD + (place // columns) * (CELL + LINE + GAP)
        sheet.paste(Image.fromarray(overlay(one, CELL)), (left, top))
        pen.text((left + 2, top + CELL + 2), f"{one.name}", INK, _font(13))
        pen.text((left + CELL - 2, top + CELL + 2), f"Dice {dice:.2f}", INK, _font(13), anchor="ra")
    return sheet


def _legend(pen: ImageDraw.ImageDraw, number: str) -> None:
    left = MARGIN
    for colour, words in ((TRUE_RGB, "true outline"), (FOUND_RGB, "found outline"), (BOTH_RGB, "both")):
        pen.line((left, 19, left + 26, 19), colour, 4)
        pen.text((left + 34, 10), words, INK, _font(15))
        left += 34 + int(pen.textlength(words, _font(15))) + 26
    pen.text((left, 10), f"sheet {number}, lowest Dice first", FAINT, _font(15))
    words = "Solid: any lesion. Dots: consolidation inside it. Research use only, not a medical device."
    pen.text((MARGIN, 34), words, FAINT, _font(13))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def overlay(one: Segmented, side: int) -> np.ndarray:
    """A slice upright in a square (side, side, 3) uint8 with its outlines, both as thin as a pixel allows."""
    grey, truth, found, dense, dense_found = (
        _fitted(upright(layer, one.view), side, smooth)
        for layer, smooth in (
            (one.picture, True),
            (one.truth > 0, False),
            (one.infected, False),
            (one.truth == 2, False),
            ((one.label == 2) & (len(one.maps) > 1), False),
        )
    )
    picture = np.repeat((grey * DIMMED).astype(np.uint8)[..., None], 3, 2)
    rows, columns = np.mgrid[:side, :side]
    dots = (rows + columns) % 6 < 2
    dense_edge, dense_found_edge = _edge(dense > 0) & dots, _edge(dense_found > 0) & dots
    true_edge = _edge(truth > 0) | dense_edge
    found_edge = _edge(found > 0) | dense_found_edge
    picture[true_edge] = TRUE_RGB
    picture[found_edge] = FOUND_RGB
    picture[true_edge & found_edge] = BOTH_RGB
    return picture


def _fitted(layer: np.ndarray, side: int, smooth: bool) -> np.ndarray:
    """(H, W) in a square (side, side) uint8, in proportion, black around it; masks are 0 and 255."""
    height, width = layer.shape
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    values = layer.astype(np.uint8) if smooth else layer.astype(np.uint8) * 255
    drawn = Image.fromarray(np.ascontiguousarray(values)).resize(
        size, Image.Resampling.BILINEAR if smooth else Image.Resampling.NEAREST
    )
    square = np.zeros((side, side), np.uint8)
    top, left = (side - size[1]) // 2, (side - size[0]) // 2
    square[top : top + size[1], left : left + size[0]] = np.asarray(drawn)
    return square


def _edge(mask: np.ndarray) -> np.ndarray:
    """The pixels of a mask that touch the outside."""
    return mask & ~ndimage.binary_erosion(mask)
