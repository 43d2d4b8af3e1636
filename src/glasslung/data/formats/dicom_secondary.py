"""A made picture as a DICOM secondary capture that says of itself, in every place a reader looks, that it
is made.

Not a CT image: it has no Hounsfield units, no geometry and no patient, and must never be taken for one.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.errors import ShapeError
from glasslung.files import whole_file
from glasslung.types import DISCLAIMER

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
SYNTHETIC_IMAGE = "SYN"  # conversion type, DICOM PS3.3 C.8.6.1
MOST_COMMENT = 10_240  # characters of a long text, of which readers show the beginning


def write_secondary_capture(picture: np.ndarray, path: Path, name: str, story: str) -> None:
    """Write one made picture (H, W) uint8 as a secondary capture, whole or not at all.

    name   what it is called, 'synthetic-0001': patient's id and series of their own, so that no viewer
           lays it beside a real scan
    story  how it was made: run, seed, code, what was checked
    UIDs come from the content: the same picture and story give the same bytes.
    """
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian

    if picture.ndim != 2 or picture.dtype != np.uint8:
        raise ShapeError(f"a secondary capture holds (H, W) uint8, got {picture.shape} {picture.dtype}")
    root = hashlib.sha256(np.ascontiguousarray(picture).tobytes() + f"{name} {story}".encode()).hexdigest()

    def uid(what: str) -> Any:
        return UID(f"2.25.{int(hashlib.sha256(f'{root} {what}'.encode()).hexdigest()[:32], 16)}")

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(SECONDARY_CAPTURE), uid("picture")
    meta.TransferSyntaxUID, meta.ImplementationClassUID = ExplicitVRLittleEndian, uid("writer")
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = SECONDARY_CAPTURE, uid("picture")
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid("study"), uid("series")
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "SYNTHETIC^NOBODY", name, "", ""
    ds.Modality, ds.ConversionType, ds.Manufacturer = "OT", SYNTHETIC_IMAGE, "glasslung"
    ds.ImageType = ["DERIVED", "SECONDARY", "SYNTHETIC"]
    ds.StudyDescription = ds.SeriesDescription = "SYNTHETIC, made by glasslung; not a patient"
    ds.DerivationDescription = story[:1024]
    ds.ImageComments = f"SYNTHETIC IMAGE, NOT A PATIENT. {story} {DISCLAIMER}"[:MOST_COMMENT]
    ds.BurnedInAnnotation = "NO"
    ds.StudyDate = ds.StudyTime = ds.ReferringPhysicianName = ds.StudyID = ds.AccessionNumber = ""
    ds.SeriesNumber, ds.InstanceNumber, ds.PatientOrientation = 1, 1, ""
    ds.Rows, ds.Columns = picture.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8, 8, 7
    pixels = np.ascontiguousarray(picture).tobytes()
    ds.PixelData = pixels + b"\0" * (len(pixels) % 2)  # an even number of bytes, as DICOM asks
    with whole_file(path) as part:
        ds.save_as(part, enforce_file_format=True)
