"""A Volume becomes a DICOM series, under no name but the one that is given."""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.data.formats.damage import told_plainly
from glasslung.errors import DataError
from glasslung.files import whole_folder
from glasslung.types import DISCLAIMER, Intensity, Volume

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
SHEARED = 1e-4  # cosine between rows and columns beyond which DICOM cannot hold a slice


@dataclass(frozen=True)
class DicomLabel:
    """What a written series says of itself; by default nobody.

    patient_id, patient_name  a made-up identity such as 'P001', 'GLASSLUNG^PHANTOM'; never taken from a scan
    acquired                  day and clock time of the scan; None writes none
    number                    series number
    description               series description
    kernel                    convolution kernel
    """

    patient_id: str = ""
    patient_name: str = ""
    acquired: dt.datetime | None = None
    number: int = 1
    description: str = "glasslung"
    kernel: str = ""


def write_dicom(volume: Volume, folder: Path, label: DicomLabel | None = None) -> None:
    """Write a volume in HU as a CT series, one file a slice, whole or not at all.

    Explicit VR little endian, values stored as they are (slope 1, intercept 0). UIDs come from the content,
    so the same volume and label give the same bytes. A reader sorts slices along row x column: a volume whose
    slice axis runs the other way comes back with its slices reversed and its affine to match.
    Raises DataError for 8-bit volumes and for rows and columns that are not perpendicular.
    """
    label = label or DicomLabel()
    if volume.intensity is not Intensity.HU:
        raise DataError(f"{folder.name}: 8-bit grey is no CT in HU; write it as pictures or NIfTI (.nii.gz)")
    down, across = volume.affine[:3, 1], volume.affine[:3, 2]
    if abs(down @ across) / (np.linalg.norm(down) * np.linalg.norm(across)) > SHEARED:
        raise DataError(
            f"{folder.name}: rows and columns are not perpendicular, which DICOM cannot hold; write NIfTI"
        )
    root = _uid_root(volume, label)
    with (
        whole_folder(folder) as part,
        told_plainly(folder, "cannot be written as DICOM", "write it as .nii.gz"),
    ):
        for d in range(volume.shape[0]):
            _slice(volume, d, label, root).save_as(part / f"{d + 1:04d}.dcm", enforce_file_format=True)


def _uid_root(volume: Volume, label: DicomLabel) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(volume.voxels).tobytes())
    digest.update(np.ascontiguousarray(volume.affine).tobytes())
    digest.update(repr(label).encode())
    return digest.hexdigest()


def _uid(root: str, what: str) -> Any:
    """A UID from content, below 2.25 (UIDs made from 128-bit numbers, DICOM PS3.5 B.2)."""
    from pydicom.uid import UID

    return UID(f"2.25.{int(hashlib.sha256(f'{root} {what}'.encode()).hexdigest()[:32], 16)}")


def _slice(volume: Volume, d: int, label: DicomLabel, root: str) -> Any:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian

    sop = _uid(root, f"slice {d}")
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(CT_IMAGE_STORAGE), sop
    meta.TransferSyntaxUID, meta.ImplementationClassUID = ExplicitVRLittleEndian, _uid("glasslung", "writer")
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = CT_IMAGE_STORAGE, sop
    ds.StudyInstanceUID, ds.SeriesInstanceUID = _uid(root, "study"), _uid(root, "series")
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = _uid(root, "frame"), ""
    ds.ImageType, ds.Modality, ds.Manufacturer = ["DERIVED", "SECONDARY", "AXIAL"], "CT", "glasslung"
    _describe(ds, volume, label)
    ds.SeriesNumber, ds.InstanceNumber, ds.AcquisitionNumber = label.number, d + 1, 1
    _place(ds, volume, d)
    _fill(ds, volume.voxels[d])
    return ds


def _describe(ds: Any, volume: Volume, label: DicomLabel) -> None:
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = (
        label.patient_name,
        label.patient_id,
        "",
        "",
    )
    ds.SeriesDescription, ds.ConvolutionKernel, ds.ImageComments = label.description, label.kernel, DISCLAIMER
    ds.BodyPartExamined = "CHEST"
    ds.ReferringPhysicianName = ds.StudyID = ds.AccessionNumber = ""
    day, clock = (
        (label.acquired.strftime("%Y%m%d"), label.acquired.strftime("%H%M%S")) if label.acquired else ("", "")
    )
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = day
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = clock


def _place(ds: Any, volume: Volume, d: int) -> None:
    from pydicom.valuerep import DSfloat

    def ds_text(values: Any) -> list[Any]:
        return [DSfloat(float(value), auto_format=True) for value in values]

    _step_mm, row_mm, column_mm = volume.spacing_mm
    down, across = volume.affine[:3, 1] / row_mm, volume.affine[:3, 2] / column_mm
    ds.ImageOrientationPatient = ds_text([*across, *down])
    ds.ImagePositionPatient = ds_text(volume.affine[:3, 0] * d + volume.affine[:3, 3])
    ds.PixelSpacing = ds_text([row_mm, column_mm])
    ds.SliceThickness = ds_text([abs(float(np.cross(across, down) @ volume.affine[:3, 0]))])[0]
    ds.SliceLocation = ds_text(
        [float(np.cross(across, down) @ (volume.affine[:3, 0] * d + volume.affine[:3, 3]))]
    )[0]


def _fill(ds: Any, pixels: np.ndarray) -> None:
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "HU"
    ds.WindowCenter, ds.WindowWidth = "-600", "1500"
    ds.PixelData = np.ascontiguousarray(pixels, dtype="<i2").tobytes()
