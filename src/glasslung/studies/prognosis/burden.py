"""How much of the lungs is ill, read off an exam: what any method that learns has to beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from glasslung.data.exams import Exam
from glasslung.measure.severity import severity_score
from glasslung.measure.zones import LEVELS, SIDES, third_of_slices
from glasslung.types import Lesion

AFFECTED, CONSOLIDATION, POINTS = "affected_percent", "consolidation_percent", "severity_points"
COLUMNS = (AFFECTED, CONSOLIDATION, POINTS)


def burdens_of(exams: Sequence[Exam]) -> dict[str, np.ndarray]:
    """Affected and consolidated lung in per cent and CT severity points of each exam, (N,) float each."""
    found = [burden_of(exam) for exam in exams]
    return {name: np.array([one[name] for one in found], float) for name in COLUMNS}


def burden_of(exam: Exam) -> dict[str, float]:
    """Affected and consolidated lung in per cent, and points of the six-zone score; NaN without two sides."""
    lung = int(np.count_nonzero(exam.lungs))
    score = severity_score(zone_percents(exam))
    return {
        AFFECTED: 100.0 * int(np.count_nonzero(exam.lesions)) / lung,
        CONSOLIDATION: 100.0 * int((exam.lesions == Lesion.CONSOLIDATION).sum()) / lung,
        POINTS: float("nan") if score is None else float(score.points),
    }


def zone_percents(exam: Exam) -> Mapping[str, float]:
    """Affected per cent of the thirds of each side, by the names of `measure.zones`."""
    levels = third_of_slices(np.count_nonzero(exam.lungs, axis=(1, 2)))[:, None, None]
    told = {}
    for side, word in SIDES.items():
        for number, level in enumerate(LEVELS):
            zone = (exam.lungs == side) & (levels == number)
            if zone.any():
                told[f"{word} {level} third"] = 100.0 * float((exam.lesions[zone] > 0).mean())
    return told
