"""The page of the progression study: its figures in the order in which they answer the question."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.report.markup import Html, tag
from glasslung.report.studypage import (
    Chapter,
    StudyPage,
    drawing,
    figures_table,
    note,
    sentences,
    strips,
    write_study_page,
)
from glasslung.studies.progression import ablationtable, forecasttables, tables
from glasslung.studies.progression.contest import Outcome
from glasslung.studies.progression.crisisverdict import first_verdicts, on_bounds
from glasslung.studies.progression.facts import facts
from glasslung.studies.progression.forecastverdict import told_further
from glasslung.studies.progression.ground import Ground
from glasslung.studies.progression.guesses import CHANGE, LIKELY
from glasslung.studies.progression.tables import AGE_NAMES
from glasslung.studies.progression.words import cautions, lead, methods_told, provenance

SHOWN = 10  # pictures in a strip
CARRIED = 5  # people in a strip of forecasts: the likely picture of each, then one draw of each
SAME = 2 / 255  # grey: pictures are kept in whole grey levels, so two may differ by that and be one
JOURNEYS = ((0, 2), (1, 3), (3, 0))  # seen and wanted: falling ill, later, and as if never ill
Found = Mapping[str, Any]


def write_page(numbers: Found, ground: Ground, outcomes: Mapping[str, Outcome], path: Path) -> Path:
    """Write the study's page from its figures and from what the methods drew with the first seed."""
    chapters = [
        _ablation(numbers),
        _paper(numbers),
        _lungs(ground, outcomes),
        *([_forecasts(numbers["forecasts"])] if "forecasts" in numbers else []),
        _crisis(numbers["outcomes"]),
        _inside(numbers["outcomes"]),
        *([_seeds(numbers)] if len(numbers["seeds_trained"]) > 1 else []),
        _limits(numbers["limits"]),
        _training(numbers),
    ]
    page = StudyPage(
        title="A lung carried through the ages of COVID-19",
        lead=lead(numbers, ground),
        verdicts=first_verdicts(numbers),
        chapters=chapters,
        methods=methods_told(numbers, ground),
        provenance=provenance(numbers),
        facts=facts(numbers),
        cautions=cautions(numbers, ground),
    )
    return write_study_page(page, path)


# ------------------------------------------------------------------------------------------- chapters


def _ablation(numbers: Found) -> Chapter:
    content: list[Html | None] = [ablationtable.ablation_table(numbers), note(ablationtable.WORDS)]
    if "forecasts" in numbers:
        content += [ablationtable.forecasts_table(numbers), note(ablationtable.FORECAST_WORDS)]
    return Chapter("ablation", "All methods", tuple(content))


def _paper(numbers: Found) -> Chapter:
    words = (
        "The paper scores training images. A black pixel earns 12 to 13 nats and more than half of a slice "
        "is black, so most of the score says nothing about lungs: read the lung pixels, and the bits per "
        "pixel, which are those of whole grey levels and cannot be inflated. Groups count alike; limits are "
        "95 % intervals over patients."
    )
    rows = numbers["paper"]
    return Chapter(
        "paper", "The paper's table", (note(words), tables.paper_table(rows), tables.level_table(rows))
    )


def _lungs(ground: Ground, outcomes: Mapping[str, Outcome]) -> Chapter:
    words = (
        "The first slices, none picked. Data seen once in a life cannot say who ends where: each method's "
        "course is one of many that fit. On the left a method's likely pictures: those it would forecast "
        "with, or else the mean of its draws; on the right, where its draws differ, one draw of each."
    )
    content: list[Html | None] = [note(words)]
    for seen, wanted in JOURNEYS:
        rows = [(f"seen: {AGE_NAMES[seen]}", ground.unseen.images[seen][:CARRIED])]
        if ground.world:
            rows.append((f"true: {AGE_NAMES[wanted]}", ground.unseen.images[wanted][:CARRIED]))
        rows += [
            (name, _forecast_pictures(one, (seen, wanted)))
            for name, one in outcomes.items()
            if (seen, wanted) in one.carried
        ]
        content.append(strips(f"From {AGE_NAMES[seen]} to {AGE_NAMES[wanted]}", rows))
    for age, word in enumerate(AGE_NAMES):
        rows = [("real, unseen" if not ground.world else "true", ground.unseen.images[age][:SHOWN])]
        rows += [(name, one.made[age][:SHOWN]) for name, one in outcomes.items() if age in one.made]
        content.append(strips(f"Made from nothing: {word}", rows))
    return Chapter("lungs", "Lungs", tuple(content))


def _forecast_pictures(outcome: Outcome, pair: tuple[int, int]) -> np.ndarray:
    """The likely pictures of the first people, and after a gap one draw of each where it is another one."""
    likely, draw = outcome.likely(*pair)[:CARRIED], outcome.carried[pair][0, :CARRIED]
    if np.abs(draw - likely).max() <= SAME:
        return likely
    return np.concatenate([likely, np.ones_like(likely[:1]), draw])


def _forecasts(found: Found) -> Chapter:
    content: list[Html | None] = [
        note(
            f"{found['about']['people']} people whose other days are known. Beside every method stand "
            "forecasts that know nothing of the patient."
        )
    ]
    content += [sentences(told_further(found)), forecasttables.forecast_chart(found, "overall")]
    content += [
        forecasttables.forecast_table(found, "overall", measure) for measure in forecasttables.MEASURES
    ]
    content += [forecasttables.kinds_table(found, measure) for measure in forecasttables.MEASURES]
    return Chapter("forecasts", "Forecasts", tuple(content))


def _crisis(found: Found) -> Chapter:
    words = (
        "A model of all ages decodes an age from latents of people who were never seen at it. The crisis "
        "ratio holds its pictures against those of a model of that age alone: 1 no crisis, 2 twice "
        "as far from "
        "real slices."
    )
    content: list[Html | None] = [note(words), sentences(on_bounds(found))]
    for features in found["about"]["features"]:
        content += [tables.distance_chart(found, features), tables.ratio_chart(found, features)]
        content += [sentences(tables.reasons(found["methods"], features))]
        for caption, keys in (
            ("Kernel distance from unseen real slices", ("distance",)),
            ("Crisis ratio", ("crisis", "ratio")),
        ):
            columns = tables.distance_columns(features, keys)
            content.append(tables.by_method(f"{caption}, {features} features", found["methods"], columns, 3))
    return Chapter("crisis", "The tourist crisis", tuple(content))


def _inside(found: Found) -> Chapter:
    content: list[Html | None] = []
    for features in found["about"]["features"]:
        content += tables.look_tables(found, features)
    return Chapter("inside", "Looks, latents, identity", (*content, *tables.patient_tables(found)))


def _seeds(numbers: Found) -> Chapter:
    averaged = numbers["over_seeds"]
    content: list[Html | None] = []
    for features in numbers["outcomes"]["about"]["features"]:
        for caption, keys in (("Kernel distance", ("distance",)), ("Crisis ratio", ("crisis", "ratio"))):
            columns = tables.distance_columns(features, keys)
            content.append(
                tables.seed_table(
                    f"{caption}, {features} features", averaged["outcomes"]["methods"], columns, 3
                )
            )
    for kind, found in averaged["forecasts"].get("kinds", {}).items():
        for measure, words in forecasttables.MEASURES.items():
            columns = [(reading, (reading, "error")) for reading in (LIKELY, CHANGE)]
            methods = found.get(measure, {}).get("methods", {})
            content.append(tables.seed_table(f"{words.capitalize()}, {kind}", methods, columns, 4))
    return Chapter("seeds", "Between seeds", (note("Mean over seeds, \u00b1 standard deviation."), *content))


def _limits(found: Found) -> Chapter:
    from glasslung.studies.progression.limits.figure import draw_limits

    told = found["conclusions"]
    words = "Limits of the slices: day and outcome, brightness by group, and what tells the groups"
    return Chapter(
        "limits",
        "What the slices can teach",
        (
            drawing(draw_limits(found), words),
            sentences(told["seen"]),
            tag("h3", "What can be concluded"),
            sentences(told["can"]),
            tag("h3", "What cannot"),
            sentences(told["cannot"]),
        ),
    )


def _training(numbers: Found) -> Chapter:
    rows = []
    for job in numbers["jobs"]:
        told = job["told"]
        steps = ", ".join(f"{count} {name}" for name, count in told.get("steps", {}).items())
        seconds = told.get("seconds")
        cells = [str(job["seed"]), steps or "\u2013", f"{seconds:.0f}" if seconds else "\u2013"]
        rows.append((job["name"], [*cells, ", ".join(map(_setting, _settings(job).items())) or "\u2013"]))
    table = figures_table(
        "Every training", ["method", "seed", "steps", "processor seconds", "settings"], rows
    )
    return Chapter("training", "Training", (table,))


def _settings(job: Found) -> Found:
    found: Found = job["asked"].get("settings", {})
    return found


def _setting(pair: tuple[str, Any]) -> str:
    return f"{pair[0]} {pair[1]}"
