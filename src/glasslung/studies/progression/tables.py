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
from glasslung.studies.progression.heldout import AS_TRAINED, GREY, SINGLE

AGE_NAMES = ("healthy", "days 0 to 4", "days 5 to 9", "days 10 to 14")
AGES = tuple(str(age) for age in range(len(AGE_NAMES)))
SOURCES = {"prior": "from the prior", "across": "across ages"}
FARTHEST_RATIO = 8.0  # what lies beyond is drawn as an arrow: a cure is looked for near 1
SHOWN = ("made", "shown", "carried")
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
    methods, real = outcomes["methods"], outcomes["real"].get(features, {})
    groups = real.get("groups", {})
    ceiling = {task: dict.fromkeys(SHOWN, figure) for task, figure in groups.items()}
    shown = {
        "real slices": {"samples": {features: real.get("samples", {})}, "groups": {features: ceiling}},
        **methods,
    }

    def near(*names: str) -> list[Column]:
        return [
            (f"{AGE_NAMES[int(age)]}, {name}", ("samples", features, age, "neighbourhoods", name))
            for name in names
            for age in AGES
        ]

    copies = [(AGE_NAMES[int(age)], ("samples", features, age, "copies", "rate")) for age in AGES]
    told = [(f"{task}, {what}", ("groups", features, task, what)) for task in groups for what in SHOWN]
    return [
        by_method(
            f"Share of made that look real, share of real that are made, {features} features",
            shown,
            near("precision", "recall"),
        ),
        by_method(
            f"How densely made lie among real, share of real that have a made one near, {features} features",
            shown,
            near("density", "coverage"),
        ),
        by_method(f"Copies of training slices, share of the made, {features} features", methods, copies),
        by_method(
            f"Ages found by a classifier of real slices, balanced accuracy, {features} features", shown, told
        ),
    ]


def patient_tables(outcomes: Found) -> list[Html | None]:
    """Latents, identity and load."""
    methods = outcomes["methods"]

    def latents(*parts: tuple[str, tuple[str, ...]]) -> list[Column]:
        return [
            (f"{AGE_NAMES[int(age)]}{words}", ("latents", age, *keys))
            for words, keys in parts
            for age in AGES
        ]

    pairs = list(dict.fromkeys(pair for one in methods.values() for pair in one["identity"]))
    ends = [pair for pair in pairs if "0" in pair]  # the others lie between: they are in the numbers

    def same(name: str) -> list[Column]:
        return [(pair.replace("->", " to "), ("identity", pair, name)) for pair in ends]

    loads = list(dict.fromkeys(name for one in methods.values() for name in one["load"]))
    found = [
        by_method(
            "Age of origin told from latents, balanced accuracy; chance 0.25",
            methods,
            latents(("", ("leakage", "balanced_accuracy"))),
        ),
        by_method(
            "Prior told from the age's own patients (AUC, 0.5 no hole), and its share like them (0.95)",
            methods,
            latents((", AUC", ("prior", "auc")), (", share", ("prior", "owner_mass"))),
        ),
        by_method("Overlap of the lungs' outlines, from age to age", methods, same("mask_iou")),
        by_method("Found first among all slices of its age, from age to age", methods, same("top1")),
    ]
    for name in loads:
        columns = [
            (f"{AGE_NAMES[int(age)]}, {words}", ("load", name, "ages", age, source, "distance"))
            for source, words in SOURCES.items()
            for age in AGES
        ]
        found.append(by_method(f"Dense share of the lungs, {name}: distance from real", methods, columns, 3))
    return found


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
