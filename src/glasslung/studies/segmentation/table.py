"""The figures of a segmenter as a small table of text, with what papers print beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from glasslung.report.wording import in_columns
from glasslung.studies.segmentation.papers import (
    INFNET_ROWS,
    MAPS,
    OVERLAP,
    STICHNET_ROWS,
    Printed,
    ours_beside,
)

RULES = {"undefined": "both empty left out", "perfect": "both empty = 1", "zero": "nothing hit = 0"}
SHORT = {"sensitivity": "sens", "specificity": "spec", "precision": "prec"}


def table_of(figures: Mapping[str, Any]) -> str:
    """What was measured, in the order a reader asks for it: infection, kinds of lesion, papers beside."""
    parts = [_headline(figures), _kinds(figures), _detection(figures), *_beside(figures)]
    return "\n\n".join(parts) + "\n"


def told(score: Mapping[str, Any], digits: int = 3) -> str:
    """0.731 [0.690, 0.772]; without an interval the figure alone; a dash where nothing is defined."""
    if score["value"] is None:
        return "-"
    if score["interval"] is None:
        return f"{score['value']:.{digits}f}"
    low, high = score["interval"]
    return f"{score['value']:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _headline(figures: Mapping[str, Any]) -> str:
    overlap, maps = figures["overlap"]["infection"], figures["maps"]["infection"]
    cut, plain, stretched = overlap["undefined"], maps["as they are"], maps["stretched"]
    rows = [
        ["infection Dice, cut at 0.5, mean over slices", told(cut["f1"])],
        ["  its 1.96 standard errors over slices", _plus_minus(cut["f1"])],
        ["  all pixels together", told(overlap["pooled"]["f1"])],
        ["  precision / recall", f"{told(cut['precision'])} / {told(cut['recall'])}"],
        ["infection Dice, mean over 256 thresholds", told(plain["dice"])],
        ["  maps stretched (Inf-Net's protocol)", told(stretched["dice"])],
        ["structure S / alignment E (stretched)", f"{told(stretched['s'])} / {told(stretched['e'])}"],
        ["mean absolute error, as they are / stretched", f"{told(plain['mae'])} / {told(stretched['mae'])}"],
    ]
    head = (
        f"{figures['slices']} labelled slices, {figures['patients']} groups of slices that belong together; "
        "95 % intervals over these groups"
    )
    return head + "\n\n" + in_columns(rows)


def _plus_minus(score: Mapping[str, Any]) -> str:
    return "-" if score["se196"] is None else f"+- {score['se196']:.3f}"


def _kinds(figures: Mapping[str, Any]) -> str:
    names = [n for n in figures["overlap"] if n not in ("infection", "background")]
    if not names:
        return "The model tells no kinds of lesion apart."
    rows = [["", "slices", "F1", "IoU", "precision", "recall"]]
    for name in names:
        found = figures["overlap"][name]
        for rule, words in RULES.items():
            scores = found[rule]
            cells = [told(scores[score]) for score in ("f1", "iou", "precision", "recall")]
            rows.append([f"{name}, {words}", str(scores["f1"]["images"]), *cells])
        if "pooled" in found:
            cells = [told(found["pooled"][score]) for score in ("f1", "iou", "precision", "recall")]
            rows.append([f"{name}, all pixels together", "", *cells])
    return in_columns(rows)


def _detection(figures: Mapping[str, Any]) -> str:
    rows = [["lesion by lesion", "lesions", "found", "not false", "F1", "false per slice"]]
    for target, found in figures["lesionwise"].items():
        cells = [told(found[name]) for name in ("sensitivity", "precision", "f1", "false_positives")]
        rows.append([target, str(found["lesions"]), *cells])
    return in_columns(rows)


def _beside(figures: Mapping[str, Any]) -> list[str]:
    ours = ours_beside(figures)
    infnet = _paper_table(
        "Beside Inf-Net's published figures (256 thresholds, maps stretched, nothing hit = 0; comparable on "
        "the 48 slices of labelled/test alone)",
        [row for row in ours if row["protocol"] == "Inf-Net"],
        INFNET_ROWS,
        MAPS,
    )
    stichnet = _paper_table(
        "Beside StichNet's table 2, its test set (means over other slices, nothing hit = 0)",
        [row for row in ours if row["protocol"] == "StichNet"],
        [row for row in STICHNET_ROWS if row.part == "test"],
        OVERLAP,
    )
    return [infnet, stichnet]


def _paper_table(
    title: str, ours: Sequence[Mapping[str, Any]], printed: Sequence[Printed], names: Sequence[str]
) -> str:
    rows = [["", "", *(SHORT.get(name, name) for name in names)]]
    for row in ours:
        rows.append([row["target"], "ours", *(told(row["figures"][name], 2) for name in names)])
        rows += [
            ["", one.method, *(f"{one.figures[name]:.2f}" for name in names)]
            for one in printed
            if one.target == row["target"]
        ]
    return title + "\n" + in_columns(rows)
