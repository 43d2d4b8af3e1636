"""Classifiercharts: ROC curves, reliability, net benefit, stress and shares of relevance, drawn alike.

Each method has a panel of its own, with the other methods in grey behind it where curves can be compared.
Bands and bars are 95 % intervals; nothing is told by colour alone.
"""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from glasslung.report.studycharts import (
    COLOURS,
    DASHES,
    INK,
    LINE,
    MARKERS,
    STYLE,
    WIDTH_INCHES,
    Limits,
)

ACROSS = 3  # panels in a row
GHOST = "#c9d1d8"  # the curves of other methods
PANEL_INCHES = 3.1
BAR_INCHES = 0.34  # of a region
SMALL = 8.0  # points of text inside a panel

Draw = Callable[[Any, Any], None]


@dataclass(frozen=True)
class RocDrawing:
    """One method's curve: shares of false alarms and of the sick found, with the band, all (K,).

    area    AUC with its limits, written into the panel
    points  (name, false alarms, sick found): operating points to compare with, a paper's for instance
    """

    name: str
    false: Sequence[float]
    true: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    area: Limits
    points: Sequence[tuple[str, float, float]] = field(default=())


@dataclass(frozen=True)
class ReliabilityDrawing:
    """One method's reliability table.

    bins   each (low, high, mean probability, share, count), as in operating.json
    bars   (low, high) limits of each share; () where there are none
    error  its ECE
    """

    name: str
    bins: Sequence[Sequence[float]]
    bars: Sequence[tuple[float, float]]
    error: float


@dataclass(frozen=True)
class BenefitDrawing:
    """One method's decision curve: net benefit at each threshold, beside acting on everybody; all (T,)."""

    name: str
    thresholds: Sequence[float]
    model: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    everybody: Sequence[float]


@dataclass(frozen=True)
class StressDrawing:
    """AUCs under one kind of alteration.

    label   what the horizontal axis measures, with its unit
    usual   the value at which nothing is altered
    curves  method -> rows of (amount, AUC, low, high)
    """

    heading: str
    label: str
    usual: float
    curves: Mapping[str, Sequence[tuple[float, float, float, float]]]


@dataclass(frozen=True)
class RelevanceDrawing:
    """Where one method's relevance lies.

    shares      region -> share of the relevance, 0 to 1, with limits
    chance      region -> the share of a map that knows nothing: the region's share of the volume
    randomised  region -> share after the weights were randomised, with limits; may be empty
    """

    name: str
    shares: Mapping[str, Limits]
    chance: Mapping[str, float]
    randomised: Mapping[str, Limits] = field(default_factory=dict)


def draw_roc(curves: Sequence[RocDrawing]) -> str:
    """ROC curves with their bands, a panel for each method, as one SVG on white."""

    def draw(axes: Any, mine: RocDrawing) -> None:
        axes.plot([0, 1], [0, 1], color=LINE, linewidth=1, linestyle=":")
        for other in curves:
            axes.plot([0, *other.false], [0, *other.true], color=GHOST, linewidth=1)
        axes.fill_between(mine.false, mine.low, mine.high, color=COLOURS[0], alpha=0.18, linewidth=0)
        axes.plot([0, *mine.false], [0, *mine.true], color=COLOURS[0], linewidth=2)
        for number, (name, false, true) in enumerate(mine.points):
            axes.plot(false, true, MARKERS[1 + number % 3], color=COLOURS[1], markersize=6, mec="white")
            _say(axes, (false, true), name)
        _corner(axes, f"AUC {_limits_told(mine.area)}")
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.02)
        axes.set_aspect("equal")

    return _panels(
        curves, draw, "false alarms: share of those without the finding", "found: share of those with it"
    )


def draw_reliability(tables: Sequence[ReliabilityDrawing]) -> str:
    """Reliability diagrams: share with the finding over mean probability, bar heights below count scans."""

    def draw(axes: Any, mine: ReliabilityDrawing) -> None:
        axes.plot([0, 1], [0, 1], color=LINE, linewidth=1, linestyle=":")
        most = max((row[4] for row in mine.bins), default=1)
        for row in mine.bins:
            low, high = row[0], max(row[1], row[0] + 0.01)
            axes.bar(
                (low + high) / 2,
                0.12 * row[4] / most,
                high - low,
                color=GHOST,
                edgecolor="white",
                linewidth=0.5,
            )
        means, shares = [row[2] for row in mine.bins], [row[3] for row in mine.bins]
        for mean, (low, high) in zip(means, mine.bars, strict=False):
            axes.plot([mean, mean], [low, high], color=COLOURS[0], linewidth=1.6)
        axes.plot(means, shares, color=COLOURS[0], linewidth=0.8, marker="o", markersize=5)
        axes.text(0.03, 0.97, f"ECE {mine.error:.2f}", transform=axes.transAxes, va="top", fontsize=9)
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(0, 1.02)
        axes.set_aspect("equal")

    return _panels(tables, draw, "mean calibrated probability", "share with the finding")


def draw_benefit(curves: Sequence[BenefitDrawing]) -> str:
    """Decision curves: net benefit over the probability from which one would act."""
    top = max((value for one in curves for value in (*one.high, one.everybody[0])), default=1.0)

    def draw(axes: Any, mine: BenefitDrawing) -> None:
        axes.axhline(0, color=INK, linewidth=1, linestyle=":")
        axes.plot(mine.thresholds, mine.everybody, color=INK, linewidth=1, linestyle="--")
        for other in curves:
            axes.plot(other.thresholds, other.model, color=GHOST, linewidth=1)
        axes.fill_between(mine.thresholds, mine.low, mine.high, color=COLOURS[0], alpha=0.18, linewidth=0)
        axes.plot(mine.thresholds, mine.model, color=COLOURS[0], linewidth=2)
        axes.set_xlim(0, 1)
        axes.set_ylim(-0.18 * top, 1.12 * top)

    label = "probability from which one would act; dashed: acting on everybody, dotted: on nobody"
    return _panels(curves, draw, label, "net benefit per scan", square=False)


def draw_stress(panels: Sequence[StressDrawing]) -> str:
    """AUC against the amount of an alteration, a panel for each kind, methods side by side in it."""
    names = list(dict.fromkeys(name for panel in panels for name in panel.curves))

    def draw(axes: Any, mine: StressDrawing) -> None:
        amounts = sorted({row[0] for rows in mine.curves.values() for row in rows})
        step = min((b - a for a, b in itertools.pairwise(amounts)), default=1.0)
        axes.axhline(0.5, color=INK, linewidth=1, linestyle=":")
        axes.axvline(mine.usual, color=LINE, linewidth=1)
        for name, rows in mine.curves.items():
            number = names.index(name)
            colour = COLOURS[number % len(COLOURS)]
            shift = 0.3 * step * (number / max(1, len(names) - 1) - 0.5) if len(names) > 1 else 0.0
            for amount, _, low, high in rows:
                axes.plot([amount + shift] * 2, [low, high], color=colour, linewidth=1.1, alpha=0.75)
            xs, ys = [row[0] + shift for row in rows], [row[1] for row in rows]
            axes.plot(xs, ys, **_line_style(number), markersize=4.5)
        axes.set_xticks(amounts, [f"{amount:g}" for amount in amounts], fontsize=SMALL)
        axes.set_xlabel(mine.label)
        axes.set_ylim(min(0.38, _lowest(panels)), 1.02)

    return _panels(panels, draw, "", "AUC", across=2, square=False, legend=names)


def draw_relevance(panels: Sequence[RelevanceDrawing]) -> str:
    """Share of the relevance in each region as bars, with what chance and randomised weights would give."""
    regions = list(dict.fromkeys(region for panel in panels for region in panel.shares))

    def draw(axes: Any, mine: RelevanceDrawing) -> None:
        for row, region in enumerate(regions):
            if region not in mine.shares:
                continue
            value, low, high = mine.shares[region]
            axes.barh(row, value, 0.56, color=COLOURS[0], alpha=0.35)
            axes.plot([low, high], [row, row], color=COLOURS[0], linewidth=1.6)
            if region in mine.chance:
                axes.plot([mine.chance[region]] * 2, [row - 0.4, row + 0.4], color=INK, linewidth=2)
            if region in mine.randomised:
                value, low, high = mine.randomised[region]
                axes.plot([low, high], [row + 0.2] * 2, color=COLOURS[1], linewidth=1)
                axes.plot(value, row + 0.2, "D", color="white", mec=COLOURS[1], markersize=4.5)
        axes.set_yticks(range(len(regions)), regions)
        axes.set_ylim(len(regions) - 0.4, -0.6)
        axes.set_xlim(0, None)
        axes.tick_params(axis="y", length=0)

    return _panels(
        panels,
        draw,
        "share of the relevance: bar; of the lungs: black line; with shuffled weights: diamond",
        "",
        square=False,
        height=0.9 + BAR_INCHES * len(regions),
    )


def _panels(
    items: Sequence[Any],
    draw: Draw,
    across_label: str,
    up_label: str,
    *,
    across: int = ACROSS,
    square: bool = True,
    height: float | None = None,
    legend: Sequence[str] = (),
) -> str:
    """One panel for each item, in rows, as SVG text; a heading is the item's name or heading."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    columns = max(1, min(across, len(items)))
    rows = max(1, math.ceil(len(items) / columns))
    high = height if height is not None else PANEL_INCHES + (0.2 if square else -0.4)
    wide = WIDTH_INCHES if columns > 1 or not square else WIDTH_INCHES / 2
    with rc_context(STYLE):
        figure = Figure(
            (wide, rows * high + 0.35 + 0.3 * bool(legend)), facecolor="white", layout="constrained"
        )
        FigureCanvasSVG(figure)
        grid = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
        for axes, item in zip(grid, items, strict=False):
            draw(axes, item)
            axes.set_title(getattr(item, "heading", None) or item.name)
            axes.set_axisbelow(True)
        for axes in grid[len(items) :]:
            axes.set_visible(False)
        figure.supxlabel(across_label, fontsize=9.5)
        figure.supylabel(up_label, fontsize=9.5)
        _draw_legend(figure, legend)
        made = io.StringIO()
        figure.savefig(made, format="svg", metadata={"Date": None})
    svg = made.getvalue()
    return svg[svg.index("<svg") :]


def _line_style(number: int) -> dict[str, Any]:
    """Colour, marker and dash of the line of a method, by its number."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKERS[number % len(MARKERS)],
        "linestyle": ("-", *DASHES)[(number // len(COLOURS)) % (1 + len(DASHES))],
        "linewidth": 1.4,
    }


def _draw_legend(figure: Any, names: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    if len(names) < 2:
        return
    handles = [Line2D([], [], markersize=5, label=name, **_line_style(n)) for n, name in enumerate(names)]
    figure.legend(handles=handles, loc="outside upper left", ncols=min(len(names), 5), frameon=False)


def _lowest(panels: Sequence[StressDrawing]) -> float:
    lows = [row[2] for panel in panels for rows in panel.curves.values() for row in rows]
    return min(lows, default=0.4) - 0.02


def _limits_told(limits: Limits) -> str:
    value, low, high = limits
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


def _corner(axes: Any, text: str) -> None:
    axes.text(0.97, 0.04, text, transform=axes.transAxes, ha="right", fontsize=9)


def _say(axes: Any, place: tuple[float, float], text: str) -> None:
    axes.annotate(
        text, place, xytext=(7, -3), textcoords="offset points", va="top", fontsize=SMALL, color=INK
    )
