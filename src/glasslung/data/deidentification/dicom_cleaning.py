"""One DICOM file de-identified: header made anew, pixels as they are, file meta of our own."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from glasslung.data.deidentification.actions import Action
from glasslung.data.deidentification.headers import Count, Options, Person, clean_header
from glasslung.data.deidentification.streams import NATIVE, clean_pixels
from glasslung.data.deidentification.survey import read_dicom, syntax_of
from glasslung.data.formats.damage import told_plainly

OUR_CLASS = "2.25.233563046217186098170527083436207264083"  # the implementation, not a patient's
OUR_VERSION = "GLASSLUNG"
REMOVED_FROM_FILES = PRIVATE_META, PREAMBLE = "private file meta", "preamble"


def clean_dicom(
    source: Path, person: Person, options: Options, burnt_in: bool
) -> tuple[bytes, Count, set[str]]:
    """One DICOM file without identity: its bytes, how often what was done, and the words that stayed.

    Raises DataError where something the picture needs cannot be made safe.
    """
    dataset = read_dicom(source)
    with told_plainly(source, "its header is damaged"):
        made, count, told = clean_header(dataset, person, options, burnt_in)
        pixels, syntax = clean_pixels(dataset, syntax_of(dataset))
        _add_pixels(made, pixels, syntax)
        if "PatientID" not in made or "PatientName" not in made:
            made.PatientID = made.PatientName = person.pseudonym
        _add_meta(made, syntax)
        content = io.BytesIO()
        made.save_as(content, enforce_file_format=True)
    for name in _meta_removed(dataset):
        count[name, Action.NEW_UID if name == "MediaStorageSOPInstanceUID" else Action.REMOVED] += 1
    return content.getvalue(), count, told


def _add_pixels(made: Any, pixels: bytes, syntax: str) -> None:
    coded = syntax not in NATIVE
    made.add_new(0x7FE00010, "OB" if coded or int(made.BitsAllocated) == 8 else "OW", pixels)
    made["PixelData"].is_undefined_length = coded


def _add_meta(made: Any, syntax: str) -> None:
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = made.SOPClassUID, made.SOPInstanceUID
    meta.TransferSyntaxUID = UID(syntax)
    meta.ImplementationClassUID, meta.ImplementationVersionName = UID(OUR_CLASS), OUR_VERSION
    made.file_meta = meta
    made.preamble = bytes(128)


def _meta_removed(dataset: Any) -> list[str]:
    meta = getattr(dataset, "file_meta", None) or ()
    kept = {
        "MediaStorageSOPClassUID",
        "TransferSyntaxUID",
        "FileMetaInformationVersion",
        "FileMetaInformationGroupLength",
    }
    names = [element.keyword or PRIVATE_META for element in meta]
    preamble = (getattr(dataset, "preamble", None) or b"").strip(b"\0")
    return [name for name in names if name not in kept] + [PREAMBLE] * bool(preamble)
