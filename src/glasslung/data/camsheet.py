"""Where a classifier looked on several days, as one picture: a column per day, one colour bar.

    column = cam_column("day 4", volume, lungs, scaled, score)     # planes of one scan, small
    png = cam_sheet([column, ...], full)                           # bytes of a PNG

Rows are axial planes at the same shares of the lungs' height on every day, from the top down, and a coronal
plane through their middle. One scale for all: days compare by colour. Red speaks for the finding, blue
against it; `full` and beyond is drawn in full colour.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from glasslung.data.orientation import orientation_of, to_upright, upright_spacing_mm
from glasslung.errors import DataError, ShapeError
from glasslung.types import Intensity, Volume

HEIGHTS = (0.3, 0.5, 0.7)  # of the lungs, from the top: above, through and below the hilum
WINDOW_HU = (-1350.0, 150.0)  # the usual lung window
FOR_RGB, AGAINST_RGB = (215, 25, 28), (35, 95, 210)
RIM_RGB = (200, 200, 200)
TILE_PX, HEAD_PX, BAR_PX, SIDE_PX = 224, 44, 56, 92
STRONGEST = 0.8  # of the colour over the grey
INK, PAPER = (235, 235, 235), (16, 16, 16)


@dataclass(frozen=True, eq=False)
class CamPlane:
    """One plane: name, grey (H, W) uint8 as shown, heat (H, W) float32 in log-odds, lungs (H, W) bool."""

    name: str
    grey: np.ndarray
    heat: np.ndarray
    lungs: np.ndarray


@dataclass(frozen=True, eq=False)
class CamColumn:
    """One day: what stands above it, s(t), and its planes."""

    heading: str
    score: float
    planes: tuple[CamPlane, ...]


def cam_column(
    heading: str, volume: Volume, lungs: np.ndarray, scaled: np.ndarray, score: float
) -> CamColumn:
    """The planes of one scan; the volumes are not kept.

    lungs   (D, H, W) labels on the scan's grid, some above 0
    scaled  (D, H, W) the map in log-odds, `VolumeCam.scaled`
    """
    if not volume.shape == lungs.shape == scaled.shape:
        raise ShapeError(f"scan {volume.shape}, lungs {lungs.shape} and map {scaled.shape} must be alike")
    if not np.any(lungs):
        raise DataError("no lung is known in this scan; there is no plane to show")
    orientation = orientation_of(volume)
    spacing = upright_spacing_mm(volume, orientation)
    grey, inside, heat = (to_upright(one, orientation) for one in (volume.voxels, lungs, scaled))
    z = np.flatnonzero((inside > 0).any((1, 2)))
    rows, columns = _square(np.asarray((inside > 0).any(0)), spacing[1], spacing[2])
    planes = []
    for share in HEIGHTS if len(z) > 1 else (0.5,):
        at = round(float(z[-1]) - share * float(z[-1] - z[0]))
        layers = [one[at, rows, columns] for one in (grey, heat, inside)]
        planes.append(_plane(f"{share:.0%} down", volume.intensity, layers, spacing[1:]))
    if len(z) > 1:
        y = int(np.argmax((inside > 0).sum((0, 2))))
        layers = [one[z[0] : z[-1] + 1, y, columns][::-1] for one in (grey, heat, inside)]  # head up
        planes.append(_plane("coronal", volume.intensity, layers, (spacing[0], spacing[2])))
    return CamColumn(heading, score, tuple(planes))


def cam_sheet(columns: Sequence[CamColumn], full: float, finding: str = "COVID-19") -> bytes:
    """One picture of all days on one scale, as PNG.

    full  log-odds in full colour, `common_scale`
    DataError without a day, or where days do not show the same planes.
    """
    if not columns or len({tuple(one.name for one in column.planes) for column in columns}) != 1:
        raise DataError("a sheet needs one day or more, all with the same planes")
    if not full > 0:
        raise DataError(f"the log-odds drawn in full colour must be above 0, got {full:g}")
    names = [one.name for one in columns[0].planes]
    parts = [np.vstack([_head(one), *(_tile(plane, full) for plane in one.planes)]) for one in columns]
    picture = np.hstack([_names(names), *parts])
    bar = _bar(max(picture.shape[1], 420), full, finding)
    lacking = bar.shape[1] - picture.shape[1]
    picture = np.pad(picture, ((0, 0), (0, lacking), (0, 0)), constant_values=PAPER[0])
    written = io.BytesIO()
    Image.fromarray(np.vstack([picture, bar])).save(written, "png", optimize=True)
    return written.getvalue()


def laid_over(grey: np.ndarray, heat: np.ndarray, full: float) -> np.ndarray:
    """Grey (H, W) uint8 under a map (H, W) in log-odds -> (H, W, 3) uint8; colour grows evenly to `full`."""
    much = np.clip(np.abs(heat) / full, 0, 1)[..., None] * STRONGEST
    colour = np.where(heat[..., None] >= 0, np.array(FOR_RGB), np.array(AGAINST_RGB))
    return np.rint((1 - much) * grey[..., None] + much * colour).astype(np.uint8)


def _square(lungs: np.ndarray, mm_y: float, mm_x: float) -> tuple[slice, slice]:
    """The rows and columns around the lungs, as many millimetres each way, with a margin."""
    parts = []
    for axis in (1, 0):
        there = np.flatnonzero(lungs.any(axis))
        parts.append((there[0] + there[-1] + 1, there[-1] + 1 - there[0]))
    side = 1.1 * max(parts[0][1] * mm_y, parts[1][1] * mm_x)
    out = []
    for (twice, _), mm, length in zip(parts, (mm_y, mm_x), lungs.shape, strict=True):
        half = max(1, round(side / mm / 2))
        out.append(slice(max(0, twice // 2 - half), min(length, twice // 2 + half)))
    return out[0], out[1]


def _plane(
    name: str, intensity: Intensity, layers: Sequence[np.ndarray], millimetres: tuple[float, float]
) -> CamPlane:
    """A plane of grey, heat and lungs at the size it is shown, its longer side TILE_PX long."""
    grey, heat, lungs = layers
    low, high = WINDOW_HU if intensity is Intensity.HU else (0.0, 255.0)
    shown = np.clip((grey.astype(np.float32) - low) * (255 / (high - low)), 0, 255)
    high_mm, wide_mm = (n * mm for n, mm in zip(grey.shape, millimetres, strict=True))
    scale = TILE_PX / max(high_mm, wide_mm)
    size = (max(1, round(wide_mm * scale)), max(1, round(high_mm * scale)))

    def resized(plane: np.ndarray, how: Image.Resampling) -> np.ndarray:
        return np.asarray(Image.fromarray(np.ascontiguousarray(plane, np.float32)).resize(size, how))

    return CamPlane(
        name,
        np.rint(resized(shown, Image.Resampling.BILINEAR)).astype(np.uint8),
        resized(heat, Image.Resampling.BILINEAR),
        resized(lungs > 0, Image.Resampling.NEAREST) > 0,
    )


def _tile(plane: CamPlane, full: float) -> np.ndarray:
    """(TILE_PX, TILE_PX, 3), the plane in the middle, the lungs' rim as a line."""
    picture = laid_over(plane.grey, plane.heat, full)
    rim = plane.lungs & ~ndimage.binary_erosion(plane.lungs, border_value=1)
    picture[rim] = RIM_RGB
    out = np.full((TILE_PX, TILE_PX, 3), PAPER, np.uint8)
    top, left = (TILE_PX - picture.shape[0]) // 2, (TILE_PX - picture.shape[1]) // 2
    out[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return out


def _head(column: CamColumn) -> np.ndarray:
    strip = Image.new("RGB", (TILE_PX, HEAD_PX), PAPER)
    pen = ImageDraw.Draw(strip)
    pen.text((TILE_PX // 2, 13), column.heading, fill=INK, anchor="mm", font_size=15)
    pen.text((TILE_PX // 2, 32), f"s(t) = {_signed(column.score)}", fill=INK, anchor="mm", font_size=13)
    return np.asarray(strip)


def _names(names: Sequence[str]) -> np.ndarray:
    strip = Image.new("RGB", (SIDE_PX, HEAD_PX + TILE_PX * len(names)), PAPER)
    pen = ImageDraw.Draw(strip)
    for number, name in enumerate(names):
        middle = HEAD_PX + TILE_PX * number + TILE_PX // 2
        pen.text((SIDE_PX - 10, middle), name, fill=INK, anchor="rm", font_size=13)
    return np.asarray(strip)


def _bar(width: int, full: float, finding: str) -> np.ndarray:
    """The scale of colours over middle grey with its ends in log-odds, and what the ends mean."""
    strip = Image.new("RGB", (width, BAR_PX), PAPER)
    pen, long = ImageDraw.Draw(strip), min(240, width // 2)
    ramp = np.broadcast_to(np.linspace(-full, full, long), (14, long))
    left = (width - long) // 2
    strip.paste(Image.fromarray(laid_over(np.full(ramp.shape, 90, np.uint8), ramp, full)), (left, 10))
    for share, value in ((0.0, -full), (0.5, 0.0), (1.0, full)):
        pen.text((left + share * long, 38), _signed(value), fill=INK, anchor="mm", font_size=12)
    pen.text((left - 10, 17), "against", fill=INK, anchor="rm", font_size=13)
    pen.text((left + long + 10, 17), f"for {finding}", fill=INK, anchor="lm", font_size=13)
    pen.text((left + long + 30, 38), "log-odds", fill=INK, anchor="lm", font_size=12)
    return np.asarray(strip)


def _signed(value: float) -> str:
    sign = "-" if value < 0 else "+" if value > 0 else ""
    return f"{sign}{abs(value):.1f}"
