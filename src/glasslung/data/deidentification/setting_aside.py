"""Which files are not handed on, and why."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from glasslung.data.formats.dicom_header import CT_CLASSES
from glasslung.data.formats.header_words import known_body_part

# Storage classes of pictures that are photographs of a screen: multi-frame ones too.
CAPTURES = {"1.2.840.10008.5.1.4.1.1.7", *(f"1.2.840.10008.5.1.4.1.1.7.{n}" for n in (1, 2, 3, 4))}
HEADS = frozenset({
    "HEAD", "BRAIN", "HEADNECK", "NECK", "FACE", "SKULL", "SCALP", "CIRCLEOFWILLIS", "IAC", "JAW", "MAXILLA",
    "NOSE", "ORBIT", "WHOLEBODY", "NECKCHEST", "NECKCHESTABDOMEN", "NECKCHESTABDPELV", "EAR", "EYE", "TMJ",
})  # fmt: skip
_SCREENS = re.compile(r"SCREEN|DOSE|PROT(OCOL)?\b|POSDISP|CAPTURE|REPORT|CSAPARALLEL|TEXT")
_SCOUTS = re.compile(r"LOCALIZER|SCOUT|TOPOGRAM|SURVIEW")


class Reason(StrEnum):
    """Why a file stands aside; `FLAGS` are those that a person may overrule after looking."""

    BURNT_IN = "text may be burnt into the picture"
    CAPTURE = "a screenshot or secondary capture, which often shows names"
    SCOUT = "a localiser, which is no CT slice and often carries text"
    SCREEN = "a dose or protocol page kept as a picture"
    HEAD = "the head is in the picture: a face can be drawn from it"
    NO_PICTURE = "a report, a document or a plan, not a picture: free text cannot be made safe"
    OTHER_PICTURE = "a picture of another kind than CT, for which no list of safe attributes is kept"
    INDEX = "the index of a DICOM disc, which names the patients"
    FORMAT = "a format that is not de-identified here; convert it to NIfTI first"
    PACKED = "a zip; unpack it first"
    UNKNOWN = "no scan"
    LINK = "a link to another place, which is not followed"
    DAMAGED = "damaged, or coded in a way that cannot be made safe"
    NEEDED = "an attribute that the picture needs is damaged or holds an identifier"
    COPY = "the same instance as a file before it"


FLAGS = frozenset({Reason.BURNT_IN, Reason.CAPTURE, Reason.SCOUT, Reason.SCREEN, Reason.HEAD})


@dataclass(frozen=True)
class Aside:
    """One file that was set aside: its number among the input's files in order of their paths, and why."""

    number: int
    kind: str
    reason: Reason


def reason_against(dataset: Any) -> Reason | None:
    """Why a DICOM file cannot simply be handed on, by its header; None for a CT image of a trunk."""
    kind = str(dataset.get("SOPClassUID") or "")
    image_type = " ".join(map(str, _many(dataset.get("ImageType")))).upper()
    if "Rows" not in dataset or "PixelData" not in dataset:
        return Reason.NO_PICTURE
    if kind in CAPTURES or str(dataset.get("BurnedInAnnotation") or "").strip().upper() == "YES":
        return Reason.CAPTURE if kind in CAPTURES else Reason.BURNT_IN
    if kind not in CT_CLASSES and str(dataset.get("Modality") or "CT").strip().upper() != "CT":
        return Reason.OTHER_PICTURE
    if _SCREENS.search(image_type):
        return Reason.SCREEN
    if _SCOUTS.search(image_type):
        return Reason.SCOUT
    if int(dataset.get("SamplesPerPixel") or 1) != 1:
        return Reason.SCREEN
    told = ("BodyPartExamined", "SeriesDescription", "ProtocolName", "StudyDescription")
    parts = {known_body_part(str(dataset.get(name) or "")) for name in told}
    return Reason.HEAD if parts & HEADS and "CHEST" not in parts else None


def _many(value: Any) -> list[Any]:
    return [value] if isinstance(value, str) or not hasattr(value, "__iter__") else list(value)
