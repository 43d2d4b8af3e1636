"""`read_scan` and `read_mask`: one door for every format."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from glasslung.data.formats.archive import unpacked
from glasslung.data.formats.damage import told_plainly
from glasslung.data.formats.geometry import check_same_grid
from glasslung.data.formats.identity import combined_digest, file_digest
from glasslung.data.formats.intensities import (
    eight_bit_remarks,
    padding_remarks,
    settle_intensity,
    to_display8,
    to_int16_hu,
)
from glasslung.data.formats.survey import GRIDS, Kind, Survey, survey
from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.types import Intensity, Remark, Severity, Source, Volume

LARGEST_LABEL = 255


def read_scan(
    path: Path, series: str | None = None, intensity: Intensity | str | None = None, feet_first: bool = False
) -> Volume:
    """Read one CT scan from a file, a folder or a zip, whatever its format.

    path        DICOM file or folder (one patient, any order), NIfTI, NRRD, MHA, a picture or a folder of
                pictures in the order of their numbers, or a zip of one of these
    series      DICOM only: series number, UID or short key; None picks the best chest CT and says why
    intensity   what the grey values are, where the file does not say ('hu', 'display8'); None refuses
                what is unclear
    feet_first  pictures only: the first slice is nearest the feet
    Returns a Volume on the file's own grid; what was noticed on the way is in `source.remarks`.
    Raises DataError, one line with the file's name and a remedy; UsageError for an option out of place.
    """
    intensity = None if intensity is None else _said(intensity)
    path = Path(path)
    path = path if path.name else path.resolve()  # '.' has no name to put into a message
    found = survey(path)
    if found.kind is Kind.ZIP:
        return _read_zip(path, series, intensity, feet_first)
    _check_options(path, found.kind, series, feet_first)
    if found.kind is Kind.DICOM:
        from glasslung.data.formats.dicom import read_dicom

        return read_dicom(found.files, path.name, series, intensity, found.ignored)
    if found.kind is Kind.PICTURE:
        return _read_pictures(path, found, intensity, feet_first)
    return _read_grid(found, intensity)


def _said(intensity: Intensity | str) -> Intensity:
    try:
        return Intensity(intensity)
    except ValueError:
        raise UsageError(
            f"intensity {intensity!r} is not known; it is one of {', '.join(Intensity)}"
        ) from None


def _check_options(path: Path, kind: Kind, series: str | None, feet_first: bool) -> None:
    if series is not None and kind is not Kind.DICOM:
        raise UsageError(f"{path.name}: is {kind.value} and has no series; leave --series away")
    if feet_first and kind is not Kind.PICTURE:
        raise UsageError(
            f"{path.name}: is {kind.value} and says itself how the patient lay; leave feet_first away"
        )


def _read_zip(path: Path, series: str | None, intensity: Intensity | None, feet_first: bool) -> Volume:
    with unpacked(path) as folder:
        try:
            volume = read_scan(folder, series, intensity, feet_first)
        except (DataError, UsageError) as error:
            text = str(error).replace(f"{folder}{os.sep}", "").replace(folder.name, "the zip")
            raise type(error)(f"{path.name}: {text}") from error
    return replace(volume, source=replace(volume.source, files=(path,)))


def _read_pictures(path: Path, found: Survey, intensity: Intensity | None, feet_first: bool) -> Volume:
    from glasslung.data.formats.pictures import read_pictures

    if intensity is Intensity.HU:
        raise DataError(
            f"{path.name}: pictures hold 8-bit grey, never HU; pass the DICOM or NIfTI they were made from"
        )
    volume = read_pictures(found.files, path.name, feet_first)
    return _with_remarks(volume, _ignored(found))


def _ignored(found: Survey) -> tuple[Remark, ...]:
    if not found.ignored:
        return ()
    return (
        Remark(
            "files-ignored", Severity.NOTE, f"Files left alone because they are no scan: {found.ignored}."
        ),
    )


def _with_remarks(volume: Volume, more: tuple[Remark, ...]) -> Volume:
    if not more:
        return volume
    return replace(volume, source=replace(volume.source, remarks=volume.source.remarks + more))


def _grid(path: Path, kind: Kind) -> tuple[np.ndarray, np.ndarray, tuple[Remark, ...], tuple[Path, ...]]:
    """Values, LPS affine, remarks and files of a NIfTI, NRRD or MetaImage file."""
    if kind is Kind.NIFTI:
        from glasslung.data.formats.nifti import read_nifti

        return (*read_nifti(path), (path,))
    from glasslung.data.formats.itk_grids import read_itk_grid

    return read_itk_grid(path, kind)


def _read_grid(found: Survey, intensity: Intensity | None) -> Volume:
    path = found.files[0]
    values, affine, remarks, files = _grid(path, found.kind)
    contract, said = settle_intensity(values, path.name, intensity)
    if contract is Intensity.HU:
        voxels, n_low, n_high = to_int16_hu(values)
        said += padding_remarks(n_low, n_high, voxels.size)
    else:
        voxels = to_display8(values)
        said = said or eight_bit_remarks(voxels)
    with told_plainly(path, "the file cannot be read"):
        sha256 = combined_digest(file_digest(file) for file in files)
    kind = {Kind.NIFTI: "nifti", Kind.NRRD: "nrrd", Kind.META: "mha"}[found.kind]
    source = Source(kind=kind, files=files, sha256=sha256, remarks=remarks + said + _ignored(found))
    return Volume(np.ascontiguousarray(voxels), affine, contract, source)


def read_mask(path: Path, like: Volume) -> np.ndarray:
    """Read a mask that belongs to a scan: whole numbers 0 to 255 on the scan's own grid.

    path  NIfTI, NRRD or MHA file, or a folder of PNG slices for a scan of pictures
    like  the scan
    Returns (D, H, W) uint8. Raises ShapeError, with both shapes, when the mask lies on another grid, and
    DataError when its values are no labels.
    """
    path = Path(path)
    found = survey(path)
    if found.kind is Kind.PICTURE:
        from glasslung.data.formats.pictures import read_picture_mask

        return read_picture_mask(path, like, found.files)
    if found.kind not in GRIDS:
        raise DataError(
            f"{path.name}: is {found.kind.value}, no mask; pass NIfTI, NRRD, MHA or a folder of PNG"
        )
    values, affine, _, _ = _grid(found.files[0], found.kind)
    check_same_grid(path.name, values.shape, affine, (like.shape, like.affine))
    return _whole_labels(path, values)


def read_labels(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A label map on its own grid: (D, H, W) uint8 and its LPS affine; DataError where it is none."""
    path = Path(path)
    found = survey(path)
    if found.kind not in GRIDS:
        raise DataError(f"{path.name}: is {found.kind.value}, no mask with a grid; pass NIfTI, NRRD or MHA")
    values, affine, _, _ = _grid(found.files[0], found.kind)
    return _whole_labels(path, values), affine


def _whole_labels(path: Path, values: np.ndarray) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > LARGEST_LABEL or (values.dtype.kind == "f" and (values != np.rint(values)).any()):
        raise DataError(
            f"{path.name}: its values run from {low:g} to {high:g}; a mask holds whole numbers 0 to 255"
        )
    return np.ascontiguousarray(values.astype(np.uint8))


def check_mask(mask: np.ndarray, volume: Volume) -> np.ndarray:
    """A mask ready to be written: (D, H, W) of the scan, bool or whole numbers 0 to 255, as uint8."""
    if mask.shape != volume.shape:
        raise ShapeError(
            f"the mask has shape {mask.shape} and the scan {volume.shape}; write it with its own scan"
        )
    if mask.dtype in (np.bool_, np.uint8):
        return mask.astype(np.uint8, copy=False)
    if mask.dtype.kind not in "iu" or mask.min() < 0 or mask.max() > LARGEST_LABEL:
        raise DataError(f"a mask holds whole numbers 0 to 255, got {mask.dtype}; convert it to uint8 first")
    return mask.astype(np.uint8, copy=False)
