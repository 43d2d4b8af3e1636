"""Lesions from few labels, told in order: which method finds them with 5, 10, 25 or all labels?

    ground   labelled slices in folds, near copies and patients together, beside slices without labels
    sweep    methods x numbers of labels x folds x seeds; each training has the same process time
             (`contest`), and each is asked about the fold it has not seen
    figures  the folds of a cell put together, so every labelled slice is scored once; against the U-Net that
             learned from the same labels, slice by slice (`figures`)
    page     `index.html` and `numbers.json`

A folder holds one study. The same command goes on where it was stopped; another study is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.data.labelbatches import SquareSlices
from glasslung.data.labelled import Kind
from glasslung.errors import UsageError
from glasslung.files import make_folder, write_json
from glasslung.studies.folder import (
    NUMBERS,
    OUTCOMES,
    PAGE,
    about_run,
    check_free,
    claim,
    one_thread,
    part_of,
)
from glasslung.studies.jobs import Job, Product, finish
from glasslung.studies.segmentation.contest import Budget, Segmenter, ask, segmenters, train, write_maps
from glasslung.studies.segmentation.ground import LesionGround, cohort_ground, label_counts, phantom_ground
from glasslung.studies.segmentation.styles import style_rows
from glasslung.types import Progress

BASELINE = "U-Net"
SIDE_STEP = 32  # sides that every network can halve five times
LOOKED_AT = 32  # slices without labels, on which the paper's model collapsed
STYLED = 3  # slices of each fold that a model with styles shows in all of them
QUICK_METHODS = (BASELINE, "U-Net+PL", "Mean teacher", "UniMatch", "StichNet")


@dataclass(frozen=True)
class Plan:
    """How much of everything: what `--quick` and the full study differ in."""

    quick: bool
    budget: Budget
    labels: tuple[int, ...]
    folds: int
    draws: int  # resamples behind an interval
    every: int  # takes each n-th slice of unlabelled stacks
    healthy: int  # slices of healthy people, at most
    people: int  # ill phantoms, where there is no cohort
    drawn_on: int  # of them, those with labels

    def for_minutes(self, minutes: float | None) -> Plan:
        """The same with another time for each training."""
        if minutes is None:
            return self
        if not minutes > 0:
            raise UsageError(f"--minutes {minutes:g}: every training needs some time")
        return replace(self, budget=replace(self.budget, seconds=60 * minutes))

    def for_labels(self, labels: Sequence[int]) -> Plan:
        """The same with other numbers of labels."""
        if not labels:
            return self
        if min(labels) < 1:
            raise UsageError(f"--labels {min(labels)}: one label at least")
        return replace(self, labels=tuple(sorted(set(labels))))

    def for_size(self, size: int | None) -> Plan:
        """The same on framed slices of another side, pixels."""
        if size is None:
            return self
        if size < SIDE_STEP or size % SIDE_STEP:
            raise UsageError(f"--size {size}: a multiple of {SIDE_STEP}, for example 128 or 192")
        return replace(self, budget=replace(self.budget, size=size))

    def for_folds(self, folds: int | None) -> Plan:
        """The same with the labelled slices in another number of folds."""
        if folds is None:
            return self
        if folds < 2:
            raise UsageError(f"--folds {folds}: two at least, one to learn from and one to be scored on")
        return replace(self, folds=folds)


FULL = Plan(
    False, Budget(), (5, 10, 25, 50), folds=5, draws=2000, every=4, healthy=200, people=240, drawn_on=60
)
QUICK = Plan(
    True,
    Budget(seconds=25.0, size=128),
    (5, 50),
    folds=2,
    draws=500,
    every=10,
    healthy=40,
    people=60,
    drawn_on=24,
)


def run_segmentation(
    cohort: Path | None,
    out: Path,
    plan: Plan = FULL,
    seeds: int = 1,
    methods: Mapping[str, Segmenter] | None = None,
    healthy: Path | None = None,
    progress: Progress | None = None,
    baseline: str = BASELINE,
) -> Path:
    """The whole study, from slices to the page; returns the page's path.

    cohort   folder or table of 8-bit slices, some with lesion masks; None: phantoms
    healthy  a cohort with slices of healthy people; None: those of `cohort`, if there are any
    seeds    trainings of every cell; more can be added to a finished study
    baseline the method beside which gains are told, one of `methods`
    Raises UsageError (the folder holds something else), DataError (slices that no study can be made of).
    """
    from glasslung.studies.segmentation.figures import measure
    from glasslung.studies.segmentation.page import write_page

    if seeds < 1:
        raise UsageError(f"--seeds {seeds}: one training at least")
    check_free(out)
    ground = None if cohort is None else read_ground(cohort, healthy, plan, progress)
    make_folder(out)
    if ground is None:
        ground = phantom_ground(
            plan.people, plan.drawn_on, plan.healthy, plan.folds, 0, part_of(progress, 0, 0.05)
        )
    asked = {
        "study": "segmentation",
        "plan": {**asdict(plan), "labels": list(plan.labels)},
        "ground": ground.told(),
    }
    claim(out, asked)
    chosen = fitting(methods if methods is not None else methods_of(plan), ground)
    with one_thread():
        jobs = list_jobs(ground, plan, chosen, seeds)
        done = finish(jobs, out / OUTCOMES, part_of(progress, 0.05, 0.9))
        told = about_run(asked, done, seeds) | {"methods": list(chosen)}
        twins = {name: method.twin for name, method in chosen.items() if method.twin in chosen}
        numbers = told | measure(ground, done, plan.draws, baseline, part_of(progress, 0.9, 1.0), twins)
    write_json(out / NUMBERS, numbers)
    return write_page(numbers, ground, done, out / PAGE)


def read_ground(cohort: Path, healthy: Path | None, plan: Plan, progress: Progress | None) -> LesionGround:
    """The cohort, dealt as the plan says."""
    return cohort_ground(cohort, healthy, plan.folds, plan.every, plan.healthy, part_of(progress, 0, 0.05))


def methods_of(plan: Plan) -> dict[str, Segmenter]:
    """All methods, or those of the quick plan."""
    every = segmenters()
    return {name: every[name] for name in QUICK_METHODS} if plan.quick else every


def choose_segmenters(names: str, plan: Plan, baseline: str = BASELINE) -> dict[str, Segmenter]:
    """Methods by name, with commas between them, and the baseline; the plan's where none is named."""
    every = segmenters()
    named = [name.strip() for name in names.split(",")] if names.strip() else list(methods_of(plan))
    wanted = [baseline, *named]
    unknown = [name for name in wanted if name not in every]
    if unknown:
        raise UsageError(f"there is no method {unknown[0]!r}; there are {', '.join(every)}")
    return {name: every[name] for name in dict.fromkeys(wanted)}


def fitting(methods: Mapping[str, Segmenter], ground: LesionGround) -> dict[str, Segmenter]:
    """The methods as far as the slices allow: what learns from healthy slices does without where there are
    none; what learns from unlabelled ones cannot.
    """
    has_unlabelled = len(ground.slices.of_kind(Kind.UNLABELLED)) > 0
    has_healthy = len(ground.slices.of_kind(Kind.HEALTHY)) > 0
    return {
        name: replace(method, healthy=method.healthy and has_healthy)
        for name, method in methods.items()
        if has_unlabelled or not method.needs_unlabelled
    }


# ------------------------------------------------------------------------------------------------ the sweep


def list_jobs(ground: LesionGround, plan: Plan, methods: Mapping[str, Segmenter], seeds: int) -> list[Job]:
    """Every cell: seed by seed, the most labels first, so that an interrupted sweep has whole tables."""
    squares = SquareSlices(ground.slices, plan.budget.size)
    told = ground.told()["sha256"]
    return [
        _job(name, method, ground, squares, replace(plan.budget, seed=seed), labels, fold, told)
        for seed in range(seeds)
        for labels in reversed(label_counts(ground, plan.labels))
        for fold in range(len(ground.folds))
        for name, method in methods.items()
    ]


def _job(
    name: str,
    method: Segmenter,
    ground: LesionGround,
    squares: SquareSlices,
    budget: Budget,
    labels: int,
    fold: int,
    told: str,
) -> Job:
    asked = {
        "method": name,
        "labels": labels,
        "fold": fold,
        "model": method.model,
        "settings": dict(method.settings),
        "unlabelled": method.unlabelled,
        "healthy": method.healthy,
        "lungs": method.lungs,
        "rounds": asdict(method.rounds) if method.rounds else None,
        "classes": None if method.classes is None else dict(method.classes),
        "budget": asdict(budget),
        "slices": told,
    } | ({"lesson": asdict(method.lesson)} if method.lesson else {})

    def work(progress: Progress | None) -> Product:
        rows = ground.rows(fold, labels, budget.seed)
        trained, about = train(method, squares, rows, budget, part_of(progress, 0, 0.95))
        test = ground.folds[fold].test
        maps = ask(trained.probabilities, squares, test)
        names = [ground.slices.names[row] for row in test]
        unlabelled = ground.slices.of_kind(Kind.UNLABELLED)[:LOOKED_AT]
        collapse = examine(trained.model, squares, unlabelled if len(unlabelled) else test)
        styles = style_rows(trained.model, squares, test[:STYLED])
        return Product(None, partial(write_maps, names, maps, styles=styles), about | {"collapse": collapse})

    return Job(f"{name}, {labels} labels, fold {fold + 1}", budget.seed, asked, work)


def examine(model: Any, squares: SquareSlices, rows: np.ndarray) -> dict[str, Any] | None:
    """Whether a model with styles has collapsed, on these slices; None for one without styles."""
    if not hasattr(model, "styles"):
        return None
    from glasslung.measure.styles import examine_styles

    image = squares.batch(rows).image
    found = examine_styles(image[:, 0].numpy(), model.styles(image).numpy(), model.labels(image).numpy())
    return {
        "collapsed": found.collapsed,
        "verdict": found.verdict,
        "styles coincide": found.styles_coincide,
        "labels constant": found.labels_constant,
        "label nats": found.label_nats,
    }
