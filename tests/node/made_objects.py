"""Small CT objects as files, and settings of nodes that take them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from glasslung.node.settings import Destination, Limits, NodeSettings, Peer, Sending, Work

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
SEG = "1.2.840.10008.5.1.4.1.1.66.4"
LITTLE = Limits(object_mib=1, stop_gib=0.0, resume_gib=0.0, idle_seconds=20.0)


def uid_of(*words: object) -> str:
    """A UID that is the same for the same words."""
    return f"2.25.{int(hashlib.sha256(repr(words).encode()).hexdigest()[:24], 16)}"


def ct_object(
    patient: str = "P1",
    day: str = "20200302",
    slice_: int = 0,
    *,
    study: str = "",
    sop_class: str = CT,
    side=8,
):
    """One slice as a pydicom dataset; `study` is a word for it, by default patient and day."""
    study = study or f"{patient} {day}"
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = uid_of(study, slice_)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, uid_of(study, slice_)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid_of(study), uid_of(study, "series")
    ds.PatientID, ds.PatientName, ds.Modality = patient, f"NAME^OF {patient}", "CT"
    ds.StudyDate = ds.AcquisitionDate = day
    ds.InstanceNumber = slice_ + 1
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, slice_], [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing, ds.SliceThickness = [1, 1], 1
    ds.Rows = ds.Columns = side
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 1
    ds.RescaleSlope, ds.RescaleIntercept = 1, 0
    ds.PixelData = np.full((side, side), slice_, "<i2").tobytes()
    return ds


def write_object(folder: Path, name: str = "", **what) -> Path:
    """The same as a file."""
    folder.mkdir(parents=True, exist_ok=True)
    ds = ct_object(**what)
    path = folder / (name or f"{ds.SOPInstanceUID}.dcm")
    ds.save_as(path, enforce_file_format=True)
    return path


def made_settings(folder: Path, **changes) -> NodeSettings:
    """A node that anybody on this machine called SCU may send to, and that waits for nothing."""
    asked = {
        "peers": (Peer("SCU", ("127.0.0.1",)),),
        "destinations": (Destination(title="PACS", address="127.0.0.1", port=9, name="pacs"),),
        "port": 0,
        "limits": LITTLE,
        "work": Work(quiet_seconds=0.0, segmenter="none", classifier="none", prognosis="none"),
        "sending": Sending(first_seconds=1e-6, longest_seconds=1e-6),
        **changes,
    }
    return NodeSettings(folder, **asked)


def write_result(path: Path, words: object, sop_class: str = SEG) -> Path:
    """A result whose UID comes from the words, as those of real results come from their content."""
    ds = ct_object(study=f"result {words}", sop_class=sop_class, side=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return path
