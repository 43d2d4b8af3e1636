"""The nouns every room shares: Volume, Lungs, Findings, Story, Case.

Axes and units, fixed once for the whole package
    voxels    (D, H, W): slices, rows, columns, in the order of the file they came from
    affine    (4, 4) float64: maps an index (d, h, w, 1) to (x, y, z, 1) in mm, DICOM's patient space LPS:
              x grows to the patient's Left, y to Posterior, z to Superior
    hu        int16 Hounsfield units: air -1000, water 0
    display8  uint8 grey values of a window nobody wrote down: never to be read as HU

Whatever is computed on a Volume comes back on that Volume's own grid.
"""

from glasslung.types.answers import (
    Answer,
    Diagnosis,
    Explanation,
    Prognosis,
    RelevanceShare,
    RiskCurve,
    Standing,
    Validation,
)
from glasslung.types.cohort import Case
from glasslung.types.scans import (
    DISCLAIMER,
    Geometry,
    Intensity,
    Lesion,
    Lobe,
    Lung,
    Lungs,
    MaskQuality,
    Progress,
    Remark,
    Severity,
    Source,
    Volume,
)
from glasslung.types.story import (
    Amount,
    Change,
    Comparison,
    FateTotal,
    Findings,
    FollowedLesion,
    MaskOrigin,
    Provenance,
    RegionMeasures,
    SerialSheet,
    SeverityScore,
    SmoothCourse,
    Story,
    Trajectory,
    ZoneScore,
)

__all__ = [
    "DISCLAIMER",
    "Amount",
    "Answer",
    "Case",
    "Change",
    "Comparison",
    "Diagnosis",
    "Explanation",
    "FateTotal",
    "Findings",
    "FollowedLesion",
    "Geometry",
    "Intensity",
    "Lesion",
    "Lobe",
    "Lung",
    "Lungs",
    "MaskOrigin",
    "MaskQuality",
    "Prognosis",
    "Progress",
    "Provenance",
    "RegionMeasures",
    "RelevanceShare",
    "Remark",
    "RiskCurve",
    "SerialSheet",
    "Severity",
    "SeverityScore",
    "SmoothCourse",
    "Source",
    "Standing",
    "Story",
    "Trajectory",
    "Validation",
    "Volume",
    "ZoneScore",
]
