"""How well a plain classifier tells the groups of a cohort, before and after the greys are made alike.

These are ceilings: a group classifier's score on made slices says nothing until it is read beside what the
same classifier reaches on real slices of unseen patients. And they are probes: brightness alone, outline
alone, texture alone show by what the groups are told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from glasslung.data.slices import GROUP_NAMES, SliceSet
from glasslung.measure.lungfeatures import PLAIN_FEATURES, plain_features
from glasslung.measure.lungtexture import texture_features
from glasslung.measure.ranking import auc_interval, auc_weighted, truth_strata
from glasslung.measure.separability import group_strata, out_of_fold, told_rightly
from glasslung.measure.statistics import Interval, bootstrap_by_patient, patient_codes
from glasslung.studies.progression.limits.greystandards import METHODS, grey_reference, standardise
from glasslung.studies.progression.limits.summaries import LimitSettings, as_json
from glasslung.studies.progression.limits.verdict import AGES, AS_THEY_ARE, CEILING, HEALTHY
from glasslung.types import Progress

OUTLINE = tuple(PLAIN_FEATURES.index(name) for name in ("lung area", "box height", "box width"))
STANDARDISED = (HEALTHY, AGES)  # what is asked again after the greys were made alike
BRIGHTNESS = tuple(column for column in range(len(PLAIN_FEATURES)) if column not in OUTLINE)


@dataclass(frozen=True, eq=False)
class Task:
    """Something to be told from slices: rows (M,) of the set, codes (M,) 0 .. G - 1, patients (M,)."""

    name: str
    measure: str
    groups: tuple[str, ...]
    rows: np.ndarray
    codes: np.ndarray
    patients: np.ndarray
    seed: int  # of the folds: the same before and after standardisation

    def score(self, features: np.ndarray, kind: str, settings: LimitSettings) -> np.ndarray:
        """Out-of-fold answers (M,): the chance of group 1 for an AUC, else the likeliest group.

        The first classifier's chances are means over several deals of the patients to folds.
        """
        deals = settings.deals if kind == settings.classifier else 1
        rng = np.random.default_rng(self.seed)
        chances = np.mean(
            [
                out_of_fold(
                    features[self.rows], self.codes, self.patients, rng=rng, kind=kind, folds=settings.folds
                )
                for _ in range(deals)
            ],
            axis=0,
        )
        answers: np.ndarray = chances[:, 1] if self.measure == "AUC" else chances.argmax(1)
        return answers

    def interval(self, answers: np.ndarray, settings: LimitSettings) -> Interval:
        """How well the answers tell, over patients."""
        how = auc_interval if self.measure == "AUC" else told_rightly
        truth = self.codes == 1 if self.measure == "AUC" else self.codes
        return how(
            truth,
            answers,
            self.patients,
            rng=np.random.default_rng(self.seed),
            draws=settings.draws,
            level=settings.level,
        )

    def change(self, before: np.ndarray, after: np.ndarray, settings: LimitSettings) -> Interval:
        """How much better the second answers tell than the first, on the same resampled patients."""
        right = _gain_auc if self.measure == "AUC" else _gain_told
        strata = (
            truth_strata(self.codes == 1, patient_codes(self.patients))
            if self.measure == "AUC"
            else group_strata(self.codes, self.patients)
        )
        return bootstrap_by_patient(
            right,
            self.patients,
            self.codes,
            before,
            after,
            rng=np.random.default_rng(self.seed),
            draws=settings.draws,
            level=settings.level,
            strata=strata,
            weighted=True,
        )


def tasks_of(
    slices: SliceSet, used: np.ndarray, settings: LimitSettings, rng: np.random.Generator
) -> tuple[list[Task], dict[str, Any]]:
    """The tasks that the slices allow, and those that they do not, each with the reason."""
    wanted = {
        "all groups": ("balanced accuracy", slices.group, used),
        "healthy or ill": ("AUC", (slices.group > 0).astype(int), used),
        "ages of the ill": ("balanced accuracy", slices.group, used & (slices.group > 0)),
    }
    tasks, lacking = [], {}
    for name, (measure, labels, rows) in wanted.items():
        kinds, codes = np.unique(labels[rows], return_inverse=True)
        each = [len(np.unique(slices.patient[rows][codes == code])) for code in range(len(kinds))]
        if len(kinds) < 2 or min(each) < settings.folds:
            lacking[name] = {
                "missing": f"needs two groups of {settings.folds} patients or more, there are "
                f"{each or 'none'} beside the panel"
            }
            continue
        names = ("healthy", "ill") if measure == "AUC" else tuple(GROUP_NAMES[kind] for kind in kinds)
        seed = int(rng.integers(2**31))
        tasks.append(Task(name, measure, names, np.flatnonzero(rows), codes, slices.patient[rows], seed))
    return tasks, lacking


def about_task(task: Task) -> dict[str, Any]:
    return {
        "measure": task.measure,
        "groups": list(task.groups),
        "chance": 0.5 if task.measure == "AUC" else 1 / len(task.groups),
        "slices": len(task.rows),
        "patients": len(np.unique(task.patients)),
    }


def _kinds(images: np.ndarray, plain: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """The features of each kind: those that see only brightness, only the outline, ..., all of them."""
    plain = plain_features(images) if plain is None else plain
    texture = texture_features(images)
    return {
        "plain": plain,
        "brightness": plain[:, BRIGHTNESS],
        "outline": plain[:, OUTLINE],
        "texture": texture,
        CEILING: np.concatenate([plain, texture], axis=1),
    }


def told_groups(
    slices: SliceSet,
    plain: np.ndarray,
    native: np.ndarray | None,
    panel: np.ndarray,
    tasks: list[Task],
    settings: LimitSettings,
    progress: Progress | None,
) -> tuple[list[dict[str, Any]], dict[tuple[str, str, str], np.ndarray]]:
    """One row per treatment, kind, task, classifier; and the answers on the slices as they are."""
    methods: tuple[str, ...] = (AS_THEY_ARE, *(METHODS if panel.any() else ()))
    reference = grey_reference(slices.images[panel], slices.group[panel]) if panel.any() else None
    rows: list[dict[str, Any]] = []
    raw: dict[tuple[str, str, str], np.ndarray] = {}
    for number, method in enumerate(methods):
        if progress:
            progress(f"telling the groups: {method}", number / len(methods))
        if method == AS_THEY_ARE:
            kinds = _kinds(slices.images, plain) | ({} if native is None else {"file": native})
        else:
            assert reference is not None
            kinds = _kinds(standardise(slices.images, method, reference))
        asked = tasks if method == AS_THEY_ARE else [task for task in tasks if task.name in STANDARDISED]
        for task, (kind, features) in ((t, k) for t in asked for k in kinds.items()):
            for by in (
                settings.classifier,
                *([settings.second] if settings.second and kind == CEILING else []),
            ):
                key = task.name, kind, by
                same = key in raw and kind == "outline"  # no treatment of greys moves it
                answers = raw[key] if same else task.score(features, by, settings)
                before = raw.setdefault(key, answers)
                rows.append(
                    {"method": method, "features": kind, "task": task.name, "classifier": by}
                    | {"told": as_json(task.interval(answers, settings))}
                    | {
                        "change": None
                        if method == AS_THEY_ARE
                        else as_json(task.change(before, answers, settings))
                    }
                )
    return rows, raw


def told_by_outcome(
    tasks: list[Task],
    raw: Mapping[tuple[str, str, str], np.ndarray],
    event: np.ndarray,
    settings: LimitSettings,
) -> dict[str, Any]:
    """How well the healthy are told from the ill with the event, and from those without: the same answers."""
    found: dict[str, Any] = {}
    for task in tasks:
        answers = raw.get((task.name, CEILING, settings.classifier))
        if task.measure != "AUC" or answers is None:
            continue
        for name, value in (("event", 1), ("no event", 0)):
            rows = (task.codes == 0) | (event[task.rows] == value)
            if len(np.unique(task.patients[rows & (task.codes == 1)])) >= 2:
                part = Task(
                    task.name,
                    "AUC",
                    task.groups,
                    task.rows[rows],
                    task.codes[rows],
                    task.patients[rows],
                    task.seed,
                )
                found[name] = as_json(part.interval(answers[rows], settings))
    return found or {"missing": "needs healthy slices, and outcomes of the ill"}


def _gain_told(truth: np.ndarray, before: np.ndarray, after: np.ndarray, w: np.ndarray) -> np.ndarray:
    kinds = np.unique(truth)
    gain = (after == truth).astype(float) - (before == truth)
    shares = [(w * gain)[:, truth == k].sum(1) / w[:, truth == k].sum(1) for k in kinds]
    mean: np.ndarray = np.mean(shares, axis=0)
    return mean


def _gain_auc(truth: np.ndarray, before: np.ndarray, after: np.ndarray, w: np.ndarray) -> np.ndarray:
    return auc_weighted(truth == 1, after, w) - auc_weighted(truth == 1, before, w)
