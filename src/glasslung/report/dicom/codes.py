"""Codes: what every finding is called in the terms of the standard.

Taken from the dictionaries of DICOM PS3.16 that pydicom carries; `docs/dicom.md` prints the table. Where the
standard has no term, SNOMED CT's own is used and said so below; where that has none that could be checked,
a code of ours in the private scheme 99GLASSLUNG, as PS3.16 section 8.2 provides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from glasslung.types import Lesion, Lung

if TYPE_CHECKING:
    from pydicom.sr.coding import Code

PRIVATE_SCHEME = "99GLASSLUNG"


def private(value: str, meaning: str) -> Code:
    """A code of ours for what no published scheme was found to name."""
    from pydicom.sr.coding import Code

    return Code(value, PRIVATE_SCHEME, meaning)


def anatomy() -> Code:
    """What a lung is to a segmentation (CID 7150)."""
    from pydicom.sr.codedict import codes

    return codes.SCT.AnatomicalStructure


def abnormality() -> Code:
    """What a lesion is to a segmentation (CID 7150)."""
    from pydicom.sr.codedict import codes

    return codes.SCT.MorphologicallyAbnormalStructure


def lung() -> Code:
    """Lung (CID 7155, Thoracic Segmentation Type)."""
    from pydicom.sr.codedict import codes

    return codes.SCT.Lung


def side(which: Lung) -> Code | None:
    """Right or left (CID 244); None where the sides could not be told."""
    from pydicom.sr.codedict import codes

    return {Lung.RIGHT: codes.SCT.Right, Lung.LEFT: codes.SCT.Left}.get(which)


def lesion(kind: Lesion) -> Code:
    """What a class of lesion is called.

    Ground glass opacity: DICOM, CID 6104. Consolidation: SNOMED CT 95436008 |Lung consolidation|, which no
    context group of DICOM lists. Crazy paving: private.
    """
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    return {
        Lesion.GROUND_GLASS: codes.DCM.GroundGlassOpacity,
        Lesion.CONSOLIDATION: Code("95436008", "SCT", "Lung consolidation"),
        Lesion.CRAZY_PAVING: private("crazy-paving", "Crazy paving"),
    }[kind]


def opacity() -> Code:
    """Whatever is denser than aerated lung, by its Hounsfield units (CID 6104)."""
    from pydicom.sr.codedict import codes

    return codes.DCM.Opacity


def site(region: str) -> tuple[Code, Code]:
    """Where a region of the lungs lies: 'both lungs', 'left lung', 'right upper third' -> anatomy and side.

    Thirds are called zones (CID 6126), which is what chest radiology calls them.
    """
    from pydicom.sr.codedict import codes

    words = region.split()
    side_of = {"right": codes.SCT.Right, "left": codes.SCT.Left}.get(words[0], codes.SCT.Bilateral)
    zones = {
        "upper": codes.SCT.UpperZoneOfLung,
        "middle": codes.SCT.MiddleZoneOfLung,
        "lower": codes.SCT.LowerZoneOfLung,
    }
    return next((zones[word] for word in words if word in zones), codes.SCT.Lung), side_of


def suspicion(finding: str) -> Code:
    """What a classifier's probability is of. Suspected, never the disease: a probability asserts nothing."""
    from pydicom.sr.coding import Code

    if finding == "COVID-19":
        return Code("840544004", "SCT", "Suspected COVID-19")
    return private("suspected", f"Suspected {finding}"[:64])


def procedure() -> Code:
    """What was done to the patient: a CT of the chest (LOINC)."""
    from pydicom.sr.coding import Code

    return Code("24627-2", "LN", "CT Chest")


def millilitres() -> Code:
    """The unit of volumes (UCUM)."""
    from pydicom.sr.coding import Code

    return Code("ml", "UCUM", "milliliter")


def points() -> Code:
    """The unit of scores (UCUM annotation)."""
    from pydicom.sr.coding import Code

    return Code("{points}", "UCUM", "points")


def share_of_lung() -> Code:
    """A volume over the lung volume of its region."""
    return private("share-of-lung", "Share of lung volume")


def severity_score() -> Code:
    """A CT severity score; its definition stands beside it as text."""
    return private("severity-score", "CT severity score")


def zone_points() -> Code:
    """The points that one zone gives to a CT severity score."""
    return private("severity-zone", "CT severity points of a zone")


def comment() -> Code:
    """A sentence that belongs to the figures beside it."""
    from pydicom.sr.codedict import codes

    return codes.DCM.Comment


def evaluations() -> Code:
    """The part of a report that holds words and no figures (TID 1500, row 10)."""
    from pydicom.sr.coding import Code

    return Code("C0034375", "UMLS", "Qualitative Evaluations")


def document_title() -> Code:
    """What a report on paper is called (CID 7020 takes these from LOINC)."""
    from pydicom.sr.codedict import codes

    return codes.LN.CTChestReport
