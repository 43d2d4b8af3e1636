"""Results go to a destination: by C-STORE, or by STOW to a DICOMweb server.

What a destination has taken is written down at once, so that after a kill only the rest is sent again. A
result sent twice is stored once, because it keeps its UID. A destination that cannot be reached or has no
room is tried again later; one that will not take a result says so in a status, and the study is set aside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glasslung.errors import GlasslungError
from glasslung.node.settings import Destination, Place

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
IMPLICIT = "1.2.840.10008.1.2"
SECONDS = 60.0


class Unreachable(GlasslungError):
    """A destination that cannot be reached, or has no room, for now."""


class RefusedResult(GlasslungError):
    """A result that its destination will not take."""


@dataclass(frozen=True)
class Result:
    """One file to be sent."""

    path: Path
    sop_class: str
    uid: str
    syntax: str

    @property
    def kind(self) -> str:
        """'segmentation', 'report', 'pdf', 'map', or the storage class where it is none of these."""
        return KIND_OF.get(self.sop_class, self.sop_class)


def read_result(path: Path) -> Result:
    """What a file of ours is, by its file meta."""
    from pydicom.filereader import read_file_meta_info

    meta = read_file_meta_info(path)
    return Result(
        path,
        str(meta.MediaStorageSOPClassUID),
        str(meta.MediaStorageSOPInstanceUID),
        str(meta.TransferSyntaxUID),
    )


def wanted(destination: Destination, paths: Sequence[Path]) -> list[Path]:
    """Those results whose kind a destination takes."""
    return [path for path in paths if read_result(path).kind in destination.results]


def send(destination: Destination, own_title: str, paths: Sequence[Path]) -> Iterator[Path]:
    """Send results one by one; each is handed back when the destination has said that it holds it.

    Raises Unreachable, RefusedResult.
    """
    results = [read_result(path) for path in paths]
    if destination.url:
        from glasslung.node.dicomweb import send_results

        yield from send_results(destination, results)
    else:
        yield from _store(destination, own_title, results)


def _store(destination: Destination, own_title: str, results: Sequence[Result]) -> Iterator[Path]:
    contexts = [(one.sop_class, sorted({one.syntax, IMPLICIT}, reverse=True)) for one in results]
    association = associate(destination, own_title, contexts, destination.name)
    try:
        for one in results:
            _check_status(_store_one(association, one, destination), one, destination)
            yield one.path
    finally:
        association.release()


def associate(place: Place, own_title: str, contexts: Sequence[tuple[str, list[str]]], name: str) -> Any:
    """An association with a DICOM application; Unreachable where there is none."""
    from pynetdicom import AE

    from glasslung.node.receiving import quiet_library

    quiet_library()
    ae = AE(own_title)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ae.connection_timeout = SECONDS
    for sop_class, syntaxes in dict(contexts).items():
        ae.add_requested_context(sop_class, syntaxes)
    association = ae.associate(place.address, place.port, ae_title=place.title)
    if not association.is_established:
        how = "rejects us" if association.is_rejected else "cannot be reached"
        raise Unreachable(f"{name} {how}")
    return association


def _store_one(association: Any, result: Result, destination: Destination) -> int:
    try:
        answer = association.send_c_store(result.path)
    except ValueError as error:  # no presentation context was accepted for its class
        raise RefusedResult(
            f"{destination.name} takes no {result.kind}: leave it out of its results"
        ) from error
    except RuntimeError as error:
        raise Unreachable(f"{destination.name} ended the association") from error
    if "Status" not in answer:
        raise Unreachable(f"{destination.name} did not answer")
    return int(answer.Status)


def _check_status(status: int, result: Result, destination: Destination) -> None:
    """Success, warnings and "duplicate" mean that it is stored (PS3.4 table B.2-1, PS3.7 annex C)."""
    if status in (0x0000, 0x0111) or status & 0xF000 == 0xB000:
        return
    if status & 0xFF00 == 0xA700:
        raise Unreachable(f"{destination.name} has no room (status {status:04X})")
    raise RefusedResult(f"{destination.name} refused the {result.kind} (status {status:04X})")
