"""What grey values mean: stored numbers to int16 HU or uint8, never by a silent guess."""

from __future__ import annotations

import numpy as np

from glasslung.errors import DataError
from glasslung.types import Intensity, Remark, Severity

AIR_FLOOR_HU = -1024  # the lowest value of a 12-bit CT; what lies below is padding outside the scanned circle
HU_AIR_PROOF = -500  # a scan in HU holds air, so something below this; raw or windowed numbers do not
LABEL_VALUES = 8  # an 8-bit scan with no more grey values than this is a mask
BEYOND_HU = 100_000  # int16 ends at 32767; int32 exports pad with -99999 at most
SAY_HU = "say --intensity hu (in Python: intensity='hu')"
SAY_DISPLAY8 = "say --intensity display8 (in Python: intensity='display8')"
HU_MOST = int(np.iinfo(np.int16).max)


def to_int16_hu(values: np.ndarray, padding: np.ndarray | None = None) -> tuple[np.ndarray, int, int]:
    """Grey values in HU, any type -> int16, padding set to air.

    values   (...) HU, any real type, finite; fractions are rounded
    padding  (...) bool, where the file says that nothing was measured
    Returns the int16 array, how many voxels were padding or below -1024 HU, how many were above 32767.
    """
    low = values < AIR_FLOOR_HU
    if padding is not None:
        low |= padding
    high = values > HU_MOST
    n_low, n_high = int(np.count_nonzero(low)), int(np.count_nonzero(high))
    if values.dtype == np.int16 and not n_low:
        return values.copy(), 0, 0
    rounded = np.rint(values) if values.dtype.kind == "f" else values
    held = np.clip(rounded, AIR_FLOOR_HU, HU_MOST).astype(np.int16)
    if n_low:
        held[low] = AIR_FLOOR_HU
    return held, n_low, n_high


def padding_remarks(n_low: int, n_high: int, n_all: int) -> tuple[Remark, ...]:
    """What to say of voxels that were padding, below air, or beyond the range of int16."""
    remarks = []
    if n_low:
        remarks.append(
            Remark(
                "padding-to-air",
                Severity.NOTE,
                f"{100 * n_low / n_all:.1f} % of the voxels were padding or below {AIR_FLOOR_HU} HU "
                f"and were set to {AIR_FLOOR_HU} HU (air).",
            )
        )
    if n_high:
        remarks.append(
            Remark(
                "clipped-high",
                Severity.WARN,
                f"{n_high} voxel{'s were' if n_high > 1 else ' was'} above {HU_MOST} HU and cut to that.",
                "Check the rescale slope of the export.",
            )
        )
    return tuple(remarks)


def settle_intensity(
    values: np.ndarray, name: str, said: Intensity | None
) -> tuple[Intensity, tuple[Remark, ...]]:
    """Decide what the grey values of a file without a unit (NIfTI, NRRD, MHA) mean, and say why.

    values  (D, H, W), any real type, finite
    said    what the caller says they are; believed where the numbers allow it
    uint8 is a picture's window; anything with air below -500 is HU; the rest is refused with a remedy.
    """
    low, high = float(values.min()), float(values.max())
    if max(-low, high) > BEYOND_HU:
        raise DataError(
            f"{name}: its grey values run from {low:g} to {high:g}, far beyond any scan; export it again"
        )
    if said is Intensity.HU:
        return said, ()
    if said is Intensity.DISPLAY8:
        if values.dtype.kind == "f" and low >= 0 and high <= 1:
            return said, ()
        if low < 0 or high > 255:
            raise DataError(
                f"{name}: its grey values run from {low:g} to {high:g} and display8 holds 0 to 255; "
                "window it to 0 to 255 first, or leave --intensity away if these are HU"
            )
        return said, ()
    if values.dtype == np.uint8:
        return Intensity.DISPLAY8, eight_bit_remarks(values)
    if low < HU_AIR_PROOF:
        return Intensity.HU, ()
    raise DataError(f"{name}: its grey values run from {low:g} to {high:g}, {_guess(low, high)}")


def _guess(low: float, high: float) -> str:
    """What such a range usually is, with the remedy."""
    if low >= 0 and high <= 1:
        return f"a normalised picture, no HU; {SAY_DISPLAY8} to read it as 8-bit grey"
    if low >= 0 and high <= 255:
        return f"which is a picture's window or a mask, no HU; if it is a windowed scan, {SAY_DISPLAY8}"
    if low >= 0:
        return (
            "which looks like raw CT numbers (HU + 1024) or another modality; write it with a "
            f"rescale intercept (NIfTI scl_inter), or, if these are HU, {SAY_HU}"
        )
    return f"so there is no air in it; if these are HU, {SAY_HU}"


def eight_bit_remarks(values: np.ndarray) -> tuple[Remark, ...]:
    """What to say of 8-bit grey values: that they are not HU, and whether they look like a mask."""
    found = int(np.count_nonzero(np.bincount(values.reshape(-1), minlength=256)))
    remarks = [
        Remark(
            "eight-bit",
            Severity.NOTE,
            "The grey values are 8-bit numbers of an unknown window, not Hounsfield units.",
            "Use the original DICOM or NIfTI in HU where densities matter.",
        )
    ]
    if found <= LABEL_VALUES and values.size > LABEL_VALUES:
        remarks.append(
            Remark(
                "label-map",
                Severity.REFUSE,
                f"The file holds only {found} different values: it is a mask, or blank, not a scan.",
                "Pass the scan that the mask belongs to.",
            )
        )
    return tuple(remarks)


def to_display8(values: np.ndarray) -> np.ndarray:
    """0..255 of any type, or 0..1 of floats -> uint8, fractions rounded."""
    if values.dtype == np.uint8:
        return values.copy()
    if values.dtype.kind == "f" and values.max() <= 1:
        values = values * 255
    return np.rint(values).astype(np.uint8)


def stretch_to_display8(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Grey values -> uint8: `low` and below to 0, `high` and above to 255, straight between."""
    span = max(high - low, 1e-12)
    out = np.empty(values.shape, dtype=np.uint8)
    for part, here in zip(
        values, out, strict=True
    ):  # slice by slice: a float copy of all would be 8 times the scan
        here[...] = np.rint(np.clip((part.astype(np.float64) - low) / span, 0, 1) * 255)
    return out
