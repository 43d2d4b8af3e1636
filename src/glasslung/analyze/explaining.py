"""Why a classifier said so: relevance of every voxel on the scan's own grid, and how it is spread."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from glasslung.data.exams import Exam
from glasslung.errors import UsageError
from glasslung.types import Explanation, Volume

if TYPE_CHECKING:
    from glasslung.predict.diagnosing import Classifier


class Reasons(NamedTuple):
    """Where a classifier found its reasons.

    told       shares by region, and how exactly relevance adds up
    relevance  (D, H, W) float32 on the scan's own grid, smoothed: for the finding above 0, against it below
    full       the relevance that pictures show in full colour
    """

    told: Explanation
    relevance: np.ndarray
    full: float


def reasons_of(classifier: Classifier, exam: Exam, volume: Volume) -> Reasons:
    """Hand the log-odds back to the voxels of the exam, and these to the scan."""
    from glasslung.explain.heatmaps import full_colour, shown_map
    from glasslung.explain.ledger import shares
    from glasslung.explain.lrp import explain_exam, plan_of
    from glasslung.predict.exams import exam_map_to_scan

    try:
        plan_of(classifier.model)
    except UsageError:  # no rules of propagation are known for its layers
        return _seen_by_gradients(classifier, exam, volume)
    found = explain_exam(classifier.model, exam)
    told = Explanation(
        f"layer-wise relevance propagation, {found.composite} rules", shares(found.map, exam), found.error
    )
    smooth = shown_map(found, exam)
    return Reasons(told, exam_map_to_scan(smooth, exam, volume), full_colour(smooth))


def _seen_by_gradients(classifier: Classifier, exam: Exam, volume: Volume) -> Reasons:
    """Grad-CAM, scaled by the log-odds: where, but no parts of a sum."""
    from glasslung.explain.heatmaps import full_colour
    from glasslung.explain.ledger import shares
    from glasslung.explain.volumecam import exam_cam
    from glasslung.predict.exams import exam_map_to_scan

    members = getattr(classifier.model, "members", [classifier.model])  # of folds that answer as one
    cams = [exam_cam(member, exam) for member in members]
    scaled = np.mean([heat * np.float32(abs(score)) for heat, score in cams], axis=0)
    told = Explanation("Grad-CAM", shares(scaled, exam), None)
    return Reasons(told, exam_map_to_scan(scaled, exam, volume), full_colour(scaled))
