"""The tables and charts of the progression study, from its figures alone.

A figure that could not be taken is a dash; a row without any figure is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from glasslung.report.markup import Html, tag
from glasslung.report.studycharts import Limits, Panel, draw_rows
from glasslung.report.studypage import drawing, figure_told, figures_table, interval
from glasslung.report.wording import NOTHING
from glasslung.studies.heldout import AS_TRAINED, GREY, SINGLE

AGE_NAMES = ("healthy", "days 0 to 4", "days 5 to 9", "days 10 to 14")
AGES = tuple(str(age) for age in range(len(AGE_NAMES)))
SOURCES = {"prior": "from the prior", "across": "across ages"}
FARTHEST_RATIO = 8.0  # what lies beyond is drawn as an arrow: a cure is looked for near 1
PART_NAMES = {"train": "training slices", "unseen": "unseen patients"}
LADDER = "z"  # how the ladder of a model with one is called

Found = Mapping[str, Any]
Column = tuple[str, tuple[str, ...]]  # heading, and where the figure lies


def limits_at(found: Any, keys: Sequence[str]) -> Limits | None:
    """(value, low, high) of a nested figure; a missing limit is infinite; None where there is no figure."""
    for key in keys:
        if not isinstance(found, Mapping) or key not in found:
            return None
        found = found[key]
    if not isinstance(found, Mapping) or found.get("value") is None:
        return None
    low, high = found.get("low"), found.get("high")
    return (
        float(found["value"]),
        -math.inf if low is None else float(low),
        math.inf if high is None else float(high),
    )


def by_method(caption: str, methods: Found, columns: Sequence[Column], digits: int = 2) -> Html | None:
    """One row for each method that has any of the figures."""
    rows = []
    for name, one in methods.items():
        found = [limits_at(one, keys) for _, keys in columns]
        if any(found):
            rows.append((name, [interval(limits, digits) for limits in found]))
    return figures_table(caption, ["method", *(word for word, _ in columns)], rows) if rows else None


def rows_of(methods: Found, keys: Sequence[str]) -> dict[str, Limits]:
    """The figure of every method that has it."""
    found = {name: limits_at(one, keys) for name, one in methods.items()}
    return {name: limits for name, limits in found.items() if limits is not None}


# -------------------------------------------------------------------------------------- the paper's table


def paper_table(rows: Sequence[Found]) -> Html:
    """The printed figures and ours, in the paper's units and in those that hide less."""
    head = ["model", "score", "reconstruction", "divergence", "lung pixel", "black pixel", "bits per pixel"]
    made: list[tuple[str, list[Html]]] = []
    strong = []
    for row in rows:
        if "printed" in row:
            strong.append(len(made))
            told = [Html(figure_told(row["printed"][name])) for name in ("nll", "rec", "kl")]
            made.append((f"{row['name']} as printed", told + [Html(NOTHING)] * 3))
            continue
        readings = row["readings"]
        for reading in (AS_TRAINED, SINGLE):
            if reading in readings:
                words = "" if reading == AS_TRAINED else ", nearest single Beta"
                name = f"{row['name']}, {PART_NAMES[row['part']]}{words}"
                cells = [interval(readings[reading][one], 2) for one in ("nll", "rec")]
                cells += [interval(readings[reading]["kl"], 3)]
                cells += [interval(readings[reading][one], 2) for one in ("lung", "black")]
                bits = readings[GREY]["nll"] if reading == AS_TRAINED else None
                made.append((name, [*cells, interval(bits, 2)]))
    return figures_table(
        "Nats per pixel, lower is better; lung and black pixels: higher is better", head, made, strong
    )


def level_table(rows: Sequence[Found]) -> Html | None:
    """Divergence of every level, nats per image, groups alike, on unseen patients; which are in use."""
    made = []
    for row in rows:
        if row.get("part") != "unseen":
            continue
        ladders: dict[str, list[Found]] = {}
        for level in row["levels"]:
            ladder, _, name = level["level"].rpartition(" ")
            ladders.setdefault(ladder or LADDER, []).append({**level, "level": name})
        for ladder, levels in ladders.items():
            made.append((f"{row['name']}, {ladder}", [_level_cell(level) for level in levels]))
    if not made:
        return None
    return figures_table(
        "Nats per image by level; active units", ["ladder", *(f"z{n}" for n in range(1, 6))], made
    )


def _level_cell(level: Found) -> Html:
    words = "collapsed" if level["collapsed"] else f"{level['active']} of {level['units']}"
    return Html(figure_told(level["nats, groups alike"], 1) + tag("small", words))


# ------------------------------------------------------------------------------------------- the crisis


def distance_columns(features: str, figure: tuple[str, ...]) -> list[Column]:
    """Both sources at every age."""
    return [
        (f"{AGE_NAMES[int(age)]}, {words}", ("fidelity", features, age, source, *figure))
        for source, words in SOURCES.items()
        for age in AGES
    ]


def distance_chart(outcomes: Found, features: str) -> Html:
    """Kernel distance of every method at every age, with the distance of other real slices as a line."""
    methods, panels = outcomes["methods"], []
    for age in AGES:
        keys = ("fidelity", features, age)
        figures = {words: rows_of(methods, (*keys, source, "distance")) for source, words in SOURCES.items()}
        floor = limits_at(outcomes["real"], (features, "floor", age))
        lines = [(floor[0], "other real slices")] if floor else []
        panels.append(Panel(AGE_NAMES[int(age)], figures, lines))
    svg = draw_rows(panels, list(methods), f"kernel distance on {features} features, lower is better")
    return drawing(
        svg,
        f"Kernel distance of made slices from unseen real ones, {features} features, by age and method",
        f"How far made slices are from unseen real ones, on {features} features; bars: 95 % intervals over "
        "patients and samples; dashed: other real slices.",
    )


def ratio_chart(outcomes: Found, features: str) -> Html | None:
    """Crisis ratio of every method of all ages, with the bound as a line."""
    methods, panels = outcomes["methods"], []
    for age in AGES:
        keys = ("fidelity", features, age)
        figures = {
            words: rows_of(methods, (*keys, source, "crisis", "ratio")) for source, words in SOURCES.items()
        }
        bound = float(outcomes["about"]["bound"])
        panels.append(Panel(AGE_NAMES[int(age)], figures, [(bound, f"cured: {bound:g}")]))
    rows = [name for name in methods if any(name in kind for one in panels for kind in one.figures.values())]
    if not rows:
        return None
    svg = draw_rows(
        panels, rows, f"crisis ratio on {features} features, lower is better", most=FARTHEST_RATIO
    )
    return drawing(
        svg,
        f"Crisis ratio on {features} features by age and method",
        f"Distance beyond the floor as a multiple of what the method of that age alone has, on {features} "
        f"features. Arrows go beyond {FARTHEST_RATIO:g}. Missing: the method of one age cannot be told from "
        "real slices, so nothing can be divided by its distance.",
    )


def reasons(methods: Found, features: str) -> list[str]:
    """Why ratios are missing, each reason once, with the ages that it holds for."""
    found: dict[str, set[str]] = {}
    for one in methods.values():
        for age in AGES:
            for source in SOURCES:
                row = one.get("fidelity", {}).get(features, {}).get(age, {}).get(source, {})
                crisis = row.get("crisis", {})
                if crisis.get("ratio") is None and "excess" in crisis and crisis.get("reason"):
                    found.setdefault(crisis["reason"], set()).add(AGE_NAMES[int(age)])
    return [f"{', '.join(sorted(ages))}: {why}." for why, ages in found.items()]


def look_tables(outcomes: Found, features: str) -> list[Html | None]:
    """Precision and its kin, copies, and whether a classifier finds the ages."""
    methods = outcomes["methods"]
    neighbours = [
        (f"{AGE_NAMES[int(age)]}, {name}", ("samples", features, age, "neighbourhoods", name))
        for name in ("precision", "recall", "density", "coverage")
        for age in AGES
    ]
    real = outcomes["real"].get(features, {})
    shown = {"real slices": {"samples": {features: real.get("samples", {})}}, **methods}
    copies = [(AGE_NAMES[int(age)], ("samples", features, age, "copies", "rate")) for age in AGES]
    told = [
        (f"{task}, {what}", ("groups", features, task, what))
        for task in real.get("groups", {})
        for what in ("made", "shown", "carried")
    ]
    ceiling = {
        task: dict.fromkeys(("made", "shown", "carried"), figure)
        for task, figure in real.get("groups", {}).items()
    }
    return [
        by_method(
            f"Neighbourhoods on {features} features: share of made that look real, of real that are made",
            shown,
            neighbours,
        ),
        by_method(f"Copies of training slices, share of the made, {features} features", methods, copies),
        by_method(
            f"Ages found by a classifier of real slices, balanced accuracy, {features} features",
            {"real slices": {"groups": {features: ceiling}}, **methods},
            told,
        ),
    ]


def patient_tables(outcomes: Found) -> list[Html | None]:
    """Latents, identity and load."""
    methods = outcomes["methods"]
    latents = [
        (f"{AGE_NAMES[int(age)]}, {words}", ("latents", age, *keys))
        for keys, words in (
            (("leakage", "balanced_accuracy"), "origin told"),
            (("prior", "auc"), "prior told from owners"),
            (("prior", "owner_mass"), "prior like owners"),
        )
        for age in AGES
    ]
    pairs = list(dict.fromkeys(pair for one in methods.values() for pair in one["identity"]))
    same = [
        (f"{pair.replace('->', ' to ')}, {words}", ("identity", pair, name))
        for name, words in (("mask_iou", "outline"), ("top1", "found first"))
        for pair in pairs
        if pair.startswith("0") or pair.endswith("0")
    ]
    loads = list(dict.fromkeys(name for one in methods.values() for name in one["load"]))
    load = [
        (f"{AGE_NAMES[int(age)]}, {words}", ("load", name, "ages", age, source, "distance"))
        for name in loads[:1]
        for source, words in SOURCES.items()
        for age in AGES
    ]
    return [
        by_method(
            "What latents give away: 0.25 and 0.5 are chance, 0.95 is a prior like the owners",
            methods,
            latents,
        ),
        by_method(
            "Is it still the same lung: overlap of outlines, and found among all slices of its age",
            methods,
            same,
        ),
        by_method(
            f"Dense share of the lungs, {loads[0]}: distance from that of real slices", methods, load, 3
        )
        if loads
        else None,
    ]


# ------------------------------------------------------------------------------------------ forecasts

MEASURES = {
    "image": "error of the picture, grey scale 0 to 1",
    "load": "error of the dense share of the lungs",
}
KINDS = ("overall", "forward", "back", "to healthy", "made ill")


def forecast_chart(found: Found, kind: str) -> Html | None:
    """Errors of every method beside what anyone would have said."""
    panels = []
    for measure, words in MEASURES.items():
        scores = found["kinds"][kind][measure]
        readings = list(dict.fromkeys(r for one in scores["methods"].values() for r in one))
        figures = {r: rows_of(scores["methods"], (r, "error")) for r in readings}
        lines = [(row["error"]["value"], name) for name, row in scores["naive"].items()]
        panels.append(Panel(words, figures, lines))
    rows = list(dict.fromkeys(name for one in panels for figures in one.figures.values() for name in figures))
    if not rows:
        return None
    svg = draw_rows(panels, rows, "mean error, lower is better; dashed: what anyone would have said")
    return drawing(
        svg,
        f"Error of forecasts, {kind}, by method",
        "Against the truth, over people. 'mean of draws': the method's pictures as they are; 'change': the "
        "slice as it was seen plus what the method changes.",
    )


def forecast_table(found: Found, kind: str, measure: str) -> Html | None:
    """Error of every method and reading, and what it is better or worse than each naive forecast by."""
    scores = found["kinds"][kind][measure]
    naive = list(scores["naive"])
    rows: list[tuple[str, list[Html]]] = []
    strong = []
    for name, row in scores["naive"].items():
        rows.append((name, [interval(limits_at(row, ("error",)), 3)] + [Html(NOTHING)] * len(naive)))
    for name, readings in scores["methods"].items():
        for reading, row in readings.items():
            if row["beats_all"]:
                strong.append(len(rows))
            cells = [interval(limits_at(row, ("error",)), 3)]
            cells += [interval(limits_at(row, ("against", other)), 3) for other in naive]
            rows.append((f"{name}, {reading}", cells))
    if len(rows) == len(naive):
        return None
    head = ["forecast", "error", *(f"less that of {other}" for other in naive)]
    return figures_table(
        f"{MEASURES[measure].capitalize()}, {kind}; bold: beats all that know nothing", head, rows, strong
    )


def kinds_table(found: Found, measure: str) -> Html | None:
    """Errors of every method and reading by kind of forecast; bold: beats all that know nothing."""
    kinds = {kind: found["kinds"][kind][measure] for kind in KINDS}
    rows: list[tuple[str, list[Html]]] = []
    for name in kinds[KINDS[0]]["naive"]:
        cells = [interval(limits_at(one, ("naive", name, "error")), 3) for one in kinds.values()]
        rows.append((name, cells))
    methods = list(dict.fromkeys(name for one in kinds.values() for name in one["methods"]))
    for name in methods:
        readings = list(dict.fromkeys(r for one in kinds.values() for r in one["methods"].get(name, {})))
        for reading in readings:
            scores = [one["methods"].get(name, {}).get(reading) for one in kinds.values()]
            rows.append((f"{name}, {reading}", [_error_cell(score) for score in scores]))
    if not methods:
        return None
    caption = f"{MEASURES[measure].capitalize()}, by kind of forecast; bold: beats all that know nothing"
    return figures_table(caption, ["forecast", *KINDS], rows)


def _error_cell(score: Found | None) -> Html:
    if score is None:
        return Html(NOTHING)
    cell = interval(limits_at(score, ("error",)), 3)
    return tag("strong", cell) if score["beats_all"] else cell


# ---------------------------------------------------------------------------------------------- seeds


def seed_table(caption: str, methods: Found, columns: Sequence[Column], digits: int = 2) -> Html | None:
    """Mean over seeds and standard deviation between them."""
    rows = []
    for name, one in methods.items():
        cells = []
        for _, keys in columns:
            here: Any = one
            for key in keys:
                here = here.get(key, {}) if isinstance(here, Mapping) else {}
            cells.append(_spread_cell(here, digits))
        if any(cell != NOTHING for cell in cells):
            rows.append((name, cells))
    return figures_table(caption, ["method", *(word for word, _ in columns)], rows) if rows else None


def _spread_cell(found: Found, digits: int) -> Html:
    if "mean" not in found:
        return Html(NOTHING)
    words = f"\u00b1 {figure_told(found['deviation'], digits)}, {found['seeds']} seeds"
    return Html(figure_told(found["mean"], digits) + tag("small", words))
