"""All figures of a segmenter on labelled slices: overlap, soft maps, lesions one by one, with intervals.

infection      any lesion; found where it is at least as likely as 0.5
ground glass, consolidation, crazy paving   found where they are the likeliest class
background     where no lesion is the likeliest
lesions        the mean of ground glass and consolidation; overall: with background, as in StichNet's paper

Every slice counts alike ('by image', under each rule for empty masks), and all pixels together ('pooled').
Soft maps are scored stretched to [0, 1] each, which is Inf-Net's protocol, and as they are. Truth, maps and
picture lie as the slice's file does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from glasslung.data.sliceviews import View
from glasslung.errors import DataError, ShapeError, UsageError
from glasslung.measure.greymaps import GreyScores, score_maps
from glasslung.measure.lesionwise import SHARE, Detection, match_lesions, pool_detections
from glasslung.measure.overlap import (
    SCORES,
    BothEmpty,
    Counts,
    Score,
    count_overlaps,
    mean_score,
    pooled_scores,
    scores_each,
)
from glasslung.types import Lesion, Progress

INFECTION, BACKGROUND = "infection", "background"
CUT = 0.5  # probability of any lesion from which a pixel is infected
KINDS = {
    Lesion.GROUND_GLASS: "ground glass",
    Lesion.CONSOLIDATION: "consolidation",
    Lesion.CRAZY_PAVING: "crazy paving",
}
LESIONS = ("ground glass", "consolidation")
SUM_TOLERANCE = 0.01  # maps that were kept in 8 bits


@dataclass(frozen=True, eq=False)
class Segmented:
    """One labelled slice and what a model said of it, as the slice's file lies.

    name           of the slice; files are named after it
    patient        who, or what must stay together: near copies, slices of one stack
    truth          (H, W) labels of `Lesion`
    probabilities  (K, H, W) none, ground glass, consolidation, crazy paving as far as K goes; or with K = 2
                   none and infection; summing to 1
    picture        (H, W) uint8
    view           how the file lies, for pictures that a person looks at
    """

    name: str
    patient: str
    truth: np.ndarray
    probabilities: np.ndarray
    picture: np.ndarray
    view: View = View.UPRIGHT

    def __post_init__(self) -> None:
        classes, *shape = self.probabilities.shape
        if self.truth.shape != tuple(shape) or self.picture.shape != tuple(shape) or len(shape) != 2:
            raise ShapeError(
                f"{self.name}: picture {self.picture.shape}, truth {self.truth.shape} and maps "
                f"{tuple(shape)} must be of one grid (H, W)"
            )
        if not 2 <= classes <= 1 + len(KINDS):
            raise ShapeError(f"{self.name}: a segmenter has 2 to {1 + len(KINDS)} classes, got {classes}")
        if strange := sorted(set(np.unique(self.truth).tolist()) - {int(kind) for kind in Lesion}):
            raise DataError(
                f"{self.name}: the truth holds the label {strange[0]}; known are 0 none, 1 ground glass, "
                "2 consolidation, 3 crazy paving, and every pixel must be known"
            )
        total = self.probabilities.sum(0)
        if not (self.probabilities.min() >= -SUM_TOLERANCE and np.abs(total - 1).max() <= SUM_TOLERANCE):
            raise DataError(
                f"{self.name}: the maps are no probabilities: they must be 0 or more and sum to 1"
            )

    @property
    def infection(self) -> np.ndarray:
        """(H, W) how likely any lesion is."""
        return np.clip(1 - self.probabilities[0], 0, 1)

    @property
    def infected(self) -> np.ndarray:
        """(H, W) bool: where a lesion is found."""
        return self.infection >= CUT

    @property
    def label(self) -> np.ndarray:
        """(H, W) uint8: the likeliest class of each pixel."""
        return self.probabilities.argmax(0).astype(np.uint8)

    @property
    def maps(self) -> dict[str, np.ndarray]:
        """The soft map of each lesion that the model tells apart, with infection first."""
        kinds = list(KINDS.items())[: len(self.probabilities) - 1] if len(self.probabilities) > 2 else []
        each = {name: np.clip(self.probabilities[int(kind)], 0, 1) for kind, name in kinds}
        return {INFECTION: self.infection} | each


@dataclass(frozen=True, eq=False)
class SegmentationScores:
    """What follows from N segmented slices, in their order.

    counts      target -> pixels hit, missed and invented
    maps        target -> stretched or as they are -> scores of soft maps
    detections  target -> lesions found, missed and invented
    """

    slices: tuple[Segmented, ...]
    counts: dict[str, Counts]
    maps: dict[str, dict[str, GreyScores]]
    detections: dict[str, tuple[Detection, ...]]

    @property
    def patients(self) -> np.ndarray:
        """(N,) whose slice each is."""
        return np.array([one.patient for one in self.slices])


def score_segmentations(slices: Sequence[Segmented], progress: Progress | None = None) -> SegmentationScores:
    """Count everything once, slice by slice; `figures_of` makes figures of it."""
    if not slices:
        raise DataError("there is not a single labelled slice to score")
    if len({len(one.probabilities) for one in slices}) > 1:
        raise UsageError("the slices were segmented by models with different classes; score them apart")
    if len({one.name for one in slices}) < len(slices):
        raise DataError("two slices have one name; name every slice differently")
    counts, maps, detections = {}, {}, {}
    targets = _targets(slices[0])
    for number, (target, masks) in enumerate(targets.items()):
        if progress:
            progress(f"scoring {target}", number / len(targets))
        counts[target] = count_overlaps(masks(one) for one in slices)
        if target == BACKGROUND:
            continue
        detections[target] = tuple(match_lesions(*masks(one)) for one in slices)
        pairs = [(masks(one)[0], one.maps[target]) for one in slices]
        maps[target] = {
            "stretched": score_maps(pairs),
            "as they are": score_maps(pairs, stretch=False),
        }
    return SegmentationScores(tuple(slices), counts, maps, detections)


def _targets(first: Segmented) -> dict[str, Callable[[Segmented], tuple[np.ndarray, np.ndarray]]]:
    """What is scored: name -> slice -> (truth, found), (H, W) bool each."""
    found: dict[str, Callable[[Segmented], tuple[np.ndarray, np.ndarray]]] = {
        INFECTION: lambda one: (one.truth > 0, one.infected)
    }
    for kind, name in KINDS.items():
        if name in first.maps:
            found[name] = lambda one, kind=kind: (one.truth == kind, one.label == kind)  # type: ignore[misc]
    found[BACKGROUND] = lambda one: (one.truth == 0, one.label == 0)
    return found


# ------------------------------------------------------------------------------------------------- figures


def figures_of(scores: SegmentationScores, rng: np.random.Generator, draws: int = 2000) -> dict[str, Any]:
    """Every figure with its interval, as plain values for JSON.

    overlap     target -> rule for empty masks (undefined, perfect, zero) or 'pooled' -> f1, iou, precision,
                recall
    maps        target -> 'stretched' or 'as they are' -> dice, sensitivity, specificity, s, e, mae, ...
    lesionwise  target -> sensitivity, precision, f1, false_positives
    """
    patients = scores.patients
    overlap: dict[str, Any] = {}
    for target, counts in scores.counts.items():
        overlap[target] = {
            rule.value: _told(
                {n: mean_score(v, patients, rng, draws) for n, v in scores_each(counts, rule).items()}
            )
            for rule in BothEmpty
        }
        overlap[target]["pooled"] = _told(pooled_scores(counts, patients, rng, draws))
    for name, targets in {"lesions": LESIONS, "overall": (*LESIONS, BACKGROUND)}.items():
        if set(targets) <= set(scores.counts):
            overlap[name] = _means_over(scores, targets, rng, draws)
    return {
        "slices": len(scores.slices),
        "patients": len(set(patients.tolist())),
        "with": {
            name: int(sum((one.truth == kind).any() for one in scores.slices)) for kind, name in KINDS.items()
        },
        "overlap": overlap,
        "maps": {
            target: {
                how: _told(maps.means(patients, rng, draws)) | {"best_threshold": maps.best_threshold}
                for how, maps in both.items()
            }
            for target, both in scores.maps.items()
        },
        "lesionwise": {
            target: _detected(found, patients, rng, draws) for target, found in scores.detections.items()
        },
    }


def _told(scores: dict[str, Any]) -> dict[str, Any]:
    return {name: score.as_dict() for name, score in scores.items()}


def _means_over(
    scores: SegmentationScores, targets: Sequence[str], rng: np.random.Generator, draws: int
) -> dict[str, Any]:
    """Means over several classes of each class's mean over slices, under each rule."""
    found: dict[str, Any] = {}
    for rule in BothEmpty:
        each = [scores_each(scores.counts[target], rule) for target in targets]
        found[rule.value] = _told(
            {
                name: mean_score(np.stack([one[name] for one in each], 1), scores.patients, rng, draws)
                for name in SCORES
            }
        )
    return found


def _detected(
    found: Iterable[Detection], patients: np.ndarray, rng: np.random.Generator, draws: int
) -> dict[str, Any]:
    pooled = pool_detections(tuple(found), patients, rng, draws)
    return {
        "sensitivity": pooled.sensitivity.as_dict(),
        "precision": pooled.precision.as_dict(),
        "f1": pooled.f1.as_dict(),
        "false_positives": pooled.false_positives.as_dict(),
        "lesions": pooled.lesions,
        "components": pooled.components,
        "share": SHARE,
    }


def slice_values(
    scores: SegmentationScores, target: str, figure: str, rule: BothEmpty = BothEmpty.UNDEFINED
) -> np.ndarray:
    """One figure of every slice, (N,), NaN where undefined.

    figure  f1, iou, precision or recall, under the rule; or of the soft map, 'stretched dice', 'as they are
            mae', ...: the protocol, then a name of `GreyScores.each`
    """
    if target not in scores.counts:
        raise UsageError(f"no {target!r} was scored; there are {', '.join(scores.counts)}")
    if figure in SCORES:
        return scores_each(scores.counts[target], rule)[figure]
    soft = {
        f"{how} {name}": values
        for how, maps in scores.maps.get(target, {}).items()
        for name, values in maps.each().items()
    }
    if figure not in soft:
        raise UsageError(f"there is no figure {figure!r}; there are {', '.join([*SCORES, *soft])}")
    return soft[figure]


def paired_gain(
    first: SegmentationScores,
    second: SegmentationScores,
    target: str,
    figure: str,
    rng: np.random.Generator,
    rule: BothEmpty = BothEmpty.UNDEFINED,
) -> Score:
    """How much better the second model does on the same slices: the mean over slices of second minus first.

    An interval that excludes 0 speaks for a true difference on such slices; it knows nothing of other
    trainings of the same models. Slices on which either is undefined are left out.
    """
    if [one.name for one in first.slices] != [one.name for one in second.slices]:
        raise UsageError("the two models were scored on other slices, or in another order; score them alike")
    gain = slice_values(second, target, figure, rule) - slice_values(first, target, figure, rule)
    return mean_score(gain, first.patients, rng)


def per_slice(scores: SegmentationScores) -> list[dict[str, Any]]:
    """One row of figures for each slice; empty where a score is undefined. No patient is named."""
    rows: list[dict[str, Any]] = [
        {"slice": one.name, "height": one.truth.shape[0], "width": one.truth.shape[1]}
        for one in scores.slices
    ]
    for target, counts in scores.counts.items():
        key = target.replace(" ", "_")
        columns = {
            "true_pixels": counts.both + counts.only_truth,
            "found_pixels": counts.both + counts.only_found,
            **scores_each(counts),
        }
        if target in scores.maps:
            stretched, plain = (scores.maps[target][how].each() for how in ("stretched", "as they are"))
            columns |= {f"mean_{n}": stretched[n] for n in ("dice", "sensitivity", "specificity", "e")}
            columns |= {"s": stretched["s"], "mae": stretched["mae"], "mean_dice_as_is": plain["dice"]}
            found = scores.detections[target]
            columns["lesions"] = np.array([len(one.seen) for one in found])
            columns["lesions_found"] = np.array([int(one.seen.sum()) for one in found])
            columns["false_lesions"] = np.array([one.false_positives for one in found])
        for name, values in columns.items():
            for row, value in zip(rows, values.tolist(), strict=True):
                row[f"{key}_{name}"] = _cell(value)
    return rows


def _cell(value: float) -> Any:
    if isinstance(value, int):
        return value
    return "" if np.isnan(value) else round(value, 4)
