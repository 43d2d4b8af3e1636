"""A corrected mask as a browser sends it: a gzipped NIfTI, which is believed in nothing.

It is bounded in size, packed and unpacked, and must lie on the scan's own grid; what it holds is checked
again where it is kept (`data.corrections`).
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.data.corrections import Correction, corrections_of, keep_correction
from glasslung.data.formats.nifti import RAS_TO_LPS
from glasslung.data.formats.reading import read_labels
from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.web.viewer.case import Shown

LARGEST_BYTES = 64 * 2**20  # of what is sent, gzipped: masks of whole scans take a hundredth of it
HEADER_BYTES = 4096  # NIfTI's 352 and any extension a program may add
SAME_PLACE = 1e-2  # of an affine's entries, mm: headers hold single precision


def corrections_in(folder: Path | None, shown: Shown) -> list[Correction]:
    """The corrections of a scan, the oldest first; [] of a scan without a story."""
    return [] if folder is None or shown.findings is None else corrections_of(folder, shown.findings)


def keep_sent(folder: Path, shown: Shown, packed: bytes, who: str, start: str) -> Correction:
    """Check what a browser sent and keep it; see `keep_correction` for `who`, `start` and the errors."""
    if shown.findings is None or "lungs" not in shown.layers:
        raise UsageError("only a scan of a story whose lungs were found can be corrected: analyse it first")
    lungs, affine = read_labels(shown.layers["lungs"])
    return keep_correction(folder, shown.findings, _labels_in(packed, lungs.shape, affine), who, start)


def _labels_in(packed: bytes, shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """(D, H, W) labels out of a gzipped NIfTI on the scan's grid."""
    import nibabel

    content = _unpacked(packed, int(np.prod(shape)) + HEADER_BYTES)
    try:
        image: Any = nibabel.Nifti1Image.from_bytes(content)
        there = np.asanyarray(image.dataobj.get_unscaled())
        lps = RAS_TO_LPS @ np.asarray(image.affine, float)[:, [2, 1, 0, 3]]
    except Exception as problem:  # nibabel raises what its parts raise
        raise DataError("what was sent is no readable NIfTI mask: not saved") from problem
    if there.shape != shape[::-1]:
        raise ShapeError(f"what was sent has {there.shape[::-1]} voxels, the scan {shape}: not saved")
    if not np.isfinite(lps).all() or np.abs(lps - affine).max() > SAME_PLACE:
        raise ShapeError("what was sent lies elsewhere than the scan: not saved")
    return np.ascontiguousarray(there.transpose(2, 1, 0))


def _unpacked(packed: bytes, most: int) -> bytes:
    """Not a byte more than `most` is unpacked, whatever was promised."""
    unpack = zlib.decompressobj(wbits=31)
    try:
        content = unpack.decompress(packed, most + 1)
    except zlib.error as problem:
        raise DataError("what was sent is not gzip, or damaged on the way: not saved") from problem
    if len(content) > most:
        raise ShapeError("what was sent is larger than a mask of this scan: not saved")
    if not unpack.eof:
        raise DataError("what was sent ends too early: not saved")
    return content


def told_of(one: Correction) -> dict[str, Any]:
    """What the page needs to know of a correction."""
    return {"file": one.path.name} | {
        key: one.told.get(key) for key in ("who", "when", "voxels_changed", "voxels")
    }
