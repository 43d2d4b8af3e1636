"""DICOM series with a made identity in every place where real ones hide, and helpers to look for it."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from glasslung.data.deidentification import Options, Places, Result, deidentify
from glasslung.data.formats import DicomLabel, write_volume
from glasslung.types import Intensity, Volume

# A made patient; none of these words stands in any list of the standard.
NAME, NUMBER, ACCESSION, PLACE = (
    "Quastenberg^Friedebert",
    "QX-4417-0093",
    "ACC20210317Z9",
    "Klinikum Nordhausen",
)
BIRTH, FIRST, SECOND = "19470615", "20210317", "20210329"
PLANTED = ("quastenberg", "friedebert", "4417-0093", "acc20210317z9", "nordhausen", BIRTH, FIRST, SECOND)


def small_chest() -> Volume:
    """Three slices from air to bone."""
    d, h, w = np.indices((3, 12, 16))
    affine = np.array([[0, 0, 0.8, -120], [0, 0.7, 0, -100], [2.5, 0, 0, -300], [0, 0, 0, 1]], dtype=float)
    return Volume((-300 + 650 * np.sin(h / 3 + d) * np.cos(w / 4)).astype(np.int16), affine, Intensity.HU)


def identified(
    folder: Path, date: str = FIRST, time: str = "221530", volume: Volume | None = None
) -> list[Path]:
    """A series of a named patient: names in tags, nested sequences, private tags, file meta, preamble."""
    write_volume(volume or small_chest(), folder, DicomLabel("P1", "A^B"))
    files = sorted(folder.glob("*.dcm"))
    study = f"1.2.276.0.7230010.3.1.2.{date}.1"
    for n, file in enumerate(files):
        ds = pydicom.dcmread(file)
        ds.PatientName, ds.PatientID, ds.PatientBirthDate = NAME, NUMBER, BIRTH
        ds.PatientSex, ds.PatientAge = "F", "073Y"
        ds.AccessionNumber, ds.InstitutionName, ds.ReferringPhysicianName = ACCESSION, PLACE, "Dr^Wunderlich"
        ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = date
        ds.StudyTime = ds.SeriesTime = time
        ds.AcquisitionTime = ds.ContentTime = f"{int(time) + n % 25:06d}"
        ds.AcquisitionDateTime = f"{date}{int(time) + n % 25:06d}.250000+0100"
        ds.StudyInstanceUID, ds.SeriesInstanceUID = study, f"{study}.5"
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"{study}.5.{n + 1}"
        ds.FrameOfReferenceUID = f"{study}.9"
        ds.Manufacturer, ds.ManufacturerModelName, ds.StationName = (
            "SIEMENS",
            "Definition Edge",
            "CTAWP77301",
        )
        ds.SeriesDescription, ds.ProtocolName = f"Thorax {NAME}", "Lunge nativ Quastenberg"
        ds.BodyPartExamined, ds.ConvolutionKernel = "CHEST", "B70f"
        person = Dataset()
        person.PersonAddress, person.InstitutionName = "Friedebertweg 3, Nordhausen", PLACE
        ds.RequestAttributesSequence = [person]
        block = ds.private_block(0x0029, "QUASTENBERG TOOLS", create=True)
        block.add_new(0x10, "LO", NAME)
        block.add_new(0x11, "UN", b"seen by Quastenberg \x00\x01")
        ds.file_meta.SourceApplicationEntityTitle = "NORDHAUSEN"
        ds.preamble = b"Friedebert Quastenberg".ljust(128, b"\0")
        ds.save_as(file)
    return files


def run(source: Path, out: Path, keys: Path, options: Options | None = None, keep: bool = False) -> Result:
    """De-identify without a word."""
    return deidentify(Places(source, out, keys), options or Options(), keep, lambda what, done: None)


def all_bytes(folder: Path) -> bytes:
    """Names and contents of all files of a folder, unpacked, in small letters."""
    parts = []
    for path in sorted(folder.rglob("*")):
        parts.append(str(path.relative_to(folder)).encode())
        if path.is_file():
            content = path.read_bytes()
            parts.append(gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content)
    return b"\n".join(parts).lower()


def datasets(folder: Path) -> list[pydicom.Dataset]:
    """All DICOM files of a folder, by position."""
    found = [pydicom.dcmread(path) for path in folder.rglob("*.dcm")]
    return sorted(found, key=lambda ds: (ds.StudyDate, float(ds.ImagePositionPatient[2])))
