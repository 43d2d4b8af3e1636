"""What the queue holds: studies, where each stands, and objects."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class State(StrEnum):
    """Where a study stands; the head of `queue.py` tells what each means."""

    RECEIVED = "received"
    COMPLETE = "complete"
    ANALYSING = "analysing"
    SENDING = "sending"
    SENT = "sent"
    KEPT = "kept"
    FAILED = "failed"


class Admission(StrEnum):
    """What an object was to the node."""

    NEW = "new"
    REPLACED = "replaced"
    KNOWN = "known"


@dataclass(frozen=True)
class Item:
    """One object: identifiers by which it is known, and what the queue needs of its header.

    study, series, uid  DICOM identifiers; `key`, `name` are the names on disk made from them
    patient             one-way key, or None where the header has no patient
    day                 'YYYYMMDD' of the scan, '' where unknown
    """

    study: str
    series: str
    uid: str
    key: str
    name: str
    bytes: int
    sha256: str
    patient: str | None
    day: str


class Held(NamedTuple):
    """An object that is known: its study's UID, its name on disk, its content."""

    study: str
    name: str
    sha256: str


@dataclass(frozen=True)
class Study:
    """A row of the queue.

    number    order of arrival
    patient   one-way key; None where the header has no patient, or the objects have several
    patients  how many patients its objects have
    day       of the scan, 'YYYYMMDD'; '' where unknown
    changed   when it was last written, seconds since 1970: for show and for the removal of old studies
    """

    number: int
    key: str
    uid: str
    fetched: bool
    state: State
    revision: int
    tries: int
    reason: str
    remark: str
    changed: float
    objects: int
    bytes: int
    patients: int
    patient: str | None
    day: str

    @property
    def name(self) -> str:
        """Of its story and its results."""
        return f"{self.key}-{self.revision}"


def study_of(row: tuple) -> Study:
    """A study from a row of the queue's query, whose columns come in the order of its fields."""
    number, key, uid, fetched, state, *rest = row
    return Study(number, key, uid, bool(fetched), State(state), *rest)
