"""Gate checks that need no grey values: what the header says, and how the slices lie.

Each function yields remarks; codes are stable. All limits are constants with their reason.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from glasslung.data.orientation import orientation_of
from glasslung.types import Geometry, Intensity, Remark, Severity, Source, Volume

# DICOM modalities that are surely not CT; others (OT, SC, ...) may be pictures of a CT.
OTHER_MODALITIES = frozenset(
    {"MR", "PT", "NM", "US", "CR", "DX", "MG", "XA", "RF", "IO", "ES", "XC", "OP", "PX", "SM"}
)
CHEST_PARTS = ("CHEST", "THORAX", "LUNG", "TORSO", "TRUNK", "BODY", "HEART", "TSPINE", "RIB")
MASK_OBJECTS = frozenset({"SEG", "RTSTRUCT", "RTDOSE", "RTPLAN", "SR", "PR", "KO"})

MIN_PIXELS = 16  # across: fewer cannot show a lung at all
FEW_SLICES = 10  # fewer slices are no volume: thirds, scores and ml would be those of a slab
CHEST_HEIGHT_MM = 100.0  # lungs of an adult are 200 to 300 mm high; below this a slab was scanned
THICK_MM, VERY_THICK_MM = 5.0, 10.0  # the usual routine slice; the gaps of old sequential scans
COARSE_PIXEL_MM, BLIND_PIXEL_MM = (
    1.5,
    3.0,
)  # a 512-pixel chest has 0.6 to 0.98 mm; lesions of 10 mm need 3 pixels
ANISOTROPY_MOST = 8.0  # slice distance over pixel size
SMALL_FIELD_MM, LARGE_FIELD_MM = 150.0, 700.0  # scanners show 200 to 500 mm, wide-bore ones up to 650
ABSURD_FIELD_MM = (30.0, 2000.0)
TILT_DEG = 1.0
GAP_STEPS = 1.5  # a step this many times the usual one has lost a slice
SAME_STEPS = 0.05  # a step this small is the same place twice
UNEVEN_SHARE = 0.05  # the steps' spread over the usual step: more than rounding in headers
MOST_MISSING = 1 / 3  # beyond this share of lost slices volumes would be fiction


def header_remarks(source: Source, intensity: Intensity) -> Iterator[Remark]:
    """What the header says against this being a chest CT: modality, body part."""
    modality = (source.modality or "").upper()
    if modality in OTHER_MODALITIES | MASK_OBJECTS:
        yield Remark(
            "not-ct",
            Severity.REFUSE,
            f"The header says modality {modality}; every figure here is made for CT.",
            "Give a CT scan.",
        )
    elif modality not in ("", "CT"):
        yield Remark(
            "modality-unusual",
            Severity.WARN,
            f"The header says modality {modality}, not CT.",
            "Make sure that these are CT slices.",
        )
    part = (source.body_part or "").upper().replace(" ", "").replace("-", "")
    if part and not any(word in part for word in CHEST_PARTS):
        yield Remark(
            "body-part",
            Severity.WARN,
            f"The header says body part {source.body_part}, not chest; headers are often wrong here.",
            "Make sure that the lungs are in the scan.",
        )


def slice_axis(volume: Volume) -> int:
    """The file axis along which slices are stacked: largest spacing, else fewest voxels, else upright z."""
    spacing = volume.spacing_mm
    order = np.argsort(spacing)
    if volume.has_ml and spacing[order[2]] > 1.2 * spacing[order[1]]:
        return int(order[2])
    thin = [axis for axis, size in enumerate(volume.shape) if size < MIN_PIXELS]
    if len(thin) == 1:
        return thin[0]
    return orientation_of(volume).axes[0]


def grid_remarks(volume: Volume) -> Iterator[Remark]:
    """Size, spacing, field of view, coverage, tilt and slice positions of a scan."""
    axis = slice_axis(volume)
    across = [n for n in range(3) if n != axis]
    if min(volume.shape[n] for n in across) < MIN_PIXELS:
        yield Remark(
            "too-small",
            Severity.REFUSE,
            f"The scan has only {' x '.join(map(str, volume.shape))} voxels: nothing can be measured on it.",
            "Give the whole scan.",
        )
        return
    yield from _coverage(volume, axis)
    if volume.geometry is Geometry.ASSUMED:
        yield Remark(
            "geometry-assumed",
            Severity.NOTE,
            "The files say nothing about size and position, so no volume in ml is given, only shares.",
            "Give DICOM, NIfTI, NRRD or MHA to get volumes.",
        )
        return
    yield from _spacing(volume, axis, across)
    yield from _orientation(volume, axis)
    yield from _slice_positions(volume)


def _coverage(volume: Volume, axis: int) -> Iterator[Remark]:
    """How much of the chest there is: one slice, a few, a slab."""
    count = volume.shape[axis]
    along_body = orientation_of(volume).axes[0]
    height_mm = volume.shape[along_body] * volume.spacing_mm[along_body]
    if count < FEW_SLICES:
        slices = "one slice" if count == 1 else f"{count} slices"
        covered = f", {height_mm:.0f} mm of the chest" if volume.has_ml and along_body == axis else ""
        yield Remark(
            "few-slices",
            Severity.WARN,
            f"This is a scan of {slices}{covered}: its lung volume is that of these slices only; "
            "thirds, severity score and the involvement of whole lungs cannot be known from it.",
            "Give the whole series; use these figures for these slices only.",
        )
    elif volume.has_ml and height_mm < CHEST_HEIGHT_MM:
        yield Remark(
            "slab-only",
            Severity.WARN,
            f"The scan covers {height_mm:.0f} mm from top to bottom; lungs are 200 to 300 mm high. All "
            "volumes are those of the covered slab, and there are no thirds and no severity score.",
            "Give the whole series.",
        )


def _spacing(volume: Volume, axis: int, across: list[int]) -> Iterator[Remark]:
    thick_mm = volume.spacing_mm[axis]
    pixel_mm = max(volume.spacing_mm[n] for n in across)
    field_mm = [volume.shape[n] * volume.spacing_mm[n] for n in range(3) if n != axis]
    if min(field_mm) < ABSURD_FIELD_MM[0] or max(field_mm) > ABSURD_FIELD_MM[1]:
        yield Remark(
            "absurd-spacing",
            Severity.REFUSE,
            f"With pixels of {volume.spacing_mm[across[0]]:.3g} x {volume.spacing_mm[across[1]]:.3g} mm the "
            f"picture would be {field_mm[0]:.0f} x {field_mm[1]:.0f} mm: no chest CT is; the spacing in the "
            "header is wrong.",
            "Export the scan again with its true spacing.",
        )
        return
    if thick_mm > THICK_MM + 0.01:
        gaps = "far too thick for volumes of small lesions" if thick_mm > VERY_THICK_MM else "thick"
        yield Remark(
            "thick-slices",
            Severity.WARN,
            f"Slices lie {thick_mm:.1f} mm apart, {gaps}: small lesions are missed, and edges of lungs and "
            "vessels blur into what looks like ground glass.",
            "Use the thinnest reconstruction there is (1 to 3 mm).",
        )
    elif thick_mm > ANISOTROPY_MOST * pixel_mm:
        yield Remark(
            "anisotropic",
            Severity.NOTE,
            f"Slices lie {thick_mm:.1f} mm apart, {thick_mm / pixel_mm:.0f} times the pixel size of "
            f"{pixel_mm:.2f} mm.",
        )
    if pixel_mm > COARSE_PIXEL_MM:
        yield Remark(
            "coarse-pixels",
            Severity.WARN if pixel_mm > BLIND_PIXEL_MM else Severity.NOTE,
            f"Pixels measure {pixel_mm:.1f} mm (a chest CT has 0.6 to 1): the picture was reduced, vessels "
            "and small lesions are lost in it.",
            "Use the scan as the scanner made it.",
        )
    if min(field_mm) < SMALL_FIELD_MM:
        yield Remark(
            "small-field",
            Severity.WARN,
            f"The picture is {field_mm[0]:.0f} x {field_mm[1]:.0f} mm: too small for both lungs of an adult.",
            "Check that both lungs are in it whole.",
        )
    elif max(field_mm) > LARGE_FIELD_MM:
        yield Remark(
            "large-field",
            Severity.WARN,
            f"The picture is {field_mm[0]:.0f} x {field_mm[1]:.0f} mm, larger than scanners show: the "
            "spacing may be wrong.",
            "Check the spacing; volumes in ml depend on it.",
        )


def _orientation(volume: Volume, axis: int) -> Iterator[Remark]:
    along_body = orientation_of(volume).axes[0]
    if axis != along_body:
        cosines = np.abs(volume.affine[:3, axis]) / np.linalg.norm(volume.affine[:3, axis])
        plane = ("sagittal", "coronal", "axial")[int(np.argmax(cosines))]
        yield Remark(
            "not-axial",
            Severity.NOTE,
            f"The slices are {plane}, not axial; measures do not depend on it.",
        )
    tilt_deg = abs(volume.source.tilt_deg)
    if tilt_deg > TILT_DEG:
        yield Remark(
            "gantry-tilt",
            Severity.NOTE,
            f"The slices are tilted by {tilt_deg:.1f} degrees. Volumes are right (a voxel counts with its "
            "own volume); thirds are cut along the tilted slices, and distances between surfaces are "
            "approximate.",
        )


def _slice_positions(volume: Volume) -> Iterator[Remark]:
    """Missing, doubled and unevenly spaced slices, from the positions in the files."""
    positions = np.asarray(volume.source.slice_positions_mm, dtype=float)
    if len(positions) < 3:
        return
    steps = np.abs(np.diff(np.sort(positions)))
    doubled = steps < SAME_STEPS * np.median(steps)
    usual = float(np.median(steps[~doubled])) if (~doubled).any() else 0.0
    if usual <= 0:
        return
    gaps = np.flatnonzero(steps > GAP_STEPS * usual)
    missing = int(np.sum(np.round(steps[gaps] / usual) - 1))
    if missing:
        share = missing / (len(positions) + missing)
        where = ", ".join(f"{steps[n]:.1f} mm after slice {n + 1}" for n in gaps[:3])
        more = f" and {len(gaps) - 3} more" if len(gaps) > 3 else ""
        yield Remark(
            "missing-slices",
            Severity.REFUSE if share > MOST_MISSING else Severity.WARN,
            f"{missing} of {len(positions) + missing} slices {'is' if missing == 1 else 'are'} missing "
            f"({'gap' if len(gaps) == 1 else 'gaps'} of {where}{more}; slices lie "
            f"{usual:.1f} mm apart): volumes may be off by {100 * share:.0f} %.",
            "Fetch the series again, whole.",
        )
    if count := int(doubled.sum()):
        yield Remark(
            "duplicate-positions",
            Severity.WARN,
            f"{'One slice lies' if count == 1 else f'{count} slices lie'} where another slice lies, "
            f"the first at {np.sort(positions)[doubled.argmax()]:.1f} mm.",
            "Two series or two reconstructions may be mixed; pick one.",
        )
    even = np.delete(steps, np.union1d(gaps, np.flatnonzero(doubled)))
    spread = float(np.ptp(even)) / usual if even.size else 0.0
    if spread > UNEVEN_SHARE:
        yield Remark(
            "uneven-slices",
            Severity.WARN,
            f"Slice distances vary from {even.min():.2f} to {even.max():.2f} mm: volumes may be off by up to "
            f"{100 * abs(float(even.mean()) / usual - 1):.0f} % as a whole and {100 * spread:.0f} % in "
            "places.",
            "Use a series with even slices.",
        )
