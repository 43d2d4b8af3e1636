"""A DICOM application: results are brought by C-STORE, studies asked for by C-FIND, sent for by C-MOVE."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from glasslung.node.exchange import (
    SECONDS,
    Found,
    RefusedResult,
    Result,
    Series,
    Unreachable,
    check_status,
)
from glasslung.node.settings import Destination, Place

VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT = "1.2.840.10008.1.2"
SYNTAXES = ["1.2.840.10008.1.2.1", IMPLICIT]
FIND = "1.2.840.10008.5.1.4.1.2.2.1"  # Study Root Query/Retrieve, PS3.4 C.6.2
MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
PENDING = (0xFF00, 0xFF01)


def quiet_library() -> None:
    """Keep pynetdicom and pydicom silent: their words quote whole headers."""
    from pynetdicom import _config

    _config.LOG_HANDLER_LEVEL = "none"
    for name in ("pynetdicom", "pydicom"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def store_results(destination: Destination, own_title: str, results: Sequence[Result]) -> Iterator[Result]:
    """Bring results one by one; each is handed back when the destination has said that it holds it.

    Raises Unreachable, RefusedResult.
    """
    contexts = {one.sop_class: sorted({one.syntax, IMPLICIT}, reverse=True) for one in results}
    association = _associate(destination, own_title, contexts, destination.name)
    try:
        for one in results:
            check_status(_store(association, one, destination.name), one.kind, destination.name)
            yield one
    finally:
        association.release()


def find_studies(place: Place, own_title: str, patient: str, until: str) -> list[Found]:
    """CT studies of a patient up to a day 'YYYYMMDD', by C-FIND."""
    query = _query("STUDY", PatientID=patient, StudyDate=f"-{until}", ModalitiesInStudy="CT")
    return [
        Found(str(one.StudyInstanceUID), str(one.get("StudyDate") or ""))
        for one in _ask(place, own_title, query)
        if one.get("StudyInstanceUID") and str(one.get("PatientID") or "").strip() == patient
    ]


def find_series(place: Place, own_title: str, study: str) -> list[Series]:
    """The CT series of a study, by C-FIND."""
    query = _query(
        "SERIES",
        StudyInstanceUID=study,
        SeriesInstanceUID="",
        Modality="CT",
        NumberOfSeriesRelatedInstances="",
    )
    return [
        Series(study, str(one.SeriesInstanceUID), int(one.get("NumberOfSeriesRelatedInstances") or 0))
        for one in _ask(place, own_title, query)
        if one.get("SeriesInstanceUID") and one.get("Modality") == "CT"
    ]


def move_series(place: Place, own_title: str, series: Series) -> None:
    """Have a series sent to our own title, and wait until it is; it comes through the node's own door."""
    wish = _query("SERIES", StudyInstanceUID=series.study, SeriesInstanceUID=series.uid)
    association = _associate(place, own_title, {MOVE: SYNTAXES}, place.title)
    try:
        for status, _ in association.send_c_move(wish, own_title, MOVE):
            _check_pending(status, f"{place.title} could not send a series here: does it know this node?")
    except ValueError as error:
        raise Unreachable(f"{place.title} sends no studies (C-MOVE)") from error
    finally:
        association.release()


def _associate(place: Place, own_title: str, contexts: dict[str, list[str]], name: str) -> Any:
    from pynetdicom import AE

    quiet_library()
    ae = AE(own_title)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ae.connection_timeout = SECONDS
    ae.add_requested_context(VERIFICATION)  # everybody takes it: an answer to the others is then heard
    for sop_class, syntaxes in contexts.items():
        ae.add_requested_context(sop_class, syntaxes)
    association = ae.associate(place.address, place.port, ae_title=place.title)
    if not association.is_established:
        raise Unreachable(f"{name} {'rejects us' if association.is_rejected else 'cannot be reached'}")
    return association


def _store(association: Any, result: Result, name: str) -> int:
    """The status of one C-STORE."""
    try:
        answer = association.send_c_store(result.path)
    except ValueError as error:  # no presentation context was accepted for its class
        raise RefusedResult(f"{name} takes no {result.kind}: leave it out of its results") from error
    except RuntimeError as error:
        raise Unreachable(f"{name} ended the association") from error
    if "Status" not in answer:
        raise Unreachable(f"{name} did not answer")
    return int(answer.Status)


def _query(level: str, **keys: str) -> Any:
    from pydicom.dataset import Dataset

    query = Dataset()
    query.QueryRetrieveLevel = level
    for keyword, value in {"StudyInstanceUID": "", **keys}.items():
        setattr(query, keyword, value)
    return query


def _ask(place: Place, own_title: str, query: Any) -> list[Any]:
    association = _associate(place, own_title, {FIND: SYNTAXES}, place.title)
    answers = []
    try:
        for status, answer in association.send_c_find(query, FIND):
            _check_pending(status, f"{place.title} did not answer a question for earlier studies")
            if answer is not None:
                answers.append(answer)
    except ValueError as error:
        raise Unreachable(f"{place.title} answers no questions (C-FIND)") from error
    finally:
        association.release()
    return answers


def _check_pending(status: Any, fact: str) -> None:
    """Pass where a status says success, or that more comes."""
    if "Status" not in status or (status.Status and status.Status not in PENDING):
        raise Unreachable(fact)
