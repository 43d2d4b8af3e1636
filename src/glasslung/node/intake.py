"""One object becomes part of a study: checked, kept on the disk, written into the queue, in this order.

Whoever brings objects (C-STORE, DICOMweb) comes through here, so that the same is refused on every way, and
nobody is told that an object has arrived before it would survive a power cut.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glasslung.errors import DataError, GlasslungError
from glasslung.node.queue import Queue
from glasslung.node.settings import GIB, MIB, Limits
from glasslung.node.store import Store
from glasslung.node.studies import Admission, Item

LOG = logging.getLogger("glasslung.node")
CT_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.2": "CT Image Storage",
    "1.2.840.10008.5.1.4.1.1.2.1": "Enhanced CT Image Storage",
}
UID_LENGTH = 64


class RefusedObject(GlasslungError):
    """An object that is not taken, with the DICOM status that says why (PS3.4 B.2.3, PS3.7 annex C)."""

    OUT_OF_RESOURCES = 0xA700
    WRONG_CLASS = 0xA900
    CANNOT_UNDERSTAND = 0xC000
    INVALID_INSTANCE = 0x0117

    def __init__(self, status: int, reason: str, for_now: bool = False) -> None:
        """for_now: the same object may be taken later."""
        super().__init__(reason)
        self.status, self.for_now = status, for_now


@dataclass(frozen=True)
class Header:
    """What intake needs of an object's header."""

    sop_class: str
    study: str
    series: str
    uid: str
    patient: str | None
    day: str


class Intake:
    """The door of the store.

    lock  held while files and rows of studies change together: who removes a study holds it, too
    """

    def __init__(self, store: Store, queue: Queue, limits: Limits) -> None:
        self.store, self.queue, self.limits = store, queue, limits
        self.lock = threading.Lock()
        self._full = False
        self._seen: dict[str, float] = {}  # monotonic seconds: no clock that can be set counts here

    def check_room(self) -> None:
        """Refuse while the disk is below its watermark, until it is above the upper one again."""
        free = self.store.free_bytes() / GIB
        full = free < (self.limits.resume_gib if self._full else self.limits.stop_gib)
        if full != self._full:
            self._full = full
            LOG.warning("disk: %.1f GiB free, objects are %s", free, "refused" if full else "taken again")
        if full:
            raise RefusedObject(
                RefusedObject.OUT_OF_RESOURCES, f"the disk is full: {free:.1f} GiB are free", for_now=True
            )

    def check_size(self, size: int) -> None:
        """Refuse an object that is larger than any is expected to be."""
        if size > self.limits.object_mib * MIB:
            raise RefusedObject(
                RefusedObject.OUT_OF_RESOURCES,
                f"an object of {size / MIB:.0f} MiB; object_mib is {self.limits.object_mib}",
            )

    def take(self, part: Path, expected: tuple[str, str] | None = None, fetched: bool = False) -> Admission:
        """Take a whole file of the incoming folder; it is gone from there afterwards, taken or not.

        expected  SOP class and instance that the sender announced
        fetched   the node asked for it, as part of an earlier study
        Raises RefusedObject, and OSError or sqlite3.Error where disk or queue fail.
        """
        try:
            self.check_room()
            self.check_size(part.stat().st_size)
            header = read_header(part)
            _check_header(header, expected)
            item = _item(header, part)
            with self.lock:  # the file and its row, one object at a time
                admission = self._keep(part, item, fetched)
            self._seen[item.key] = time.monotonic()
            return admission
        finally:
            part.unlink(missing_ok=True)

    def _keep(self, part: Path, item: Item, fetched: bool) -> Admission:
        """The file, then its row, then away with what the row no longer names."""
        held = self.queue.holds(item.uid)
        if held is not None and held.study != item.study:
            raise RefusedObject(
                RefusedObject.INVALID_INSTANCE, "the object is known as part of another study"
            )
        if held is None or held.name != item.name:
            self._check_study(item)
            self.store.keep(part, item.key, item.name)
        admission = self.queue.admit(item, fetched)
        if held is not None and held.name != item.name:
            self.store.object_path(item.key, held.name).unlink(missing_ok=True)
        return admission

    def _check_study(self, item: Item) -> None:
        study, limits = self.queue.study(item.key), self.limits
        if study is None:
            return
        if study.objects >= limits.study_objects or study.bytes + item.bytes > limits.study_gib * GIB:
            raise RefusedObject(
                RefusedObject.OUT_OF_RESOURCES,
                f"study {item.key} has {study.objects} objects and {study.bytes / GIB:.2f} GiB; "
                "study_objects and study_gib allow no more",
            )

    def forget(self, key: str) -> None:
        """Nothing more is waited for."""
        self._seen.pop(key, None)

    def seconds_quiet(self, key: str) -> float:
        """For how long nothing of a study has come, counted from the node's start at the earliest."""
        now = time.monotonic()
        return now - self._seen.setdefault(key, now)


def read_header(path: Path) -> Header:
    """What an object says of itself; RefusedObject where it is damaged, cut short or no image."""
    import pydicom

    from glasslung.data.formats.damage import told_plainly
    from glasslung.data.formats.dicom_header import read_frames

    try:
        frames = read_frames(path)
        with told_plainly(path, "it is no readable DICOM file"):
            dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID"])
            sop_class = str(dataset.get("SOPClassUID", ""))
        whole = _pixels_whole(path)
    except DataError as problem:
        raise RefusedObject(
            RefusedObject.CANNOT_UNDERSTAND, "the object is damaged or cut short"
        ) from problem
    if not frames or not whole:
        raise RefusedObject(RefusedObject.CANNOT_UNDERSTAND, "the object holds no whole picture")
    first = frames[0]
    day = first.acquired.strftime("%Y%m%d") if first.acquired else ""
    uid = first.sop.rpartition("/")[0]
    return Header(sop_class, first.study, first.series_uid, uid, first.patient, day)


def _pixels_whole(path: Path) -> bool:
    """Whether the pixels are there to their end; pydicom reads a file that was cut short without a word."""
    import pydicom

    from glasslung.data.formats.damage import told_plainly

    with told_plainly(path, "it is no readable DICOM file"):
        dataset: Any = pydicom.dcmread(path)
        held = len(dataset.get("PixelData") or b"")
        if dataset.file_meta.TransferSyntaxUID.is_compressed:
            return held > 0
        samples = dataset.Rows * dataset.Columns * int(dataset.get("SamplesPerPixel") or 1)
        frames = int(dataset.get("NumberOfFrames") or 1)
        return held >= samples * frames * dataset.BitsAllocated // 8


def _check_header(header: Header, expected: tuple[str, str] | None) -> None:
    if header.sop_class not in CT_CLASSES:
        raise RefusedObject(RefusedObject.WRONG_CLASS, "the object is no CT image")
    if expected is not None and expected != (header.sop_class, header.uid):
        raise RefusedObject(RefusedObject.WRONG_CLASS, "the object is not the one that was announced")
    for uid in (header.study, header.series, header.uid):
        if not is_uid(uid):
            raise RefusedObject(RefusedObject.CANNOT_UNDERSTAND, "an identifier of the object is no UID")


def is_uid(text: str) -> bool:
    """Digits with dots between them, as DICOM PS3.5 section 9.1 has it."""
    parts = text.split(".")
    return len(text) <= UID_LENGTH and len(parts) > 1 and all(p.isascii() and p.isdigit() for p in parts)


def _item(header: Header, part: Path) -> Item:
    from glasslung.data.formats.identity import file_digest, one_way_key

    digest = file_digest(part)
    return Item(
        study=header.study,
        series=header.series,
        uid=header.uid,
        key=one_way_key("study", header.study),
        name=f"{one_way_key('object', header.uid)}-{digest[:8]}.dcm",
        bytes=part.stat().st_size,
        sha256=digest,
        patient=header.patient,
        day=header.day,
    )
