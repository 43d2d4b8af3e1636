"""What the methods of the contest do to patients: their latents, who they are, how dense their lungs become.

latents   can the age of origin be told from latents that are wanted at one age; does the prior lie where
          the age's own patients lie
identity  outline, likeness and retrieval of carried slices
load      share of dense lung, made and carried beside real, and its change from age 0 and to it
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

import numpy as np

from glasslung.errors import DataError, UsageError
from glasslung.measure.featuresets import feature_set
from glasslung.measure.identity import likeness_percentile, lung_descriptors, measure_identity
from glasslung.measure.lesionload import (
    load_distance,
    opacity_share,
    paired_change,
    relative_opacity_share,
)
from glasslung.measure.lungfeatures import standard_of
from glasslung.measure.separability import FOLDS, leakage, mmd_permutation, prior_hole
from glasslung.studies.progression.contest import Outcome, Unseen

LOADS = {"above a fixed grey": opacity_share, "above its own grey": relative_opacity_share}


@dataclass(frozen=True, eq=False)
class Asked:
    """Whom the methods were asked about, and how it is measured.

    shared  whether the same people are there at several ages (a phantom). Then a carried slice must not meet
            the real slice of its own patient, which would flatter it: half of the people, `judges`, stand for
            the real ones, and the others are carried
    seed    every measure starts its resamples from it, so all methods meet the same
    """

    unseen: Unseen
    shared: bool
    judges: np.ndarray
    seed: int
    draws: int

    @classmethod
    def about(cls, unseen: Unseen, rng: np.random.Generator, draws: int) -> Asked:
        """Divide the people where it must be."""
        each = [np.unique(who) for who in unseen.patients.values()]
        everyone, ages = np.unique(np.concatenate(each), return_counts=True)
        judges = rng.permutation(everyone)[: len(everyone) // 2]
        return cls(unseen, bool((ages > 1).any()), judges, int(rng.integers(2**63)), draws)

    def fresh(self) -> np.random.Generator:
        """The generator of one measure."""
        return np.random.default_rng(self.seed)

    def judging(self, age: int) -> np.ndarray:
        """Whose slices of an age stand for the real ones when carried ones are judged: (M,) bool."""
        who = self.unseen.patients[age]
        return np.isin(who, self.judges) if self.shared else np.ones(len(who), bool)

    def judged(self, age: int) -> np.ndarray:
        """Whose carried slices are judged: (M,) bool."""
        return ~self.judging(age) if self.shared else np.ones(len(self.unseen.patients[age]), bool)


def attempt(measure: Callable[..., Any], *about: Any) -> Any:
    """What a measure gives, or why it cannot be taken (too few patients, say): {'reason': ...}."""
    try:
        return measure(*about)
    except (DataError, UsageError) as problem:
        return {"reason": str(problem)}


def in_json(value: Any) -> Any:
    """Records, mappings and numbers as JSON holds them; None for what has no limit."""
    if is_dataclass(value) and not isinstance(value, type):
        return in_json(asdict(value))
    if isinstance(value, dict):
        return {str(key): in_json(part) for key, part in value.items()}
    if isinstance(value, (bool, str)) or value is None:
        return value
    if isinstance(value, (int, np.integer)):
        return int(value)
    return float(value) if math.isfinite(value) else None


def measure_patients(outcome: Outcome, asked: Asked) -> dict[str, Any]:
    """Latents, identity and load of one method, ready for JSON."""
    return {
        "latents": _latents(outcome, asked),
        "identity": {
            f"{seen}->{wanted}": attempt(_identity, seen, pictures[0], asked)
            for (seen, wanted), pictures in outcome.carried.items()
        },
        "load": {name: _load(outcome, asked, share) for name, share in LOADS.items()},
    }


# -------------------------------------------------------------------------------------------- latents


def _latents(outcome: Outcome, asked: Asked) -> dict[str, Any]:
    """By the age wanted: what tells the origin, and where the prior lies."""
    if not outcome.latents:
        return {"reason": "this method has no latents to look at"}
    found = {}
    for age in sorted({wanted for _, wanted in outcome.latents}):
        origins = sorted(seen for seen, wanted in outcome.latents if wanted == age)
        rows = {seen: outcome.latents[seen, age] for seen in origins}
        found[str(age)] = {
            "leakage": attempt(_leakage, rows, asked),
            "from": {
                str(seen): attempt(_apart, rows, seen, age, asked)
                for seen in origins
                if seen != age and age in rows
            },
            "prior": attempt(_hole, outcome, rows, age, asked),
        }
    return found


def _leakage(rows: dict[int, np.ndarray], asked: Asked) -> Any:
    """Of which age is the patient whose latents are all wanted at the same age?"""
    patients = [asked.unseen.patients[seen] for seen in rows]
    folds = min(FOLDS, min(len(np.unique(who)) for who in patients))
    if len(rows) < 2 or folds < 2:
        raise DataError("latents of two ages of origin are needed, each of two patients or more")
    origin = np.repeat(list(rows), [len(part) for part in rows.values()])
    return in_json(
        leakage(
            np.concatenate(list(rows.values())),
            origin,
            np.concatenate(patients),
            rng=asked.fresh(),
            folds=folds,
            draws=asked.draws,
        )
    )


def _apart(rows: dict[int, np.ndarray], seen: int, age: int, asked: Asked) -> Any:
    """Kernel distance of one origin's latents from the owners', with its permutation p.

    Relabelling wants strangers: of the same people at both ages, half give one side and half the other.
    """
    standard = standard_of(np.concatenate([rows[seen], rows[age]]))
    theirs, own = asked.judged(seen), asked.judging(age)
    first = feature_set(standard(rows[seen][theirs]), asked.unseen.patients[seen][theirs])
    second = feature_set(standard(rows[age][own]), asked.unseen.patients[age][own])
    return in_json(mmd_permutation(first, second, rng=asked.fresh(), permutations=max(1, asked.draws - 1)))


def _hole(outcome: Outcome, rows: dict[int, np.ndarray], age: int, asked: Asked) -> Any:
    """Does the prior lie where the age's own patients lie?"""
    if age not in outcome.prior or age not in rows:
        raise DataError("there are no latents of the prior, or none of the age's own patients")
    owners = feature_set(rows[age], asked.unseen.patients[age])
    prior = feature_set(outcome.prior[age])
    folds = min(FOLDS, owners.count, prior.count)
    return in_json(prior_hole(prior, owners, rng=asked.fresh(), folds=folds, draws=asked.draws))


# ----------------------------------------------------------------------------------- identity and load


def _identity(seen: int, carried: np.ndarray, asked: Asked) -> Any:
    """Outline, retrieval, and likeness (outline and vessels) to the slice they were made from."""
    before, who = asked.unseen.images[seen], asked.unseen.patients[seen]
    found = measure_identity(before, carried, who, rng=asked.fresh(), draws=asked.draws)
    likeness = attempt(
        lambda: in_json(
            likeness_percentile(
                lung_descriptors(before),
                lung_descriptors(carried),
                who,
                rng=asked.fresh(),
                draws=asked.draws,
            )
        )
    )
    return in_json(found) | {"likeness": likeness}


def _load(outcome: Outcome, asked: Asked, share: Callable[[np.ndarray], np.ndarray]) -> dict[str, Any]:
    """By age: how far the loads made and carried are from real ones; and the changes from and to 0."""
    unseen = asked.unseen
    carried = {pair: share(pictures[0]) for pair, pictures in outcome.carried.items()}
    ages = [age for age in outcome.made if age in unseen.images]
    by_age = {}
    for age in ages:
        real = share(unseen.images[age]), unseen.patients[age]
        made = share(outcome.made[age]), np.arange(len(outcome.made[age]))
        origins = [seen for seen, wanted in carried if wanted == age]
        rows = {"prior": attempt(_load_distance, real, made, asked)}
        if origins:
            pooled = np.concatenate([carried[seen, age] for seen in origins])
            who = np.concatenate([unseen.patients[seen] for seen in origins])
            rows["across"] = attempt(_load_distance, real, (pooled, who), asked)
        by_age[str(age)] = rows
    # beside the slice as the method shows it: a blurred vessel is no change
    shown = {age: share(pictures) for age, pictures in outcome.shown.items()}
    changes = {
        f"{seen}->{wanted}": in_json(
            paired_change(shown[seen], after, unseen.patients[seen], rng=asked.fresh(), draws=asked.draws)
        )
        for (seen, wanted), after in carried.items()
        if 0 in (seen, wanted)
    }
    return {"ages": by_age, "changes": changes}


def _load_distance(
    real: tuple[np.ndarray, np.ndarray], made: tuple[np.ndarray, np.ndarray], asked: Asked
) -> Any:
    """Wasserstein-1 of the loads, its floor, and both means."""
    found = load_distance(*real, *made, rng=asked.fresh(), draws=asked.draws)
    return in_json(found) | {"real mean": float(real[0].mean()), "made mean": float(made[0].mean())}
