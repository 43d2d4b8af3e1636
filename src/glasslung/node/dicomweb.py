"""A DICOMweb server: asked for studies (QIDO-RS), which are taken (WADO-RS); results are brought (STOW-RS).

DICOM PS3.18, sections 10.4 to 10.6. Redirections are not followed, so that the authorization goes to nobody
else, and what a server names is used in a path only where it is a UID.
"""

from __future__ import annotations

import datetime as dt
import http.client
import json
import logging
import secrets
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode, urlsplit

from glasslung.node.exchange import (
    SECONDS,
    Found,
    RefusedResult,
    Result,
    Series,
    Unreachable,
    check_status,
)
from glasslung.node.intake import Intake, RefusedObject, is_uid
from glasslung.node.multipart import DICOM, BrokenMessage, boundary_of, read_parts, write_part
from glasslung.node.queue import Queue
from glasslung.node.settings import MIB, Destination, Place, Watch
from glasslung.node.store import write_incoming

LOG = logging.getLogger("glasslung.node")
JSON = "application/dicom+json"
SEVERAL = f'multipart/related; type="{DICOM}"; transfer-syntax=*'
PAGE = 100  # studies asked for at once
MOST_ANSWER = 64 * MIB  # of JSON
STUDY, SERIES, DAY, PATIENT, MODALITY = "0020000D", "0020000E", "00080020", "00100020", "00080060"
OBJECTS = "00201209"  # of the series
FAILED_OBJECTS, FAILURE = "00081198", "00081197"


# --- questions ---------------------------------------------------------------------------------------------


def find_studies(place: Place, query: Mapping[str, str]) -> list[Found]:
    """CT studies that fit a query of DICOM keywords, page by page; Unreachable where nobody answers."""
    found: dict[str, Found] = {}
    while True:
        page = {"limit": str(PAGE), "offset": str(len(found)), "includefield": "PatientID"}
        rows = _ask(place, "studies", {**query, "ModalitiesInStudy": "CT", **page})
        new = [
            Found(_text(row, STUDY), _text(row, DAY))
            for row in rows
            if is_uid(_text(row, STUDY))
            and _text(row, PATIENT) == query.get("PatientID", _text(row, PATIENT))
            and _text(row, STUDY) not in found
        ]
        found |= {one.uid: one for one in new}
        if len(rows) < PAGE or not new:  # a server that knows no pages tells the same again
            return list(found.values())


def find_series(place: Place, study: str) -> list[Series]:
    """The CT series of a study."""
    rows = _ask(place, f"studies/{study}/series", {"Modality": "CT", "includefield": OBJECTS})
    return [
        Series(study, _text(row, SERIES), int(_text(row, OBJECTS) or 0))
        for row in rows
        if is_uid(_text(row, SERIES)) and _text(row, MODALITY) in ("CT", "")
    ]


def _ask(place: Place, path: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
    with _answer(place, "GET", f"{path}?{urlencode(query)}", {"Accept": JSON}) as answer:
        if answer.status == http.HTTPStatus.NO_CONTENT:
            return []
        _check_answer(place, answer)
        content = _json(place, answer)
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise Unreachable(f"{_host(place)} answers with something that is no list of studies")
    return content


def _text(row: dict[str, Any], tag: str) -> str:
    """The first value of a tag in DICOM's JSON (PS3.18 annex F); '' where there is none."""
    element = row.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return str(values[0]).strip() if isinstance(values, list) and values and values[0] is not None else ""


# --- taking ------------------------------------------------------------------------------------------------


class Watcher:
    """Takes what is new on a server, series by series.

    What was taken once is asked for again when the server has more of it: a study may be watched while it is
    still arriving there.
    """

    def __init__(self, watch: Watch, queue: Queue, intake: Intake) -> None:
        self.watch, self.queue, self.intake = watch, queue, intake
        self._asked: dict[str, int] = {}  # objects that a series had when it was taken, refused ones included

    def take_new(self, stopping: Callable[[], bool] = lambda: False) -> int:
        """Ask once; how many objects were taken. Raises Unreachable."""
        first = dt.datetime.now() - dt.timedelta(days=self.watch.last_days - 1)
        count = 0
        for study in find_studies(self.watch, {"StudyDate": f"{first:%Y%m%d}-"}):
            for series in self._new_series(study.uid):
                if stopping():
                    return count
                count += fetch_series(self.watch, series, self.intake)
                self._asked[series.uid] = series.objects
        return count

    def _new_series(self, study: str) -> list[Series]:
        held = self.queue.taken(study)
        return [
            series
            for series in find_series(self.watch, study)
            if held.get(series.uid, 0) < max(1, series.objects)
            and self._asked.get(series.uid, -1) != series.objects
        ]


def fetch_series(place: Place, series: Series, intake: Intake, fetched: bool = False) -> int:
    """Take all objects of a series; how many were taken. An object that is refused is logged and left.

    Raises Unreachable, also where there is no room for now.
    """
    path, count = f"studies/{series.study}/series/{series.uid}", 0
    with _answer(place, "GET", path, {"Accept": SEVERAL}) as answer:
        _check_answer(place, answer)
        try:
            for content in read_parts(answer, boundary_of(answer.headers.get("Content-Type", ""))):
                count += _take(content, intake, fetched)
        except BrokenMessage as problem:
            raise Unreachable(f"{_host(place)}: {problem}") from problem
    return count


def _take(content: Iterator[bytes], intake: Intake, fetched: bool) -> int:
    try:
        intake.check_room()
        part = write_incoming(intake.store, _bounded(content, intake))
        intake.take(part, fetched=fetched)
    except RefusedObject as refused:
        if refused.for_now:
            raise Unreachable(str(refused)) from refused
        LOG.warning("refused an object of the DICOMweb server: %s", refused)
        return 0
    return 1


def _bounded(content: Iterator[bytes], intake: Intake) -> Iterator[bytes]:
    size = 0
    for piece in content:
        size += len(piece)
        intake.check_size(size)
        yield piece


# --- bringing ----------------------------------------------------------------------------------------------


def send_results(destination: Destination, results: Sequence[Result]) -> Iterator[Result]:
    """Bring results one by one; each is handed back when the server has said that it holds it.

    Raises Unreachable, RefusedResult.
    """
    for one in results:
        boundary = secrets.token_hex(16)
        length, pieces = write_part(one.path, boundary)
        headers = {
            "Accept": JSON,
            "Content-Type": f'multipart/related; type="{DICOM}"; boundary={boundary}',
            "Content-Length": str(length),
        }
        with _answer(destination, "POST", "studies", headers, pieces) as answer:
            _check_stored(destination, one, answer)
        yield one


def _check_stored(destination: Destination, result: Result, answer: http.client.HTTPResponse) -> None:
    """Whether the server holds it, by the status and by what it says of each object (PS3.18 10.5.3)."""
    status = answer.status
    if status not in (200, 202, 409):
        if status in (400, 413, 415, 422):
            raise RefusedResult(f"{destination.name} refused the {result.kind} (HTTP {status})")
        _check_answer(destination, answer)
        raise Unreachable(f"{destination.name} answers with HTTP {status}")
    told = _json(destination, answer, or_nothing=status == 200)
    failed = told.get(FAILED_OBJECTS, {}).get("Value", []) if isinstance(told, dict) else []
    if not failed and status != 409:
        return
    reason = int(_text(failed[0], FAILURE) or 0) if failed and isinstance(failed[0], dict) else 0
    if reason == 0:
        raise RefusedResult(f"{destination.name} refused the {result.kind} (HTTP {status})")
    check_status(reason, result.kind, destination.name)


# --- HTTP --------------------------------------------------------------------------------------------------


@contextmanager
def _answer(
    place: Place, method: str, path: str, headers: dict[str, str], body: Iterator[bytes] | None = None
) -> Iterator[http.client.HTTPResponse]:
    """The answer to one request; Unreachable where the way there or back is broken."""
    url = urlsplit(place.url)
    if place.authorization_file is not None:
        headers = {**headers, "Authorization": _authorization(place)}
    connection = (
        http.client.HTTPSConnection(
            url.hostname or "", url.port, timeout=SECONDS, context=ssl.create_default_context()
        )
        if url.scheme == "https"
        else http.client.HTTPConnection(url.hostname or "", url.port, timeout=SECONDS)
    )
    try:
        connection.request(method, f"{url.path.rstrip('/')}/{path}", body=body, headers=headers)
        yield connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"{_host(place)} cannot be reached ({type(error).__name__})") from error
    finally:
        connection.close()


def _authorization(place: Place) -> str:
    assert place.authorization_file is not None
    try:
        return place.authorization_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Unreachable(
            f"{_host(place)}: {place.authorization_file} cannot be read, so it would not let us in"
        ) from error


def _check_answer(place: Place, answer: http.client.HTTPResponse) -> None:
    """Anything but success is a server that cannot be used for now: it may be repaired, or let us in."""
    if answer.status not in (200, 206):
        raise Unreachable(f"{_host(place)} answers with HTTP {answer.status}")


def _json(place: Place, answer: http.client.HTTPResponse, or_nothing: bool = False) -> Any:
    content = answer.read(MOST_ANSWER + 1)
    if or_nothing and not content.strip():
        return {}
    try:
        return json.loads(content[:MOST_ANSWER])  # what is longer is cut, and then no JSON
    except ValueError as error:
        raise Unreachable(f"{_host(place)} answers with something that is no JSON") from error


def _host(place: Place) -> str:
    return urlsplit(place.url).hostname or place.url
