"""Studycharts: figures with their intervals, drawn as dots in rows, one panel beside the other.

Rows are named at the left once, panels share them; nothing is told by colour alone.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

DASHES = ("--", ":", "-.")
NAME_ROWS = 0.62  # of a row: what the name of a line takes above the first one
INK, SOFT, LINE = "#16222e", "#566574", "#c3ccd4"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # of Okabe and Ito: apart for every kind of eye
MARKERS = ("o", "s", "^", "D")
ROW_INCHES, HEAD_INCHES, WIDTH_INCHES = 0.27, 1.15, 10.4
STYLE = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "glasslung",  # the same figures give the same file
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}

Limits = tuple[float, float, float]  # value, low, high


@dataclass(frozen=True)
class Panel:
    """One panel: its heading, the figures of each row by kind, and lines to read them against.

    figures  kind -> row -> (value, low, high); a row that is missing was not measured
    lines    (value, what it is)
    """

    heading: str
    figures: Mapping[str, Mapping[str, Limits]]
    lines: Sequence[tuple[float, str]] = field(default=())


def draw_rows(
    panels: Sequence[Panel], rows: Sequence[str], label: str, log: bool = False, most: float | None = None
) -> str:
    """Panels side by side as one SVG on white: a dot and a bar for each row.

    label  what the horizontal axis measures, with its unit and which way is better
    log    the axis counts in powers; figures of 0 or below are not drawn
    most   what lies beyond is drawn at the edge, as an arrow
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    kinds = list(dict.fromkeys(kind for panel in panels for kind in panel.figures))
    lines = max(len(panel.lines) for panel in panels)
    with rc_context(STYLE):
        scale = max(1.0, 0.6 * len(kinds))
        height = HEAD_INCHES + ROW_INCHES * scale * (len(rows) + NAME_ROWS * lines)
        figure = Figure((WIDTH_INCHES, height), facecolor="white", layout="constrained")
        FigureCanvasSVG(figure)
        for axes, panel in zip(
            figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels, strict=True
        ):
            _draw_panel(axes, panel, list(rows), kinds, log, most, lines)
        figure.supxlabel(label, fontsize=9.5)
        _draw_legend(figure, kinds)
        made = io.StringIO()
        figure.savefig(made, format="svg", metadata={"Date": None})
    svg = made.getvalue()
    return svg[svg.index("<svg") :]


def _draw_panel(
    axes: Any, panel: Panel, rows: list[str], kinds: list[str], log: bool, most: float | None, lines: int
) -> None:
    axes.set_title(panel.heading)
    if log:
        axes.set_xscale("log")
    for number, kind in enumerate(kinds):
        shift = 0.26 * (number - (len(kinds) - 1) / 2)
        for row, limits in panel.figures.get(kind, {}).items():
            _draw_figure(axes, rows.index(row) + shift, limits, number, log, most)
    for number, (value, name) in enumerate(panel.lines):  # each name on a line of its own: values may be near
        axes.axvline(value, color=INK, linestyle=DASHES[number % len(DASHES)], linewidth=1)
        top = -0.75 - NAME_ROWS * (lines - 1 - number)
        axes.text(value, top, f" {name}", fontsize=8, color=SOFT, va="center", backgroundcolor="white")
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.4, -0.5 - NAME_ROWS * max(1, lines))
    axes.set_axisbelow(True)
    axes.grid(axis="y", color=LINE, linewidth=0.5)
    axes.tick_params(axis="y", length=0)
    if most is not None:
        axes.set_xlim(min(0.0, axes.get_xlim()[0]), most * 1.04)


def _draw_figure(axes: Any, y: float, limits: Limits, kind: int, log: bool, most: float | None) -> None:
    colour, marker = COLOURS[kind % len(COLOURS)], MARKERS[kind % len(MARKERS)]
    value, low, high = limits
    if math.isnan(value) or (log and value <= 0):
        return
    edge = most if most is not None else math.inf
    if value > edge:
        axes.plot(edge, y, ">", color=colour, markersize=5)
        return
    low = max(low, value / 100) if log else low
    axes.plot([low, min(high, edge)], [y, y], color=colour, linewidth=1.6)
    axes.plot(value, y, marker, color=colour, markersize=4.5)
    if high > edge:
        axes.plot(edge, y, ">", color=colour, markersize=4)


def _draw_legend(figure: Any, kinds: list[str]) -> None:
    from matplotlib.lines import Line2D

    if len(kinds) < 2:
        return
    handles = [
        Line2D(
            [],
            [],
            color=COLOURS[n % len(COLOURS)],
            marker=MARKERS[n % len(MARKERS)],
            markersize=5,
            label=kind,
        )
        for n, kind in enumerate(kinds)
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(kinds), frameon=False)
