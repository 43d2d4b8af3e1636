"""From a scan to the one slice that a forecast is asked of, cut as the training slices were.

A scan gives its middle slice with its lungs found by our own pipeline. A picture in which all but the lungs
was painted black, as `glasslung prepare` writes them, is taken as it is.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glasslung.data.lung_field import MIDDLES, FieldSettings, check_square, cut_slice
from glasslung.data.prepare import is_picture
from glasslung.data.slices import read_picture, square_slice
from glasslung.errors import DataError, UsageError
from glasslung.types import Intensity, MaskQuality, Volume

LUNGS_FOUND, LUNGS_CUT_OUT = "found", "cut-out"


@dataclass(frozen=True, eq=False)
class Sight:
    """The slice that was seen.

    image   (S, S) float32 in [0, 1], black outside the lungs
    sha256  of its whole grey values
    lungs   'found' by our pipeline, or 'cut-out' already
    doubts  why its lungs should not be trusted; () where they can
    """

    image: np.ndarray
    sha256: str
    lungs: str
    doubts: tuple[str, ...] = ()


def look(
    path: Path,
    size: int,
    middle: str = "scan",
    series: str | None = None,
    intensity: Intensity | None = None,
) -> Sight:
    """The slice of a scan: a volume in any format we read, or a prepared slice.

    size    side of the slice that the model reads
    middle  which slice: the middle of the 'scan' or of the 'lungs'
    Raises UsageError for another middle, DataError where the scan cannot be read, RefusedError where the gate
    will not let it through, UnfitError where its slice shows too little of the lungs.
    """
    if middle not in MIDDLES:
        raise UsageError(f"middle {middle!r} is not known; it is one of {', '.join(MIDDLES)}")
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path} does not exist: give a scan, or a slice that `glasslung prepare` made")
    if is_picture(path) and _is_cut_out(grey := read_picture(path)):
        return _square(grey, size, LUNGS_CUT_OUT, ())
    from glasslung.data.formats import read_scan
    from glasslung.data.gate import inspect, inspect_lungs, refuse
    from glasslung.data.lungs import segment_lungs

    volume = read_scan(path, series=series, intensity=intensity)
    refuse(inspect(volume), path.name)
    lungs = segment_lungs(volume)
    refuse(inspect_lungs(volume, lungs), path.name)
    return look_at(volume, lungs.mask, lungs.quality, size, middle)


def look_at(
    volume: Volume, lungs: np.ndarray, quality: MaskQuality, size: int, middle: str = "scan"
) -> Sight:
    """The slice of a scan whose lungs were found already; lungs (D, H, W) labels."""
    grey = cut_slice(volume, lungs, FieldSettings(middle))
    return _square(grey, size, LUNGS_FOUND, () if quality.trusted else quality.reasons)


def _is_cut_out(grey: np.ndarray) -> bool:
    from glasslung.data.lungs.pictures import cut_out

    return cut_out(grey[None]) is not None


def _square(grey: np.ndarray, size: int, lungs: str, doubts: tuple[str, ...]) -> Sight:
    whole = np.rint(square_slice(grey, size) * 255).astype(np.uint8)
    check_square(whole)
    digest = hashlib.sha256(whole.tobytes()).hexdigest()
    return Sight(whole.astype(np.float32) / np.float32(255), digest, lungs, doubts)
