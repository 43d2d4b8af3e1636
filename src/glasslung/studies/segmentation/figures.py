"""What the sweep of segmenters found: every cell scored on all labelled slices, and beside the baseline.

A cell is a method with a number of labels and a seed; its folds together score every labelled slice once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from glasslung.data.labelled import Kind
from glasslung.measure.overlap import BothEmpty
from glasslung.measure.statistics import bootstrap_by_patient
from glasslung.studies.jobs import Done
from glasslung.studies.seeds import over_seeds
from glasslung.studies.segmentation.contest import read_maps
from glasslung.studies.segmentation.ground import LesionGround
from glasslung.studies.segmentation.scores import (
    SegmentationScores,
    Segmented,
    figures_of,
    paired_gain,
    score_segmentations,
    slice_values,
)
from glasslung.types import Progress

TARGETS = ("infection", "ground glass", "consolidation")
RULE = BothEmpty.PERFECT  # a slice without the class, and none found, is right; as the bars to leave behind
Cell = tuple[str, int, int]  # method, labels, seed


def measure(
    ground: LesionGround,
    done: Sequence[Done],
    draws: int,
    baseline: str,
    progress: Progress | None = None,
    twins: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """All figures: of every cell, its gain over the baseline with as many labels, and over seeds.

    twins  method -> the one that differs in nothing but slices without labels
    cells  method -> labels (text) -> 'seeds': figures of each seed; 'gains': target -> all seeds together;
           'gains over its twin', where there is one, likewise
    """
    cells = list(dict.fromkeys(cell_of(one) for one in done))  # methods in the order of the study
    scored: dict[Cell, SegmentationScores] = {}
    found: dict[str, dict[str, Any]] = {}
    for number, cell in enumerate(cells):
        if progress:
            progress(f"scoring {cell[0]}, {cell[1]} labels", number / len(cells))
        scored[cell] = score_cell(ground, [one for one in done if cell_of(one) == cell])
        figures = figures_of(scored[cell], np.random.default_rng(0), draws)
        row = found.setdefault(cell[0], {}).setdefault(str(cell[1]), {"seeds": []})
        row["seeds"].append({"seed": cell[2], **figures})
    for method, rows in found.items():
        for labels, row in rows.items():
            row["over seeds"] = over_seeds([headline(one) for one in row["seeds"]])
            row["steps"] = [_told(done, method, int(labels), "steps")]
            row["collapse"] = _told(done, method, int(labels), "collapse")
            if method != baseline and labels in found.get(baseline, {}):
                row["gains"] = gains(scored, method, baseline, int(labels), draws)
            twin = (twins or {}).get(method, "")
            if labels in found.get(twin, {}):
                row["gains over its twin"] = {"twin": twin} | gains(scored, method, twin, int(labels), draws)
    return {"cells": found, "baseline": baseline, "rule": RULE.value}


def cell_of(one: Done) -> Cell:
    """The cell that a finished training belongs to."""
    asked = one.manifest["asked"]
    return str(asked["method"]), int(asked["labels"]), one.seed


def score_cell(ground: LesionGround, done: Sequence[Done]) -> SegmentationScores:
    """All folds of a cell together: every labelled slice once, in the order of the ground."""
    maps: dict[str, np.ndarray] = {}
    for one in done:
        assert one.answer is not None
        maps |= read_maps(one.answer)
    rows = ground.slices.of_kind(Kind.LABELLED)
    return score_segmentations([_segmented(ground, row, n, maps) for n, row in enumerate(rows)])


def _segmented(ground: LesionGround, row: int, number: int, maps: dict[str, np.ndarray]) -> Segmented:
    name = ground.slices.names[row]
    lesions = maps[name]
    whole = np.concatenate([1 - lesions.sum(0, keepdims=True), lesions]).clip(0, 1)
    return Segmented(
        name,
        str(ground.groups[number]),
        ground.slices.lesions[row],
        whole / whole.sum(0, keepdims=True),
        ground.slices.pictures[row],
    )


def headline(figures: dict[str, Any]) -> dict[str, Any]:
    """The figures that a page shows first: target -> F1, and infection's mean over 256 thresholds."""
    found = {
        target: figures["overlap"][target][RULE.value]["f1"]
        for target in TARGETS
        if target in figures["overlap"]
    }
    found["infection, 256 thresholds"] = figures["maps"]["infection"]["stretched"]["dice"]
    return found


def gains(
    scored: dict[Cell, SegmentationScores], method: str, baseline: str, labels: int, draws: int
) -> dict[str, Any]:
    """F1 of a method less that of the baseline on the same slices, seeds averaged slice by slice.

    target -> value, low, high over groups of slices; and the gain of every seed alone.
    """
    seeds = sorted(seed for name, count, seed in scored if (name, count) == (method, labels))
    pairs = [
        (scored[baseline, labels, seed], scored[method, labels, seed])
        for seed in seeds
        if (baseline, labels, seed) in scored
    ]
    found: dict[str, Any] = {}
    for target in TARGETS:
        if not pairs or any(target not in one.counts for pair in pairs for one in pair):
            continue
        each = np.stack(
            [slice_values(b, target, "f1", RULE) - slice_values(a, target, "f1", RULE) for a, b in pairs]
        )
        interval = bootstrap_by_patient(
            lambda gain: float(gain.mean()),
            pairs[0][0].patients,
            each.mean(0),
            rng=np.random.default_rng(0),
            draws=draws,
        )
        found[target] = {
            "value": interval.value,
            "low": interval.low,
            "high": interval.high,
            "seeds": [
                paired_gain(a, b, target, "f1", np.random.default_rng(0), RULE).value for a, b in pairs
            ],
        }
    return found


def _told(done: Sequence[Done], method: str, labels: int, what: str) -> Any:
    """What the first seed's trainings told, fold by fold; None where they told nothing."""
    rows = [one.manifest["told"].get(what) for one in done if cell_of(one) == (method, labels, 0)]
    return rows if any(row is not None for row in rows) else None
