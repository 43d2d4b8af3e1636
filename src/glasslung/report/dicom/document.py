"""Document: the report on paper as an Encapsulated PDF, so that a PACS shows it beside the scan."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from glasslung.data.formats.dicom_origin import Origin
from glasslung.report.dicom import codes
from glasslung.report.dicom.equipment import RESEARCH, SHORT_DISCLAIMER, Maker

DOCUMENT_SERIES = 9004
ENCAPSULATED_PDF = "1.2.840.10008.5.1.4.1.1.104.1"
FROM_WORKSTATION = "WSD"  # conversion type, PS3.3 C.8.6.1


def document(pdf: bytes, origin: Origin, made_from: Sequence[Any], maker: Maker) -> Any:
    """A report in the study of its last scan; `made_from` are the objects that hold the same findings."""
    from highdicom.base import SOPClass

    header = origin.first
    content = (str(header.StudyInstanceUID), hashlib.sha256(pdf).hexdigest())
    made = SOPClass(
        study_instance_uid=header.StudyInstanceUID,
        series_instance_uid=maker.uid("document series", *content),
        series_number=DOCUMENT_SERIES,
        sop_instance_uid=maker.uid("document", *content),
        sop_class_uid=ENCAPSULATED_PDF,
        instance_number=1,
        modality="DOC",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        patient_id=header.PatientID,
        patient_name=header.PatientName,
        patient_birth_date=header.PatientBirthDate,
        patient_sex=header.PatientSex,
        accession_number=header.AccessionNumber,
        study_id=header.StudyID,
        study_date=header.StudyDate,
        study_time=header.StudyTime,
        referring_physician_name=header.ReferringPhysicianName,
        content_qualification=RESEARCH,
        **maker.signature(),
    )
    made.copy_patient_and_study_information(header)
    _encapsulate(made, pdf)
    made.SourceInstanceSequence = [_reference(one) for one in made_from]
    maker.seal(made, "glasslung report (derived, research)")
    return made


def _encapsulate(made: Any, pdf: bytes) -> None:
    """The PDF and what is said of it (PS3.3 C.24.2)."""
    from highdicom.sr import CodedConcept

    made.ConversionType = FROM_WORKSTATION
    made.AcquisitionDateTime = None
    made.BurnedInAnnotation = "NO"  # the pages name nobody
    made.DocumentTitle = f"glasslung chest CT report. {SHORT_DISCLAIMER}."
    made.ConceptNameCodeSequence = [CodedConcept.from_code(codes.document_title())]
    made.MIMETypeOfEncapsulatedDocument = "application/pdf"
    made.EncapsulatedDocumentLength = len(pdf)
    made.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)  # an even number of bytes, as DICOM asks


def _reference(one: Any) -> Any:
    from pydicom.dataset import Dataset

    told = Dataset()
    told.ReferencedSOPClassUID, told.ReferencedSOPInstanceUID = one.SOPClassUID, one.SOPInstanceUID
    return told
