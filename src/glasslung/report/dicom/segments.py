"""Segments: lungs and lesions of one scan as a DICOM Segmentation, voxel for voxel on the scan's grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from glasslung.data.formats.dicom_origin import Origin
from glasslung.data.montage import LESION_RGB
from glasslung.report.dicom import codes
from glasslung.report.dicom.equipment import CREATOR, SHORT_DISCLAIMER, Maker, digest
from glasslung.types import Findings, Lesion, Lung

if TYPE_CHECKING:
    from pydicom.sr.coding import Code

SEG_SERIES = 9001  # beyond what scanners number
LUNG_NAMES = {Lung.RIGHT: "Right lung", Lung.LEFT: "Left lung", Lung.UNSIDED: "Lung, side not told"}
LUNG_RGB = {Lung.RIGHT: (86, 180, 233), Lung.LEFT: (0, 158, 115), Lung.UNSIDED: (150, 150, 150)}
OPACITY_NAME = "Opacity by density"
OPACITY_RGB = (204, 121, 167)


@dataclass(frozen=True, eq=False)
class Masks:
    """The masks of one scan on its own grid, (D, H, W) uint8 each.

    lungs      labels of `Lung`
    lesions    labels of `Lesion`; None where nobody drew lesions
    opacities  above 0 where the lung is dense by its Hounsfield units; None where the scan has none
    """

    lungs: np.ndarray
    lesions: np.ndarray | None
    opacities: np.ndarray | None


@dataclass(frozen=True)
class Segment:
    """One segment that is written.

    mask, label  which mask holds it, and as which number; 0: whatever is drawn in it
    name         as a reader sees it
    finding      what it is; `modifier` on which side; `abnormal` whether it is a lesion
    drawn_by     name of the algorithm;  given: whether it was made elsewhere
    """

    mask: str
    label: int
    name: str
    finding: Code
    modifier: Code | None
    abnormal: bool
    rgb: tuple[int, int, int]
    drawn_by: str
    given: bool = False
    weights: str = ""

    def within(self, masks: Masks) -> np.ndarray:
        """(D, H, W) bool: where it is."""
        drawn: np.ndarray = getattr(masks, self.mask)
        return drawn == self.label if self.label else drawn > 0


def segments_of(scan: Findings, masks: Masks) -> tuple[Segment, ...]:
    """The segments of a scan in the order of their numbers, from 1; what has no voxel has no segment."""
    told = [_lung(scan, side) for side in Lung if side and (masks.lungs == side).any()]
    if masks.lesions is not None:
        told += [_lesion(scan, kind) for kind in Lesion if kind and (masks.lesions == kind).any()]
    if masks.opacities is not None and masks.opacities.any():
        told.append(
            Segment(
                *("opacities", 0, OPACITY_NAME, codes.opacity(), None, True, OPACITY_RGB),
                "glasslung opacities by density",
            )
        )
    return tuple(told)


def _lung(scan: Findings, side: Lung) -> Segment:
    how = scan.origin.lungs if scan.origin is not None else "rules"
    weights = scan.origin.digest if scan.origin is not None and "network" in how else ""
    return Segment(
        *("lungs", int(side), LUNG_NAMES[side], codes.lung(), codes.side(side), False, LUNG_RGB[side]),
        "made elsewhere" if how == "given" else f"glasslung lungs by {how}",
        how == "given",
        weights,
    )


def _lesion(scan: Findings, kind: Lesion) -> Segment:
    given = scan.origin is None or scan.origin.lesions == "given"
    name = kind.words.capitalize()
    return Segment(
        *("lesions", int(kind), name, codes.lesion(kind), None, True, LESION_RGB[kind]),
        "made elsewhere" if given or scan.origin is None else f"glasslung network {scan.origin.network}",
        given,
        "" if scan.origin is None else scan.origin.digest,
    )


def segmentation(origin: Origin, masks: Masks, segments: tuple[Segment, ...], maker: Maker) -> Any:
    """A Segmentation of type BINARY with one frame for each segment and slice that holds some of it.

    Every frame names the source slice it was derived from. UIDs come from the source and the masks.
    """
    from highdicom.seg import Segmentation

    voxels = np.stack([one.within(masks) for one in segments], axis=-1)
    content = (origin.series_uid, digest(voxels), repr(segments))
    made = Segmentation(
        source_images=list(origin.headers),
        pixel_array=voxels[origin.file_order],
        segmentation_type="BINARY",
        segment_descriptions=[_description(n, one, origin, maker) for n, one in enumerate(segments, 1)],
        series_instance_uid=maker.uid("SEG series", *content),
        series_number=SEG_SERIES,
        sop_instance_uid=maker.uid("SEG", *content),
        instance_number=1,
        content_description=SHORT_DISCLAIMER,
        content_creator_name=CREATOR,
        content_label="LUNGS_LESIONS",
        **maker.signature(),
    )
    maker.seal(made, "glasslung lungs and lesions (derived, research)")
    return made


def _description(number: int, one: Segment, origin: Origin, maker: Maker) -> Any:
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentDescription
    from highdicom.sr import CodedConcept
    from pydicom.sr.codedict import codes as known

    family = known.DCM.ArtificialIntelligence if one.weights else known.DCM.MorphologicalOperations
    parameters = {"weights sha256": one.weights} if one.weights else {}
    told = SegmentDescription(
        segment_number=number,
        segment_label=one.name,
        segmented_property_category=codes.abnormality() if one.abnormal else codes.anatomy(),
        segmented_property_type=one.finding,
        # What was made elsewhere may be a person's or a program's; semi-automatic claims neither.
        algorithm_type="SEMIAUTOMATIC" if one.given else "AUTOMATIC",
        algorithm_identification=maker.algorithm(one.drawn_by, family, **parameters),
        tracking_uid=maker.uid("segment", origin.series_uid, one.name),
        tracking_id=one.name,
        anatomic_regions=[codes.lung()] if one.abnormal else None,
        display_color=CIELabColor.from_rgb(*one.rgb),
    )
    if one.modifier is not None:
        kind = told.SegmentedPropertyTypeCodeSequence[0]
        kind.SegmentedPropertyTypeModifierCodeSequence = [CodedConcept.from_code(one.modifier)]
    return told
