"""How well the label of an exam can be told without looking into the lung: what a score has to clear.

As the audit does for files (`audit.shortcuts`), on what a classifier is really shown. An exam has no file and
no frame, so what remains is

    outline   rim, background and the lungs' outline: size, shape, sides, straight edges, number of slices
    grain     how sharp and how noisy the lungs' inside is: kernel, compression, enlarged pictures
    greys     the distribution of grey in the lungs: window and contrast, but the disease as well

The outline is the source-only bar. Grain and greys see the lung: what they tell may be disease.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import ndimage

from glasslung.audit.borders import border_facts, straight_share
from glasslung.audit.record import AuditSettings
from glasslung.audit.scans import evenly
from glasslung.audit.shortcuts import cross_validated_scores
from glasslung.data.exams import Exam, ExamSet
from glasslung.measure.ranking import auc_interval
from glasslung.measure.statistics import Interval
from glasslung.types import Lung

Read = Callable[[np.ndarray, np.ndarray], dict[str, float]]
"""Facts of one slice: read(image (H, W), lungs (H, W))."""
OUTLINE, GRAIN, GREYS = "outline", "grain", "greys"
KINDS = (OUTLINE, GRAIN, GREYS)
SLICES = 15  # looked at per scan, as the audit does
SEED_RANGE = 2**31  # of the trees and folds, drawn from the generator


def source_only_auc(exams: ExamSet, rng: np.random.Generator, draws: int = 1000) -> Interval:
    """The AUC of trees that see the lungs' outline alone, cross-validated by patient.

    DataError where one of the labels is missing.
    """
    return source_tells(exams, rng, (OUTLINE,), draws)[OUTLINE]


def source_tells(
    exams: ExamSet, rng: np.random.Generator, kinds: Sequence[str] = (*KINDS, "all"), draws: int = 1000
) -> dict[str, Interval]:
    """The AUC by each kind of facts, and by 'all' of them, cross-validated by patient."""
    known = exams.labelled()
    settings = AuditSettings(draws=draws, seed=int(rng.integers(SEED_RANGE)))
    truth, patients = known.label == 1, np.array(known.patients)
    columns = {kind: fact_table(known, kind) for kind in (KINDS if "all" in kinds else kinds)}
    if "all" in kinds:
        columns["all"] = np.concatenate([columns[kind] for kind in KINDS], 1)
    told = {}
    for kind in kinds:
        scores = cross_validated_scores(columns[kind], truth, patients, settings)
        told[kind] = auc_interval(truth, scores, patients, rng=rng, draws=draws)
    return told


def fact_table(exams: ExamSet, kind: str) -> np.ndarray:
    """The facts of one kind, means over a scan's slices: (N, F) float64."""
    read = {OUTLINE: outline_facts, GRAIN: grain_facts, GREYS: grey_facts}[kind]
    return np.array([list(_mean_over_slices(exam, read).values()) for exam in exams.exams])


def outline_facts(image: np.ndarray, lungs: np.ndarray) -> dict[str, float]:
    """What one slice (H, W) shows of the lungs without their inside."""
    inside = lungs > 0
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    right, left = (int(np.count_nonzero(lungs == side)) for side in (Lung.RIGHT, Lung.LEFT))
    box = len(rows) and (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    _, parts = ndimage.label(inside)
    silhouette = inside.astype(np.uint8) * np.uint8(255)  # the borders of the outline, not of dark lung
    return border_facts(silhouette, is_hu=False) | {
        "lung_share": float(inside.mean()),
        "lung_height": float(np.ptp(rows) + 1) / len(lungs) if len(rows) else 0.0,
        "lung_width": float(np.ptp(columns) + 1) / len(lungs) if len(columns) else 0.0,
        "lung_fill": float(np.count_nonzero(inside) / box) if box else 0.0,
        "lung_balance": (right - left) / max(1, right + left),
        "lung_parts": float(parts),
        "lung_straight": straight_share(inside),
        "rim_grey": float(image[~_away_from_rim(inside)].mean()),
    }


def grain_facts(image: np.ndarray, lungs: np.ndarray) -> dict[str, float]:
    """Sharpness and noise of one slice, away from the lungs' edge."""
    inner = ndimage.binary_erosion(lungs > 0, iterations=2)
    if not inner.any():
        return {"fine": 0.0, "middle": 0.0, "ratio": 0.0, "levels": 0.0}
    grey = image.astype(np.float32)
    calm = ndimage.gaussian_filter(grey, 0.7)
    fine = float(np.median(np.abs(grey - calm)[inner]))
    middle = float(np.median(np.abs(calm - ndimage.gaussian_filter(grey, 1.5))[inner]))
    levels = len(np.unique(image[inner])) / 256
    return {"fine": fine, "middle": middle, "ratio": fine / max(middle, 0.1), "levels": levels}


def grey_facts(image: np.ndarray, lungs: np.ndarray) -> dict[str, float]:
    """The distribution of grey in the lungs of one slice: these see the disease."""
    inside = image[lungs > 0]
    if not inside.size:
        return dict.fromkeys(("mean", "spread", "p5", "p25", "p50", "p75", "p95"), 0.0)
    p5, p25, p50, p75, p95 = (float(p) for p in np.percentile(inside, (5, 25, 50, 75, 95)))
    return {
        "mean": float(inside.mean()),
        "spread": float(inside.std()),
        **{"p5": p5, "p25": p25, "p50": p50, "p75": p75, "p95": p95},
    }


def _away_from_rim(inside: np.ndarray) -> np.ndarray:
    """All but the outermost pixels of the picture, where a frame would lie."""
    away = np.zeros_like(inside)
    away[2:-2, 2:-2] = True
    return away


def _mean_over_slices(exam: Exam, read: Read) -> dict[str, float]:
    rows = exam.lung_slices
    some = rows[evenly(len(rows), SLICES)]
    told = [read(exam.image[row], exam.lungs[row]) for row in some]
    mean = {name: float(np.mean([one[name] for one in told])) for name in told[0]}
    return mean | {"slices": float(len(rows))}
