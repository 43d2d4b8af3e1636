"""A DICOM series becomes a Volume: picked, put in order, placed in the patient, turned into HU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from glasslung.data.formats.damage import check_promise
from glasslung.data.formats.dicom_header import Frame, read_frames
from glasslung.data.formats.dicom_pixels import check_air, grey_volume, hu_volume, stored_slices
from glasslung.data.formats.dicom_series import (
    Stack,
    asked_for,
    best_of,
    check_one_patient,
    has_geometry,
    normal_of,
    places_mm,
    split_by_phase,
    stacks_of,
    without_copies,
)
from glasslung.data.formats.geometry import assumed_affine, check_affine
from glasslung.data.formats.identity import combined_digest
from glasslung.data.formats.intensities import eight_bit_remarks, padding_remarks
from glasslung.errors import DataError
from glasslung.types import Geometry, Intensity, Remark, Severity, Source, Volume

CROOKED_MM = 0.5  # a slice this far off the straight pile is shifted visibly
BROKEN_MM = 10.0  # off by more, the slices are no pile of one scan
TILT_IS_NONE_DEG = 0.05  # rounding of cosines and positions
SQUARE = 1e-2  # cosine between rows and columns


def read_dicom(
    files: Sequence[Path],
    where: str,
    series: str | None = None,
    intensity: Intensity | None = None,
    ignored: int = 0,
) -> Volume:
    """Read one DICOM series: the best chest CT among the files, or the one that `series` names.

    files      DICOM files in any order, of one patient
    where      name of the file or folder, for messages
    series     series number, series UID, or the short key that remarks show
    intensity  what the values are, where the header does not say; None to go by the header
    Returns HU for CT; display8 for 8-bit captures and other modalities (their window is in a remark). Slices
    are in order along the normal (row x column). Raises DataError for mixed patients, colour, damage.
    """
    frames = [frame for file in files for frame in read_frames(file)]
    if not frames:
        raise DataError(
            f"{where}: its DICOM files hold no pictures (reports or plans); pass the folder with the "
            "CT slices"
        )
    stacks = stacks_of(frames)
    if series is None:
        check_one_patient(stacks, where)
    chosen, remarks = _choose(stacks, series, where)
    _check_size(chosen)
    if ignored:
        remarks += (
            Remark(
                "files-ignored",
                Severity.NOTE,
                f"{ignored} files that are no DICOM slices were left alone."
                if ignored > 1
                else "One file that is no DICOM slice was left alone.",
            ),
        )
    return _volume_of(chosen, intensity, remarks)


def _choose(stacks: list[Stack], series: str | None, where: str) -> tuple[Stack, tuple[Remark, ...]]:
    wanted = stacks if series is None else asked_for(stacks, series, where)
    picked, picking = best_of(wanted)
    single, copies = without_copies(picked, same_pixels)
    parts = split_by_phase(single)
    if series is not None and series.strip().startswith(f"{single.key}."):
        known = ", ".join([single.key, *(part.key for part in parts if part.key != single.key)])
        parts = [part for part in parts if part.key == series.strip()]
        if not parts:
            raise DataError(
                f"{where}: series {single.key} has no part {series.strip()!r}; "
                f"say --series with one of {known}"
            )
    stack, phase = best_of(parts)
    remarks = picking + phase
    if copies:
        remarks += (
            Remark(
                "duplicate-slices",
                Severity.NOTE,
                f"{copies} slices were exact copies of others and were dropped."
                if copies > 1
                else "One slice was an exact copy of another and was dropped.",
            ),
        )
    return stack, remarks


def same_pixels(one: Frame, other: Frame) -> bool:
    """Whether two slices show the same, pixel for pixel."""
    (a, _), (b, _) = stored_slices([one, other], {})
    return (one.slope, one.intercept) == (other.slope, other.intercept) and np.array_equal(a, b)


def _check_size(stack: Stack) -> None:
    rows, columns = stack.first.size
    check_promise(stack.first.path, rows * columns * len(stack.frames) * 2)
    if stack.first.samples != 1 or stack.first.photometric not in ("MONOCHROME1", "MONOCHROME2", ""):
        raise DataError(
            f"{stack.first.path.name}: a colour DICOM picture (screenshot, report or ultrasound), no "
            "CT; pass the CT series"
        )


def _volume_of(stack: Stack, intensity: Intensity | None, remarks: tuple[Remark, ...]) -> Volume:
    first, digests = stack.first, dict[Path, str]()
    affine, geometry, tilt_deg, placing = place(stack)
    contract = intensity or _contract_of(first)
    if contract is Intensity.HU:
        voxels, said = _read_hu(stack, intensity, digests)
    else:
        voxels, said = _read_grey(stack, digests)
    source = Source(
        kind="dicom",
        files=tuple(frame.path for frame in stack.frames)
        if first.index == 0 and _one_each(stack)
        else _unique(stack),
        sha256=combined_digest(digests.values()),
        modality=first.modality,
        body_part=first.body_part,
        kernel=first.kernel,
        acquired=min((f.acquired for f in stack.frames if f.acquired), default=None),
        patient_key=first.patient,
        series_key=stack.key or None,
        tilt_deg=tilt_deg,
        slice_positions_mm=tuple(places_mm(stack).tolist()) if has_geometry(first) else (),
        remarks=remarks + placing + said,
        age_years=first.age_years,
        male=first.male,
    )
    return Volume(voxels, affine, contract, source, geometry)


def _one_each(stack: Stack) -> bool:
    return len({frame.path for frame in stack.frames}) == len(stack.frames)


def _unique(stack: Stack) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(frame.path for frame in stack.frames))


def _contract_of(frame: Frame) -> Intensity:
    """HU only where a CT says so; 8-bit captures and other modalities have none."""
    if frame.modality not in ("CT", None):
        return Intensity.DISPLAY8
    if frame.slope is None and frame.intercept is None and frame.bits <= 8:
        return Intensity.DISPLAY8
    return Intensity.HU


def _read_hu(
    stack: Stack, said: Intensity | None, digests: dict[Path, str]
) -> tuple[np.ndarray, tuple[Remark, ...]]:
    voxels, n_low, n_high = hu_volume(stack.frames, digests)
    remarks = padding_remarks(n_low, n_high, voxels.size)
    if stack.first.slope is None and stack.first.intercept is None and said is None:
        check_air(voxels, stack.first.path.name)
        remarks += (
            Remark(
                "no-rescale",
                Severity.WARN,
                "The header has no rescale slope and intercept; the values hold air below -500 and "
                "were taken for HU.",
                "Export it again with its rescale tags.",
            ),
        )
    return voxels, remarks


def _read_grey(stack: Stack, digests: dict[Path, str]) -> tuple[np.ndarray, tuple[Remark, ...]]:
    voxels, (low, high) = grey_volume(
        stack.frames, digests, inverted=stack.first.photometric == "MONOCHROME1"
    )
    text = f"The values are not Hounsfield units; {low:g} to {high:g} were mapped to 8-bit grey."
    return voxels, (*eight_bit_remarks(voxels), Remark("windowed", Severity.NOTE, text))


def place(stack: Stack) -> tuple[np.ndarray, Geometry, float, tuple[Remark, ...]]:
    """Affine, geometry, tilt and remarks of a stack in order."""
    first = stack.first
    if first.rows_cols is None or first.pixel_mm is None or first.position is None:
        return assumed_affine(), Geometry.ASSUMED, 0.0, (_no_geometry(),)
    along_row, along_column = np.array(first.rows_cols[:3]), np.array(first.rows_cols[3:])
    lengths = np.linalg.norm(along_row), np.linalg.norm(along_column)
    stretched = max(abs(length - 1) for length in lengths) > SQUARE
    if stretched or abs(along_row @ along_column) > SQUARE or min(first.pixel_mm) <= 0:
        raise DataError(
            f"{first.path.name}: its slice orientation or pixel spacing is damaged; export it again"
        )
    step, geometry, remarks = _step_mm(stack)
    affine = np.eye(4)
    affine[:3, 0] = step
    affine[:3, 1] = along_column / lengths[1] * first.pixel_mm[0]
    affine[:3, 2] = along_row / lengths[0] * first.pixel_mm[1]
    affine[:3, 3] = first.position
    check_affine(affine, first.path.name)
    cosine = abs(float(step @ normal_of(first))) / float(np.linalg.norm(step))
    tilt_deg = float(np.rad2deg(np.arccos(min(1.0, cosine))))
    return affine, geometry, tilt_deg if tilt_deg > TILT_IS_NONE_DEG else 0.0, remarks


def _step_mm(stack: Stack) -> tuple[np.ndarray, Geometry, tuple[Remark, ...]]:
    """(3,) mm from one slice to the next: first to last, divided, so that both ends stay in place.

    It holds the gantry's tilt. A single slice steps along its normal by its thickness.
    """
    if len(stack.frames) == 1:
        return _single_step(stack.first)
    positions = np.array([frame.position for frame in stack.frames], dtype=float)
    step = (positions[-1] - positions[0]) / (len(positions) - 1)
    return step, Geometry.MEASURED, _straightness(stack, positions)


def _single_step(frame: Frame) -> tuple[np.ndarray, Geometry, tuple[Remark, ...]]:
    if frame.thickness_mm and frame.thickness_mm > 0:
        return normal_of(frame) * frame.thickness_mm, Geometry.MEASURED, ()
    remark = Remark(
        "thickness-assumed",
        Severity.WARN,
        "A single slice whose header gives no thickness: 1 mm is assumed, and no volume in ml can be given.",
        "Pass the whole series.",
    )
    return normal_of(frame), Geometry.ASSUMED, (remark,)


def _straightness(stack: Stack, positions: np.ndarray) -> tuple[Remark, ...]:
    """Slices must pile up along one line; how far they stray from it sideways."""
    places = places_mm(stack)
    reach = (places - places[0]) / (places[-1] - places[0])
    off = positions - (positions[0] + reach[:, None] * (positions[-1] - positions[0]))
    worst = float(np.linalg.norm(off, axis=1).max())
    if worst > BROKEN_MM:
        raise DataError(
            f"{stack.first.path.name}: its series does not pile up along one line, slices stray "
            f"{worst:.0f} mm sideways; "
            "export the series again"
        )
    if worst <= CROOKED_MM:
        return ()
    text = f"The slices do not pile up straight: some lie up to {worst:.1f} mm beside the stack."
    return (Remark("crooked-stack", Severity.WARN, text, "Read distances and volumes with care."),)


def _no_geometry() -> Remark:
    return Remark(
        "geometry-assumed",
        Severity.WARN,
        "The header does not say where the slices lie: order by instance number, head first, and 1 "
        "mm are assumed.",
        "Export the original series.",
    )
