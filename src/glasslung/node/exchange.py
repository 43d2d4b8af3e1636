"""What is said between the node and the archives it speaks with, whatever the way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from glasslung.errors import GlasslungError

SECONDS = 60.0
"""How long an archive may take to answer; large ones are slow, dead ones never come back."""
DUPLICATE = 0x0111
"""Status of an object that is there already (PS3.7 annex C): sent twice, stored once."""
KIND_OF = {
    "1.2.840.10008.5.1.4.1.1.66.4": "segmentation",
    "1.2.840.10008.5.1.4.1.1.88.11": "report",
    "1.2.840.10008.5.1.4.1.1.88.22": "report",
    "1.2.840.10008.5.1.4.1.1.88.33": "report",
    "1.2.840.10008.5.1.4.1.1.88.34": "report",
    "1.2.840.10008.5.1.4.1.1.104.1": "pdf",
    "1.2.840.10008.5.1.4.1.1.30": "map",
}
"""Storage class of a result -> its kind, as settings name it."""


class Unreachable(GlasslungError):
    """An archive that cannot be reached, or has no room, for now."""


class RefusedResult(GlasslungError):
    """A result that its destination will not take."""


@dataclass(frozen=True)
class Result:
    """One file to be sent: storage class, instance, transfer syntax."""

    path: Path
    sop_class: str
    uid: str
    syntax: str

    @property
    def kind(self) -> str:
        """'segmentation', 'report', 'pdf', 'map', or the storage class where it is none of these."""
        return KIND_OF.get(self.sop_class, self.sop_class)


@dataclass(frozen=True)
class Found:
    """A study that an archive has: its UID, its day 'YYYYMMDD'."""

    uid: str
    day: str


@dataclass(frozen=True)
class Series:
    """A CT series that an archive has; `objects` is 0 where it does not say how many."""

    study: str
    uid: str
    objects: int


def read_result(path: Path) -> Result:
    """What a file of ours is, by its file meta; DataError where it is gone or damaged."""
    from pydicom.filereader import read_file_meta_info

    from glasslung.data.formats.damage import told_plainly

    with told_plainly(path, "the result is damaged", "`glasslung node retry` makes it anew"):
        meta = read_file_meta_info(path)
        return Result(
            path,
            str(meta.MediaStorageSOPClassUID),
            str(meta.MediaStorageSOPInstanceUID),
            str(meta.TransferSyntaxUID),
        )


def check_status(status: int, kind: str, name: str) -> None:
    """Pass where a status says that a result is stored: success, a warning, or that it is there already.

    kind, name  of the result and of its destination, for the message. PS3.4 table B.2-1.
    """
    if status in (0x0000, DUPLICATE) or status & 0xF000 == 0xB000:
        return
    if status & 0xFF00 == 0xA700:
        raise Unreachable(f"{name} has no room (status {status:04X})")
    raise RefusedResult(f"{name} refused the {kind} (status {status:04X})")
