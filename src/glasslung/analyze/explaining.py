"""Why a classifier said so: relevance of every voxel on the scan's own grid, and how it is spread."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from glasslung.data.exams import Exam
from glasslung.types import Explanation, Lung, RelevanceShare, Volume

if TYPE_CHECKING:
    from glasslung.predict.diagnosing import Classifier


def reasons_of(classifier: Classifier, exam: Exam, volume: Volume) -> tuple[Explanation, np.ndarray]:
    """Where the classifier found its reasons: the shares by region, and (D, H, W) float32 of the scan."""
    from glasslung.data.exambatches import on_all_slices, shown_slices, whole
    from glasslung.explain.lrp import explain
    from glasslung.predict.exams import exam_map_to_scan

    batch, shown = whole(exam), shown_slices(exam)
    found = explain(classifier.model, batch.image, batch.lesion, batch.scan)
    relevance = on_all_slices(found.map, shown, len(exam))
    shares = _shares(relevance, exam)
    told = Explanation(f"layer-wise relevance propagation, {found.composite} rules", shares, found.error)
    return told, exam_map_to_scan(relevance, exam, volume)


def _shares(relevance: np.ndarray, exam: Exam) -> tuple[RelevanceShare, ...]:
    positive = np.clip(relevance, 0, None)
    total, inside = max(float(positive.sum()), 1e-30), exam.lungs > 0
    parts = {
        "lesions": exam.lesions > 0,
        "right lung": exam.lungs == Lung.RIGHT,
        "left lung": exam.lungs == Lung.LEFT,
    }
    shares = [
        RelevanceShare(name, float(positive[at].sum()) / total, np.count_nonzero(at & inside) / inside.sum())
        for name, at in parts.items()
    ]
    return (*shares, RelevanceShare("outside the lungs", float(positive[~inside].sum()) / total, None))
