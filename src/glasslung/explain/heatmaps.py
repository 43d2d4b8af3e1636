"""Maps of relevance to look at: smoothed, on the scan's own grid, and laid over its slices.

The diagnosis paper smooths its maps with a Gaussian and shows their positive part (section 5.4); it does not
say how wide. Here it is 4 mm within each slice, about what one pixel of the last feature maps sees. Files
keep both signs; so do the pictures: for the finding in orange, against it in blue, which every kind of colour
blindness tells apart.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from glasslung.data.exambatches import on_all_slices
from glasslung.data.exams import Exam
from glasslung.data.formats.nifti import write_nifti
from glasslung.data.montage import OUTLINE_RGB
from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.explain.lrp import Relevance
from glasslung.predict.exams import exam_map_to_scan
from glasslung.types import Volume

SIGMA_MM = 4.0
FOR_RGB = (255, 140, 0)
AGAINST_RGB = (40, 130, 255)
STRONGEST = 0.85  # of the colour over the grey, where relevance is highest
FULL_SHARE = 0.995  # of the voxels with relevance lie below what is drawn in full colour
COLUMNS = 4
TILE_PX = 288
STRIP_PX = 40
STEPS = 32767  # int16, both signs


def smoothed(values: np.ndarray, exam: Exam, sigma_mm: float = SIGMA_MM) -> np.ndarray:
    """A map (S, H, W) smoothed within its slices: float32, its sum kept but for what leaves the edge."""
    if values.shape != exam.image.shape:
        raise ShapeError(f"the map is {values.shape}, the exam {exam.image.shape}; give one for each slice")
    if sigma_mm < 0:
        raise UsageError(f"a Gaussian's width cannot be negative, got {sigma_mm} mm")
    wide = (0.0, sigma_mm / exam.spacing_mm[1], sigma_mm / exam.spacing_mm[2])
    return np.asarray(ndimage.gaussian_filter(values.astype(np.float32), wide, mode="constant"))


def shown_map(found: Relevance, exam: Exam, sigma_mm: float = SIGMA_MM) -> np.ndarray:
    """Both inputs' relevance as it is looked at: (S, H, W) float32, smoothed, both signs.

    A slice that the classifier was not shown, because its scan has very many, has the map of its neighbour.
    """
    whole = on_all_slices(found.map[found.shown], found.shown, len(exam))
    return smoothed(whole, exam, sigma_mm)


def scan_map(found: Relevance, exam: Exam, volume: Volume, sigma_mm: float = SIGMA_MM) -> np.ndarray:
    """The same on the scan's own grid: (D, H, W) float32."""
    return exam_map_to_scan(shown_map(found, exam, sigma_mm), exam, volume)


def write_relevance(relevance: np.ndarray, volume: Volume, path: Path) -> None:
    """Write a map of both signs on its scan's grid: whole steps that the header scales, `.nii.gz` or `.nii`.

    relevance  (D, H, W); 1 / 32767 of the strongest value is the smallest step. Viewers show it in log-odds
               per voxel. DataError for values that are not finite.
    """
    path = Path(path)
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        raise UsageError(f"{path.name}: a map is written as .nii.gz or .nii")
    if relevance.shape != volume.shape:
        raise ShapeError(f"the map is {relevance.shape}, the scan {volume.shape}; give one on its grid")
    if not np.isfinite(relevance).all():
        raise DataError("the map holds values that are no numbers; look at the classifier's weights")
    most = float(np.abs(relevance).max(initial=0.0)) or 1.0
    steps = np.rint(relevance * (STEPS / most)).astype(np.int16)
    write_nifti(steps, volume.affine, path, scale=most / STEPS)


def overlay_slices(exam: Exam, relevance: np.ndarray, n: int = 8) -> np.ndarray:
    """The slices with most relevance of either sign, with the map laid over them and a legend.

    relevance  (S, H, W), smoothed: `shown_map`
    n          slices at most, in the order of the scan
    Returns one picture (height, width, 3) uint8: rows of four, lungs outlined, all slices on one scale.
    """
    if relevance.shape != exam.image.shape:
        raise ShapeError(
            f"the map is {relevance.shape}, the exam {exam.image.shape}; give one for each slice"
        )
    if n < 1:
        raise UsageError(f"at least one slice must be shown, got {n}")
    rows = exam.lung_slices if exam.lung_slices.size else np.arange(len(exam))
    strength = np.abs(relevance[rows]).sum((1, 2))
    most = np.sort(rows[np.argsort(-strength, kind="stable")[:n]])[::-1]
    full = full_colour(relevance)
    tiles = [_tile(exam.image[z], exam.lungs[z] > 0, relevance[z] / full) for z in most]
    columns = min(COLUMNS, len(tiles))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    lines = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    return np.vstack([*lines, _legend(columns * TILE_PX, full)])


def full_colour(relevance: np.ndarray) -> float:
    """The relevance that is drawn in full colour; 1 where there is none at all."""
    strong = np.abs(relevance[relevance != 0])
    return float(np.quantile(strong, FULL_SHARE)) if strong.size else 1.0


def coloured(grey: np.ndarray, signed: np.ndarray) -> np.ndarray:
    """Grey (H, W) uint8 under a map in [-1, 1] -> (H, W, 3) uint8: orange for the finding, blue against."""
    over = np.clip(np.abs(signed), 0, 1)[..., None] ** 0.7 * STRONGEST  # faint relevance is still seen
    colour = np.where(signed[..., None] >= 0, np.array(FOR_RGB), np.array(AGAINST_RGB))
    return np.rint((1 - over) * grey[..., None] + over * colour).astype(np.uint8)


def _tile(grey: np.ndarray, inside: np.ndarray, signed: np.ndarray) -> np.ndarray:
    """One slice at the size it is shown, (TILE_PX, TILE_PX, 3)."""
    size = (TILE_PX, TILE_PX)
    large = np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BILINEAR))
    heat = np.asarray(Image.fromarray(signed.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))
    lung = np.asarray(Image.fromarray(inside.astype(np.uint8)).resize(size, Image.Resampling.NEAREST)) > 0
    picture = coloured(large, heat)
    picture[lung & ~ndimage.binary_erosion(lung, border_value=1)] = OUTLINE_RGB
    return picture


def _legend(width: int, full: float) -> np.ndarray:
    """(STRIP_PX, width, 3): the scale of colours over middle grey, and what its ends mean."""
    strip = Image.new("RGB", (width, STRIP_PX))
    pen = ImageDraw.Draw(strip)
    bar = max(60, width // 5)
    ramp = np.broadcast_to(np.linspace(-1, 1, bar), (STRIP_PX // 3, bar))
    strip.paste(Image.fromarray(coloured(np.full(ramp.shape, 60, np.uint8), ramp)), ((width - bar) // 2, 13))
    for x, text, anchor in (
        ((width - bar) // 2 - 8, f"against  {-full:.1e}", "rm"),
        ((width + bar) // 2 + 8, f"{full:.1e}  for the finding", "lm"),
    ):
        pen.text((x, STRIP_PX // 2), text, fill=(230, 230, 230), anchor=anchor, font_size=13)
    return np.asarray(strip)
