"""Explanations as measurements: where a classifier's reasons lie, and whether they are its reasons at all.

Of one scan a `Ledger`: shares of the relevance by region, how well it finds true lesions, what happens when
relevant voxels are taken away, and what remains of the map when the weights are shuffled. Each figure stands
beside what a map would get that knows nothing: the same relevance, its voxels permuted within the lungs.
`figures` puts many ledgers together, with intervals over patients.

Shares are of the relevance as it is; whatever ranks voxels (the highest one, detection, deletion) reads the
smoothed map, as a person does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import nn

from glasslung.data.exams import Exam
from glasslung.errors import DataError, ShapeError
from glasslung.explain.composites import CONSERVING, Composite
from glasslung.explain.heatmaps import smoothed
from glasslung.explain.lrp import Relevance, explain_exam
from glasslung.explain.perturbing import STEPS, Curve, asking, curves, likeness, shuffled
from glasslung.measure.ranking import auc
from glasslung.measure.statistics import Interval, bootstrap_by_patient
from glasslung.measure.zones import LEVELS, SIDES, third_of_slices
from glasslung.types import Lesion, RelevanceShare

OUTSIDE = "outside the lungs"
LESIONS = "lesions"
LUNGS = "lungs"
ERROR = "conservation error"
"""Of many scans: what all lost together, over the sum of their log-odds without sign."""


@dataclass(frozen=True)
class Localisation:
    """How well relevance finds the true lesions of one scan, within its lungs.

    share       of the positive relevance within the lungs that lies in lesions, 0 to 1
    against     of the negative relevance likewise; 0 where there is none
    net         relevance of the lesions, signs and all, over that of the lungs without sign: -1 to 1
    hit         whether the highest voxel of the smoothed map lies in a lesion (the pointing game)
    auc         chance that a voxel in a lesion has more relevance than one outside; 0.5 by chance
    volume      share of the lungs that is lesion: what `share` would be by chance
    random_...  the same of the relevance permuted within the lungs

    Bright voxels, and a lesion mask among the inputs, draw relevance of both signs whatever a network has
    learned: `share` alone stays high with shuffled weights. What it learned shows in `net` and `auc`.
    """

    share: float
    against: float
    net: float
    hit: bool
    auc: float
    volume: float
    random_share: float
    random_against: float
    random_net: float
    random_hit: bool
    random_auc: float

    @property
    def ratio(self) -> float:
        """Share over volume: 1 by chance, above where relevance seeks lesions."""
        return self.share / self.volume

    @property
    def random_ratio(self) -> float:
        """Of the permuted relevance."""
        return self.random_share / self.volume


@dataclass(frozen=True)
class Sanity:
    """What is left of a map when the network has forgotten what it learned.

    layers    how many of the last layers had their weights shuffled; -1 all
    likeness  rank correlation of the maps with and without, within the lungs: 1 nothing changed
    ratio, net, auc   of `Localisation`, after all weights were shuffled; None where there is no true lesion
    """

    layers: tuple[int, ...]
    likeness: tuple[float, ...]
    ratio: float | None
    net: float | None
    auc: float | None


@dataclass(frozen=True)
class Ledger:
    """All that is measured of one explanation.

    log_odds     that were explained; error: how far inputs and biases are from them, as a share
    positive     regions' shares of all relevance for the finding, beside their shares of the lungs' volume
    absolute     region -> share of all relevance of either sign
    lesion_input share of all relevance, of either sign, that lies on the lesion mask as an input
    localisation None where no true lesion lies in the lungs, or where nothing speaks for the finding there
    deletion, insertion, sanity   None where they were not asked for
    """

    scan: str
    log_odds: float
    composite: str
    error: float
    positive: tuple[RelevanceShare, ...]
    absolute: dict[str, float]
    lesion_input: float
    localisation: Localisation | None = None
    deletion: Curve | None = None
    insertion: Curve | None = None
    sanity: Sanity | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values, and the areas and ratios that follow from them."""
        told = asdict(self)
        for name in ("deletion", "insertion"):
            curve = getattr(self, name)
            if curve is not None:
                told[name] |= {"area": curve.area, "random_area": curve.random_area}
        if self.localisation is not None:
            told["localisation"]["ratio"] = self.localisation.ratio
        return told


@dataclass(frozen=True)
class Figure:
    """One figure over many scans: mean, interval, and that of a map that knows nothing, where it has one."""

    name: str
    value: Interval
    random: Interval | None
    scans: int


def keep_ledger(
    model: nn.Module,
    exam: Exam,
    rng: np.random.Generator,
    scan: str = "",
    truth: np.ndarray | None = None,
    composite: Composite | str = CONSERVING,
    steps: Sequence[float] | None = STEPS,
    cascade: Sequence[int] | None = (1, -1),
) -> Ledger:
    """Explain one scan, and measure the explanation.

    truth    (S, H, W) bool, its true lesions on the exam's grid; None: the exam's own
    steps    of deletion and insertion; None leaves them out (they ask the classifier for each step)
    cascade  numbers of last layers to shuffle, -1 all; None leaves it out (each is explained anew)
    """
    found = explain_exam(model, exam, composite)
    lesions = exam.lesions > 0 if truth is None else truth
    there = localise(found.map, exam, lesions, rng)
    taken = (None, None) if steps is None else curves(asking(model), exam, found.map, rng, steps)
    sane = None if cascade is None else _sanity(model, exam, found, lesions, composite, cascade, rng)
    whole = float(np.abs(found.image).sum() + np.abs(found.lesion).sum())
    return Ledger(
        scan=scan,
        log_odds=found.log_odds,
        composite=found.composite,
        error=found.error,
        positive=shares(found.map, exam),
        absolute=_parts(np.abs(found.map), exam),
        lesion_input=float(np.abs(found.lesion).sum()) / whole if whole else 0.0,
        localisation=there,
        deletion=taken[0],
        insertion=taken[1],
        sanity=sane,
    )


def shares(relevance: np.ndarray, exam: Exam) -> tuple[RelevanceShare, ...]:
    """Each region's share of all relevance for the finding, beside its share of the lungs' volume.

    relevance (S, H, W); only what is positive counts. Lesions of all kinds first, each kind that is there,
    sides, thirds of each side where the lungs have sides, and what lies outside the lungs. Regions overlap.
    """
    inside = max(int(np.count_nonzero(exam.lungs)), 1)
    part = _parts(np.clip(relevance, 0, None), exam)
    volume = {
        name: None if name == OUTSIDE else int(np.count_nonzero(mask)) / inside
        for name, mask in regions(exam).items()
    }
    return tuple(RelevanceShare(name, part[name], volume[name]) for name in part)


def regions(exam: Exam) -> dict[str, np.ndarray]:
    """Named parts of an exam, (S, H, W) bool each; thirds cut so that each holds a third of the volume."""
    inside = exam.lungs > 0
    found = {LESIONS: exam.lesions > 0}
    kinds = [kind for kind in Lesion if kind and (exam.lesions == kind).any()]
    found |= {kind.words: exam.lesions == kind for kind in kinds if len(kinds) > 1}
    found[LUNGS] = inside
    sides = {name: exam.lungs == side for side, name in SIDES.items()}
    level = third_of_slices(np.count_nonzero(inside, axis=(1, 2)))
    if all(mask.any() for mask in sides.values()):
        found |= {f"{name} lung": mask for name, mask in sides.items()}
        if len(exam) >= len(LEVELS):
            found |= {
                f"{name} {LEVELS[n]} third": mask & (level == n)[:, None, None]
                for name, mask in sides.items()
                for n in (2, 1, 0)
            }
    found[OUTSIDE] = ~inside
    return found


def localise(
    relevance: np.ndarray, exam: Exam, truth: np.ndarray, rng: np.random.Generator
) -> Localisation | None:
    """How well relevance (S, H, W) finds true lesions (S, H, W) bool within the lungs; see `Localisation`."""
    if truth.shape != exam.image.shape or relevance.shape != exam.image.shape:
        raise ShapeError(
            f"true lesions {truth.shape} and map {relevance.shape} must lie on the exam {exam.image.shape}"
        )
    inside = exam.lungs > 0
    sick = truth[inside].astype(bool)
    raw, wide = relevance[inside], smoothed(relevance, exam)[inside]
    if not sick.any() or sick.all() or not (raw > 0).any():
        return None
    order = rng.permutation(len(sick))
    own, chance = (_found(raw[one], wide[one], sick) for one in (slice(None), order))
    return Localisation(*own, float(sick.mean()), *chance)


def figures(
    ledgers: Sequence[Ledger], patients: Sequence[str], rng: np.random.Generator, draws: int = 2000
) -> tuple[Figure, ...]:
    """Means over scans of what all ledgers hold, with intervals that resample patients.

    Scans for which a figure is not defined are left out of it; a figure of fewer than two patients is left
    out altogether. DataError where nothing is left.
    """
    if len(ledgers) != len(patients):
        raise ShapeError(f"{len(ledgers)} ledgers need as many patients, got {len(patients)}")
    rows = [_row(one) for one in ledgers]
    sizes = np.array([abs(one.log_odds) for one in ledgers])
    names = list(dict.fromkeys(name for row in rows for name in row))
    told = []
    for name in names:
        have = [n for n, row in enumerate(rows) if name in row]
        whose = [patients[n] for n in have]
        if len(set(whose)) < 2:
            continue
        value, chance = (np.array([rows[n][name][k] for n in have], dtype=float) for k in (0, 1))
        # what scans with an answer near 0 lose is no large part of what is explained
        weight = sizes[have] if name == ERROR else np.ones(len(have))
        told.append(
            Figure(
                name,
                _mean(value, weight, whose, rng, draws),
                None if np.isnan(chance).any() else _mean(chance, weight, whose, rng, draws),
                len(have),
            )
        )
    if not told:
        raise DataError("figures with intervals need ledgers of two patients or more")
    return tuple(told)


def _row(ledger: Ledger) -> dict[str, tuple[float, float]]:
    """Figures of one scan by name, each with that of a map that knows nothing; NaN where there is none."""
    row = {ERROR: (ledger.error, np.nan), "on the lesion mask": (ledger.lesion_input, np.nan)}
    for one in ledger.positive:
        row[f"in {one.region}"] = (one.relevance, np.nan if one.volume is None else one.volume)
    if (there := ledger.localisation) is not None:
        row |= {
            "lesions, share over volume": (there.ratio, there.random_ratio),
            "lesions, net share": (there.net, there.random_net),
            "pointing game": (float(there.hit), float(there.random_hit)),
            "lesions, AUC by voxel": (there.auc, there.random_auc),
        }
    for name in ("deletion", "insertion"):
        if (curve := getattr(ledger, name)) is not None:
            row[f"{name}, mean log-odds"] = (curve.area, curve.random_area)
    if (sane := ledger.sanity) is not None:
        for layers, alike in zip(sane.layers, sane.likeness, strict=True):
            what = "all layers" if layers < 0 else f"last {layers} layers"
            row[f"likeness, {what} shuffled"] = (alike, 0.0)
        if sane.ratio is not None and sane.net is not None and sane.auc is not None:
            row["lesions, share over volume, all layers shuffled"] = (sane.ratio, 1.0)
            row["lesions, net share, all layers shuffled"] = (sane.net, 0.0)
            row["lesions, AUC by voxel, all layers shuffled"] = (sane.auc, 0.5)
    return row


def _mean(
    values: np.ndarray, weight: np.ndarray, patients: Sequence[str], rng: np.random.Generator, draws: int
) -> Interval:
    def weighted(column: np.ndarray, own: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        mean: np.ndarray = drawn @ (own * column) / (drawn @ own)
        return mean

    return bootstrap_by_patient(weighted, patients, values, weight, rng=rng, draws=draws, weighted=True)


def _parts(strength: np.ndarray, exam: Exam) -> dict[str, float]:
    """Region -> share of the whole of a map that is nowhere negative; 0 where it is 0 everywhere."""
    if strength.shape != exam.image.shape:
        raise ShapeError(f"the map is {strength.shape}, the exam {exam.image.shape}; give one for each slice")
    whole = float(strength.sum(dtype=np.float64)) or 1.0
    return {name: float(strength[mask].sum(dtype=np.float64)) / whole for name, mask in regions(exam).items()}


def _found(raw: np.ndarray, wide: np.ndarray, sick: np.ndarray) -> tuple[float, float, float, bool, float]:
    """Shares of the positive and of the negative part in lesions, net, whether the highest is in one, AUC."""
    signed = raw.astype(np.float64)
    positive, negative = np.clip(signed, 0, None), np.clip(-signed, 0, None)
    return (
        float(positive[sick].sum() / positive.sum()),
        float(negative[sick].sum() / max(negative.sum(), 1e-300)),
        float(signed[sick].sum() / np.abs(signed).sum()),
        bool(sick[wide.argmax()]),
        auc(sick, wide),
    )


def _sanity(
    model: nn.Module,
    exam: Exam,
    found: Relevance,
    truth: np.ndarray,
    composite: Composite | str,
    cascade: Sequence[int],
    rng: np.random.Generator,
) -> Sanity:
    """Explain again with shuffled weights: of the last layers, and of all."""
    alike, there = [], None
    for layers in cascade:
        other = explain_exam(shuffled(model, rng, None if layers < 0 else layers), exam, composite)
        alike.append(likeness(found.map, other.map, exam))
        if layers < 0:
            there = localise(other.map, exam, truth, rng)
    figures_of = (None, None, None) if there is None else (there.ratio, there.net, there.auc)
    return Sanity(tuple(cascade), tuple(alike), *figures_of)


def share_table(ledgers: Sequence[Ledger]) -> Mapping[str, tuple[float, float | None]]:
    """Mean share of the positive relevance and of the volume, by region, over scans that have the region."""
    held: dict[str, list[RelevanceShare]] = {}
    for ledger in ledgers:
        for one in ledger.positive:
            held.setdefault(one.region, []).append(one)
    return {
        name: (
            float(np.mean([one.relevance for one in all_of])),
            None if all_of[0].volume is None else float(np.mean([one.volume for one in all_of])),
        )
        for name, all_of in held.items()
    }
