"""The page of the segmentation study: curves over labels, tables with intervals, the papers beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.data.labelled import Kind
from glasslung.report.markup import Html, tag
from glasslung.report.studycharts import Panel, draw_rows
from glasslung.report.studypage import (
    Chapter,
    StudyPage,
    drawing,
    figures_table,
    interval,
    note,
    strips,
    write_study_page,
)
from glasslung.report.wording import NOTHING, number
from glasslung.studies.jobs import Done
from glasslung.studies.segmentation.contest import read_styles
from glasslung.studies.segmentation.facts import facts
from glasslung.studies.segmentation.figures import TARGETS, cell_of, score_cell
from glasslung.studies.segmentation.ground import LesionGround
from glasslung.studies.segmentation.papers import printed_rows
from glasslung.studies.segmentation.sheet import overlay
from glasslung.studies.segmentation.verdict import cautions, f1, most_labels, signed, verdicts

SHOWN = 6  # slices whose outlines are shown
SIDE = 160  # of a shown slice
Found = Mapping[str, Any]


def write_page(numbers: Found, ground: LesionGround, done: Sequence[Done], path: Path) -> Path:
    """Write the study's page from its figures and from what the methods drew with the first seed."""
    page = StudyPage(
        title="Lesions from few labels",
        lead=_lead(numbers),
        verdicts=verdicts(numbers),
        chapters=[
            _sweep(numbers),
            _gains(numbers),
            _papers(numbers),
            _pictures(numbers, ground, done),
            *([_seeds(numbers)] if len(numbers["seeds_trained"]) > 1 else []),
            _training(numbers),
        ],
        methods=_methods(numbers),
        provenance=_provenance(numbers),
        facts=facts(numbers),
        cautions=cautions(numbers),
    )
    return write_study_page(page, path)


def _lead(numbers: Found) -> str:
    ground = numbers["ground"]
    return (
        f"{len(numbers['cells'])} ways to learn lesions of pneumonia from {ground['labelled']} labelled "
        "slices of "
        f"{ground['name']}, {ground['unlabelled']} slices without labels and {ground['healthy']} of "
        "healthy people: "
        f"cross-validated in {ground['folds']} folds, the same time for each."
    )


def _columns(numbers: Found) -> list[str]:
    return sorted({labels for rows in numbers["cells"].values() for labels in rows}, key=int)


def _cell(found: Mapping[str, Any] | None, digits: int = 2) -> Html:
    if not found or found["value"] is None:
        return Html(NOTHING)
    low, high = found["interval"] or (None, None)
    return interval({"value": found["value"], "low": low, "high": high}, digits)


# ---------------------------------------------------------------------------------------------- chapters


def _sweep(numbers: Found) -> Chapter:
    columns, content = _columns(numbers), []
    for target in TARGETS:
        rows = [
            (method, [_cell(f1(numbers, method, labels, target)) for labels in columns])
            for method in numbers["cells"]
            if any(f1(numbers, method, labels, target) for labels in columns)
        ]
        if rows:
            head = ["method", *(f"{labels} labels" for labels in columns)]
            content.append(figures_table(f"F1 of {target}", head, rows))
    content.insert(0, _chart(numbers, columns))
    content.append(
        note(
            "First seed, mean over slices; a slice without the class counts as 1 where none is found. 95 "
            "% intervals "
            "over groups of slices. Infection: probability of any lesion 0.5 or more; classes: the likeliest."
        )
    )
    return Chapter("sweep", "What labels are worth", tuple(content))


def _chart(numbers: Found, columns: Sequence[str]) -> Html:
    panels = []
    for target in TARGETS:
        figures: dict[str, dict[str, tuple[float, float, float]]] = {}
        for labels in columns:
            for method in numbers["cells"]:
                found = f1(numbers, method, labels, target)
                if found and found["value"] is not None and found["interval"]:
                    kind = figures.setdefault(f"{labels} labels", {})
                    kind[method] = (found["value"], found["interval"][0], found["interval"][1])
        if figures:
            panels.append(Panel(target, figures))
    svg = draw_rows(panels, list(numbers["cells"]), "F1 on slices of folds not trained on; more is better")
    return drawing(svg, "F1 of every method and number of labels, with intervals")


def _gains(numbers: Found) -> Chapter:
    columns, content = _columns(numbers), []
    for target in TARGETS:
        rows: list[tuple[str, list[Html]]] = []
        strong: list[int] = []
        for method, cells in numbers["cells"].items():
            found = [cells.get(labels, {}).get("gains", {}).get(target) for labels in columns]
            if any(found):
                if any(one and one["low"] > 0 for one in found):
                    strong.append(len(rows))
                rows.append((method, [_gain(one) for one in found]))
        if rows:
            head = ["method", *(f"{labels} labels" for labels in columns)]
            content.append(
                figures_table(f"Gain over {numbers['baseline']}: F1 of {target}", head, rows, strong)
            )
    words = note(
        f"Slice by slice against {numbers['baseline']} with the same labels, seeds averaged; bold where "
        "an interval lies "
        "above 0."
    )
    return Chapter("gains", "What slices without labels add", (*content, words))


def _gain(found: Mapping[str, Any] | None) -> Html:
    if found is None:
        return Html(NOTHING)
    limits = tag("small", f"{signed(found['low'])} to {signed(found['high'])}")
    return Html(signed(found["value"]) + limits)


def _papers(numbers: Found) -> Chapter:
    labels = most_labels(numbers)
    rows: list[tuple[str, list[Any]]] = []
    for method, cells in numbers["cells"].items():
        if labels in cells:
            figures = cells[labels]["seeds"][0]
            rows.append(
                (
                    f"{method}, here",
                    [
                        _cell(figures["overlap"].get(target, {}).get("undefined", {}).get("f1"))
                        for target in TARGETS
                    ]
                    + [_cell(figures["maps"]["infection"]["stretched"]["dice"])],
                )
            )
    for row in printed_rows():
        rows += _printed(row)
    head = ["method", *(f"F1 {target}" for target in TARGETS), "infection, mean over 256 thresholds"]
    words = note(
        "The papers' figures are of other slices (48 of the same collection; 117 of another one), with "
        "encoders trained "
        "on millions of photographs; ours are cross-validated, from random weights. A slice without the "
        "class is left out."
    )
    return Chapter(
        "papers", "The papers beside ours", (figures_table("Published and measured here", head, rows), words)
    )


def _printed(row: Mapping[str, Any]) -> list[tuple[str, list[Any]]]:
    value = row["figures"].get("f1")
    dice = row["figures"].get("dice")
    if row["target"] not in TARGETS or (value is None and dice is None):
        return []
    cells: list[Any] = [
        number(value, 2) if value is not None and target == row["target"] else NOTHING for target in TARGETS
    ]
    infected = dice is not None and row["target"] == "infection"
    cells.append(number(dice, 3) if infected else NOTHING)
    if not infected and dice is not None:
        cells[TARGETS.index(row["target"])] = f"{number(dice, 3)} (256)"
    part = f", {row['part']}" if row["part"] else ""
    return [(f"{row['method']}{part}: {row['source']}", cells)]


def _pictures(numbers: Found, ground: LesionGround, done: Sequence[Done]) -> Chapter:
    labels = int(most_labels(numbers))
    rows = ground.slices.of_kind(Kind.LABELLED)
    some = np.linspace(0, len(rows) - 1, min(SHOWN, len(rows))).round().astype(int)
    shown = []
    for method in numbers["cells"]:
        mine = [one for one in done if cell_of(one) == (method, labels, 0)]
        if mine:
            slices = score_cell(ground, mine).slices
            shown.append((method, np.stack([overlay(slices[n], SIDE) / 255 for n in some])))
    if not shown:
        return Chapter("pictures", "What they see", ())
    outlines = strips(
        f"Outlines with {labels} labels", shown, "The expert's outline and the method's; first seed."
    )
    return Chapter("pictures", "What they see", (outlines, *_styles(numbers, done, labels)))


def _styles(numbers: Found, done: Sequence[Done], labels: int) -> list[Html]:
    """Slices in the styles of every method that has some, from its first fold."""
    content = []
    for method in numbers["cells"]:
        mine = [one for one in done if cell_of(one) == (method, labels, 0) and one.answer is not None]
        drawn = read_styles(mine[0].answer) if mine and mine[0].answer else None
        if drawn is not None:
            rows = [(f"slice {n}", row / 255) for n, row in enumerate(drawn, start=1)]
            words = (
                "The slice; what is seen in it (ground glass orange, consolidation purple); the same lung "
                "wholly healthy, in ground glass, consolidated. Painted by the model, not scanned."
            )
            content.append(strips(f"{method}: a lung in other states", rows, words))
    return content


def _seeds(numbers: Found) -> Chapter:
    labels = most_labels(numbers)
    rows = []
    for method, cells in numbers["cells"].items():
        told = cells.get(labels, {}).get("over seeds", {})
        rows.append((method, [_spread(told.get(target)) for target in TARGETS]))
    head = ["method", *(f"F1 of {target}" for target in TARGETS)]
    return Chapter(
        "seeds",
        "Other seeds",
        (figures_table(f"Mean and standard deviation over seeds, {labels} labels", head, rows),),
    )


def _spread(found: Mapping[str, Any] | None) -> str:
    if not found:
        return NOTHING
    deviation = found["deviation"]
    return number(found["mean"], 3) + (f" \u00b1 {number(deviation, 3)}" if deviation is not None else "")


def _training(numbers: Found) -> Chapter:
    labels = most_labels(numbers)
    rows = []
    for method in numbers["cells"]:
        jobs = [
            one
            for one in numbers["jobs"]
            if (one["asked"]["method"], one["asked"]["labels"]) == (method, int(labels))
        ]
        if jobs:
            steps = [one["told"]["steps"] for one in jobs]
            each = np.mean([one["told"]["a step"] for one in jobs])
            rows.append(
                (
                    method,
                    [
                        number(float(np.mean(steps)), 0),
                        number(1000 * float(each), 0),
                        jobs[0]["asked"]["model"],
                    ],
                )
            )
    return Chapter(
        "training",
        "What the time went into",
        (
            figures_table(
                f"Trainings with {labels} labels, mean over folds and seeds",
                ["method", "steps", "ms a step", "model"],
                rows,
            ),
        ),
    )


def _methods(numbers: Found) -> list[tuple[str, str]]:
    budget = numbers["plan"]["budget"]
    return [
        (
            "Slices",
            (
                f"Upright, padded to a square, {budget['size']} pixels; scored on their own grids, mirrored "
                "and plain answers averaged."
            ),
        ),
        (
            "Folds",
            (
                f"{numbers['ground']['folds']}; near copies and slices of one patient stay together. Labels "
                "are nested: 5 are among the 10."
            ),
        ),
        (
            "Time",
            (
                f"{budget['seconds']:g} s of one core for each training, the pseudo-labelling and what times "
                "a step included."
            ),
        ),
        (
            "Baseline",
            f"{numbers['baseline']} learns from the labelled slices alone, with the same views of them.",
        ),
    ]


def _provenance(numbers: Found) -> list[tuple[str, str]]:
    return [
        ("command", numbers["command"]),
        ("made", numbers["created"]),
        ("seeds", ", ".join(str(seed) for seed in numbers["seeds_trained"])),
        ("slices", f"{numbers['ground']['name']}, SHA-256 {numbers['ground']['sha256'][:16]}"),
        ("versions", ", ".join(f"{name} {version}" for name, version in numbers["versions"].items())),
    ]
