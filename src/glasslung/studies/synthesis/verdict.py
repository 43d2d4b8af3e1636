"""Sentences that follow from the figures of the contest, and those that warn of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glasslung.studies.synthesis.contest import AS_RELEASED, PUT_RIGHT, RECIPE

LEAST_RECALL = 0.5  # of held-out pictures that a diverse generator covers
SEEDS_WANTED = 3


def sentences_of(methods: Mapping[str, Mapping[str, Any]], together: Mapping[str, Any]) -> list[str]:
    """What the figures say, each sentence with its numbers.

    together  distances of all trainings of a model as one
    """
    found = []
    if RECIPE in methods:
        for other in (PUT_RIGHT, AS_RELEASED):
            if other in methods:
                found += [_distance(methods, together, other), _distance(methods, together, other, "own")]
        found += [_recall(methods), _black(methods), _copies(methods)]
    if AS_RELEASED in methods:
        found.append(_released(methods[AS_RELEASED]))
    return found


def _each(methods: Mapping[str, Any], name: str, figure: str) -> list[dict[str, float]]:
    return [one[figure] for one in methods[name].values()]


def _range(values: list[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"


def _distance(methods: Mapping[str, Any], together: Mapping[str, Any], other: str, reader: str = "") -> str:
    def kid(one: Mapping[str, Any]) -> dict[str, float]:
        found: dict[str, float] = (one[reader] if reader else one)["kid"]
        return found

    mine, theirs = ([kid(one) for one in methods[name].values()] for name in (RECIPE, other))
    ours, other_one = kid(together[RECIPE]), kid(together[other])
    features = "on the study's own features" if reader else "on the features that ship"
    how = "clearly below" if ours["high"] < other_one["low"] else "not clearly below"
    each = max(one["high"] for one in mine) < min(one["low"] for one in theirs)
    return (
        f"The kernel distance of {RECIPE} {_limits(ours)} is {how} that of {other} {_limits(other_one)} "
        f"{features}, all trainings together; one by one ({_range([one['value'] for one in mine])} and "
        f"{_range([one['value'] for one in theirs])}) the intervals "
        f"{'of no two overlap' if each else 'of some overlap'}."
    )


def _limits(one: Mapping[str, float]) -> str:
    return f"{one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}]"


def _recall(methods: Mapping[str, Any]) -> str:
    values = [one["value"] for one in _each(methods, RECIPE, "recall")]
    enough = (
        "at least half"
        if min(values) >= LEAST_RECALL
        else "less than half" + ", in one seed or more," * (len(values) > 1)
    )
    others = [
        f"{name} {_range([one['value'] for one in _each(methods, name, 'recall')])}"
        for name in (PUT_RIGHT, AS_RELEASED)
        if name in methods
    ]
    beside = f"; {', '.join(others)}" if others else ""
    return f"{RECIPE} covers {enough} of the held-out pictures (recall {_range(values)}{beside})."


def _black(methods: Mapping[str, Any]) -> str:
    black = sum(one["black_looks"] for one in methods[RECIPE].values())
    looks = sum(one["looks"] for one in methods[RECIPE].values())
    return f"{RECIPE} was black in {black} of {looks} looks, in {len(methods[RECIPE])} seed(s)."


def _copies(methods: Mapping[str, Any]) -> str:
    each = list(methods[RECIPE].values())
    within = all(one["copies"]["low"] <= one["copies_expected"] for one in each)
    rates = _range([100 * one["copies"]["value"] for one in each])
    expected = 100 * each[0]["copies_expected"]
    return (
        f"{rates} % of its pictures lie as near to a training picture as {expected:.2g} % of unseen real "
        "ones: "
        f"{'no more than chance' if within else 'more than chance'}."
    )


def _released(seeds: Mapping[str, Any]) -> str:
    signs: dict[str, list[int]] = {}
    for one in seeds.values():
        for sign, step in one["first_alarms"].items():
            signs.setdefault(sign, []).append(step)
    if not signs:
        return f"On the released settings the watchdog saw nothing, in {len(seeds)} seed(s)."
    told = ", ".join(f"{sign} (step {min(steps)})" for sign, steps in signs.items())
    return f"On the released settings the watchdog told: {told}."


def cautions_of(methods: Mapping[str, Mapping[str, Any]], quick: bool, held_out: int) -> list[str]:
    """Why the figures may not be believed."""
    found = []
    if quick:
        found.append("A quick study: trainings are too short for conclusions.")
    seeds = min((len(one) for one in methods.values()), default=0)
    if seeds < SEEDS_WANTED:
        found.append(
            f"{seeds} training(s) of each model: intervals hold the luck of patients, not of training."
        )
    if held_out < 100:
        found.append(f"{held_out} held-out pictures: recall and coverage are coarse, intervals wide.")
    ended = [
        f"{name}, seed {seed}" for name, all_ in methods.items() for seed, one in all_.items() if one["ended"]
    ]
    if ended:
        found.append(f"Ended early, by a loss that was no number: {'; '.join(ended)}.")
    return found
