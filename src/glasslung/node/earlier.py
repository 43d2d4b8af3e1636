"""The patient's earlier studies: what the archive has of them and the node has not is fetched.

The archive is asked by patient id for CT studies of earlier days (C-FIND or QIDO). They come by C-MOVE to
the node's own title, through the same door as everything, or by WADO. A fetched study is only compared with;
it gets no results of its own. Whether it is the same patient's is decided by the objects that came, not by
the archive's answer.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from glasslung.node import dicomweb, dimse
from glasslung.node.exchange import Found
from glasslung.node.intake import Intake
from glasslung.node.queue import Queue
from glasslung.node.settings import Earlier, NodeSettings
from glasslung.node.studies import Study

WILD = "*?\\"  # in a patient id they would ask for other patients


def fetch_earlier(study: Study, sample: Path, settings: NodeSettings, queue: Queue, intake: Intake) -> None:
    """Fetch the patient's latest earlier studies, as many as are compared with.

    sample  any object of the study: the patient's id is read from it and kept nowhere
    Raises Unreachable where the archive cannot be asked.
    """
    archive = settings.earlier
    if not (archive.url or archive.title) or archive.most < 1 or study.patient is None or not study.day:
        return
    patient = patient_id(sample)
    if not patient or any(char in patient for char in WILD):
        return
    until = _day_before(study.day)
    if archive.url:
        found = dicomweb.find_studies(archive, {"PatientID": patient, "StudyDate": f"-{until}"})
    else:
        found = dimse.find_studies(archive, settings.title, patient, until)
    for one in _latest(found, study, archive):
        _fetch(one, settings, queue, intake)


def _fetch(found: Found, settings: NodeSettings, queue: Queue, intake: Intake) -> None:
    """Those series of a study that the node does not hold as a whole."""
    archive, held = settings.earlier, queue.taken(found.uid)
    if archive.url:
        there = dicomweb.find_series(archive, found.uid)
    else:
        there = dimse.find_series(archive, settings.title, found.uid)
    for series in there:
        if held.get(series.uid, 0) >= max(1, series.objects):
            continue
        if archive.url:
            dicomweb.fetch_series(archive, series, intake, fetched=True)
        else:
            dimse.move_series(archive, settings.title, series)


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
    """Those nearest before the study, in order of days."""
    before = [one for one in found if one.uid != study.uid and one.day and one.day < study.day]
    return sorted(before, key=lambda one: (one.day, one.uid))[-archive.most :]
