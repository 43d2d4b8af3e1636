"""Lesions that a reader redrew: checked, kept beside the original with who and when, found again.

    corrections/<scan>-lesions-<when>.nii.gz   labels of `Lesion` on the scan's own grid
    corrections/<scan>-lesions-<when>.json     who, when, from what, how many voxels changed, hashes

The original is never touched and no correction replaces another. The note is written last: a mask without it
does not count. A correction belongs to a scan by the hash of the scan's content, not by its name, which
changes when an earlier scan joins the story.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glasslung import __version__
from glasslung.data.formats.reading import read_labels
from glasslung.data.results import CORRECTIONS
from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.files import read_json, write_json
from glasslung.types import DISCLAIMER, Lesion
from glasslung.web.viewer.case import Shown, inside

LARGEST_BYTES = 64 * 2**20  # of what a browser sends, gzipped: masks of whole scans take a hundredth of it
HEADER_BYTES = 4096  # NIfTI's 352 and any extension a program may add
LONGEST_NAME = 80
SAME_PLACE = 1e-2  # of an affine's entries, mm: headers hold single precision


@dataclass(frozen=True)
class Correction:
    """One that is whole: its mask and its note."""

    path: Path
    told: dict[str, Any]


def corrections_of(folder: Path, shown: Shown) -> list[Correction]:
    """All corrections of a scan that are whole, the oldest first."""
    found = []
    for note in sorted((folder / CORRECTIONS).glob("*.json")):
        try:
            told = read_json(note)
        except DataError:
            continue  # somebody else's, or damaged: it does not count
        path = inside(folder, f"{CORRECTIONS}/{note.stem}.nii.gz")
        belongs = shown.findings is not None and told.get("scan_sha256") == shown.findings.sha256
        if path is not None and belongs and told.get("mask_sha256") == _digest(path):
            found.append(Correction(path, told))
    return sorted(found, key=lambda one: str(one.told.get("when", "")))


def keep_correction(folder: Path, shown: Shown, packed: bytes, who: str, start: str) -> Correction:
    """Check a mask that a browser sent and keep it.

    packed  a NIfTI of uint8 labels, gzipped
    who     the reader's name, as the reader gave it
    start   what the reader began from: 'lesions', the name of a correction's file, or '' for nothing
    Raises UsageError without a name, ShapeError for another grid, DataError for anything but such a mask.
    """
    name = " ".join(who.split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise UsageError(f"a correction needs the reader's name, 1 to {LONGEST_NAME} characters")
    if shown.findings is None or "lungs" not in shown.layers:
        raise UsageError("only a scan of a story can be corrected: analyse it first")
    grid, affine = read_labels(shown.layers["lungs"])
    mask = _labels_in(packed, grid.shape, affine)
    before, began = _start(folder, shown, start, grid.shape)
    when = dt.datetime.now(dt.UTC)
    path = _free_name(folder / CORRECTIONS, shown.name, when)
    from glasslung.data.formats.nifti import write_nifti

    write_nifti(mask, affine, path, label=True)
    told = {
        "who": name,
        "when": when.isoformat(timespec="milliseconds"),
        "scan": shown.name,
        "scan_sha256": shown.findings.sha256,
        "from": began,
        "from_sha256": None if before is None else _digest(before[1]),
        "voxels_changed": int(np.count_nonzero(mask != (0 if before is None else before[0]))),
        "voxels": {lesion.words: int(np.count_nonzero(mask == lesion)) for lesion in Lesion if lesion},
        "labels": {str(int(lesion)): lesion.words for lesion in Lesion if lesion},
        "mask_sha256": _digest(path),
        "glasslung": __version__,
        "disclaimer": DISCLAIMER,
    }
    write_json(path.with_name(path.name.removesuffix(".nii.gz") + ".json"), told)
    return Correction(path, told)


def _start(
    folder: Path, shown: Shown, start: str, shape: tuple[int, ...]
) -> tuple[tuple[np.ndarray, Path] | None, str]:
    """What a correction began from: its labels and file, and its path as the note tells it."""
    if not start:
        return None, "nothing"
    known = {one.path.name: one.path for one in corrections_of(folder, shown)}
    path = known.get(start) or (shown.layers.get("lesions") if start == "lesions" else None)
    if path is None:
        raise DataError(f"{start!r} is no mask of this scan: load the page again")
    labels, _ = read_labels(path)
    if labels.shape != shape:
        raise ShapeError(f"{path.name} has {labels.shape} voxels, the scan {shape}; analyse the scan again")
    return (labels, path), path.relative_to(folder.resolve()).as_posix()


def _free_name(folder: Path, scan: str, when: dt.datetime) -> Path:
    stem = f"{scan}-lesions-{when:%Y%m%dT%H%M%S}{when.microsecond // 1000:03d}Z"
    names = (stem, *(f"{stem}-{n}" for n in range(2, 1000)))
    return next(path for name in names if not (path := folder / f"{name}.nii.gz").exists())


# --- what a browser sent ------------------------------------------------------------------------------------


def _labels_in(packed: bytes, shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """(D, H, W) uint8 labels out of a gzipped NIfTI on the scan's grid; nothing larger is unpacked."""
    import nibabel

    voxels = int(np.prod(shape))
    content = _unpacked(packed, voxels + HEADER_BYTES)
    try:
        image: Any = nibabel.Nifti1Image.from_bytes(content)
        there = np.asanyarray(image.dataobj.get_unscaled())
        ras = np.asarray(image.affine, float)
    except Exception as problem:  # nibabel raises what its parts raise
        raise DataError("what was sent is no readable NIfTI mask; nothing was saved") from problem
    if there.dtype != np.uint8 or there.ndim != 3:
        raise DataError(f"what was sent is {there.ndim} axes of {there.dtype}, not three of uint8; not saved")
    if there.shape != shape[::-1]:
        raise ShapeError(f"what was sent has {there.shape[::-1]} voxels, the scan {shape}; nothing was saved")
    ours = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine[:, [2, 1, 0, 3]]
    if not np.isfinite(ras).all() or np.abs(ras - ours).max() > SAME_PLACE:
        raise ShapeError("what was sent lies elsewhere than the scan; nothing was saved")
    if int(there.max(initial=0)) > max(Lesion):
        raise DataError(f"what was sent holds the label {int(there.max())}; lesions are 0 to {max(Lesion)}")
    return np.ascontiguousarray(there.transpose(2, 1, 0))


def _unpacked(packed: bytes, most: int) -> bytes:
    unpack = zlib.decompressobj(wbits=31)
    try:
        content = unpack.decompress(packed, most + 1)
    except zlib.error as problem:
        raise DataError("what was sent is not gzip, or damaged on the way; nothing was saved") from problem
    if len(content) > most:
        raise ShapeError("what was sent is larger than a mask of this scan; nothing was saved")
    if not unpack.eof:
        raise DataError("what was sent ends too early; nothing was saved")
    return content


def _digest(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def told_of(one: Correction) -> dict[str, Any]:
    """What the page needs to know of a correction."""
    told = one.told
    keys = ("who", "when", "voxels_changed", "voxels")
    return {"file": one.path.name, **json.loads(json.dumps({key: told.get(key) for key in keys}))}
