"""What the errors of the forecasts say, in sentences that are written from the figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from glasslung.measure.forecasts import NO_CHANGE
from glasslung.studies.progression.guesses import NAIVE, OVERALL

MEASURES = {"image": "in the picture", "load": "in the opaque share"}
FIRST = {OVERALL: "Over all forecasts for the ill", "forward": "Forward in time"}
FURTHER = {
    "back": "Back in time",
    "to healthy": "From ill to healthy",
    "made ill": "From healthy to ill (of which nothing is foreseeable)",
}

Found = Mapping[str, Any]


def told_first(found: Found) -> list[str]:
    """Who beats every naive forecast, over all and forward in time."""
    said = []
    for kind, words in FIRST.items():
        scores = found["kinds"][kind]
        said += [_on_errors(f"{words}, {MEASURES[measure]}", scores[measure]) for measure in NAIVE]
        both = set.intersection(*(_winners(scores[measure]) for measure in NAIVE))
        names = [_named(*one) for one in sorted(both)]
        said.append(
            f"{words}, in picture and opaque share alike, every naive forecast is beaten by {listed(names)}."
            if both
            else f"{words}, no method beats every naive forecast in picture and opaque share alike."
        )
    return said


def told_further(found: Found) -> list[str]:
    """The other kinds of forecasts, and what becomes of the healthy and of the ill made healthy."""
    said = [
        _on_errors(f"{words}, {MEASURES[measure]}", found["kinds"][kind][measure])
        for kind, words in FURTHER.items()
        for measure in NAIVE
    ]
    return said + _on_healthy(found) + _on_made_healthy(found)


def hardest(score: Found) -> tuple[str, Found]:
    """The naive forecast that a method is least better, or most worse, than: (name, difference)."""
    name = max(score["against"], key=lambda other: score["against"][other]["value"])
    return name, score["against"][name]


def better_reading(readings: Found) -> str:
    """Of a method's two readings the one that errs less."""
    return min(readings, key=lambda reading: readings[reading]["error"]["value"])


def _winners(scores: Found) -> set[tuple[str, str]]:
    return {
        (name, reading)
        for name, readings in scores["methods"].items()
        for reading, score in readings.items()
        if score["beats_all"]
    }


def _on_errors(head: str, scores: Found) -> str:
    """The best method and what it errs less than the hardest naive forecast; who else beats them all."""
    if not scores["methods"]:
        return f"{head}: no method can be asked."
    best = {
        name: (better_reading(readings), readings[better_reading(readings)])
        for name, readings in scores["methods"].items()
    }
    winners = _winners(scores)
    names = {name for name, _ in winners} or set(best)
    name = min(names, key=lambda one: best[one][1]["error"]["value"])
    reading, row = best[name]
    if winners and (name, reading) not in winners:  # its other reading errs more, but surely less than naive
        reading = next(other for one, other in sorted(winners) if one == name)
        row = scores["methods"][name][reading]
    other, gap = hardest(row)
    told = f"errs {_more_or_less(gap)} than {other}"
    if not winners:
        return f"{head}: no method beats every naive forecast; the best, {_named(name, reading)}, {told}."
    others = sorted({one for one, _ in winners} - {name})
    also = f" So do {listed(others)}." if len(others) > 1 else f" So does {others[0]}." if others else ""
    return f"{head}: {_named(name, reading)} {told}, and beats every naive forecast.{also}"


def _more_or_less(gap: Found) -> str:
    """A difference of errors without its sign: '0.012 [0.01, 0.014] less'."""
    if gap["value"] > 0:
        return f"{figure(gap)} more"
    return f"{figure({'value': -gap['value'], 'low': -gap['high'], 'high': -gap['low']})} less"


def _on_healthy(found: Found) -> list[str]:
    """Who makes a healthy lung denser, and who loses what is dense in it."""
    if not found["healthy"]:
        return []
    ill = {name: row["excess"] for name, row in found["healthy"].items() if row["excess"]["low"] > 0}
    lost = {name: row["lost"] for name, row in found["healthy"].items() if row["lost"]["low"] > 0}
    said = ["A healthy lung taken to age 0 becomes denser under no method."]
    if ill:
        most = max(ill, key=lambda name: ill[name]["value"])
        said = [
            f"A healthy lung taken to age 0 becomes denser under {listed(list(ill))}.",
            f"It becomes densest under {most}: by {figure(ill[most])} of the lung.",
        ]
    if lost:
        most = max(lost, key=lambda name: lost[name]["value"])
        said.append(
            f"Most that is dense in it, vessels, is lost under {most}: {figure(lost[most])} of the lung."
        )
    return said


def _on_made_healthy(found: Found) -> list[str]:
    """What is left of the disease in the ill taken to age 0."""
    said = []
    for seen, rows in found["ill made healthy"].items():
        methods = {
            _named(name, reading): row
            for name, readings in rows["methods"].items()
            for reading, row in readings.items()
        }
        if methods:
            best = min(methods, key=lambda name: abs(methods[name]["value"]))
            said.append(
                f"Taken from age {seen} to age 0, the opaque share comes nearest to that of the same lung "
                f"never ill under {best}: {figure(methods[best])} off (untouched "
                f"{rows['naive'][NO_CHANGE]['value']:.3g})."
            )
    return said


def _named(name: str, reading: str) -> str:
    return f"{name} ({reading})"


# ------------------------------------------------------------------------------------------- wording


def figure(interval: Found) -> str:
    """0.12 [0.1, 0.14]"""
    high = "no limit" if interval["high"] is None else f"{interval['high']:.3g}"
    return f"{interval['value']:.3g} [{interval['low']:.3g}, {high}]"


def listed(words: list[str]) -> str:
    """a, b and c"""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def counted(ages: Iterable[str]) -> str:
    """age 1; ages 0 and 3"""
    each = sorted(set(ages))
    return f"{'ages' if len(each) > 1 else 'age'} {listed(each)}"
