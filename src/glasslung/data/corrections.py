"""Lesions that a reader redrew, kept beside the original with who and when, and found again.

    corrections/<scan>-lesions-<when>.nii.gz   labels of `Lesion` on the scan's own grid
    corrections/<scan>-lesions-<when>.json     who, when, from what, how many voxels changed, hashes

The original is never touched and no correction replaces another. The note is written last: a mask without it,
or that is not what its note says, does not count. A correction belongs to a scan by the hash of the scan's
content, not by its name, which changes when an earlier scan joins the story.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glasslung import __version__
from glasslung.data.formats.nifti import write_nifti
from glasslung.data.formats.reading import read_labels
from glasslung.data.results import CORRECTIONS, inside
from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.files import read_json, write_json
from glasslung.types import DISCLAIMER, Findings, Lesion

LONGEST_NAME = 80
SCAN_NAME = re.compile(r"scan-\d+")
ENDING = ".nii.gz"


@dataclass(frozen=True)
class Correction:
    """One that is whole: its mask and its note."""

    path: Path
    told: dict[str, Any]


def corrections_of(folder: Path, scan: Findings) -> list[Correction]:
    """All corrections of a story's scan that are whole, the oldest first."""
    found = []
    for note in sorted((folder / CORRECTIONS).glob("*.json")):
        try:
            told = read_json(note)
        except DataError:
            continue  # somebody else's, or damaged: it does not count
        path = inside(folder, f"{CORRECTIONS}/{note.stem}{ENDING}")
        if path is None or told.get("scan_sha256") != scan.sha256 or told.get("mask_sha256") != _digest(path):
            continue
        found.append(Correction(path, told))
    return sorted(found, key=lambda one: str(one.told.get("when", "")))


def keep_correction(folder: Path, scan: Findings, mask: np.ndarray, who: str, start: str) -> Correction:
    """Keep a redrawn mask of a story's scan.

    mask   (D, H, W) uint8 on the scan's grid, labels of `Lesion`
    who    the reader's name, as the reader gave it
    start  what the reader began from: 'lesions', the name of a correction's file, or '' for nothing
    Raises UsageError without a name, ShapeError for another grid, DataError for other labels, or where the
    story cannot be written to.
    """
    name = " ".join(who.split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise UsageError(f"a correction needs the reader's name, 1 to {LONGEST_NAME} characters")
    if not SCAN_NAME.fullmatch(scan.scan):  # it becomes a file's name
        raise DataError(f"{folder} calls a scan {scan.scan!r}, which no analysis does: not saved")
    lungs, affine = read_labels(folder / scan.masks["lungs"])
    _check(mask, lungs.shape)
    began = _beginning(folder, scan, start)
    before = np.uint8(0) if began is None else read_labels(began)[0]
    when = dt.datetime.now(dt.UTC)
    path = _free_name(folder / CORRECTIONS, scan.scan, when)
    write_nifti(mask, affine, path, label=True)
    told = {
        "who": name,
        "when": when.isoformat(timespec="milliseconds"),
        "scan": scan.scan,
        "scan_sha256": scan.sha256,
        "from": "nothing" if began is None else began.relative_to(folder.resolve()).as_posix(),
        "from_sha256": None if began is None else _digest(began),
        "voxels_changed": int(np.count_nonzero(mask != before)),
        "voxels": {lesion.words: int(np.count_nonzero(mask == lesion)) for lesion in Lesion if lesion},
        "labels": {str(int(lesion)): lesion.words for lesion in Lesion if lesion},
        "mask_sha256": _digest(path),
        "glasslung": __version__,
        "disclaimer": DISCLAIMER,
    }
    write_json(path.with_name(path.name.removesuffix(ENDING) + ".json"), told)
    return Correction(path, told)


def _check(mask: np.ndarray, shape: tuple[int, ...]) -> None:
    if mask.dtype != np.uint8:
        raise DataError(f"a mask holds whole numbers 0 to 255 (uint8), this one is {mask.dtype}: not saved")
    if mask.shape != shape:
        raise ShapeError(f"the mask has {mask.shape} voxels, the scan {shape}: not saved")
    if int(mask.max(initial=0)) > max(Lesion):
        raise DataError(
            f"the mask holds the label {int(mask.max())}; lesions are 0 to {max(Lesion)}: not saved"
        )


def _beginning(folder: Path, scan: Findings, start: str) -> Path | None:
    """The file that a correction began from; None for nothing."""
    if not start:
        return None
    if start == "lesions" and "lesions" in scan.masks:
        return inside(folder, scan.masks["lesions"])
    known = {one.path.name: one.path for one in corrections_of(folder, scan)}
    if start not in known:
        raise DataError(f"{start!r} is no mask of this scan any more: load the page again")
    return known[start]


def _free_name(folder: Path, scan: str, when: dt.datetime) -> Path:
    stem = f"{scan}-lesions-{when:%Y%m%dT%H%M%S}{when.microsecond // 1000:03d}Z"
    names = (stem, *(f"{stem}-{n}" for n in range(2, 1000)))
    return next(path for name in names if not (path := folder / f"{name}{ENDING}").exists())


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
