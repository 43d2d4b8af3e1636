"""Relevance: where a classifier found its reasons, as a DICOM Parametric Map on the scan's grid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from glasslung.data.formats.dicom_origin import Origin
from glasslung.report.dicom.equipment import CREATOR, SHORT_DISCLAIMER, Maker, digest
from glasslung.types import Diagnosis

if TYPE_CHECKING:
    from pydicom.sr.coding import Code

MAP_SERIES = 9003


def relevance_map(origin: Origin, relevance: np.ndarray, told: Diagnosis, maker: Maker) -> Any:
    """A Parametric Map of 32-bit floats: relevance for the finding above 0, against it below.

    relevance  (D, H, W) on the scan's grid, in log-odds per voxel, not 0 everywhere. Slices without any are
               left out of the file: a whole chest in floats is twice as large as the scan.
    """
    from highdicom import VOILUTTransformation
    from highdicom.pm import ParametricMap, RealWorldValueMapping
    from pydicom.sr.codedict import codes

    headers, voxels = _with_relevance(origin, relevance.astype(np.float32))
    low, high = float(voxels.min()), float(voxels.max())
    most = max(-low, high)
    content = (origin.series_uid, digest(voxels), told.classifier, told.digest)
    meaning = RealWorldValueMapping(
        lut_label="RELEVANCE",
        lut_explanation=f"Relevance for {told.finding}, {told.classifier}"[:64],
        unit=codes.UCUM.NoUnits,
        value_range=(low, high),
        slope=1.0,
        intercept=0.0,
        quantity_definition=_quantity(told),
    )
    made = ParametricMap(
        source_images=headers,
        pixel_array=voxels,
        series_instance_uid=maker.uid("map series", *content),
        series_number=MAP_SERIES,
        sop_instance_uid=maker.uid("map", *content),
        instance_number=1,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[meaning],
        # A window narrower than 1 is only allowed by the exact linear function (PS3.3 C.11.2.1.3).
        voi_lut_transformations=[
            VOILUTTransformation(window_center=0.0, window_width=2 * most, voi_lut_function="LINEAR_EXACT")
        ],
        content_description=SHORT_DISCLAIMER,
        content_creator_name=CREATOR,
        content_label="RELEVANCE",
        **maker.signature(),
    )
    made.BodyPartExamined = origin.first.get("BodyPartExamined") or "CHEST"
    maker.seal(made, f"glasslung relevance for {told.finding} (research)"[:64])
    return made


def _with_relevance(origin: Origin, relevance: np.ndarray) -> tuple[list[Any], np.ndarray]:
    """The slices that hold relevance with their headers; a multi-frame file has one header for all."""
    if len(origin.headers) < len(relevance):
        return list(origin.headers), relevance[origin.file_order]
    there = np.flatnonzero(relevance.any(axis=(1, 2)))
    return [origin.headers[d] for d in there], relevance[there]


def _quantity(told: Diagnosis) -> Code:
    """What the map's values are (CID 7180)."""
    from pydicom.sr.codedict import codes

    gradients = told.explanation is not None and told.explanation.method.startswith("Grad-CAM")
    return codes.DCM.GradientWeightedClassActivation if gradients else codes.DCM.Saliency
