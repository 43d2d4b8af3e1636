"""What the segmentation study stands on: labelled slices dealt into folds, beside many without labels.

cohort    the labelled slices of a cohort are scored by cross-validation, near copies and patients together
phantom   slices whose masks are exact, because we drew them: most of them are shown without their masks
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.data.labelled import (
    Fold,
    Kind,
    LabelledSlices,
    few_labels,
    fold_groups,
    folds,
    join,
    unknown_like,
)
from glasslung.errors import DataError
from glasslung.types import Progress

FOLD_SEED = 0  # all studies of one cohort are read against the same folds
DAYS = (4.0, 14.0)  # of phantoms: ill enough for something to be seen
PHANTOM_SIZE = 192


@dataclass(frozen=True, eq=False)
class LesionGround:
    """Slices to learn from and to be scored on.

    name    'phantom', or the cohort's
    slices  labelled, unlabelled and healthy ones
    folds   turns of cross-validation over the labelled ones
    groups  (labelled,) which of them count as one person: in the order of `of_kind(LABELLED)`
    """

    name: str
    slices: LabelledSlices
    folds: tuple[Fold, ...]
    groups: np.ndarray

    def rows(self, fold: int, labels: int, seed: int) -> np.ndarray:
        """What may be learned from in one fold: so many labelled slices, and all that are not labelled."""
        train = self.folds[fold].train
        some = few_labels(self.slices, train, min(labels, len(train)), seed)
        return np.concatenate([some, self.slices.of_kind(Kind.UNLABELLED, Kind.HEALTHY)])

    def told(self) -> dict[str, Any]:
        """Counts and a hash as plain values: equal for equal slices."""
        whole = hashlib.sha256()
        for picture, lesion, lung, origin in self.slices.rows():
            whole.update(origin.name.encode())
            for array in (picture, lesion, lung):
                if array.strides != (0, 0):  # of a mask of which nothing is known its absence is enough
                    whole.update(np.ascontiguousarray(array).tobytes())
        counts = {
            str(kind): len(self.slices.of_kind(kind))
            for kind in (Kind.LABELLED, Kind.UNLABELLED, Kind.HEALTHY)
        }
        return {
            "name": self.name,
            **counts,
            "labelled groups": len(set(self.groups.tolist())),
            "folds": len(self.folds),
            "sha256": whole.hexdigest(),
        }


def cohort_ground(
    path: Path, healthy: Path | None, k: int, every: int, most_healthy: int, progress: Progress | None = None
) -> LesionGround:
    """A cohort of 8-bit slices, some labelled; healthy slices may come from another one.

    every         takes each n-th slice of unlabelled stacks
    most_healthy  of the healthy slices, evenly over the cohort
    DataError where fewer than two labelled slices are there.
    """
    from glasslung.data.cohort import Cohort
    from glasslung.data.labelfolders import read_labelled_cohort
    from glasslung.data.slicewindows import alike
    from glasslung.data.sources import open_cohort

    if progress:
        progress("reading slices", 0.0)
    cohort = open_cohort(path)
    slices = read_labelled_cohort(cohort, every=every)
    if healthy is not None:
        other = open_cohort(healthy)
        cases = [case for case in other.cases if case.label == "healthy"]
        if not cases:
            raise DataError(f"{healthy} has no scan labelled healthy; leave --healthy away or give another")
        some = np.linspace(0, len(cases) - 1, min(most_healthy, len(cases))).round().astype(int)
        picked = Cohort(other.name, other.folder, tuple(cases[n] for n in some))
        slices = join(slices, read_labelled_cohort(picked))
    return _dealt(cohort.name, alike(slices), k)


def phantom_ground(
    people: int, labelled: int, healthy: int, k: int, seed: int, progress: Progress | None = None
) -> LesionGround:
    """Phantoms, one slice each: ill ones, of whom some are labelled, and healthy ones."""
    from glasslung.data.labelphantoms import phantom_slices
    from glasslung.data.phantom.patient import draw_patient
    from glasslung.data.slicewindows import alike

    rng = np.random.default_rng(seed)
    kinds = [Kind.LABELLED] * labelled + [Kind.UNLABELLED] * (people - labelled) + [Kind.HEALTHY] * healthy
    sets = []
    for number, kind in enumerate(kinds):
        if progress:
            progress(f"drawing phantom {number + 1} of {len(kinds)}", number / len(kinds))
        disease = "healthy" if kind is Kind.HEALTHY else "covid"
        patient = draw_patient(int(rng.integers(2**31)), disease)
        sets.append(phantom_slices([patient], [float(rng.uniform(*DAYS))], rng, PHANTOM_SIZE))
    slices = alike(join(*sets))
    lesions = tuple(
        unknown_like(mask) if kind is Kind.UNLABELLED else mask
        for mask, kind in zip(slices.lesions, kinds, strict=True)
    )
    lungs = tuple(
        unknown_like(mask) if kind is Kind.UNLABELLED else mask
        for mask, kind in zip(slices.lungs, kinds, strict=True)
    )
    origins = tuple(replace(origin, kind=kind) for origin, kind in zip(slices.origins, kinds, strict=True))
    return _dealt("phantom", replace(slices, lesions=lesions, lungs=lungs, origins=origins), k, False)


def _dealt(name: str, slices: LabelledSlices, k: int, by_picture: bool = True) -> LesionGround:
    count = len(slices.of_kind(Kind.LABELLED))
    if count < k:
        raise DataError(
            f"{name} has {count} labelled slice(s), fewer than {k} folds; label more, or give fewer folds"
        )
    parts, groups = folds(slices, k, FOLD_SEED, by_picture), fold_groups(slices, by_picture)
    return LesionGround(name, slices, parts, groups)


def label_counts(ground: LesionGround, wanted: Sequence[int]) -> tuple[int, ...]:
    """The numbers of labels that every fold has; one that is too large means all there are."""
    most = min(len(fold.train) for fold in ground.folds)
    return tuple(sorted({min(count, most) for count in wanted}))
