"""Survivalcharts: curves of stays and risks over the days, with the patients still observed beneath them.

Steps are Kaplan-Meier or cumulative incidence, small ticks the days on which somebody's observation ended, a
band its 95 % limits. Every curve has a colour, a dash and its name at its end, so colour alone tells
nothing.

Each drawing is one SVG. Laid into a page it takes the page's colours (`--ink`, `--ground`, ...), so it is
dark where the page is; as a picture of its own it is dark on white.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from glasslung.measure.survival import CalibrationGroup, Curve, at_risk, kaplan_meier
from glasslung.report.studycharts import COLOURS, INK, LINE, MARKERS, SOFT, STYLE, Limits
from glasslung.types import Prognosis, RiskCurve

GROUND = "#ffffff"
PAGE_COLOURS = {INK: "--ink", SOFT: "--soft", LINE: "--line", GROUND: "--ground"}
"""Colours of the drawing and what a page calls them."""
DARKER = {"#0072b2": "--series-1", "#d55e00": "--series-2", "#009e73": "--series-3", "#cc79a7": "--series-4"}
DASHES = ("-", (0, (6, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
WIDTH_INCHES, CURVE_INCHES, RISK_INCHES = 7.2, 3.3, 0.2
SMALL = 8.5
LABEL_GAP = 0.062  # of the axis: names at the ends of curves are no nearer than this
TICK = 0.013  # of the axis: half the length of a censoring tick
BAND = 0.15


@dataclass(frozen=True)
class Line:
    """One curve over days.

    name, days, share   its name; (T,) days rising; (T,) share from that day on, 0 to 1
    low, high           (T,) 95 % limits, or ()
    censored            days on which an observation ended without the event
    at_risk             patients still observed at each mark, or ()
    steps               False: a smooth curve between its points
    """

    name: str
    days: tuple[float, ...]
    share: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    censored: tuple[float, ...] = ()
    at_risk: tuple[int, ...] = ()
    steps: bool = True


@dataclass(frozen=True)
class CalibrationPanel:
    """Predicted and observed chances by a day, of one model.

    groups  of like prediction, lowest first (`measure.survival.calibration_by_day`)
    brier   the Brier score by that day, with limits; None: not told
    """

    heading: str
    groups: tuple[CalibrationGroup, ...]
    brier: Limits | None = None


@dataclass(frozen=True)
class ForestRow:
    """One line of a forest: a figure with limits, and what stands right of it.

    strong  drawn full; others are hollow
    """

    name: str
    limits: Limits
    note: str = ""
    strong: bool = True


def kaplan_line(name: str, days: np.ndarray, event: np.ndarray, marks: Sequence[float] = ()) -> Line:
    """The Kaplan-Meier line of a group: days (N,) observed, event (N,) bool."""
    curve = kaplan_meier(days, event)
    censored = tuple(sorted(float(day) for day in np.asarray(days)[~np.asarray(event, bool)]))
    return line_of(curve, name, censored, at_risk(days, marks))


def line_of(
    curve: Curve, name: str, censored: Sequence[float] = (), at_risk: Sequence[int] = (), steps: bool = True
) -> Line:
    """A curve of `measure.survival` as a line; limits that are not known are left out."""
    known = bool(np.isfinite(curve.low).any())
    low, high = (tuple(map(float, some)) if known else () for some in (curve.low, curve.high))
    days, share = tuple(map(float, curve.days)), tuple(map(float, curve.share))
    return Line(name, days, share, low, high, tuple(censored), tuple(at_risk), steps)


def draw_curves(
    lines: Sequence[Line],
    *,
    marks: Sequence[float],
    up: str,
    across: str = "days from the scan",
    note: str = "",
    most: float = 1.0,
) -> str:
    """Curves with their numbers at risk beneath, as one SVG.

    marks  days at which numbers at risk are told; the axis ends at the last
    up     what the vertical axis measures
    note   a line inside the drawing: 'log-rank p = 0.003'
    most   upper end of the vertical axis, a share
    """

    def draw(axes: Any) -> None:
        for number, line in enumerate(lines):
            _draw_line(axes, line, _look(number), marks[-1], most)
        _name_ends(axes, [(line, _look(n)["color"]) for n, line in enumerate(lines)], marks[-1], most)
        if note:
            falling = bool(lines) and lines[0].share[0] > lines[0].share[-1]
            place = (0.02, 0.03, "bottom") if falling else (0.02, 0.97, "top")
            axes.text(*place[:2], note, va=place[2], transform=axes.transAxes, fontsize=9)
        _axes_of_days(axes, marks, most, up, across)

    told = [(line, _look(n)["color"]) for n, line in enumerate(lines) if line.at_risk]
    return _figure(draw, told, marks)


def draw_prognosis(told: Prognosis) -> str:
    """One patient's chance over the days before the groups of patients it was compared with, as SVG.

    The patient's curve is thick with a band of its limits, the groups are thin steps; a dotted line stands at
    the horizon. Numbers at risk are the groups'.
    """
    marks = told.marks or (0.0, told.horizon)
    groups = [_of_chance(curve) for curve in told.groups]
    mine = _of_chance(told.curve, steps=False)
    highest = max((max(line.share + line.high, default=0.0) for line in (mine, *groups)), default=1.0)
    most = _round_up(min(1.0, 1.08 * highest))

    def draw(axes: Any) -> None:
        for number, line in enumerate(groups):
            look = {"color": SOFT, "linestyle": DASHES[1 + number % 3], "linewidth": 1.3}
            _draw_line(axes, line, look, marks[-1], most, band=line.name == told.group)
        _draw_line(axes, mine, {"color": COLOURS[0], "linestyle": "-", "linewidth": 2.6}, marks[-1], most)
        axes.axvline(told.horizon, color=LINE, linestyle=":", linewidth=1.2, zorder=0)
        axes.plot(told.horizon, told.chance, "o", color=COLOURS[0], markersize=6.5, mec=GROUND, zorder=5)
        named = [(mine, COLOURS[0]), *((line, SOFT) for line in groups)]
        _name_ends(axes, named, marks[-1], most)
        _axes_of_days(axes, marks, most, f"chance of {told.endpoint}", "days from the scan")

    return _figure(draw, [(line, SOFT) for line in groups if line.at_risk], marks)


def draw_calibration_by_day(panels: Sequence[CalibrationPanel], day: float) -> str:
    """Observed over predicted chance by a day, a panel for each model; bars are 95 % limits."""
    top = _round_up(
        max((value for panel in panels for g in panel.groups for value in (g.high, g.predicted)), default=1.0)
    )

    def draw(axes: Any, panel: CalibrationPanel) -> None:
        axes.plot([0, top], [0, top], color=SOFT, linewidth=1, linestyle=":")
        for group in panel.groups:
            axes.plot([group.predicted] * 2, [group.low, group.high], color=COLOURS[0], linewidth=1.6)
            axes.annotate(
                f"{group.patients}",
                (group.predicted, group.observed),
                xytext=(6, -4),
                textcoords="offset points",
                fontsize=SMALL,
                color=SOFT,
            )
        predicted = [group.predicted for group in panel.groups]
        axes.plot(
            predicted, [g.observed for g in panel.groups], "o-", color=COLOURS[0], linewidth=0.8, markersize=5
        )
        if panel.brier:
            axes.text(0.03, 0.97, f"Brier {_told(panel.brier)}", va="top", transform=axes.transAxes)
        axes.set_xlim(0, top)
        axes.set_ylim(0, top)
        axes.set_aspect("equal")
        axes.set_title(panel.heading)
        _in_percent(axes.xaxis)
        _in_percent(axes.yaxis)

    columns = min(3, max(1, len(panels)))
    rows = math.ceil(len(panels) / columns)

    def fill(figure: Any) -> None:
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, panel in zip(grid, panels, strict=False):
            draw(axes, panel)
        for axes in grid[len(panels) :]:
            axes.set_visible(False)
        figure.supxlabel(f"predicted chance by day {day:g}; numbers are patients", fontsize=9.5)
        figure.supylabel(f"observed by day {day:g}", fontsize=9.5)

    return _svg(fill, (3.3 * columns + 0.4, 3.2 * rows + 0.3))


def draw_forest(
    blocks: Mapping[str, Sequence[ForestRow]],
    *,
    label: str,
    lines: Sequence[tuple[float, str]] = (),
    limits: tuple[float, float] | None = None,
) -> str:
    """Figures with their limits, one below the other under headings; the numbers stand at the right.

    blocks  heading ('' for none) -> rows
    lines   values to read them against and what they are: (0.5, 'coin toss')
    limits  of the axis; None: around all that is drawn
    """
    places, headings, rows = _forest_places(blocks)
    ends = [value for row in rows for value in row.limits] + [value for value, _ in lines]
    low, high = limits or (min(ends) - 0.02, max(ends) + 0.02)

    def fill(figure: Any) -> None:
        axes = figure.subplots()
        for number, (value, name) in enumerate(lines):
            axes.axvline(value, color=SOFT, linestyle=DASHES[1 + number % 3], linewidth=1, zorder=0)
            axes.text(value, -1.0, name, fontsize=SMALL, color=SOFT, ha="center", va="bottom")
        for place, row in zip(places, rows, strict=True):
            _draw_forest_row(axes, place, row, (low, high))
        for place, words in headings:
            axes.text(-0.01, place, words, transform=axes.get_yaxis_transform(), ha="right", va="center")
            axes.texts[-1].set_fontweight("bold")
        axes.set_yticks(places, [row.name for row in rows])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(max(places, default=0) + 0.8, -0.8)
        axes.set_xlim(low, high)
        axes.set_xlabel(label)

    return _svg(fill, (8.4, 0.95 + 0.27 * (len(rows) + len(headings))))


# ------------------------------------------------------------------------------------------------- one curve


def _draw_line(
    axes: Any, line: Line, look: Mapping[str, Any], last: float, most: float, band: bool = True
) -> None:
    """A curve with band and ticks, drawn up to the last mark."""
    days, share = _until(line.days, line.share, last, line.steps)
    how = {"drawstyle": "steps-post"} if line.steps else {}
    axes.plot(days, share, **how, **look, solid_capstyle="butt")
    if line.low and band:
        edges = [_until(line.days, side, last, line.steps)[1] for side in (line.low, line.high)]
        step = "post" if line.steps else None
        axes.fill_between(days, *edges, step=step, color=look["color"], alpha=BAND, linewidth=0)
    for day in line.censored:
        if day <= last:
            height = share[np.searchsorted(days, day, side="right") - 1]
            tick = TICK * most
            axes.plot([day, day], [height - tick, height + tick], color=look["color"], linewidth=1.1)


def _until(
    days: Sequence[float], share: Sequence[float], last: float, steps: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The part of a curve up to the last mark, where it ends at the height it has there."""
    x, y = np.asarray(days, float), np.asarray(share, float)
    if x[-1] <= last:
        return x, y
    kept = x <= last
    end = y[kept][-1] if steps else float(np.interp(last, x, y))
    return np.append(x[kept], last), np.append(y[kept], end)


def _name_ends(axes: Any, lines: Sequence[tuple[Line, str]], last: float, most: float) -> None:
    """Names right of the curves' ends, moved apart where they would touch."""
    ends = [_until(line.days, line.share, last, line.steps)[1][-1] for line, _ in lines]
    order = np.argsort(ends)
    places: dict[int, float] = {}
    below = -math.inf
    for number in order:
        places[int(number)] = below = max(float(ends[number]), below + LABEL_GAP * most)
    if places and (over := max(places.values()) - most) > 0:
        places = {number: place - over for number, place in places.items()}
    for number, (line, colour) in enumerate(lines):
        axes.annotate(
            line.name,
            (last, places[number]),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=colour,
            fontsize=9,
            annotation_clip=False,
        )


def _axes_of_days(axes: Any, marks: Sequence[float], most: float, up: str, across: str) -> None:
    axes.set_xlim(0, marks[-1])
    axes.set_ylim(0, most * 1.02)
    axes.set_xticks(list(marks), [f"{day:g}" for day in marks])
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(axis="y", color=LINE, linewidth=0.5)
    axes.set_axisbelow(True)
    _in_percent(axes.yaxis)


def _in_percent(axis: Any) -> None:
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))


def _of_chance(curve: RiskCurve, steps: bool = True) -> Line:
    low, high = (some if some and np.isfinite(some).all() else () for some in (curve.low, curve.high))
    return Line(curve.name, curve.days, curve.chance, low, high, (), curve.at_risk, steps)


def _look(number: int) -> dict[str, Any]:
    """Colour and dash of a curve by its number."""
    return {"color": COLOURS[number % 4], "linestyle": DASHES[number % 4], "linewidth": 1.9}


def _round_up(share: float) -> float:
    """The next of 5, 10, 20, 30, ... 100 %."""
    return next((top for top in (0.05, *(n / 10 for n in range(1, 10))) if share <= top), 1.0)


def _told(limits: Limits) -> str:
    return f"{limits[0]:.2f} [{limits[1]:.2f}, {limits[2]:.2f}]"


# ------------------------------------------------------------------------------------------------ the forest


def _forest_places(
    blocks: Mapping[str, Sequence[ForestRow]],
) -> tuple[list[float], list[tuple[float, str]], list[ForestRow]]:
    """Heights of the rows, and of the headings with their words."""
    places, headings, rows, at = [], [], [], 0.0
    for heading, some in blocks.items():
        if heading:
            headings.append((at, heading))
            at += 1
        for row in some:
            places.append(at)
            rows.append(row)
            at += 1
    return places, headings, rows


def _draw_forest_row(axes: Any, place: float, row: ForestRow, ends: tuple[float, float]) -> None:
    value, low, high = row.limits
    if not math.isnan(value):
        axes.plot([max(low, ends[0]), min(high, ends[1])], [place] * 2, color=COLOURS[0], linewidth=1.6)
        face = COLOURS[0] if row.strong else GROUND
        axes.plot(
            min(max(value, ends[0]), ends[1]), place, MARKERS[1], mfc=face, mec=COLOURS[0], markersize=5.5
        )
    told = "not measured" if math.isnan(value) else _told(row.limits)
    text = f"{told}   {row.note}" if row.note else told
    axes.text(1.015, place, text, transform=axes.get_yaxis_transform(), va="center", fontsize=9)


# ----------------------------------------------------------------------------------------------- the drawing


def _figure(draw: Callable[[Any], None], told: Sequence[tuple[Line, str]], marks: Sequence[float]) -> str:
    """Curves above, numbers at risk beneath on the same days."""
    beneath = RISK_INCHES * (len(told) + 1.2) if told else 0.0

    def fill(figure: Any) -> None:
        axes = figure.subplots()
        draw(axes)
        if told:
            _numbers_at_risk(axes, told, marks)

    return _svg(fill, (WIDTH_INCHES, CURVE_INCHES + beneath))


def _numbers_at_risk(axes: Any, told: Sequence[tuple[Line, str]], marks: Sequence[float]) -> None:
    """A row of numbers for each curve, under the days they are of."""
    from matplotlib.transforms import ScaledTranslation

    figure = axes.figure
    for row in range(-1, len(told)):
        down = ScaledTranslation(0, -(0.62 + RISK_INCHES * (row + 1)), figure.dpi_scale_trans)
        under = axes.get_xaxis_transform() + down
        left = axes.transAxes + down
        if row < 0:
            axes.text(-0.035, 0, "still observed", transform=left, ha="right", fontsize=SMALL, color=SOFT)
            continue
        line, colour = told[row]
        axes.text(-0.035, 0, line.name, transform=left, ha="right", fontsize=SMALL, color=colour)
        for day, count in zip(marks, line.at_risk, strict=True):
            axes.text(day, 0, f"{count}", transform=under, ha="center", fontsize=SMALL, color=INK)


def _svg(fill: Callable[[Any], None], inches: tuple[float, float]) -> str:
    """What `fill` draws on a figure, as SVG text in the page's colours."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(inches, facecolor=GROUND, layout="constrained")
        FigureCanvasSVG(figure)
        fill(figure)
        for axes in figure.axes:
            axes.set_facecolor(GROUND)
        made = io.StringIO()
        figure.savefig(made, format="svg", metadata={"Date": None})
    svg = made.getvalue()
    svg = svg[svg.index("<svg") :]
    for colour, name in (PAGE_COLOURS | DARKER).items():
        svg = svg.replace(colour, f"var({name}, {colour})")
    return svg.replace("<svg ", '<svg style="max-width: 100%; height: auto" role="img" ', 1)
