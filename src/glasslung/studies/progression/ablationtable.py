"""The methods of the contest beside each other: one row each, one column for each question."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from glasslung.report.markup import Html, joined, tag
from glasslung.report.studypage import figure_told, figures_table, interval
from glasslung.report.wording import NOTHING
from glasslung.studies.progression.crisisverdict import SINGLE, SOURCES, of_all_ages, worst_ratio
from glasslung.studies.progression.forecastverdict import better_reading, hardest
from glasslung.studies.progression.tables import limits_at

FORECASTS = (("image", "overall"), ("image", "forward"), ("load", "overall"), ("load", "forward"))
WORDS = (
    "First seed. Steps: of each player, or stage after stage. Distance: kernel distance from unseen real "
    "slices, mean over ages, the worst age below. Crisis ratio: the worst over ages, sources and "
    "features. Origin told: AUC of the age of origin from latents, mean over ages, 0.5 is chance. Prior "
    "hole: AUC between the prior and the age's own patients, mean over ages, 0.5 is none. Outline kept: "
    "overlap of the lungs' outlines, mean over all journeys. Means have no interval; the ratio's is 95 % "
    "over patients."
)
FORECAST_WORDS = (
    "First seed. Error less that of the hardest naive forecast, by the better of the method's two "
    "readings: below 0 is better than naive, bold beats all naive forecasts. Healthy: shares of a healthy "
    "lung that become dense when it is taken to age 0, and that are dense (vessels) and are lost; 0 is "
    "right for both. 95 % intervals over people."
)

Found = Mapping[str, Any]
Column = tuple[str, Callable[[str], Html]]  # heading, and the cell of a method
NONE = Html(NOTHING)


def ablation_table(numbers: Found) -> Html:
    """Steps, realism, crisis, latents and identity of every method that shows all ages.

    Real slices and the models of one age alone stand above them.
    """
    outcomes = numbers["outcomes"]
    columns = _columns(numbers, outcomes)
    rows = [(name, [cell(name) for _, cell in columns]) for name in of_all_ages(outcomes)]
    beside = [
        (name, [NONE, *cells] + [NONE] * (len(columns) - 1 - len(cells)))
        for name, cells in _references(outcomes)
        if any(cell != NONE for cell in cells)
    ]
    head = ["method", *(word for word, _ in columns)]
    return figures_table("Every remedy, one row each", head, beside + rows)


def forecasts_table(numbers: Found) -> Html:
    """The forecasts of the same methods beside the hardest naive forecast; whether the healthy stay so."""
    found = numbers["forecasts"]
    columns = [_forecast_column(found, measure, kind) for measure, kind in FORECASTS]
    columns.append(("healthy, made dense", lambda name: _healthy(found, name, "new")))
    columns.append(("healthy, dense lost", lambda name: _healthy(found, name, "lost")))
    rows = [(name, [cell(name) for _, cell in columns]) for name in of_all_ages(numbers["outcomes"])]
    head = ["method", *(word for word, _ in columns)]
    return figures_table("Error of forecasts less that of naive ones", head, rows)


def _columns(numbers: Found, outcomes: Found) -> list[Column]:
    methods = outcomes["methods"]

    def of(figures: Callable[[Found], Iterable[Any]], worst: Callable[..., float] = max) -> Any:
        return lambda name: _mean_cell(figures(methods[name]), worst)

    columns: list[Column] = [("steps", lambda name: _steps(numbers["jobs"], name))]
    columns += [
        (f"distance {words}, {kind}", of(_distances(kind, source)))
        for source, words in SOURCES.items()
        for kind in outcomes["about"]["features"]
    ]
    columns += [
        ("worst crisis ratio", lambda name: _worst_ratio(methods[name])),
        ("origin told", of(lambda one: _latents(one, "leakage", "mean_auc"))),
        ("prior hole", of(lambda one: _latents(one, "prior", "auc"))),
        ("outline kept", of(lambda one: [row.get("mask_iou") for row in one["identity"].values()], min)),
    ]
    return columns


def _references(outcomes: Found) -> list[tuple[str, list[Html]]]:
    """Cells of the distances: of other real slices, and of what the models of one age alone make."""
    methods, kinds = outcomes["methods"], outcomes["about"]["features"]
    floors = [_mean_cell(outcomes["real"][kind]["floor"].values()) for kind in kinds]
    alone = [
        _mean_cell(
            one["fidelity"][kind][age]["prior"].get("distance")
            for age in outcomes["about"]["unseen"]
            if (one := methods.get(SINGLE.format(age)))
        )
        for kind in kinds
    ]
    return [("real slices", floors * len(SOURCES)), ("CAGE-T0 to T3, one age each", alone)]


# ------------------------------------------------------------------------------------------- the cells


def _mean_cell(figures: Iterable[Any], worst: Callable[..., float] = max) -> Html:
    """The mean of some figures, and the worst of them below; a dash where any cannot be taken."""
    found = [limits_at(one, ()) for one in figures]
    values = [limits[0] for limits in found if limits is not None]
    if not values or len(values) < len(found):
        return NONE
    told = tag("small", f"worst {figure_told(worst(values), 3)}")
    return joined(figure_told(math.fsum(values) / len(values), 3), told)


def _steps(jobs: Iterable[Found], name: str) -> Html:
    """Steps of every player of the first seed: together where there is one."""
    steps: Found = next((job["told"].get("steps", {}) for job in jobs if job["name"] == name), {})
    return Html(", ".join(dict.fromkeys(str(count) for count in steps.values())) or NOTHING)


def _distances(kind: str, source: str) -> Callable[[Found], Iterable[Any]]:
    return lambda one: [row[source].get("distance") for row in one["fidelity"][kind].values()]


def _worst_ratio(method: Found) -> Html:
    worst = worst_ratio(method)
    if worst is None:
        return NONE
    where = f"age {worst.age} {SOURCES[worst.source]}, {worst.features}"
    return joined(interval(worst.crisis["ratio"], 2), tag("small", where))


def _latents(method: Found, part: str, name: str) -> list[Any]:
    rows = [row for row in method["latents"].values() if isinstance(row, Mapping)]
    return [row.get(part, {}).get(name) for row in rows]


def _forecast_column(found: Found, measure: str, kind: str) -> Column:
    words = "picture" if measure == "image" else "dense share"

    def cell(name: str) -> Html:
        readings = found["kinds"][kind][measure]["methods"].get(name)
        if not readings:
            return NONE
        reading = better_reading(readings)
        told = interval(hardest(readings[reading])[1], 4)
        shown = tag("strong", told) if readings[reading]["beats_all"] else told
        return joined(shown, tag("small", reading))

    return f"{words}, {kind}", cell


def _healthy(found: Found, name: str, part: str) -> Html:
    return interval(found["healthy"].get(name, {}).get(part), 4)
