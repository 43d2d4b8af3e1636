"""First look at an input folder: what each file is, whose it is, what it says that must not come out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.data.deidentification.burntin import has_burnt_in_text
from glasslung.data.deidentification.identifiers import Identifiers, identifiers_of
from glasslung.data.deidentification.moments import read_time
from glasslung.data.deidentification.nifti_cleaning import nifti_texts
from glasslung.data.deidentification.picture_cleaning import picture_texts
from glasslung.data.deidentification.setting_aside import Reason, reason_against
from glasslung.data.formats.damage import LIMITS, told_plainly
from glasslung.data.formats.decoder_process import Decoder, decode, is_fragile
from glasslung.data.formats.dicom_header import DEFLATED
from glasslung.data.formats.pictures import read_grey
from glasslung.data.formats.survey import HEAD_BYTES, Kind, kind_of
from glasslung.errors import DataError, GlasslungError

DEFERRED_BYTES = 1 << 16  # larger values are left on disk until they are asked for
NOT_TAKEN = {
    Kind.DICOMDIR: Reason.INDEX,
    Kind.NRRD: Reason.FORMAT,
    Kind.META: Reason.FORMAT,
    Kind.ZIP: Reason.PACKED,
    Kind.OTHER: Reason.UNKNOWN,
}


@dataclass
class Found:
    """One input file.

    number   its place among all files in order of their paths, from 1
    patient  what tells patients apart, an identity: for the memory of this process alone
    """

    number: int
    path: Path
    kind: str
    reason: Reason | None = None
    patient: str = ""
    study: str = ""
    series: str = ""
    sop: str = ""


@dataclass
class Surveyed:
    """All input files, whose they are, and when each study began."""

    files: list[Found] = field(default_factory=list)
    known: dict[str, Identifiers] = field(default_factory=dict)
    begins: dict[str, float] = field(default_factory=dict)


def survey_folder(folder: Path, tell: Callable[[int, int], None]) -> Surveyed:
    """Look at every file of a folder (or at one file); nothing is written.

    A series with one picture that may carry text, or that shows a head, is set aside whole.
    """
    surveyed = Surveyed()
    paths = list(files_below(folder))
    with Decoder() as decoder:
        for number, path in enumerate(paths, start=1):
            found, known, begin = _look_at(number, path, decoder)
            relative = path.relative_to(folder if folder.is_dir() else folder.parent)
            known.add_path(relative)
            surveyed.files.append(found)
            surveyed.known.setdefault(found.patient, Identifiers()).update(known)
            if begin is not None:
                earlier = surveyed.begins.get(found.study, begin)
                surveyed.begins[found.study] = min(begin, earlier)
            tell(number, len(paths))
    _flag_whole_series(surveyed.files)
    return surveyed


def files_below(folder: Path) -> Iterator[Path]:
    """All files of a folder in a fixed order, hidden ones too; links are given and not followed."""
    if folder.is_file():
        yield folder
        return
    for here, folders, names in os.walk(folder, onerror=_stop):
        folders.sort()
        yield from (Path(here, name) for name in sorted(names))


def _stop(error: OSError) -> None:
    raise DataError("a folder of the input cannot be opened; check that you may read all of it") from error


def _flag_whole_series(files: list[Found]) -> None:
    flagged: dict[str, Reason] = {}
    for found in files:
        if found.series and found.reason in (Reason.BURNT_IN, Reason.HEAD):
            flagged.setdefault(found.series, found.reason)
    for found in files:
        if found.series and found.reason is None:
            found.reason = flagged.get(found.series)


def _look_at(number: int, path: Path, decoder: Decoder) -> tuple[Found, Identifiers, float | None]:
    found, known = Found(number, path, "link"), Identifiers()
    if path.is_symlink() or not path.is_file():
        found.reason = Reason.LINK
        return found, known, None
    found.kind, found.patient = Kind.OTHER.value, f"files {path.parent}"
    try:
        kind = kind_of(path)
        found.kind, found.reason = kind.value, NOT_TAKEN.get(kind)
        if kind is Kind.DICOM:
            return _look_at_dicom(found, decoder)
        if kind is Kind.NIFTI:
            for text in nifti_texts(path):
                known.add_weak(text)
        elif kind is Kind.PICTURE:
            _look_at_picture(found, known)
    except GlasslungError:
        found.reason = Reason.DAMAGED
    return found, known, None


def _look_at_picture(found: Found, known: Identifiers) -> None:
    found.series = f"pictures {found.path.parent}"
    for text in picture_texts(found.path)[1]:
        known.add_weak(text)
    if has_burnt_in_text(read_grey(found.path)):
        found.reason = Reason.BURNT_IN


def read_dicom(path: Path) -> Any:
    """One DICOM file, large values left on disk until they are asked for."""
    import pydicom

    with told_plainly(path, "it is no readable DICOM file"):
        _check_deflated(path)
        dataset = pydicom.dcmread(path, force=True, defer_size=DEFERRED_BYTES)
        if not len(dataset):
            raise DataError(f"{path.name}: holds no attributes; copy it again from its source")
        return dataset


def _check_deflated(path: Path) -> None:
    """A deflated header may unfold to a thousand times its size."""
    with path.open("rb") as file:
        deflated = DEFLATED.encode() in file.read(HEAD_BYTES)
    if deflated and path.stat().st_size > LIMITS.deflated_dicom_bytes:
        raise DataError(f"{path.name}: a large deflated DICOM file; unpack it (gdcmconv --raw) first")


def syntax_of(dataset: Any) -> str:
    """The transfer syntax, from the file meta or from how the file could be read."""
    meta = getattr(dataset, "file_meta", None)
    if meta is not None and "TransferSyntaxUID" in meta:
        return str(meta.TransferSyntaxUID)
    implicit, little = dataset.original_encoding
    if little is False:
        return "1.2.840.10008.1.2.2"
    return "1.2.840.10008.1.2" if implicit is not False else "1.2.840.10008.1.2.1"


def _look_at_dicom(found: Found, decoder: Decoder) -> tuple[Found, Identifiers, float | None]:
    known, begin = Identifiers(), None
    try:
        dataset = read_dicom(found.path)
        with told_plainly(found.path, "its header is damaged"):
            known = identifiers_of(dataset)
            found.study, found.series, found.sop = (
                str(dataset.get(name) or "").strip()
                for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
            )
            found.patient = patient_of(dataset)
            begin = begin_of(dataset)
            found.reason = reason_against(dataset)
        if found.reason is None and _shows_text(found.path, dataset, decoder):
            found.reason = Reason.BURNT_IN
    except GlasslungError:
        found.reason = Reason.DAMAGED
    return found, known, begin


def patient_of(dataset: Any) -> str:
    """What tells patients apart: the id, or name and birth date, or the study where there is neither."""
    number = str(dataset.get("PatientID") or "").strip()
    if number:
        return f"id {number}"
    name = str(dataset.get("PatientName") or "").strip()
    if name:
        return f"name {name} {dataset.get('PatientBirthDate') or ''}"
    return f"study {dataset.get('StudyInstanceUID') or dataset.get('SOPInstanceUID') or ''}"


def begin_of(dataset: Any) -> float | None:
    """When the study began, seconds since midnight, by the first clock time that its header gives."""
    names = ("StudyTime", "SeriesTime", "AcquisitionTime", "ContentTime")
    times = (read_time(str(dataset.get(name) or "").strip()) for name in names)
    return next((time for time in times if time is not None), None)


def _shows_text(path: Path, dataset: Any, decoder: Decoder) -> bool:
    count = int(dataset.get("NumberOfFrames") or 1)
    return any(has_burnt_in_text(_frame(path, dataset, n, decoder)) for n in range(count))


def _frame(path: Path, dataset: Any, index: int, decoder: Decoder) -> np.ndarray:
    from pydicom.uid import UID

    with told_plainly(path, "its pixels are damaged or cut short"):
        dataset.ensure_file_meta()
        if "TransferSyntaxUID" not in dataset.file_meta:
            dataset.file_meta.TransferSyntaxUID = UID(syntax_of(dataset))
        if is_fragile(dataset):
            return decoder.stored_values(path, index)
        values = np.asarray(decode(dataset, path, index))
        return values if values.ndim == 2 else values.max(axis=-1)
