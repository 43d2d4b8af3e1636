"""What the paper prints of its classifier, with limits that its own counts allow, for a place beside ours.

Paper: the CVAE with lesion masks as side information and the SPP + NetVLAD classifier for COVID-19 on CT
(facts: tables 1 to 5, figures 5 to 7). It prints shares without limits. The counts follow from the shares and
the numbers of scans, and reproduce the printed F1; limits here are Clopper and Pearson's of those counts.

    ablation     66 scans of two hospitals, 23 with COVID-19, after training on 123
    test         98 scans of the training hospitals and LIDC-IDRI, 48 with COVID-19
    independent  475 scans of a hospital never trained on, 219 with COVID-19
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from glasslung.measure.statistics import exact_limits

FULL, NO_SIDE, NO_CVAE = "Proposed model", "CVAE without side information", "Classification without CVAE"
ABLATION = (NO_CVAE, NO_SIDE, FULL)
"""Rows of the paper's ablation, from the least to the whole model."""


@dataclass(frozen=True)
class Printed:
    """A printed row.

    part    'ablation', 'test' or 'independent'
    counts  true positives, false negatives, false positives, true negatives, worked out from the shares
    f1      as printed
    auc     (value, low, high) or None
    false_alarms  FPR at 95 % TPR, (value, low, high) or None
    """

    name: str
    part: str
    counts: tuple[int, int, int, int]
    sensitivity: float
    specificity: float
    f1: float
    auc: tuple[float, float, float] | None = None
    false_alarms: tuple[float, float, float] | None = None


PRINTED = (
    Printed(NO_CVAE, "ablation", (13, 10, 18, 25), 0.57, 0.59, 0.48),
    Printed(NO_SIDE, "ablation", (17, 6, 14, 29), 0.74, 0.68, 0.63),
    Printed(FULL, "ablation", (19, 4, 12, 31), 0.83, 0.72, 0.70),
    Printed(FULL, "test", (45, 3, 9, 41), 0.94, 0.82, 0.88, (0.97, 0.93, 0.99), (0.28, 0.02, 0.50)),
    Printed(
        *(FULL, "independent", (210, 9, 105, 151), 0.96, 0.59, 0.79, (0.93, 0.91, 0.95), (0.31, 0.18, 0.52))
    ),
)


@dataclass(frozen=True)
class Cost:
    """A row of the paper's table of costs, on a Titan Xp: million parameters, GFLOPs, seconds a scan."""

    method: str
    parameters: float | None
    gflops: float
    seconds: float


COSTS = (
    Cost("Lung segmentation", 2.12, 4262.7, 40.0),
    Cost("Lesion segmentation", 13.3, 1113.8, 32.0),
    Cost("Classification", 1.92, 3.55, 0.5),
    Cost("Visual explanations", None, 27.65, 4.01),
    Cost("Overall", 17.34, 5407.7, 76.51),
)
CORADS_NOTE = (
    "The paper rates its independent scans by CO-RADS: of 34 with COVID-19 that radiologists put into "
    "CO-RADS 1 or 2 it finds 31."
)


def printed_rows() -> list[dict[str, Any]]:
    """Every printed row as plain values, with the limits of its counts; for numbers.json."""
    rows = []
    for row in PRINTED:
        tp, fn, fp, tn = row.counts
        rows.append(
            {
                "name": row.name,
                "part": row.part,
                "with": tp + fn,
                "without": fp + tn,
                "counts": list(row.counts),
                "sensitivity": [row.sensitivity, *exact_limits(tp, tp + fn)],
                "specificity": [row.specificity, *exact_limits(tn, fp + tn)],
                "f1": [row.f1, None, None],
                "auc": list(row.auc) if row.auc else None,
                "false_alarms_at_95": list(row.false_alarms) if row.false_alarms else None,
            }
        )
    return rows


def printed_points() -> list[tuple[str, float, float]]:
    """The paper's operating points for a ROC plot: (name, false alarms, found)."""
    return [
        (f"paper, {row.part}", 1 - row.specificity, row.sensitivity)
        for row in PRINTED
        if row.part != "ablation"
    ]
