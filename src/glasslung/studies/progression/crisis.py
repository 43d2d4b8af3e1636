"""The tourist crisis, measured: what every method of the contest makes of every age, beside real slices.

    fidelity  kernel distance of made and of carried slices from unseen real ones, and the crisis ratio
    samples   precision, recall, density, coverage, copies and diversity of what the prior makes
    groups    does a classifier that learned the ages from real slices find them in the made ones
    latents, identity, load   see `crisispatients`

On two kinds of features: 'plain' are eleven that a person could name, in deviations of the training slices;
'classifier' are those of a reader that sees blur. Every method meets the same resamples of the same patients.
What cannot be measured is a 'reason' in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from glasslung.data.slices import SliceSet
from glasslung.errors import DataError, UsageError
from glasslung.measure.copies import copy_rate, diversity
from glasslung.measure.crisis import CURED_BELOW, crisis_ratio
from glasslung.measure.discrepancy import kid_interval
from glasslung.measure.featuresets import FeatureSet, feature_set
from glasslung.measure.lungfeatures import Reader, plain_features, read_features, standard_of
from glasslung.measure.manifolds import measure_manifold
from glasslung.measure.separability import classifier, told_rightly
from glasslung.studies.progression.contest import Outcome, Unseen
from glasslung.studies.progression.crisispatients import Asked, attempt, in_json, measure_patients
from glasslung.studies.progression.crisisverdict import SINGLE

SOFT_LIMIT = 2.0  # deviations: else the cubic kernel is ruled by few slices; see `lungfeatures.Standard`
AT_ONCE = 32  # slices that a network reads in one batch: on one core three times as fast as 256
FLOOR_PATIENTS = 200  # training patients of an age whose distance is the floor: more only cost time
TASKS = {"healthy or ill": (0, 1, 2, 3), "among the ill": (1, 2, 3)}  # the ages that are to be told apart


def measure_outcomes(
    outcomes: Mapping[str, Outcome],
    training: SliceSet,
    unseen: Unseen,
    reader: Reader | None,
    rng: np.random.Generator,
    draws: int = 1000,
) -> dict[str, Any]:
    """Measure every method on every age it shows: all figures with intervals by patient, ready for JSON.

    outcomes  by name; those of one age alone are looked for as CAGE-T0, CAGE-T1, ...
    unseen    what the outcomes were asked about, trained on by nobody
    reader    a classifier's features (`models.slicenet.reader`); None: plain features only
    draws     resamples for each interval; permutations are one fewer
    DataError where an outcome is about other slices. Intervals hold the luck of patients and of samples, not
    that of training: each method was trained once.
    """
    for name, outcome in outcomes.items():
        _check_asked(name, outcome, unseen)
    asked = Asked.about(unseen, rng, draws)
    readers: dict[str, Reader] = {"plain": plain_features} | ({"classifier": reader} if reader else {})
    eyes = {kind: open_eye(one, training, asked, scaled=kind == "plain") for kind, one in readers.items()}
    seen = {kind: _measure_through(eye, outcomes, asked) for kind, eye in eyes.items()}
    methods = {
        name: {
            "ages": sorted(outcome.made),
            **{part: {kind: seen[kind][name][part] for kind in eyes} for part in PARTS},
            **measure_patients(outcome, asked),
        }
        for name, outcome in outcomes.items()
    }
    return {
        "about": {
            "draws": draws,
            "features": list(eyes) if reader else ["plain"],
            "no classifier": None if reader else "no reader was given: blur is hardly seen",
            "unseen": {str(age): len(images) for age, images in unseen.images.items()},
            "training": {str(age): int((training.group == age).sum()) for age in unseen.images},
            "bound": CURED_BELOW,
            "same people at every age": asked.shared,
        },
        "real": {kind: _measure_real(eye, asked) for kind, eye in eyes.items()},
        "methods": methods,
    }


def _check_asked(name: str, outcome: Outcome, unseen: Unseen) -> None:
    wrong = [age for age, pictures in outcome.shown.items() if age not in unseen.images]
    wrong += [
        age
        for age, pictures in outcome.shown.items()
        if age in unseen.images and pictures.shape != unseen.images[age].shape
    ]
    if wrong:
        raise DataError(
            f"{name} was asked about other slices of age {wrong[0]} than the unseen ones; ask it about these"
        )


# ---------------------------------------------------------------------------------------- through an eye


@dataclass(frozen=True, eq=False)
class Eye:
    """One kind of features, and the real slices seen through it.

    see       images (N, S, S) -> (N, F)
    real      {age: unseen slices}; judging: those of them that carried slices are compared with
    training  {age: slices of at most FLOOR_PATIENTS patients}; memory: all training slices
    experts   {task: classifier of the ages, fitted on the training slices}
    """

    see: Callable[[np.ndarray], np.ndarray]
    real: dict[int, FeatureSet]
    judging: dict[int, FeatureSet]
    training: dict[int, FeatureSet]
    memory: FeatureSet
    experts: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Seen:
    """One outcome through one eye, features (N, F); the first draw of a carried slice stands for all."""

    made: dict[int, np.ndarray]
    shown: dict[int, np.ndarray]
    carried: dict[tuple[int, int], np.ndarray]


PARTS = ("fidelity", "samples", "groups")


def open_eye(reader: Reader, training: SliceSet, asked: Asked, scaled: bool) -> Eye:
    """See all real slices, and learn the ages from the training ones.

    scaled  in deviations of the training slices, with a soft limit; a network's bounded features are not
    """
    raw = read_features(training.images, reader, AT_ONCE)
    standard = standard_of(raw, SOFT_LIMIT) if scaled else None

    def see(images: np.ndarray) -> np.ndarray:
        rows = read_features(images, reader, AT_ONCE)
        return rows if standard is None else standard(rows)

    known = raw if standard is None else standard(raw)
    unseen, rng = asked.unseen, asked.fresh()
    rows = {age: see(images) for age, images in unseen.images.items()}
    whole = {age: feature_set(one, unseen.patients[age]) for age, one in rows.items()}
    part = {age: asked.judging(age) for age in rows}
    judging = {
        age: feature_set(one[part[age]], unseen.patients[age][part[age]])
        for age, one in rows.items()
        if len(np.unique(unseen.patients[age][part[age]])) > 1
    }
    ages = sorted(set(training.group.tolist()))
    each = {
        age: feature_set(known[training.group == age], training.patient[training.group == age])
        for age in ages
    }
    few = {age: one.of_units(rng.permutation(one.count)[:FLOOR_PATIENTS]) for age, one in each.items()}
    experts = {task: attempt(_expert, known, training.group, wanted) for task, wanted in TASKS.items()}
    return Eye(see, whole, judging, few, feature_set(known, training.patient), experts)


def _expert(features: np.ndarray, group: np.ndarray, ages: tuple[int, ...]) -> Any:
    rows = np.isin(group, ages)
    codes = _codes(group[rows], ages)
    if len(np.unique(codes)) < 2:
        raise DataError(f"of the ages {ages} the training slices hold one kind only: nothing to tell apart")
    return classifier("quadratic", features.shape[1], seed=0).fit(features[rows], codes)


def _codes(ages: np.ndarray, wanted: tuple[int, ...]) -> np.ndarray:
    """What is to be told: ill or not where the healthy take part, else the age."""
    return (ages > 0).astype(np.int64) if 0 in wanted else ages


def _measure_through(eye: Eye, outcomes: Mapping[str, Outcome], asked: Asked) -> dict[str, dict[str, Any]]:
    """{method: {part: figures}} as one eye sees them."""
    seen = {
        name: Seen(
            {age: eye.see(pictures) for age, pictures in outcome.made.items()},
            {age: eye.see(pictures) for age, pictures in outcome.shown.items()},
            {pair: eye.see(pictures[0]) for pair, pictures in outcome.carried.items()},
        )
        for name, outcome in outcomes.items()
    }
    singles = {
        age: feature_set(seen[SINGLE.format(age)].made[age])
        for age in eye.real
        if SINGLE.format(age) in seen and age in seen[SINGLE.format(age)].made
    }
    return {
        name: {
            "fidelity": _fidelity(name, one, eye, singles, asked),
            "samples": {
                str(age): _samples(feature_set(rows), age, eye, asked)
                for age, rows in one.made.items()
                if age in eye.real
            },
            "groups": _groups(one, eye, asked),
        }
        for name, one in seen.items()
    }


def _measure_real(eye: Eye, asked: Asked) -> dict[str, Any]:
    """What real slices score: floor and neighbourhoods of training slices, ceilings of the groups."""
    rows = {age: real.features for age, real in eye.real.items()}
    return {
        "floor": {
            str(age): _distance(eye.real[age], eye.training[age], asked)
            for age in eye.real
            if age in eye.training
        },
        "samples": {
            str(age): _samples(eye.training[age], age, eye, asked, copies=False)
            for age in eye.real
            if age in eye.training
        },
        "groups": {task: _told(eye, task, rows, asked.unseen.patients, asked) for task in TASKS},
    }


# ------------------------------------------------------------------------------------------- fidelity


def _fidelity(
    name: str, seen: Seen, eye: Eye, singles: Mapping[int, FeatureSet], asked: Asked
) -> dict[str, Any]:
    """By age: distances of what the prior makes and of what is carried there, and both crisis ratios."""
    found = {}
    for age in (age for age in seen.made if age in eye.real):
        origins = sorted(here for here, there in seen.carried if there == age)
        across = [_carried(seen, (here, age), asked) for here in origins]
        rows: dict[str, Any] = {
            "prior": _compare(name, age, feature_set(seen.made[age]), eye, singles, asked)
        }
        rows["across"] = attempt(_across, name, age, across, eye, singles, asked)
        rows["from"] = {
            str(here): attempt(_from, age, one, eye, asked) for here, one in zip(origins, across, strict=True)
        }
        found[str(age)] = rows
    return found


def _carried(seen: Seen, pair: tuple[int, int], asked: Asked) -> tuple[np.ndarray, np.ndarray]:
    """Features of carried slices, of the patients that real slices do not stand for."""
    keep = asked.judged(pair[0])
    return seen.carried[pair][keep], asked.unseen.patients[pair[0]][keep]


def _across(
    name: str, age: int, parts: list[Any], eye: Eye, singles: Mapping[int, FeatureSet], asked: Asked
) -> dict[str, Any]:
    if not parts:
        raise UsageError("it shows one age alone and carries nobody")
    return _compare(name, age, _pooled(parts), eye, singles, asked, across=True)


def _from(age: int, part: tuple[np.ndarray, np.ndarray], eye: Eye, asked: Asked) -> Any:
    return _distance(_judges(eye, age), _pooled([part]), asked)


def _pooled(parts: list[tuple[np.ndarray, np.ndarray]]) -> FeatureSet:
    return feature_set(np.concatenate([rows for rows, _ in parts]), np.concatenate([who for _, who in parts]))


def _judges(eye: Eye, age: int) -> FeatureSet:
    if age not in eye.judging:
        raise DataError(
            f"of age {age} fewer than two unseen patients are left to compare carried slices with"
        )
    return eye.judging[age]


def _compare(
    name: str,
    age: int,
    made: FeatureSet,
    eye: Eye,
    singles: Mapping[int, FeatureSet],
    asked: Asked,
    across: bool = False,
) -> dict[str, Any]:
    """The distance of one made set from the real ones, and its crisis ratio or why there is none."""
    real = _judges(eye, age) if across else eye.real[age]
    single = SINGLE.format(age)
    if name == single or age not in singles:
        reason = "it is the reference itself" if name == single else f"there is no {single} to divide by"
        return {"distance": _distance(real, made, asked), "crisis": {"reason": reason}}
    ratio = crisis_ratio(
        real,
        made,
        singles[age],
        rng=asked.fresh(),
        other_real=eye.training.get(age),
        draws=asked.draws,
    )
    told = in_json(ratio) | {"reaches_bound": ratio.reaches_bound, "within_bound": ratio.within_bound}
    return {"distance": told.pop("kid_all"), "crisis": told}


def _distance(real: FeatureSet, made: FeatureSet, asked: Asked) -> Any:
    return in_json(kid_interval(real, made, rng=asked.fresh(), draws=asked.draws))


# ---------------------------------------------------------------------------------- samples and groups


def _samples(made: FeatureSet, age: int, eye: Eye, asked: Asked, copies: bool = True) -> dict[str, Any]:
    """Neighbourhoods, diversity, and the rate of copies of training slices."""
    real, draws = eye.real[age], asked.draws
    rows = {
        "neighbourhoods": attempt(
            lambda: in_json(measure_manifold(real, made, rng=asked.fresh(), draws=draws))
        ),
        "diversity": in_json(diversity(made, rng=asked.fresh(), draws=draws)),
        "real diversity": in_json(diversity(real, rng=asked.fresh(), draws=draws)),
    }
    if copies:
        found = copy_rate(made, eye.memory, real, rng=asked.fresh(), draws=draws)
        rows["copies"] = {"rate": in_json(found.rate), "expected": found.expected}
    return rows


def _groups(seen: Seen, eye: Eye, asked: Asked) -> dict[str, Any]:
    """How well the ages of made, shown and carried slices are told by who learned them from real ones."""
    patients = asked.unseen.patients
    made = {age: np.arange(len(rows)) + 10**6 * age for age, rows in seen.made.items()}
    origins = {pair: patients[pair[0]] for pair in seen.carried}
    return {
        task: {
            "made": _told(eye, task, seen.made, made, asked),
            "shown": _told(eye, task, seen.shown, patients, asked),
            "carried": _told(eye, task, seen.carried, origins, asked),
        }
        for task in TASKS
    }


def _told(
    eye: Eye, task: str, rows: Mapping[Any, np.ndarray], patients: Mapping[Any, np.ndarray], asked: Asked
) -> Any:
    """Balanced accuracy of one task; keys are ages, or (seen, wanted), then it is the age wanted."""
    expert, wanted = eye.experts[task], TASKS[task]
    if isinstance(expert, dict):
        return expert
    ages = {key: key[1] if isinstance(key, tuple) else key for key in rows}
    keys = [key for key, age in ages.items() if age in wanted]
    if len({int(_codes(np.array([ages[key]]), wanted)[0]) for key in keys}) < 2:
        return {"reason": "it shows one kind only: nothing to tell apart"}
    truth = np.concatenate([np.full(len(rows[key]), ages[key]) for key in keys])
    answer = expert.predict(np.concatenate([rows[key] for key in keys]))
    who = np.concatenate([patients[key] for key in keys])
    return attempt(
        lambda: in_json(
            told_rightly(_codes(truth, wanted), answer, who, rng=asked.fresh(), draws=asked.draws)
        )
    )
