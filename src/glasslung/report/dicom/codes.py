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
