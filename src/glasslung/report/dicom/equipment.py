"""Equipment: who made a result, when, under which UIDs. The same for every object that is written."""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glasslung.report.dicom.codes import PRIVATE_SCHEME
from glasslung.types import DISCLAIMER, Story

if TYPE_CHECKING:
    from pydicom.sr.coding import Code
    from pydicom.uid import UID

MAKER = "glasslung"
CREATOR = "glasslung^"  # a person's name with no given name, which is what readers ask for here
UTF8 = "ISO_IR 192"  # every name a source can hold, and every text of ours
SHORT_DISCLAIMER = "Research use only, not a medical device"  # a description holds 64 characters
RESEARCH = "RESEARCH"  # content qualification, PS3.3 C.8.13.2.1.1
# Of type 2: they must be there and may be empty, and real files forget them.
EMPTY_IF_MISSING = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"),
    *("StudyDate", "StudyTime", "ReferringPhysicianName"),
)


@dataclass(frozen=True)
class Maker:
    """What signs every object of one story: the version, and when the story was told."""

    version: str
    when: dt.datetime

    def uid(self, *content: str) -> UID:
        """A UID out of content, below 2.25 (PS3.5 B.2): the same content never becomes two objects."""
        from pydicom.uid import UID

        told = hashlib.sha256("\n".join((MAKER, self.version, *content)).encode())
        return UID(f"2.25.{int(told.hexdigest()[:32], 16)}")

    def signature(self) -> dict[str, Any]:
        """The equipment and its private coding scheme as highdicom takes them."""
        from highdicom.coding_schemes import CodingSchemeIdentificationItem

        scheme = CodingSchemeIdentificationItem(
            PRIVATE_SCHEME, name="Codes of glasslung", version=self.version, responsible_organization=MAKER
        )
        return {
            "coding_schemes": [scheme],
            "specific_character_set": UTF8,
            "manufacturer": MAKER,
            "manufacturer_model_name": MAKER,
            "software_versions": self.version,
            "device_serial_number": f"{MAKER}-{self.version}",
        }

    def algorithm(self, name: str, family: Code, **parameters: str) -> Any:
        """Which algorithm drew or measured something, with its version (PS3.3 10.16)."""
        from highdicom import AlgorithmIdentificationSequence

        return AlgorithmIdentificationSequence(name, family, self.version, MAKER, parameters or None)

    def seal(self, made: Any, description: str) -> None:
        """Say on an object what it is, that it is derived and for research, and when it was made.

        The time is the story's, so that the same story gives the same bytes.
        """
        day, clock = self.when.strftime("%Y%m%d"), self.when.strftime("%H%M%S")
        made.SeriesDescription = description
        made.ContentDate = made.InstanceCreationDate = made.SeriesDate = day
        made.ContentTime = made.InstanceCreationTime = made.SeriesTime = clock
        made.InstanceCreatorUID = self.uid("creator")
        for equipment in made.get("ContributingEquipmentSequence", ()):
            if "ContributionDateTime" in equipment:
                equipment.ContributionDateTime = day + clock
        for dimension in (
            *made.get("DimensionOrganizationSequence", ()),
            *made.get("DimensionIndexSequence", ()),
        ):
            dimension.DimensionOrganizationUID = self.uid("dimensions", str(made.SOPInstanceUID))
        if "Rows" in made:
            made.ImageComments = DISCLAIMER


def maker_of(story: Story) -> Maker:
    """The maker of a story's objects; its time is local, as the times of a scanner are."""
    when = dt.datetime.fromisoformat(story.provenance.created)
    return Maker(story.provenance.glasslung, when.astimezone().replace(tzinfo=None))


def make_inheritable(header: Any) -> None:
    """Make a source's header fit to be inherited from: what must be there is there, if empty.

    Names are read by the source's own character set, so that they can be written as UTF-8. Raises ValueError
    where a date or a time is none.
    """
    from pydicom.valuerep import DA, TM

    header.decode()
    for keyword, kind in (("StudyDate", DA), ("PatientBirthDate", DA), ("StudyTime", TM)):
        kind(header.get(keyword) or None)
    for keyword in EMPTY_IF_MISSING:
        if keyword not in header:
            setattr(header, keyword, "")
    if str(header.PatientSex) not in ("M", "F", "O"):
        header.PatientSex = ""
    if not header.get("Modality"):
        header.Modality = "CT"


def digest(*arrays: Any) -> str:
    """What stands for voxels in a UID: SHA-256 of their values and shapes."""
    import numpy as np

    told = hashlib.sha256()
    for array in arrays:
        told.update(f"{array.shape} {array.dtype}".encode())
        told.update(np.ascontiguousarray(array).data)
    return told.hexdigest()
