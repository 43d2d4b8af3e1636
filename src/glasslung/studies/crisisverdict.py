"""What the figures of the contest say, in sentences that are written from the figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from glasslung.measure.forecasts import NO_CHANGE
from glasslung.studies.guesses import NAIVE, OVERALL

SOURCES = {"prior": "from the prior", "across": "across ages"}
MEASURES = {"image": "the picture", "load": "the opaque share"}
KIND_NAMES = {
    OVERALL: "Over all forecasts for the ill",
    "forward": "Forward in time",
    "back": "Back in time",
    "to healthy": "From ill to healthy",
    "made ill": "From healthy to ill (of which nothing is foreseeable)",
}


def verdicts(found: Mapping[str, Any]) -> list[str]:
    """What was found, one sentence each.

    found  'outcomes' (of `crisis.measure_outcomes`) and 'forecasts' (of `guesses.forecast_errors`); either
           may be missing
    """
    said: list[str] = []
    if "forecasts" in found:
        said += _on_forecasts(found["forecasts"])
    if "outcomes" in found:
        said += _on_crisis(found["outcomes"])
    return said


# ------------------------------------------------------------------------------------------ forecasts


def _on_forecasts(found: Mapping[str, Any]) -> list[str]:
    said = []
    for kind, words in KIND_NAMES.items():
        scores = found["kinds"][kind]
        said += [_on_errors(f"{words}, in {MEASURES[measure]},", scores[measure]) for measure in NAIVE]
        if kind == OVERALL:
            both = set.intersection(*(_winners(scores[measure]) for measure in NAIVE))
            names = sorted(f"{name} ({reading})" for name, reading in both)
            said.append(
                f"In picture and opaque share alike, every naive forecast is beaten by {_listed(names)}."
                if both
                else "No method beats every naive forecast in picture and opaque share alike."
            )
    return said + _on_healthy(found)


def _winners(scores: Mapping[str, Any]) -> set[tuple[str, str]]:
    return {
        (name, reading)
        for name, readings in scores["methods"].items()
        for reading, score in readings.items()
        if score["beats_all"]
    }


def _on_errors(head: str, scores: Mapping[str, Any]) -> str:
    """Who beats all naive forecasts with intervals that exclude 0, or how near the best one comes."""
    naive = "; ".join(f"{name} {_figure(row['error'])}" for name, row in scores["naive"].items())
    readings = [
        (row["error"]["value"], name, reading, row)
        for name, pair in scores["methods"].items()
        for reading, row in pair.items()
    ]
    if not readings:
        return f"{head} no method can be asked ({naive})."
    winners = _winners(scores)
    if winners:
        told = [
            f"{name} ({reading}) {_figure(row['error'])}"
            for _, name, reading, row in sorted(readings, key=lambda one: one[:3])
            if (name, reading) in winners
        ]
        beaten = f"{head} every naive forecast is beaten, by intervals that exclude 0,"
        return f"{beaten} by {_listed(told)}; {naive}."
    _, name, reading, row = min(readings, key=lambda one: one[:3])
    lacking = [f"{other} by {_figure(gap)}" for other, gap in row["against"].items() if not gap["high"] < 0]
    return (
        f"{head} no method beats every naive forecast: the best, {name} ({reading}) "
        f"{_figure(row['error'])}, is not shown to beat {_listed(lacking)} (error less theirs); {naive}."
    )


def _on_healthy(found: Mapping[str, Any]) -> list[str]:
    """Who makes a healthy lung denser, and what is left of the disease in the ill taken to age 0."""
    said = []
    if found["healthy"]:
        ill = {name: row["excess"] for name, row in found["healthy"].items() if row["excess"]["low"] > 0}
        told = [f"{name} by {_figure(excess)} of the lung" for name, excess in ill.items()]
        said.append(
            f"A healthy lung taken to age 0 becomes denser under {_listed(told)}."
            if ill
            else "A healthy lung taken to age 0 becomes denser under no method."
        )
    for seen, rows in found["ill made healthy"].items():
        methods = {
            f"{name} ({reading})": row
            for name, readings in rows["methods"].items()
            for reading, row in readings.items()
        }
        if methods:
            best = min(methods, key=lambda name: abs(methods[name]["value"]))
            said.append(
                f"Taken from age {seen} to age 0, the opaque share comes nearest to that of the same lung "
                f"never ill under {best}: {_figure(methods[best])} off, beside "
                f"{_figure(rows['naive'][NO_CHANGE])} untouched."
            )
    return said


# ---------------------------------------------------------------------------------------- the crisis


def reaches(crisis: Mapping[str, Any]) -> bool | None:
    """Whether the interval of a crisis ratio reaches the bound; None where none was measured.

    Where the method of one age cannot be told from real slices there is no ratio; then whether the excess
    over the bound reaches 0.
    """
    if "excess" not in crisis:
        return None
    if crisis["ratio"] is None:
        return bool(crisis["excess"]["low"] <= 0)
    return bool(crisis["reaches_bound"])


def _crises(method: Mapping[str, Any]) -> Iterator[tuple[str, str, str, Mapping[str, Any]]]:
    """(features, source, age, crisis) of every ratio that was looked for."""
    for features, ages in method["fidelity"].items():
        for age, row in ages.items():
            for source in SOURCES:
                yield features, source, age, row[source].get("crisis", {})


def _on_crisis(found: Mapping[str, Any]) -> list[str]:
    ages = sorted(found["about"]["unseen"])
    whole = {
        name: one for name, one in found["methods"].items() if {str(a) for a in one["ages"]} >= set(ages)
    }
    said = []
    for features in found["about"]["features"]:
        for source, words in SOURCES.items():
            said.append(_who_reaches(whole, features, source, words, ages, found["about"]["bound"]))
    said += _without_ratio(whole, found["about"]["features"])
    failing = {name: _failures(one) for name, one in whole.items()}
    judged = {name: failures for name, failures in failing.items() if failures is not None}
    if not judged:
        return said
    best = min(judged, key=lambda name: len(judged[name]))
    cured = [name for name, failures in judged.items() if not failures]
    if cured:
        said.append(
            f"The crisis is cured, on all features, from the prior and across ages, by {_listed(cured)}."
        )
        sure = [name for name in cured if _all_within(whole[name])]
        said.append(f"Their whole intervals lie within the bound: {_listed(sure) if sure else 'of none'}.")
    else:
        said.append(
            f"The crisis is cured by no method. {best} comes nearest; what still fails: "
            f"{_listed(judged[best])}."
        )
    return said + _on_latents(whole, cured or [best])


def _who_reaches(
    methods: Mapping[str, Any], features: str, source: str, words: str, ages: list[str], bound: float
) -> str:
    reaching, measured = [], False
    for name, one in methods.items():
        found = [
            reaches(one["fidelity"][features].get(age, {}).get(source, {}).get("crisis", {})) for age in ages
        ]
        measured |= None not in found
        if all(found):
            reaching.append(name)
    head = f"On {features} features, {words}, a crisis ratio of {bound:g} or less at every age"
    if not measured:
        return f"{head} could not be looked for: the methods of one age alone are missing."
    return f"{head} is reached by {_listed(reaching)}." if reaching else f"{head} is reached by no method."


def _without_ratio(methods: Mapping[str, Any], kinds: list[str]) -> list[str]:
    """Where there is nothing to divide by, and what stands in."""
    said = []
    for features in kinds:
        ages = {
            age
            for one in methods.values()
            for kind, _, age, crisis in _crises(one)
            if kind == features and "excess" in crisis and crisis["ratio"] is None
        }
        if ages:
            said.append(
                f"On {features} features there is no ratio at age {_listed(sorted(ages))}, at least in part: "
                "the method of one age cannot be told from real slices by so few patients; there the excess "
                "over the bound stands in."
            )
    return said


def _failures(method: Mapping[str, Any]) -> list[str] | None:
    """Where the interval of the ratio stays above the bound; None where a ratio could not be measured."""
    failures = []
    for features, source, age, crisis in _crises(method):
        fine = reaches(crisis)
        if fine is None:
            return None
        if not fine:
            figure = _figure(crisis["ratio"] or crisis["excess"])
            what = "ratio" if crisis["ratio"] else "no ratio, excess"
            failures.append(f"age {age} {SOURCES[source]} on {features} features ({what} {figure})")
    return failures


def _all_within(method: Mapping[str, Any]) -> bool:
    return all(crisis.get("within_bound") for *_, crisis in _crises(method))


def _on_latents(methods: Mapping[str, Any], names: list[str]) -> list[str]:
    """How much of the origin the latents of some methods give away."""
    said = []
    for name in names:
        latents = methods[name]["latents"]
        told = [
            f"{_figure(row['leakage']['balanced_accuracy'])} at age {age}"
            for age, row in latents.items()
            if isinstance(row, dict) and "balanced_accuracy" in row.get("leakage", {})
        ]
        if told:
            said.append(
                f"Of {name}'s latents the age of origin is told with a balanced accuracy of {_listed(told)}."
            )
    return said


# ------------------------------------------------------------------------------------------- wording


def _figure(interval: Mapping[str, Any]) -> str:
    high = "no limit" if interval["high"] is None else f"{interval['high']:.3g}"
    return f"{interval['value']:.3g} [{interval['low']:.3g}, {high}]"


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
