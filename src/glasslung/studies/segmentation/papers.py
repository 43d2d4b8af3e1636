"""What papers print on lesions in slices, with its source, and our figures by the same protocol beside it.

StichNet  Zammit et al.: per-image means of IoU, F1, precision and recall on their own split of the Med-Seg
          slices (patients are almost surely shared between its parts). Which rule they use for pictures
          without a class is not said; their released code scores 0 there.
Inf-Net   Fan et al., IEEE TMI 2020: 48 slices, means over 256 thresholds, maps stretched, 0 where nothing is
          hit (`measure.greymaps`). The figures are those of the released repository.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

STICHNET = "Zammit et al., StichNet, tables 2 and 3: their own split of Med-Seg, not these slices"
INFNET = "Inf-Net's repository, evaluation results: the 48 slices of labelled/test"
VOLUMES = "Fan et al., IEEE TMI 2020, and Semi-Inf-Net as quoted later: 638 slices of 9 volumes"
RULE = "zero"  # of pictures without the class, in the released code of StichNet

OVERLAP = ("iou", "f1", "precision", "recall")
MAPS = ("dice", "sensitivity", "specificity", "s", "e", "mae")


@dataclass(frozen=True)
class Printed:
    """One printed row.

    part     'test', 'validation' or 'volumes'
    target   'infection', 'ground glass', 'consolidation', 'background' or 'overall'
    figures  by name, as printed or as corrected
    note     what was corrected, or what to beware of
    """

    method: str
    part: str
    target: str
    figures: Mapping[str, float]
    source: str
    note: str = ""


def _overlap(method: str, part: str, target: str, *values: float, note: str = "") -> Printed:
    return Printed(method, part, target, dict(zip(OVERLAP, values, strict=True)), STICHNET, note)


def _maps(method: str, target: str, *values: float, note: str = "") -> Printed:
    return Printed(method, "test", target, dict(zip(MAPS, values, strict=True)), INFNET, note)


def _volumes(method: str, *values: float, note: str = "") -> Printed:
    names = ("dice", "sensitivity", "specificity", "precision")
    return Printed(method, "volumes", "infection", dict(zip(names, values, strict=True)), VOLUMES, note)


_SWAPPED = "printed IoU 0.55 and F1 0.50 are exchanged: the means of the classes are 0.50 and 0.56"
_OTHER = "the journal's table prints a higher Dice ({}), the reason is not documented"

STICHNET_ROWS = (
    _overlap("U-Net", "test", "ground glass", 0.18, 0.26, 0.41, 0.22),
    _overlap("U-Net", "test", "consolidation", 0.26, 0.35, 0.46, 0.32),
    _overlap("U-Net", "test", "background", 0.75, 0.86, 0.76, 1.00),
    _overlap("U-Net", "test", "overall", 0.40, 0.49, 0.54, 0.51),
    _overlap("U-Net+PL", "test", "ground glass", 0.12, 0.18, 0.33, 0.14),
    _overlap("U-Net+PL", "test", "consolidation", 0.26, 0.33, 0.45, 0.32),
    _overlap("U-Net+PL", "test", "background", 0.75, 0.86, 0.75, 1.00),
    _overlap("U-Net+PL", "test", "overall", 0.38, 0.46, 0.51, 0.49),
    _overlap("SInfNet", "test", "ground glass", 0.27, 0.38, 0.58, 0.41),
    _overlap("SInfNet", "test", "consolidation", 0.22, 0.29, 0.61, 0.31),
    _overlap("SInfNet", "test", "background", 1.00, 1.00, 1.00, 1.00),
    _overlap("SInfNet", "test", "overall", 0.50, 0.56, 0.73, 0.57, note=_SWAPPED),
    _overlap("StichNet", "test", "ground glass", 0.08, 0.13, 0.33, 0.11),
    _overlap("StichNet", "test", "consolidation", 0.04, 0.06, 0.15, 0.05),
    _overlap("StichNet", "test", "background", 0.95, 0.98, 0.97, 0.98),
    _overlap("StichNet", "test", "overall", 0.36, 0.39, 0.49, 0.38),
    _overlap("U-Net", "validation", "ground glass", 0.26, 0.35, 0.52, 0.31),
    _overlap("U-Net", "validation", "consolidation", 0.04, 0.07, 0.15, 0.08),
    _overlap("U-Net", "validation", "background", 0.80, 0.88, 0.80, 1.00),
    _overlap("U-Net", "validation", "overall", 0.37, 0.43, 0.49, 0.46),
    _overlap("U-Net+PL", "validation", "ground glass", 0.26, 0.36, 0.52, 0.31),
    _overlap("U-Net+PL", "validation", "consolidation", 0.04, 0.07, 0.15, 0.07),
    _overlap("U-Net+PL", "validation", "overall", 0.37, 0.44, 0.49, 0.46),
    _overlap("StichNet", "validation", "ground glass", 0.08, 0.14, 0.28, 0.11),
    _overlap("StichNet", "validation", "consolidation", 0.03, 0.05, 0.11, 0.05),
)

INFNET_ROWS = (
    _maps("U-Net", "infection", 0.439, 0.534, 0.858, 0.622, 0.625, 0.186),
    _maps("U-Net++", "infection", 0.581, 0.672, 0.902, 0.722, 0.720, 0.120),
    _maps("Inf-Net", "infection", 0.682, 0.692, 0.943, 0.781, 0.838, 0.082),
    _maps("Semi-Inf-Net", "infection", 0.739, 0.725, 0.960, 0.800, 0.894, 0.064),
    _maps("DeepLabV3+ s8", "ground glass", 0.375, 0.478, 0.863, 0.544, 0.675, 0.123),
    _maps("DeepLabV3+ s16", "ground glass", 0.443, 0.713, 0.823, 0.548, 0.655, 0.156),
    _maps("FCN8s", "ground glass", 0.471, 0.537, 0.905, 0.582, 0.774, 0.101),
    _maps("Semi-Inf-Net + FCN8s", "ground glass", 0.646, 0.720, 0.941, 0.711, 0.882, 0.071),
    _maps("Semi-Inf-Net + U-Net", "ground glass", 0.624, 0.618, 0.966, 0.706, 0.889, 0.067),
    _maps("DeepLabV3+ s8", "consolidation", 0.117, 0.120, 0.584, 0.603, 0.621, 0.052),
    _maps("DeepLabV3+ s16", "consolidation", 0.188, 0.245, 0.560, 0.617, 0.688, 0.061),
    _maps("FCN8s", "consolidation", 0.221, 0.212, 0.567, 0.652, 0.651, 0.039),
    _maps(
        *("Semi-Inf-Net + FCN8s", "consolidation", 0.238, 0.186, 0.639, 0.661, 0.660, 0.035),
        note=_OTHER.format(0.301),
    ),
    _maps(
        *("Semi-Inf-Net + U-Net", "consolidation", 0.362, 0.403, 0.766, 0.683, 0.813, 0.039),
        note=_OTHER.format(0.458),
    ),
)

VOLUME_ROWS = (
    _volumes("U-Net", 0.308, 0.678, 0.836, 0.265),
    _volumes("Attention-U-Net", 0.466, 0.723, 0.930, 0.390),
    _volumes("Gated-U-Net", 0.447, 0.674, 0.956, 0.375),
    _volumes("Dense-U-Net", 0.410, 0.607, 0.977, 0.415),
    _volumes("U-Net++", 0.444, 0.877, 0.929, 0.369),
    _volumes("Inf-Net", 0.579, 0.870, 0.974, 0.500),
    _volumes("Semi-Inf-Net", 0.597, 0.865, 0.977, 0.515, note="as quoted in a third paper"),
)

PRINTED = (*INFNET_ROWS, *STICHNET_ROWS, *VOLUME_ROWS)


def ours_beside(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Our figures by each paper's protocol, as rows of the same shape: what `scores.figures_of` found.

    A row has protocol, method ('ours'), target and figures: name -> {'value', 'interval', ...}.
    """
    rows = [
        {
            "protocol": "Inf-Net",
            "method": "ours",
            "target": target,
            "figures": {name: found["stretched"][name] for name in MAPS},
        }
        for target, found in figures["maps"].items()
    ]
    rows += [
        {
            "protocol": "StichNet",
            "method": "ours",
            "target": target,
            "figures": {name: found[RULE][name] for name in OVERLAP},
        }
        for target, found in figures["overlap"].items()
        if target in {row.target for row in STICHNET_ROWS}
    ]
    return rows


def printed_rows() -> list[dict[str, Any]]:
    """Every printed row as plain values."""
    return [
        {
            "method": row.method,
            "part": row.part,
            "target": row.target,
            "figures": dict(row.figures),
            "source": row.source,
            "note": row.note,
        }
        for row in PRINTED
    ]
