"""What the figures of the contest say, in sentences that are written from the figures.

A crisis ratio divides by a model of one age alone. Where that model is itself far from real slices a ratio
near 1 is no cure: nothing is called cured beside such a reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from glasslung.studies.progression.forecastverdict import counted, figure, listed, told_first, told_further

SOURCES = {"prior": "from the prior", "across": "across ages"}
SINGLE = "CAGE-T{}"  # what the method of one age alone is called
WEAK = 0.5  # of what real slices reach: a reference below it is not worth dividing by

Found = Mapping[str, Any]


def verdicts(found: Found) -> list[str]:
    """What was found, one sentence each: `first_verdicts`, then the rest.

    found  'outcomes' (of `crisis.measure_outcomes`) and 'forecasts' (of `guesses.forecast_errors`); either
           may be missing
    """
    said = first_verdicts(found)
    said += on_bounds(found["outcomes"]) if "outcomes" in found else []
    return said + (told_further(found["forecasts"]) if "forecasts" in found else [])


def first_verdicts(found: Found) -> list[str]:
    """What must be read: who forecasts better than anyone would, every method's crisis, what still fails."""
    said = told_first(found["forecasts"]) if "forecasts" in found else []
    return said + (_on_crisis(found["outcomes"]) if "outcomes" in found else [])


def on_bounds(outcomes: Found) -> list[str]:
    """Who reaches the bound at every age, by features and source, and where there was no ratio."""
    whole, poor, kinds = of_all_ages(outcomes), poor_references(outcomes), outcomes["about"]["features"]
    said = [
        _who_reaches(whole, features, source, outcomes["about"], poor.get(features, {}))
        for features in kinds
        for source in SOURCES
    ]
    return said + _without_ratio(whole, kinds)


def reaches(crisis: Found) -> bool | None:
    """Whether the interval of a crisis ratio reaches the bound; None where none was measured.

    Where the method of one age cannot be told from real slices there is no ratio; then whether the excess
    over the bound reaches 0.
    """
    if "excess" not in crisis:
        return None
    if crisis["ratio"] is None:
        return bool(crisis["excess"]["low"] <= 0)
    return bool(crisis["reaches_bound"])


def poor_references(outcomes: Found) -> dict[str, dict[str, tuple[float, float]]]:
    """{features: {age: (precision of the model of that age alone, of real slices)}} where it is too poor.

    Too poor: the interval of the first ends below `WEAK` times the second.
    """
    poor: dict[str, dict[str, tuple[float, float]]] = {}
    for features, real in outcomes["real"].items():
        poor[features] = {}
        for age, row in real["samples"].items():
            made = outcomes["methods"].get(SINGLE.format(age), {}).get("samples", {}).get(features, {})
            here, known = (_precision(one) for one in (made.get(age, {}), row))
            if here and known and here["high"] is not None and here["high"] < WEAK * known["value"]:
                poor[features][age] = (here["value"], known["value"])
    return {features: ages for features, ages in poor.items() if ages}


def _precision(row: Found) -> Found | None:
    found: Found | None = row.get("neighbourhoods", {}).get("precision")
    return found


# ---------------------------------------------------------------------------------------- the crisis


@dataclass(frozen=True)
class Place:
    """Where a crisis ratio was looked for, and what was found there; {} where nothing was."""

    features: str
    source: str
    age: str
    crisis: Found
    distance: Found

    def __str__(self) -> str:
        return f"age {self.age} {SOURCES[self.source]}, {self.features} features"

    @property
    def nearer(self) -> bool:
        """The whole interval of the ratio lies below 1: nearer to real slices than the model of one age."""
        ratio = self.crisis.get("ratio")
        return bool(ratio and ratio["high"] is not None and ratio["high"] < 1)

    @property
    def like_real(self) -> bool:
        """The interval of the distance overlaps that of other real slices."""
        floor = self.crisis.get("floor")
        return bool(floor and self.distance["low"] <= floor["high"])


def places(method: Found) -> Iterator[Place]:
    """Every place that a ratio was looked for in."""
    for features, ages in method["fidelity"].items():
        for age, row in ages.items():
            for source in SOURCES:
                found = row[source]
                yield Place(features, source, age, found.get("crisis", {}), found.get("distance", {}))


def of_all_ages(outcomes: Found) -> dict[str, Found]:
    """The methods that show every age."""
    ages = set(outcomes["about"]["unseen"])
    return {name: one for name, one in outcomes["methods"].items() if {str(a) for a in one["ages"]} >= ages}


def worst_ratio(method: Found) -> Place | None:
    """Where the crisis ratio is largest; None where there is none at all."""
    found = [place for place in places(method) if place.crisis.get("ratio")]
    return max(found, key=lambda place: place.crisis["ratio"]["value"], default=None)


def _on_crisis(found: Found) -> list[str]:
    whole, poor = of_all_ages(found), poor_references(found)
    said = _on_references(poor)
    said += [told for name, one in whole.items() if (told := _on_method(name, one, found["about"]["bound"]))]
    judged = {name: _failing(one) for name, one in whole.items()}
    known = {name: failing for name, failing in judged.items() if failing is not None}
    said += _on_cure(whole, known, poor) if known else []
    if poor:
        said += [
            told
            for features in found["about"]["features"]
            for source in SOURCES
            for told in _nearest(whole, features, source)
        ]
    return said


def _on_references(poor: Found) -> list[str]:
    """Where a ratio says little: once for all features of which the same ages are poor."""
    same: dict[tuple[str, ...], list[str]] = {}
    for features, ages in poor.items():
        same.setdefault(tuple(sorted(ages)), []).append(features)
    little = "the model of one age alone makes too few slices that look real"
    return [
        f"On {listed(kinds)} features the crisis ratio says little at {counted(ages)}: there {little}, so a "
        "ratio near 1 means as poor, not cured."
        for ages, kinds in same.items()
    ]


def _on_method(name: str, method: Found, bound: float) -> str | None:
    worst, every = worst_ratio(method), list(places(method))
    if worst is None:
        return None
    reached = sum(bool(reaches(place.crisis)) for place in every)
    return (
        f"{name}: crisis ratio at worst {figure(worst.crisis['ratio'])} ({worst}); {bound:g} or less is "
        f"reached at {reached} of {len(every)}."
    )


def _failing(method: Found) -> list[Place] | None:
    """Where the interval of the ratio stays above the bound; None where a ratio could not be measured."""
    found = list(places(method))
    if any(reaches(place.crisis) is None for place in found):
        return None
    return [place for place in found if not reaches(place.crisis)]


def _on_cure(methods: Found, failing: dict[str, list[Place]], poor: Found) -> list[str]:
    """Who cures the crisis, or who comes nearest and what still fails."""
    reaching = [name for name, found in failing.items() if not found]
    if not reaching:
        best = min(failing, key=lambda name: len(failing[name]))
        said = ["The crisis is cured by no method.", *_still_failing(best, failing[best])]
        return said + _beside_real(best, methods[best], poor) + _on_latents(methods[best], best)
    if poor:
        verb = "reaches" if len(reaching) == 1 else "reach"
        poorly = "Some of the models divided by are poor; there a ratio near 1 would mean as poor"
        said = [f"{listed(reaching)} {verb} the bound everywhere. {poorly}."]
        said += [told for name in reaching for told in _beside_real(name, methods[name], poor)]
    else:
        said = [
            f"The crisis is cured, on all features, from the prior and across ages, by {listed(reaching)}."
        ]
        sure = [name for name in reaching if all(p.crisis.get("within_bound") for p in places(methods[name]))]
        said.append(f"Their whole intervals lie within the bound: {listed(sure) if sure else 'of none'}.")
    return said + [told for name in reaching for told in _on_latents(methods[name], name)]


def _still_failing(name: str, failing: list[Place]) -> list[str]:
    """Where, by features and source, and the worst of it."""
    ages: dict[tuple[str, str], list[str]] = {}
    for place in failing:
        ages.setdefault((place.features, place.source), []).append(place.age)
    told = [
        f"{counted(those)} {SOURCES[source]} on {features} features"
        for (features, source), those in ages.items()
    ]
    return [f"{name} comes nearest; what still fails: {'; '.join(told)}."]


def _beside_real(name: str, method: Found, poor: Found) -> list[str]:
    """Where references are poor: is it nearer than they are, and how near by distance alone?"""
    there = [place for place in places(method) if place.age in poor.get(place.features, {})]
    if not there:
        return []
    nearer, like_real = (sum(which) for which in zip(*((p.nearer, p.like_real) for p in there), strict=True))
    nearest = f"{name} is nearer to real slices than the poor references at {nearer} of {len(there)}"
    as_real = f"as near as other real slices at {like_real} (intervals overlap)"
    return [f"{nearest} (whole interval of the ratio below 1), and {as_real}."]


def _nearest(methods: Found, features: str, source: str) -> list[str]:
    """Whose farthest age is nearest to real slices, whatever the references are."""
    farthest: dict[str, Place] = {}
    for name, one in methods.items():
        here = [p for p in places(one) if (p.features, p.source) == (features, source)]
        if here and all(place.distance for place in here):
            farthest[name] = max(here, key=lambda place: place.distance["value"])
    if not farthest:
        return []
    best = min(farthest, key=lambda name: farthest[name].distance["value"])
    worst = farthest[best]
    floor = worst.crisis.get("floor")
    beside = f"; other real slices {floor['value']:.3g}" if floor else ""
    head = f"By distance alone, on {features} features, {SOURCES[source]}, {best} is nearest to real slices"
    return [f"{head}: {figure(worst.distance)} at its farthest age ({worst.age}{beside})."]


def _who_reaches(methods: Found, features: str, source: str, about: Found, poor: Found) -> str:
    ages, bound = sorted(about["unseen"]), about["bound"]
    reaching, measured = [], False
    for name, one in methods.items():
        found = [
            reaches(one["fidelity"][features].get(age, {}).get(source, {}).get("crisis", {})) for age in ages
        ]
        measured |= None not in found
        if all(found):
            reaching.append(name)
    head = f"On {features} features, {SOURCES[source]}, a crisis ratio of {bound:g} or less at every age"
    if not measured:
        return f"{head} could not be looked for: the methods of one age alone are missing."
    caveat = f" (poor references at {counted(poor)})" if poor and reaching else ""
    return f"{head} is reached by {listed(reaching) if reaching else 'no method'}{caveat}."


def _without_ratio(methods: Found, kinds: list[str]) -> list[str]:
    """Where there is nothing to divide by, and what stands in."""
    said = []
    for features in kinds:
        ages = {
            place.age
            for one in methods.values()
            for place in places(one)
            if place.features == features and "excess" in place.crisis and place.crisis["ratio"] is None
        }
        if ages:
            said.append(
                f"On {features} features there is no ratio at {counted(ages)}, at least in part: "
                "the method of one age cannot be told from real slices by so few patients; there the excess "
                "over the bound stands in."
            )
    return said


def _on_latents(method: Found, name: str) -> list[str]:
    """How much of the origin its latents give away, at the age where they give away most."""
    told = {
        age: row["leakage"]["balanced_accuracy"]
        for age, row in method["latents"].items()
        if isinstance(row, dict) and "balanced_accuracy" in row.get("leakage", {})
    }
    if not told:
        return []
    most = max(told, key=lambda age: told[age]["value"])
    accuracy = f"a balanced accuracy of up to {figure(told[most])}"
    return [f"Of {name}'s latents the age of origin is told with {accuracy} (age {most}; chance 0.25)."]
