"""What the audit sees of each scan: facts of its file, its borders, a hash of its pixels, and thumbnails."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from glasslung.audit.borders import DARK_8BIT, DARK_HU, border_facts, joined_to_rim
from glasslung.audit.pictures import Picture, pictures_in, read_picture
from glasslung.data.cohort import Cohort
from glasslung.errors import DataError, ShapeError
from glasslung.types import Case, Intensity, Progress

THUMB_PX = 64  # vessels of a lung can still be told at this size, grain of the scanner cannot
FLAT_SHARE = (
    0.25  # of the grey range: a row or column that varies by less is a frame, JPEG's ringing included
)
LUNG_WINDOW_HU = (-1350, 150)  # centre -600, width 1500

MASKS = ("lungs", "lobes", "lesions")

FILE_NAMES = {
    "width": "width in pixels",
    "height": "height in pixels",
    "slices": "number of slices",
    "aspect": "width over height",
    "bytes_per_pixel": "bytes per pixel of the file",
    "jpeg_step": "coarseness of the JPEG compression",
    "name_lies": "file name of another format than the content",
    "slice_mm": "distance between slices in mm",
    "pixel_mm": "size of a pixel in mm",
}
FILE_KINDS = {"format": "file format", "mode": "colour mode", "kernel": "reconstruction kernel"}
PICTURE_NAMES = {
    "grey_level": "mean grey without the background",
    "grey_spread": "spread of grey without the background",
    "edge_step": "step in grey at the background's outline",
}


@dataclass(frozen=True, eq=False)
class ScanFacts:
    """All the audit keeps of a scan.

    problem   '' or why it could not be read; then everything below is empty
    intensity what the file holds, which may not be what the table says
    shape     (D, H, W); (0, 0, 0) where slices differ in size
    pixels    hash of the grey values: equal for files that show the same, however they are stored
    numbers, kinds   file facts: numbers, and categories such as the format
    borders   see BORDER_NAMES, mean over the slices looked at;  picture  grey inside (sees the lung)
    thumbs    (V, 64, 64) uint8, one per slice looked at
    masks     name of the mask column -> (problem or '', labels in it)
    """

    problem: str = ""
    intensity: Intensity | None = None
    shape: tuple[int, int, int] = (0, 0, 0)
    pixels: str = ""
    numbers: dict[str, float] | None = None
    kinds: dict[str, str] | None = None
    borders: dict[str, float] | None = None
    picture: dict[str, float] | None = None
    thumbs: np.ndarray | None = None
    masks: dict[str, tuple[str, tuple[int, ...]]] = field(default_factory=dict)


class _Content(NamedTuple):
    """One scan as read: its slices (any sizes), what they mean, what its files say, and its masks' reader."""

    slices: list[np.ndarray]
    intensity: Intensity
    numbers: dict[str, float]
    kinds: dict[str, str]
    read_mask: Callable[[Path], np.ndarray]


def read_facts(cohort: Cohort, slices: int, progress: Progress | None = None) -> list[ScanFacts]:
    """Look at every scan of the cohort, in order; a scan that cannot be read is a fact too, not an error.

    slices    how many slices of a volume or stack are looked at for borders and thumbnails, evenly spaced
    progress  told how much of the reading is done
    """
    facts = []
    for number, case in enumerate(cohort.cases, start=1):
        facts.append(scan_facts(cohort, case, slices))
        if progress:
            progress("reading scans", number / len(cohort.cases))
    return facts


def scan_facts(cohort: Cohort, case: Case, slices: int) -> ScanFacts:
    """The facts of one scan, a picture, a folder of pictures or anything `read_scan` reads, and its masks."""
    path = cohort.path(case.image)
    if not path.exists():
        return ScanFacts(problem="is missing")
    try:
        content = _read_content(path, case.intensity)
    except DataError as problem:
        return ScanFacts(problem=f"cannot be read: {problem}")
    looked_at = [content.slices[i] for i in evenly(len(content.slices), slices)]
    is_hu = content.intensity is Intensity.HU
    sizes = {one.shape for one in content.slices}
    return ScanFacts(
        intensity=content.intensity,
        shape=(len(content.slices), *content.slices[0].shape) if len(sizes) == 1 else (0, 0, 0),
        pixels=_pixel_hash(content.slices),
        numbers=content.numbers,
        kinds=content.kinds,
        borders=_mean_of([border_facts(one, is_hu) for one in looked_at]),
        picture=_mean_of([_grey_inside(one, is_hu) for one in looked_at]),
        thumbs=np.stack([thumbnail(one, is_hu) for one in looked_at]),
        masks={
            name: _mask_facts(cohort.path(mask), content.read_mask)
            for name in MASKS
            if (mask := getattr(case, name)) is not None
        },
    )


def evenly(count: int, most: int) -> list[int]:
    """At most `most` of `count` slices, evenly spaced, the same ones for equal counts."""
    if count <= most:
        return list(range(count))
    return [int((2 * i + 1) * count / (2 * most)) for i in range(most)]


def thumbnail(grey: np.ndarray, is_hu: bool) -> np.ndarray:
    """A slice (H, W) at 64 x 64, uint8, in a lung window, flat frames at the rim trimmed off."""
    if is_hu:
        low, high = LUNG_WINDOW_HU
        grey = (np.clip((grey.astype(np.float32) - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    picture = Image.fromarray(np.ascontiguousarray(trimmed(grey)))
    return np.asarray(picture.resize((THUMB_PX, THUMB_PX), Image.Resampling.BOX))


def trimmed(grey: np.ndarray) -> np.ndarray:
    """The slice without the rows and columns at its rim that hold nearly one grey; a flat slice as it is."""
    least = FLAT_SHARE * float(np.ptp(grey))
    tall = np.flatnonzero(np.ptp(grey, axis=1) > least)
    wide = np.flatnonzero(np.ptp(grey, axis=0) > least)
    if not len(tall) or not len(wide):
        return grey
    return grey[tall[0] : tall[-1] + 1, wide[0] : wide[-1] + 1]


def _read_content(path: Path, said: Intensity) -> _Content:
    files = pictures_in(path)
    return _of_pictures([read_picture(one) for one in files]) if files else _of_volume(path, said)


def _of_volume(path: Path, said: Intensity) -> _Content:
    """Read as the file says; only where the file is silent, the table's word on HU or grey is taken."""
    from glasslung.data.formats import read_mask, read_scan

    try:
        volume = read_scan(path)
    except DataError:
        volume = read_scan(path, intensity=said)
    slice_mm, row_mm, _ = volume.spacing_mm
    depth, height, width = volume.shape
    size = sum(file.stat().st_size for file in volume.source.files if file.is_file())
    numbers = {"width": width, "height": height, "slices": depth, "aspect": width / height}
    numbers |= {"bytes_per_pixel": size / volume.voxels.size}
    if volume.has_ml:
        numbers |= {"slice_mm": slice_mm, "pixel_mm": row_mm}
    kinds = {"format": volume.source.kind, "kernel": volume.source.kernel or ""}
    return _Content(
        list(volume.voxels), volume.intensity, numbers, kinds, lambda mask: read_mask(mask, volume)
    )


def _of_pictures(pictures: list[Picture]) -> _Content:
    """Facts of a picture, or of a folder of them: means over its files, the kinds of the first one."""

    def numbers_of(one: Picture) -> dict[str, float]:
        height, width = one.grey.shape
        return {
            "width": width,
            "height": height,
            "slices": len(pictures),
            "aspect": width / height,
            "bytes_per_pixel": one.file_bytes / one.grey.size,
            "jpeg_step": one.jpeg_step,
            "name_lies": float(one.name_lies),
        }

    kinds = {"format": pictures[0].format, "mode": pictures[0].mode}
    return _Content(
        [one.grey for one in pictures],
        Intensity.DISPLAY8,
        _mean_of([numbers_of(one) for one in pictures]),
        kinds,
        lambda mask: _picture_mask(mask, [one.grey.shape for one in pictures]),
    )


def _picture_mask(path: Path, shapes: list[tuple[int, ...]]) -> np.ndarray:
    """All labels of a mask of pictures, as one row; ShapeError where its slices do not fit the scan's."""
    slices = [read_picture(one).labels for one in pictures_in(path)]
    found = [one.shape for one in slices]
    if found != shapes:
        raise ShapeError(f"has slices {_short(found)}, the scan {_short(shapes)}")
    return np.concatenate([one.ravel() for one in slices])


def _short(shapes: list[tuple[int, ...]]) -> str:
    sizes = sorted({f"{h} x {w}" for h, w in shapes})
    return (
        f"{len(shapes)} of {sizes[0]}" + (f" to {sizes[-1]}" if len(sizes) > 1 else "") if sizes else "none"
    )


def _mask_facts(path: Path, read: Callable[[Path], np.ndarray]) -> tuple[str, tuple[int, ...]]:
    if not path.exists():
        return "is missing", ()
    try:
        return "", tuple(int(label) for label in np.unique(read(path)))
    except ShapeError as problem:
        return f"does not fit the scan: {problem}", ()
    except DataError as problem:
        return f"cannot be read: {problem}", ()


def _grey_inside(grey: np.ndarray, is_hu: bool) -> dict[str, float]:
    """Grey of what is not background, and the step up to it: these see the lung."""
    from scipy import ndimage

    background = joined_to_rim(grey <= (DARK_HU if is_hu else int(grey.min()) + DARK_8BIT))
    edge = grey[ndimage.binary_dilation(background) & ~background]
    inside = grey if background.all() else grey[~background]
    return {
        "grey_level": float(inside.mean()),
        "grey_spread": float(inside.std()),
        "edge_step": float(edge.mean() - grey[background].mean()) if edge.size else 0.0,
    }


def _pixel_hash(slices: list[np.ndarray]) -> str:
    digest = hashlib.sha256()
    for one in slices:
        digest.update(f"{one.dtype}{one.shape}".encode())
        digest.update(np.ascontiguousarray(one).tobytes())
    return digest.hexdigest()


def _mean_of(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
