"""What one DICOM slice says of itself, before any pixel is read and without any identity kept."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glasslung.data.formats.damage import COPY_AGAIN, LIMITS, told_plainly
from glasslung.data.formats.header_words import (
    is_sharp,
    known_body_part,
    known_kernel,
    known_modality,
    known_number,
)
from glasslung.data.formats.identity import one_way_key
from glasslung.errors import DataError

# Storage classes that say the modality where the tag is missing (CT, Enhanced, Legacy Converted Enhanced CT).
CT_CLASSES = {"1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2"}
OLDEST_YEARS = 125
DEFLATED = "1.2.840.10008.1.2.1.99"

TAGS = [
    "ImageType", "SOPClassUID", "SOPInstanceUID", "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate",
    "AcquisitionDateTime", "StudyTime", "SeriesTime", "AcquisitionTime", "ContentTime", "Modality",
    "SeriesDescription", "ProtocolName", "PatientName", "PatientID", "PatientBirthDate", "PatientAge",
    "PatientSex", "BodyPartExamined", "SliceThickness", "SpacingBetweenSlices", "ConvolutionKernel",
    "StudyInstanceUID", "SeriesInstanceUID",
    "SeriesNumber", "AcquisitionNumber", "InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient",
    "TemporalPositionIdentifier", "TemporalPositionIndex", "TriggerTime", "NominalPercentageOfCardiacPhase",
    "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns", "PixelSpacing",
    "BitsAllocated", "BitsStored", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit",
    "RescaleIntercept", "RescaleSlope", "ModalityLUTSequence", "WindowCenter", "WindowWidth",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
]  # fmt: skip
# What tells two acquisitions at one table position apart, in the order in which it is tried.
PHASE_TAGS = (
    "AcquisitionNumber", "TemporalPositionIdentifier", "TemporalPositionIndex",
    "NominalPercentageOfCardiacPhase", "TriggerTime", "AcquisitionDateTime", "AcquisitionTime",
    "ConvolutionKernel",
)  # fmt: skip


@dataclass(frozen=True)
class Frame:
    """One slice: where its pixels are, where it lies, and what its values mean.

    path, index     the file and the frame inside it (0 in an ordinary file)
    patient, series one-way keys; `series_uid` and `number` are kept to let a person pick a series
    modality, body_part, kernel  known terms only; `sharp` is judged on all that the header says of the kernel
    words           the description, in lower case, to tell scout views: never to be shown
    position        (3,) LPS mm of the first pixel's centre, or None
    rows_cols       (6,) cosines: along a row (columns grow), then along a column (rows grow), or None
    pixel_mm        (row distance, column distance) mm, or None
    slope, intercept  stored value -> HU, or None where the file has no rescale
    phases          values of PHASE_TAGS, '' where missing
    age_years, male the patient's, or None
    """

    path: Path
    index: int
    sop: str
    patient: str | None
    study: str
    series: str
    series_uid: str
    number: str
    modality: str | None
    image_type: tuple[str, ...]
    words: str
    body_part: str | None
    kernel: str | None
    sharp: bool
    acquired: dt.datetime | None
    instance: int
    size: tuple[int, int]
    bits: int
    samples: int
    photometric: str
    position: tuple[float, ...] | None
    rows_cols: tuple[float, ...] | None
    pixel_mm: tuple[float, ...] | None
    thickness_mm: float | None
    slope: float | None
    intercept: float | None
    window: tuple[float, float] | None
    phases: tuple[str, ...]
    age_years: float | None = None
    male: bool | None = None


def read_frames(path: Path) -> list[Frame]:
    """All slices of one DICOM file; empty when the file holds no picture (a report, a plan).

    Raises DataError, naming the file, when the header is damaged or promises more than the file can hold.
    """
    import pydicom

    with told_plainly(path, "it is no readable DICOM file"):
        dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(TAGS), force=True)
        meta = getattr(dataset, "file_meta", None)
        syntax = str(meta.get("TransferSyntaxUID", "")) if meta else ""
        size = path.stat().st_size
        if syntax == DEFLATED and size > LIMITS.deflated_dicom_bytes:
            raise DataError(
                f"{path.name}: a deflated DICOM file of {size} bytes; unpack it (gdcmconv --raw) first"
            )
        if "Rows" not in dataset or "Columns" not in dataset:
            return []
        count = int(dataset.get("NumberOfFrames") or 1)
        _check_frames(path, dataset, count, size, syntax)
        return [_frame_of(path, dataset, index, count) for index in range(count)]


def _check_frames(path: Path, dataset: Any, count: int, size: int, syntax: str) -> None:
    """Compare what the header promises with the size of the file, before anything of that size is made."""
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    pixels = rows * columns
    if not 0 < pixels <= LIMITS.slice_pixels or count < 1:
        raise DataError(
            f"{path.name}: its header says {count} slices of {rows} x {columns} pixels; {COPY_AGAIN}"
        )
    bits_each = pixels * int(dataset.get("BitsAllocated") or 16) * int(dataset.get("SamplesPerPixel") or 1)
    raw = syntax in ("", "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
    promised = bits_each * count // 8
    if promised > (size if raw else LIMITS.volume_bytes) or count > size:
        raise DataError(
            f"{path.name}: its header promises {promised} bytes of pixels ({count} slices) and the file has "
            f"{size}: it was cut short or its header is damaged; {COPY_AGAIN}"
        )


def _frame_of(path: Path, ds: Any, index: int, count: int) -> Frame:
    groups = _groups(ds, index) if count > 1 or "PerFrameFunctionalGroupsSequence" in ds else []

    def get(tag: str) -> Any:
        return next((item[tag].value for item in groups if tag in item), ds.get(tag))

    series_uid = _text(ds.get("SeriesInstanceUID"))
    modality = known_modality(_text(ds.get("Modality"))) or (
        "CT" if _text(ds.get("SOPClassUID")) in CT_CLASSES else None
    )
    kernel = "/".join(_texts(get("ConvolutionKernel")))
    return Frame(
        path=path,
        index=index,
        sop=f"{_text(ds.get('SOPInstanceUID'))}/{index}",
        patient=_patient_key(ds),
        study=_text(ds.get("StudyInstanceUID")),
        series=one_way_key("series", series_uid) if series_uid else "",
        series_uid=series_uid,
        number=known_number(_text(ds.get("SeriesNumber"))),
        modality=modality,
        image_type=tuple(_texts(ds.get("ImageType"))) + tuple(_texts(get("FrameType"))),
        words=f"{_text(ds.get('SeriesDescription'))} {_text(ds.get('ProtocolName'))}".lower(),
        body_part=known_body_part(_text(get("BodyPartExamined"))),
        kernel=known_kernel(kernel),
        sharp=is_sharp(kernel),
        acquired=_acquired(ds),
        instance=_whole(get("InstanceNumber")),
        size=(int(ds.Rows), int(ds.Columns)),
        bits=int(ds.get("BitsStored") or ds.get("BitsAllocated") or 16),
        samples=int(ds.get("SamplesPerPixel") or 1),
        photometric=_text(ds.get("PhotometricInterpretation")).upper(),
        position=_numbers(get("ImagePositionPatient"), 3),
        rows_cols=_numbers(get("ImageOrientationPatient"), 6),
        pixel_mm=_numbers(get("PixelSpacing"), 2),
        thickness_mm=_number(get("SpacingBetweenSlices")) or _number(get("SliceThickness")),
        slope=_number(get("RescaleSlope")),
        intercept=_number(get("RescaleIntercept")),
        window=_window(get("WindowCenter"), get("WindowWidth")),
        phases=tuple(_text(get(tag)) for tag in PHASE_TAGS),
        age_years=_age(_text(ds.get("PatientAge"))),
        male={"M": True, "F": False}.get(_text(ds.get("PatientSex")).upper()),
    )


def _groups(ds: Any, index: int) -> list[Any]:
    """The functional groups that hold for one frame, its own before the shared ones, flattened one level."""
    per_frame, shared = (
        ds.get("PerFrameFunctionalGroupsSequence") or [],
        ds.get("SharedFunctionalGroupsSequence") or [],
    )
    owners = ([per_frame[index]] if index < len(per_frame) else []) + list(shared[:1])
    return [item for owner in owners for element in owner if element.VR == "SQ" for item in element.value[:1]]


def _patient_key(ds: Any) -> str | None:
    """Hash of the patient's id, or of name and birth date without one; None where there is neither."""
    patient_id = _text(ds.get("PatientID"))
    if patient_id:
        return one_way_key("patient", patient_id)
    name = _text(ds.get("PatientName"))
    return one_way_key("patient", f"{name}\n{_text(ds.get('PatientBirthDate'))}") if name else None


def _age(text: str) -> float | None:
    """Years out of '063Y', '018M', '006W' or '010D'; None for anything else, and for ages nobody reaches."""
    days = {"Y": 365.25, "M": 30.44, "W": 7.0, "D": 1.0}
    if not (len(text) == 4 and text[:3].isdigit() and text[3] in days):
        return None
    years = int(text[:3]) if text[3] == "Y" else int(text[:3]) * days[text[3]] / days["Y"]
    return float(years) if years <= OLDEST_YEARS else None


def _acquired(ds: Any) -> dt.datetime | None:
    """When the scan was taken: the most specific date of the header, with its clock time if it has one."""
    stamp = _text(ds.get("AcquisitionDateTime"))
    pairs = [(_text(ds.get("AcquisitionDate")), _text(ds.get("AcquisitionTime"))), (stamp[:8], stamp[8:14])]
    pairs += [(_text(ds.get(f"{w}Date")), _text(ds.get(f"{w}Time"))) for w in ("Content", "Series", "Study")]
    for day, clock in pairs:
        try:
            date = dt.datetime.strptime(day.replace(".", ""), "%Y%m%d")
        except ValueError:
            continue
        digits = clock.replace(":", "")[:6]
        try:
            time = dt.datetime.strptime(digits.ljust(6, "0"), "%H%M%S").time()
        except ValueError:
            return date
        return dt.datetime.combine(date, time) if digits else date
    return None


def _text(value: Any) -> str:
    """The value as one printable line: damaged headers hold anything, and messages are one line."""
    return "" if value is None else "".join(char for char in str(value) if char.isprintable()).strip()


def _texts(value: Any) -> list[str]:
    if value is None or value == "":
        return []
    many: Iterable[Any] = (
        [value] if isinstance(value, str) or not isinstance(value, Sequence | Iterable) else value
    )
    return [_text(each) for each in many]


def _whole(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0


def _number(value: Any) -> float | None:
    """A finite number, or None where the tag is missing or empty. Damaged numbers raise."""
    if value is None or value == "":
        return None
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("a number of the header is not finite")
    return number


def _numbers(value: Any, count: int) -> tuple[float, ...] | None:
    if value is None or value == "" or len(value) == 0:
        return None
    numbers = tuple(float(each) for each in value)
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise ValueError("the header's geometry is damaged")
    return numbers


def _window(centre: Any, width: Any) -> tuple[float, float] | None:
    """The first window of the header as (low, high), or None."""
    try:
        c, w = (float(v) if isinstance(v, int | float | str) else float(v[0]) for v in (centre, width))
    except (TypeError, ValueError, IndexError):
        return None
    return (c - w / 2, c + w / 2) if math.isfinite(c) and math.isfinite(w) and w > 0 else None
