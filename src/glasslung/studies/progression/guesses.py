"""How wrong the forecasts were, where the truth is known: beside no change, and the group's mean change.

    image   root mean square grey error in the true lungs
    load    error of the share of the true lungs that is opaque

Every method is read in two ways. 'likely picture': the one it would forecast with, where it has none the mean
of its draws. 'change': the slice as it was seen plus what the method changes, so that what an auto-encoder
cannot show is not held against it. The share is the mean of each draw's share: a mean of pictures is smooth,
and what is opaque in some draws would be lost in it. Nothing says who of the healthy will fall ill, nor how
badly: what is 'made ill' from age 0 stands apart, and 'overall' is every pair that starts ill.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from glasslung.errors import DataError
from glasslung.measure.featuresets import mean_interval
from glasslung.measure.forecasts import (
    GROUP_MEAN_CHANGE,
    GROUP_MEAN_LOAD,
    NO_CHANGE,
    OPAQUE_GREY,
    ForecastScore,
    add_change,
    compare_forecasts,
    group_mean_change,
    group_mean_load,
    image_error,
    opaque_within,
    volume_error,
)
from glasslung.measure.lungfeatures import FRINGE_GREY
from glasslung.studies.progression.agingworld import AGES, World
from glasslung.studies.progression.contest import Outcome
from glasslung.studies.progression.limits.summaries import as_json

Pair = tuple[int, int]  # (seen, wanted)
Errors = dict[str, dict[str, np.ndarray]]  # {'image' or 'load': {forecast: (M,)}}

LIKELY, CHANGE = "likely picture", "change"
ILL = range(1, AGES)
KINDS: dict[str, tuple[Pair, ...]] = {
    "forward": tuple((seen, wanted) for seen in ILL for wanted in ILL if wanted > seen),
    "back": tuple((seen, wanted) for seen in ILL for wanted in ILL if wanted < seen),
    "to healthy": tuple((seen, 0) for seen in ILL),
    "made ill": tuple((0, wanted) for wanted in ILL),
}
OVERALL = "overall"
KINDS[OVERALL] = KINDS["forward"] + KINDS["back"] + KINDS["to healthy"]
NAIVE = {
    "image": (NO_CHANGE, GROUP_MEAN_CHANGE),
    "load": (NO_CHANGE, GROUP_MEAN_CHANGE, GROUP_MEAN_LOAD),
}


def forecast_errors(
    outcomes: Mapping[str, Outcome], world: World, rng: np.random.Generator, draws: int = 1000
) -> dict[str, Any]:
    """How wrong every method's forecasts are beside what anyone would have said, with paired intervals.

    outcomes  of methods that were asked about the people of `world.truth`, by name
    draws     resamples of people for each interval
    JSON: 'pairs' {'1->3': {'image' | 'load': scores}}, 'kinds' {'forward' ...: the same of each person's
    mean over the pairs}, 'healthy' {method: ...}, 'ill made healthy' {'1' ..: opaque share less that of the
    same lung never ill}, 'left out' {method: why}. Scores: 'naive' {name: score}, 'methods' {name: {'likely
    picture' | 'change': score}}; a score has error, against, beats_all.
    DataError when an outcome is about other people.
    """
    for name, outcome in outcomes.items():
        _check_people(name, outcome, world)
    pairs = [(seen, wanted) for seen in range(AGES) for wanted in range(AGES) if seen != wanted]
    errors = {pair: _errors(outcomes, world, pair) for pair in pairs}
    seed = int(rng.integers(2**63))

    def scored(found: Errors) -> dict[str, Any]:
        # everyone meets the same resamples of the same people, whatever was asked before
        people = np.arange(world.truth.people)
        return {
            measure: _by_method(
                compare_forecasts(
                    rows, people, rng=np.random.default_rng(seed), naive=NAIVE[measure], draws=draws
                ),
                outcomes,
            )
            for measure, rows in found.items()
        }

    return {
        "about": {"people": world.truth.people, "draws": draws, "opaque above grey": OPAQUE_GREY},
        "pairs": {_arrow(pair): scored(found) for pair, found in errors.items()},
        "kinds": {kind: scored(_mean_over(errors, members)) for kind, members in KINDS.items()},
        "healthy": {
            name: _kept_healthy(outcome, world, np.random.default_rng(seed), draws)
            for name, outcome in outcomes.items()
            if 0 in outcome.shown
        },
        "ill made healthy": _made_healthy(outcomes, world, seed, draws),
        "left out": {
            name: "it shows one age alone and carries nobody"
            for name, outcome in outcomes.items()
            if not outcome.carried
        },
    }


def _check_people(name: str, outcome: Outcome, world: World) -> None:
    shape = world.truth.images.shape[1:]
    found = {pictures.shape[-3:] for pictures in (*outcome.shown.values(), *outcome.carried.values())}
    if found - {shape}:
        raise DataError(
            f"{name} was asked about slices {sorted(found)}, and the people whose course is known have "
            f"{shape}; ask it about them"
        )


def _arrow(pair: Pair) -> str:
    return f"{pair[0]}->{pair[1]}"


# -------------------------------------------------------------------------------------- errors of everyone


def _errors(outcomes: Mapping[str, Outcome], world: World, pair: Pair) -> Errors:
    """The errors of one (seen, wanted), of naive forecasts and methods."""
    truth, (seen, wanted) = world.truth, pair
    image, lungs, before = truth.images[wanted], truth.lungs[wanted], truth.images[seen]
    known = opaque_within(image, lungs)
    pictures, shares = naive_forecasts(world, pair)
    for name, outcome in outcomes.items():
        if pair not in outcome.carried or seen not in outcome.shown:
            continue
        for reading, (likely, draws) in _readings(before, outcome, pair).items():
            pictures[_row(name, reading)] = likely
            shares[_row(name, reading)] = _mean_share(draws, lungs)
    return {
        "image": {name: image_error(image, picture, lungs) for name, picture in pictures.items()},
        "load": {name: volume_error(known, share) for name, share in shares.items()},
    }


def naive_forecasts(world: World, pair: Pair) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What anyone would have said of the people seen at one age at another: pictures and opaque shares.

    Returns {name: (M, S, S)} and {name: (M,)}, the shares inside the true lungs. The training slices have no
    true lungs; pixels that are not black are theirs.
    """
    seen, wanted = pair
    before, lungs = world.truth.images[seen], world.truth.lungs[wanted]
    here, there = (world.training.of_group(age).images for age in pair)
    pictures = {NO_CHANGE: before, GROUP_MEAN_CHANGE: group_mean_change(before, here, there)}
    shares = {name: opaque_within(picture, lungs) for name, picture in pictures.items()}
    means = (opaque_within(images, images > FRINGE_GREY) for images in (here, there))
    shares[GROUP_MEAN_LOAD] = group_mean_load(shares[NO_CHANGE], *means)
    return pictures, shares


def _readings(before: np.ndarray, outcome: Outcome, pair: Pair) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{'likely picture', 'change'}: the picture (M, S, S) and the draws (draws, M, S, S) of each."""
    likely, carried, shown = outcome.likely(*pair), outcome.carried[pair], outcome.shown[pair[0]]
    changed = np.stack([add_change(before, shown, one) for one in carried])
    return {LIKELY: (likely, carried), CHANGE: (add_change(before, shown, likely), changed)}


def _mean_share(draws: np.ndarray, lungs: np.ndarray) -> np.ndarray:
    """The mean over draws of each draw's opaque share, (M,)."""
    share: np.ndarray = np.mean([opaque_within(one, lungs) for one in draws], axis=0)
    return share


def _row(name: str, reading: str) -> str:
    return f"{name}, {reading}"


def _mean_over(errors: Mapping[Pair, Errors], pairs: Iterable[Pair]) -> Errors:
    """Each person's mean error over some pairs; of the forecasts that exist for all of them."""
    parts = [errors[pair] for pair in pairs]
    return {
        measure: {
            name: np.mean([part[measure][name] for part in parts], axis=0)
            for name in parts[0][measure]
            if all(name in part[measure] for part in parts)
        }
        for measure in NAIVE
    }


def _by_method(scores: tuple[ForecastScore, ...], names: Iterable[str]) -> dict[str, Any]:
    """Naive forecasts, and methods with their two readings."""
    told = {score.name: _as_json(score) for score in scores}
    methods = {
        name: {reading: told[_row(name, reading)] for reading in (LIKELY, CHANGE)}
        for name in names
        if _row(name, LIKELY) in told
    }
    rows = {_row(name, reading) for name in methods for reading in (LIKELY, CHANGE)}
    return {"naive": {name: row for name, row in told.items() if name not in rows}, "methods": methods}


def _as_json(score: ForecastScore) -> dict[str, Any]:
    return {
        "error": as_json(score.error),
        "against": {name: as_json(difference) for name, difference in score.against.items()},
        "beats_all": score.beats_all,
    }


# ------------------------------------------------------------------------------------------- age 0


def _kept_healthy(outcome: Outcome, world: World, rng: np.random.Generator, draws: int) -> dict[str, Any]:
    """A healthy lung taken to age 0 must stay healthy: what became opaque, what was lost, how far off."""
    image, lungs, shown = world.truth.images[0], world.truth.lungs[0], outcome.shown[0]
    was, is_ = image > OPAQUE_GREY, shown > OPAQUE_GREY
    pixels = lungs.sum((1, 2))
    values = {
        "image": image_error(image, shown, lungs),
        "excess": opaque_within(shown, lungs) - opaque_within(image, lungs),
        "new": (is_ & ~was & lungs).sum((1, 2)) / pixels,
        "lost": (was & ~is_ & lungs).sum((1, 2)) / pixels,
    }
    people = np.arange(len(image))
    return {
        name: as_json(mean_interval(value, people, rng=rng, draws=draws)) for name, value in values.items()
    }


def _made_healthy(
    outcomes: Mapping[str, Outcome], world: World, seed: int, draws: int
) -> dict[str, dict[str, Any]]:
    """The ill taken to age 0: their opaque share less that of the same lung had it never been ill."""
    truth, found = world.truth, {}
    known = opaque_within(truth.images[0], truth.lungs[0])

    def excess(share: np.ndarray) -> dict[str, Any]:
        rng = np.random.default_rng(seed)
        return as_json(mean_interval(share - known, np.arange(truth.people), rng=rng, draws=draws))

    for seen in ILL:
        methods = {}
        for name, outcome in outcomes.items():
            if (seen, 0) in outcome.carried and seen in outcome.shown:
                readings = _readings(truth.images[seen], outcome, (seen, 0))
                methods[name] = {
                    reading: excess(_mean_share(every, truth.lungs[0]))
                    for reading, (_, every) in readings.items()
                }
        naive = {name: excess(share) for name, share in naive_forecasts(world, (seen, 0))[1].items()}
        found[str(seen)] = {"naive": naive, "methods": methods}
    return found
