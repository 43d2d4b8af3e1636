"""All figures of lungs and lesions found in whole scans: overlap, surfaces, millilitres, lesions one by one.

lungs          lesions counted in, in the truth and in what was found
infection      any lesion
ground glass, consolidation, crazy paving   as far as the network tells them apart; of one that does not know
               crazy paving, which is ground glass with thickened septa, that counts as ground glass

Every scan counts alike under each rule for empty masks, and all voxels together ('pooled'). Surfaces and
millilitres need a measured spacing. A distance between surfaces is not defined where only one mask has
voxels; how often that was stands beside the mean of the others. A scan whose lungs or lesions nobody drew is
left out of their figures.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from glasslung.data.boxgrid import box_around
from glasslung.data.volumecohort import Labelled
from glasslung.errors import DataError, ShapeError
from glasslung.measure.lesionwise import SHARE, Detection, match_lesions, pool_detections
from glasslung.measure.overlap import (
    BothEmpty,
    Counts,
    Score,
    count_overlaps,
    hausdorff95_mm,
    mean_score,
    pooled_scores,
    scores_each,
    surface_dice,
)
from glasslung.report.wording import in_columns
from glasslung.studies.segmentation.scores import INFECTION, KINDS
from glasslung.studies.segmentation.table import RULES, told
from glasslung.types import Lesion

LUNGS = "lungs"
TOLERANCE_MM = 2.0  # between surfaces: two readers of one scan are hardly closer
LEAST_ML = 0.01  # of a lesion that counts: 2.7 mm across; specks below are noise on either side


@dataclass(frozen=True, eq=False)
class FoundMasks:
    """What a network says of a scan, on the scan's own grid.

    lungs    (D, H, W) bool; None from a network that does not tell
    lesions  (D, H, W) uint8 with the labels of `Lesion` (1 for any, where it tells no kinds); None likewise
    """

    lungs: np.ndarray | None
    lesions: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Target:
    """One mask of one scan against its truth.

    both, only_truth, only_found   voxels
    true_ml, found_ml              NaN where the spacing is not known, as are the next two
    hd95_mm       NaN where both are empty, infinite where one is
    surface_dice  at TOLERANCE_MM; NaN where both are empty
    detection     lesions one by one; None of lungs
    """

    both: int
    only_truth: int
    only_found: int
    true_ml: float
    found_ml: float
    hd95_mm: float
    surface_dice: float
    detection: Detection | None = None


@dataclass(frozen=True, eq=False)
class ScanScore:
    """One scan: its name, whose it is, and every target that both truth and network know."""

    name: str
    patient: str
    targets: dict[str, Target] = field(default_factory=dict)


def score_scan(name: str, labelled: Labelled, found: FoundMasks, kinds: Sequence[str]) -> ScanScore:
    """Count everything once for one scan; `figures_of_volumes` makes figures of it.

    kinds  names of the lesions that the network tells apart; () for one that knows lesions alone
    """
    targets = {}
    spacing = labelled.volume.spacing_mm if labelled.volume.has_ml else None
    voxel_ml = labelled.volume.voxel_ml if labelled.volume.has_ml else float("nan")
    for target, truth, answer in _pairs(labelled, found, kinds):
        targets[target] = _score(truth, answer, spacing, voxel_ml, target != LUNGS)
    return ScanScore(name, labelled.case.patient, targets)


def _pairs(
    labelled: Labelled, found: FoundMasks, kinds: Sequence[str]
) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """(target, truth, found) as far as both sides know."""
    pairs = []
    if labelled.lungs is not None and found.lungs is not None:
        pairs.append((LUNGS, labelled.lungs, found.lungs))
    if labelled.lesions is not None and found.lesions is not None:
        truth = as_told(labelled.lesions, kinds)
        pairs.append((INFECTION, truth > 0, found.lesions > 0))
        pairs += [
            (name, truth == kind, found.lesions == kind) for kind, name in KINDS.items() if name in kinds
        ]
    for target, truth, answer in pairs:
        if truth.shape != answer.shape:
            raise ShapeError(f"{target}: the truth is {truth.shape} and what was found {answer.shape}")
    return pairs


def as_told(lesions: np.ndarray, kinds: Sequence[str]) -> np.ndarray:
    """Labels of lesions as a network with these kinds knows them: crazy paving may be ground glass to it."""
    if not kinds or KINDS[Lesion.CRAZY_PAVING] in kinds:
        return lesions
    return np.where(lesions == Lesion.CRAZY_PAVING, np.uint8(Lesion.GROUND_GLASS), lesions)


def _score(
    truth: np.ndarray,
    found: np.ndarray,
    spacing_mm: tuple[float, float, float] | None,
    voxel_ml: float,
    lesions: bool,
) -> Target:
    """One pair of masks, cut down to where either has a voxel."""
    box = box_around(truth | found, (1.0, 1.0, 1.0), 0.0)
    truth, found = (truth[:0], found[:0]) if box is None else (truth[box], found[box])
    counts = count_overlaps([(truth, found)])
    both, missed, invented = (int(part[0]) for part in (counts.both, counts.only_truth, counts.only_found))
    hd95 = near = float("nan")
    if spacing_mm is not None and box is not None:
        hd95 = hausdorff95_mm(truth, found, spacing_mm)
        near = surface_dice(truth, found, spacing_mm, TOLERANCE_MM)
    least = 1 if np.isnan(voxel_ml) else max(1, round(LEAST_ML / voxel_ml))
    return Target(
        both,
        missed,
        invented,
        (both + missed) * voxel_ml,
        (both + invented) * voxel_ml,
        hd95,
        near,
        match_lesions(truth, found, least_voxels=least) if lesions else None,
    )


# ----------------------------------------------------------------------------------------------- figures


def figures_of_volumes(
    scans: Sequence[ScanScore], rng: np.random.Generator, draws: int = 2000
) -> dict[str, Any]:
    """Every figure with its interval, as plain values for JSON.

    overlap     target -> rule for empty masks (undefined, perfect, zero) or 'pooled' -> f1 (Dice), iou,
                precision, recall
    surface     target -> hd95_mm, one_empty (scans where only one mask has voxels: they have no distance),
                and surface_dice by the same rules
    volume      target -> mean true_ml and found_ml, mean error_ml (found minus true), absolute_error_ml
    lesionwise  target -> sensitivity, precision, f1, false_positives
    """
    if not scans:
        raise DataError("there is not a single labelled scan to score")
    names = list(dict.fromkeys(name for scan in scans for name in scan.targets))
    if not names:
        raise DataError("no scan has a mask of what this network tells; give masks of it in the table")
    figures: dict[str, Any] = {
        "scans": len(scans),
        "patients": len({scan.patient for scan in scans}),
        "with": {},
        "tolerance_mm": TOLERANCE_MM,
        "least_lesion_ml": LEAST_ML,
    } | {part: {} for part in ("overlap", "surface", "volume", "lesionwise")}
    for name in names:
        some = [(scan.patient, scan.targets[name]) for scan in scans if name in scan.targets]
        patients = np.array([patient for patient, _ in some])
        each = [target for _, target in some]
        figures["with"][name] = int(sum(one.both + one.only_truth > 0 for one in each))
        figures["overlap"][name] = _overlap(each, patients, rng, draws)
        figures["surface"][name] = _surface(each, patients, rng, draws)
        figures["volume"][name] = _volume(each, patients, rng, draws)
        detections = [one.detection for one in each if one.detection is not None]
        if detections:
            figures["lesionwise"][name] = _lesionwise(detections, patients, rng, draws)
    return figures


def _overlap(
    each: Sequence[Target], patients: np.ndarray, rng: np.random.Generator, draws: int
) -> dict[str, Any]:
    counts = Counts(
        *(np.array([getattr(one, part) for one in each]) for part in ("both", "only_truth", "only_found"))
    )
    found: dict[str, Any] = {
        rule.value: _told(
            {n: mean_score(v, patients, rng, draws) for n, v in scores_each(counts, rule).items()}
        )
        for rule in BothEmpty
    }
    return found | {"pooled": _told(pooled_scores(counts, patients, rng, draws))}


def _surface(
    each: Sequence[Target], patients: np.ndarray, rng: np.random.Generator, draws: int
) -> dict[str, Any]:
    far = np.array([one.hd95_mm for one in each])
    near = np.array([one.surface_dice for one in each])
    empty = np.array([one.both + one.only_truth + one.only_found == 0 for one in each])
    known = empty | ~np.isnan(near)  # others have no measured spacing
    open_values = {BothEmpty.UNDEFINED: np.nan, BothEmpty.PERFECT: 1.0, BothEmpty.ZERO: 0.0}
    by_rule = {
        rule.value: mean_score(np.where(empty & known, value, near), patients, rng, draws).as_dict()
        for rule, value in open_values.items()
    }
    distance = mean_score(np.where(np.isinf(far), np.nan, far), patients, rng, draws)
    return {
        "hd95_mm": distance.as_dict(),
        "one_empty": int(np.isinf(far).sum()),
        "surface_dice": by_rule,
    }


def _volume(
    each: Sequence[Target], patients: np.ndarray, rng: np.random.Generator, draws: int
) -> dict[str, Any]:
    true, found = (np.array([getattr(one, part) for one in each]) for part in ("true_ml", "found_ml"))
    columns = {
        "true_ml": true,
        "found_ml": found,
        "error_ml": found - true,
        "absolute_error_ml": np.abs(found - true),
    }
    return _told({name: mean_score(values, patients, rng, draws) for name, values in columns.items()})


def _lesionwise(
    detections: Sequence[Detection], patients: np.ndarray, rng: np.random.Generator, draws: int
) -> dict[str, Any]:
    pooled = pool_detections(detections, patients, rng, draws)
    names = ("sensitivity", "precision", "f1", "false_positives")
    scores = _told({name: getattr(pooled, name) for name in names})
    return scores | {"lesions": pooled.lesions, "components": pooled.components, "share": SHARE}


def _told(scores: dict[str, Score]) -> dict[str, Any]:
    return {name: score.as_dict() for name, score in scores.items()}


# -------------------------------------------------------------------------------------------- for a person


def table_of_volumes(figures: dict[str, Any]) -> str:
    """What was measured, as text: overlap under each rule, surfaces and millilitres, lesions one by one."""
    head = (
        f"{figures['scans']} scans of {figures['patients']} patients; 95 % intervals over patients, which "
        "are too narrow below about 20"
    )
    return "\n\n".join([head, _overlap_rows(figures), _size_rows(figures), _lesion_rows(figures)]) + "\n"


def _overlap_rows(figures: dict[str, Any]) -> str:
    rows = [["", "scans", "Dice", "precision", "recall"]]
    for name, found in figures["overlap"].items():
        for rule, words in {**RULES, "pooled": "all voxels together"}.items():
            cells = [told(found[rule][score]) for score in ("f1", "precision", "recall")]
            rows.append([f"{name}, {words}", str(found[rule]["f1"]["images"]), *cells])
    return in_columns(rows)


def _size_rows(figures: dict[str, Any]) -> str:
    near = f"surface Dice, {figures['tolerance_mm']:g} mm"
    rows = [["", "HD95, mm", "one empty", near, "true, ml", "error, ml", "absolute error, ml"]]
    for name, found in figures["surface"].items():
        sizes = figures["volume"][name]
        rows.append(
            [
                name,
                told(found["hd95_mm"], 1),
                str(found["one_empty"]),
                told(found["surface_dice"]["undefined"]),
                *(told(sizes[key], 1) for key in ("true_ml", "error_ml", "absolute_error_ml")),
            ]
        )
    return in_columns(rows)


def _lesion_rows(figures: dict[str, Any]) -> str:
    if not figures["lesionwise"]:
        return "The network tells no lesions."
    rows = [["lesion by lesion", "lesions", "found", "not false", "F1", "false per scan"]]
    for name, found in figures["lesionwise"].items():
        cells = [told(found[key]) for key in ("sensitivity", "precision", "f1", "false_positives")]
        rows.append([name, str(found["lesions"]), *cells])
    return in_columns(rows)


def scan_table(scans: Sequence[ScanScore]) -> str:
    """per_scan.csv: one row for each scan; empty where a figure is not defined. No patient is named."""
    rows = []
    for scan in scans:
        row: dict[str, Any] = {"scan": scan.name}
        for name, one in scan.targets.items():
            counts = Counts(*(np.array([n]) for n in (one.both, one.only_truth, one.only_found)))
            values = {key: float(value[0]) for key, value in scores_each(counts).items()}
            values |= {"true_ml": one.true_ml, "found_ml": one.found_ml, "hd95_mm": one.hd95_mm}
            values |= {"surface_dice": one.surface_dice}
            if one.detection is not None:
                values |= {
                    "lesions": len(one.detection.seen),
                    "lesions_found": int(one.detection.seen.sum()),
                    "false_lesions": one.detection.false_positives,
                }
            row |= {f"{name.replace(' ', '_')}_{key}": _cell(value) for key, value in values.items()}
        rows.append(row)
    text = io.StringIO()
    columns = list(dict.fromkeys(column for row in rows for column in row))
    writer = csv.DictWriter(text, columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _cell(value: float) -> Any:
    if isinstance(value, int):
        return value
    return round(value, 4) if np.isfinite(value) else ""
