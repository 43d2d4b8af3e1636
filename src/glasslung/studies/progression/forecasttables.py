"""Forecasts as tables and a chart: errors against the truth, beside forecasts that know nothing."""

from __future__ import annotations

from glasslung.report.markup import Html, tag
from glasslung.report.studycharts import Panel, draw_rows
from glasslung.report.studypage import drawing, figures_table, interval
from glasslung.report.wording import NOTHING
from glasslung.studies.progression.tables import Found, limits_at, rows_of

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
        "Against the truth, over people. 'likely picture': what the method would forecast with, or the mean "
        "of its draws; 'change': the slice as it was seen plus what the method changes. Dense share: the "
        "mean of each draw's.",
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
