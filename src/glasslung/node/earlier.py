"""The patient's earlier studies: from the node's own folder, and from the archive where one is set.

The archive is asked by patient id for CT studies of earlier days (C-FIND or QIDO). What the node does not
hold is fetched: by C-MOVE to the node's own title, through the same door as everything, or by WADO. A fetched
study is only compared with; it gets no results of its own. Whether it is the same patient's is decided by
the objects that came, not by the archive's answer.
"""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glasslung.node.intake import Intake
from glasslung.node.queue import Queue, Study
from glasslung.node.sending import Unreachable, associate
from glasslung.node.settings import Earlier, NodeSettings

LOG = logging.getLogger("glasslung.node")
FIND = "1.2.840.10008.5.1.4.1.2.2.1"  # Study Root Query/Retrieve, PS3.4 C.6.2
MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
SYNTAXES = ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"]
PENDING = (0xFF00, 0xFF01)
WILD = "*?\\"  # in a patient id they would ask for other patients


@dataclass(frozen=True)
class Found:
    """A study that an archive has: its UID, its day 'YYYYMMDD'."""

    uid: str
    day: str


def fetch_earlier(study: Study, sample: Path, settings: NodeSettings, queue: Queue, intake: Intake) -> None:
    """Fetch what the archive has of the patient's latest earlier studies and the node has not.

    sample  any object of the study: the patient's id is read from it and kept nowhere
    Raises Unreachable where the archive cannot be asked.
    """
    archive = settings.earlier
    if not (archive.url or archive.title) or archive.most < 1 or study.patient is None or not study.day:
        return
    patient = patient_id(sample)
    if not patient or any(char in patient for char in WILD):
        return
    if archive.url:
        from glasslung.node.dicomweb import fetch_series, find_series, find_studies

        found = find_studies(archive, {"PatientID": patient, "StudyDate": f"-{_day_before(study.day)}"})
        for one in _latest(found, study, archive):
            for series in find_series(archive, one.uid):
                if queue.taken(one.uid).get(series.uid, 0) < max(1, series.objects):
                    fetch_series(archive, series, intake, fetched=True)
        return
    for one in _latest(_find(archive, settings.title, patient, study), study, archive):
        if not queue.taken(one.uid):
            _move(archive, settings.title, one)


def patient_id(sample: Path) -> str:
    """The patient's id as the archive knows it; '' where the header has none."""
    import pydicom

    from glasslung.data.formats.damage import told_plainly

    with told_plainly(sample, "it is no readable DICOM file"):
        header = pydicom.dcmread(sample, stop_before_pixels=True, specific_tags=["PatientID"])
        return str(header.get("PatientID") or "").strip()


def _day_before(day: str) -> str:
    return (dt.datetime.strptime(day, "%Y%m%d") - dt.timedelta(days=1)).strftime("%Y%m%d")


def _latest(found: list[Found], study: Study, archive: Earlier) -> list[Found]:
    """Those nearest before the study, at most so many as are compared with, in order of days."""
    before = [one for one in found if one.uid != study.uid and one.day and one.day < study.day]
    return sorted(before, key=lambda one: (one.day, one.uid))[-archive.most :]


def _find(archive: Earlier, title: str, patient: str, study: Study) -> list[Found]:
    """CT studies of the patient before the study's day, by C-FIND."""
    query = _query("STUDY", PatientID=patient, StudyDate=f"-{_day_before(study.day)}", ModalitiesInStudy="CT")
    answers = _ask(archive, title, query)
    return [
        Found(str(one.StudyInstanceUID), str(one.get("StudyDate") or ""))
        for one in answers
        if one.get("StudyInstanceUID") and str(one.get("PatientID") or "").strip() == patient
    ]


def _query(level: str, **keys: str) -> Any:
    from pydicom.dataset import Dataset

    query = Dataset()
    query.QueryRetrieveLevel = level
    query.StudyInstanceUID = ""
    for keyword, value in keys.items():
        setattr(query, keyword, value)
    return query


def _ask(archive: Earlier, title: str, query: Any) -> list[Any]:
    association = associate(archive, title, [(FIND, SYNTAXES)], "the archive")
    answers = []
    try:
        for status, answer in association.send_c_find(query, FIND):
            if "Status" not in status or (status.Status and status.Status not in PENDING):
                raise Unreachable("the archive did not answer a question for earlier studies")
            if answer is not None:
                answers.append(answer)
    except ValueError as error:
        raise Unreachable("the archive answers no questions (C-FIND)") from error
    finally:
        association.release()
    return answers


def _move(archive: Earlier, title: str, found: Found) -> None:
    """Have the archive send the CT series of a study here; it comes through the node's own door."""
    query = _query("SERIES", StudyInstanceUID=found.uid, SeriesInstanceUID="", Modality="CT")
    series = [str(one.SeriesInstanceUID) for one in _ask(archive, title, query) if one.Modality == "CT"]
    association = associate(archive, title, [(MOVE, SYNTAXES)], "the archive")
    try:
        for uid in series:
            wish = _query("SERIES", StudyInstanceUID=found.uid, SeriesInstanceUID=uid)
            for status, _ in association.send_c_move(wish, title, MOVE):
                if "Status" not in status or (status.Status and status.Status not in PENDING):
                    raise Unreachable("the archive could not send an earlier study here: does it know us?")
    except ValueError as error:
        raise Unreachable("the archive sends no studies (C-MOVE)") from error
    finally:
        association.release()
