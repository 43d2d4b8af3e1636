"""`write_volume` and `write_mask`: on the volume's own grid, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from glasslung.data.formats.dicom_writing import DicomLabel, write_dicom
from glasslung.data.formats.reading import check_mask
from glasslung.errors import DataError, UsageError
from glasslung.types import Intensity, Volume

GRID_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha")


def write_volume(volume: Volume, path: Path, label: DicomLabel | None = None) -> None:
    """Write a scan; the format follows from the path.

    path   `.nii.gz`, `.nii`, `.nrrd` or `.mha`; a path without ending is a folder: a DICOM series for HU,
           `001.png`, ... for 8-bit grey
    label  DICOM only: the made-up identity and the date to write; by default none
    Raises UsageError for other endings, DataError where the place cannot be written.
    """
    path = Path(path)
    ending = _ending(path)
    if label is not None and (ending or volume.intensity is not Intensity.HU):
        raise UsageError(f"{path.name}: only a DICOM folder carries a label; leave it away")
    if ending:
        _write_grid(volume.voxels, volume.affine, path, ending, label=False)
    elif volume.intensity is Intensity.HU:
        write_dicom(volume, path, label)
    else:
        _write_pictures(volume.voxels, volume, path)


def write_mask(mask: np.ndarray, volume: Volume, path: Path) -> None:
    """Write a mask on its scan's own grid, as uint8 with the label values kept.

    mask  (D, H, W) of the scan, bool or whole numbers 0 to 255
    path  `.nii.gz`, `.nii`, `.nrrd` or `.mha`; without ending a folder of `001.png`, ... for scans that came
          as pictures, each slice at its own picture's size
    """
    path = Path(path)
    labels = check_mask(mask, volume)
    ending = _ending(path)
    if ending:
        _write_grid(labels, volume.affine, path, ending, label=True)
    elif volume.source.kind == "pictures":
        _write_pictures(labels, volume, path)
    else:
        raise UsageError(
            f"{path.name}: a mask of this scan needs an ending, one of {', '.join(GRID_ENDINGS)}"
        )


def write_map(steps: np.ndarray, volume: Volume, path: Path, most: int) -> None:
    """Write a map from 0 to 1 on its scan's own grid, small: whole steps that the header scales.

    steps  (D, H, W) uint8, 0 to `most`, which stands for 1
    path   `.nii.gz` or `.nii`; viewers show 0 to 1
    """
    from glasslung.data.formats.nifti import write_nifti

    path = Path(path)
    if not _ending(path).startswith(".nii"):
        raise UsageError(f"{path.name}: a map is written as .nii.gz or .nii")
    write_nifti(check_mask(steps, volume), volume.affine, path, scale=1.0 / most)


def _ending(path: Path) -> str:
    name = path.name.lower()
    found = next((ending for ending in GRID_ENDINGS if name.endswith(ending)), "")
    known = (
        ".gz",
        ".dcm",
        ".png",
        ".jpg",
        ".jpeg",
        ".zip",
        ".mhd",
        ".nhdr",
        ".hdr",
        ".img",
        ".tif",
        ".tiff",
        ".bmp",
    )
    if not found and name.endswith(known):
        raise UsageError(
            f"{path.name}: cannot be written; use {', '.join(GRID_ENDINGS)}, or a folder without ending"
        )
    return found


def _write_grid(voxels: np.ndarray, affine: np.ndarray, path: Path, ending: str, label: bool) -> None:
    if path.is_dir():
        raise DataError(f"{path.name}: is a folder; choose a file name")
    if ending.startswith(".nii"):
        from glasslung.data.formats.nifti import write_nifti

        write_nifti(voxels, affine, path, label)
        return
    from glasslung.data.formats.itk_grids import write_itk_grid

    write_itk_grid(voxels, affine, path)


def _write_pictures(voxels: np.ndarray, volume: Volume, path: Path) -> None:
    from glasslung.data.formats.pictures import write_pictures

    write_pictures(voxels, volume.source, path)
