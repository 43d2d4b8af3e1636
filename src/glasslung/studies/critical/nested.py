"""Nested cross-validation: every choice is made inside the training patients of each outer fold.

    for each deal of the patients into outer folds
        for each outer fold
            every candidate is cross-validated on the other folds' patients (inner folds)
            the candidate of the highest inner AUC is taken, calibrated by its inner answers
            it learns from all training patients, and answers for the fold's patients, once

So a patient's out-of-fold answer knows nothing of that patient: not its endpoint, not through a choice, not
through a scale. Candidates that are only to be compared (`fixed`) answer beside it, without any choice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from glasslung.measure.calibration import fit_calibration
from glasslung.measure.ranking import auc
from glasslung.studies.critical.weighing import (
    Candidate,
    Recipe,
    Tables,
    Weighing,
    learn,
    raw_log_odds,
    taken,
)
from glasslung.types import Progress

INNER = 5
AGE_SEX, GREY, FOREST = "age and sex", "greys, weighed", "greys, random forest"
CHOSEN = "chosen"
STRENGTHS = (0.03, 0.1, 0.3)
EYES_SHARE = 0.3  # of C for the segmenter's eyes: they have thirty times as many features as the others
EYES = ("fine eyes", "coarse eyes")
TOGETHER = ("lesions", "grey")
READS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "greys": (("grey",),),
    "lesions": (("lesions",),),
    "lesions and tissue": (("lesions", "tissue"),),
    "lesions and greys": (TOGETHER,),
    "lesions, greys, zones, texture": (("lesions", "grey", "zones", "texture"),),
    "lesions, greys, age, sex": (("lesions", "grey", "clinic"),),
    "fine eyes": (("fine eyes",),),
    "mean of: lesions and greys, fine eyes": (TOGETHER, ("fine eyes",)),
    "mean of: lesions and greys, coarse eyes": (TOGETHER, ("coarse eyes",)),
    "mean of: lesions and greys, both eyes": (TOGETHER, ("fine eyes",), ("coarse eyes",)),
    "mean of: lesions and greys, fine eyes, age and sex": (TOGETHER, ("fine eyes",), ("clinic",)),
}
"""What is read: members, and the families each of them joins."""

Ask = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""ask(training rows, rows to answer) -> scores of these: a comparison that is fitted anew in every fold."""


@dataclass(frozen=True, eq=False)
class Deal:
    """One division into outer folds. Everything is (N,) and out of fold.

    fold       number of the outer fold a patient was held out in
    log_odds   calibrated, of the candidates chosen inside
    beside     name -> scores of what is compared
    chosen     per fold, the candidate's name, and inner: its inner AUC
    """

    fold: np.ndarray
    log_odds: np.ndarray
    beside: dict[str, np.ndarray]
    chosen: tuple[str, ...]
    inner: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Choice:
    """What one set of training patients chose: the model, and every candidate's inner AUC."""

    model: Weighing
    inner: dict[str, float] = field(default_factory=dict)


def candidates() -> tuple[Candidate, ...]:
    """All that is chosen among: what is read, times how strongly weights are held down."""
    made = []
    for name, members in READS.items():
        for c in STRENGTHS:
            recipes = tuple(Recipe(reads, c * (EYES_SHARE if reads[0] in EYES else 1.0)) for reads in members)
            made.append(Candidate(f"{name}; C {c:g}", recipes))
    return tuple(made)


def deal_folds(event: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """A fold for each patient, both endpoints shared evenly: event (N,) bool -> (N,) int from 0."""
    fold = np.zeros(len(event), int)
    for kind in (False, True):
        rows = rng.permutation(np.flatnonzero(event == kind))
        fold[rows] = (np.arange(len(rows)) + rng.integers(folds)) % folds
    return fold


def choose(tables: Tables, event: np.ndarray, rng: np.random.Generator, among: Sequence[Candidate]) -> Choice:
    """The candidate of the highest inner AUC, calibrated by its inner answers, learned from all rows."""
    fold = deal_folds(event, INNER, rng)
    scores = {candidate.name: np.zeros(len(event)) for candidate in among}
    learned: dict[tuple[int, Recipe], np.ndarray] = {}
    for number in range(INNER):
        train, test = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        mine, theirs = taken(tables, train), taken(tables, test)
        for candidate in among:
            parts = []
            for recipe in candidate.members:
                if (number, recipe) not in learned:
                    alone = Candidate("", (recipe,))
                    learned[number, recipe] = raw_log_odds(learn(alone, mine, event[train]), theirs)
                parts.append(learned[number, recipe])
            scores[candidate.name][test] = np.mean(parts, axis=0)
    inner = {name: auc(event, score) for name, score in scores.items()}
    best = max(among, key=lambda one: inner[one.name])
    calibration = fit_calibration(event, scores[best.name], with_bias=True)
    return Choice(Weighing(best, learn(best, tables, event), calibration), inner)


def cross_validate(
    tables: Tables,
    event: np.ndarray,
    folds: int,
    rng: np.random.Generator,
    among: Sequence[Candidate],
    beside: Mapping[str, Ask] | None = None,
    progress: Progress | None = None,
) -> Deal:
    """One deal: out-of-fold answers of the choice made inside each fold, and of what stands beside it."""
    fold = deal_folds(event, folds, rng)
    log_odds = np.zeros(len(event))
    asked = dict(beside or {})
    others = {name: np.zeros(len(event)) for name in asked}
    chosen, inner = [], []
    for number in range(folds):
        if progress:
            progress(f"outer fold {number + 1} of {folds}", number / folds)
        train, test = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        found = choose(taken(tables, train), event[train], rng, among)
        log_odds[test] = found.model.log_odds(taken(tables, test))
        chosen.append(found.model.candidate.name)
        inner.append(found.inner[found.model.candidate.name])
        for name, ask in asked.items():
            others[name][test] = ask(train, test)
    return Deal(fold, log_odds, others, tuple(chosen), tuple(inner))


# --------------------------------------------------------------------------------------- what is compared


def by_recipe(tables: Tables, event: np.ndarray, *families: str, c: float = 0.1) -> Ask:
    """A fixed model of some families, in log-odds."""

    def ask(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        members = learn(Candidate("", (Recipe(families, c),)), taken(tables, train), event[train])
        return raw_log_odds(members, taken(tables, test))

    return ask


def by_forest(features: np.ndarray, event: np.ndarray, trees: int = 300, leaf: int = 2) -> Ask:
    """The plain bar: a random forest, as anybody would fit it in an afternoon. Scores are log-odds."""

    def ask(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        from scipy.special import logit
        from sklearn.ensemble import RandomForestClassifier

        forest = RandomForestClassifier(trees, min_samples_leaf=leaf, random_state=0, n_jobs=1)
        share = forest.fit(features[train], event[train]).predict_proba(features[test])[:, 1]
        return np.asarray(logit(np.clip(share, 0.5 / trees, 1 - 0.5 / trees)))

    return ask
