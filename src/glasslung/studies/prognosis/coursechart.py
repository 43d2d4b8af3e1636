"""Figure 2 as a drawing: every serial scan, the course common to all, and single patients.

Upper row: all scans as dots and the common course with its limits. Below: patients with most scans, their
smooth course with limits, and the days on which their lungs truly were fullest as a bar, where that is known.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from glasslung.report.studycharts import COLOURS, INK, LINE, SOFT, STYLE, WIDTH_INCHES

ACROSS = 4
ROW_INCHES = 2.0
Found = Mapping[str, Any]


def draw_courses(courses: Sequence[tuple[str, str, Found]], people: int = 8) -> str:
    """Courses side by side as one SVG on white; patients of the first below.

    courses  (heading, what the vertical axis measures, `courses.follow`)
    people   patients drawn, at most
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    shown = list(courses[0][2]["people"])[:people]
    rows = -(-len(shown) // ACROSS)
    with rc_context(STYLE):
        figure = Figure((WIDTH_INCHES, 3.3 + ROW_INCHES * rows), facecolor="white", layout="constrained")
        FigureCanvasSVG(figure)
        grid = figure.add_gridspec(1 + rows, ACROSS, height_ratios=[1.5, *[1.0] * rows])
        wide = ACROSS // len(courses)
        for number, (heading, label, found) in enumerate(courses):
            axes = figure.add_subplot(grid[0, number * wide : (number + 1) * wide])
            _draw_common(axes, heading, label, found)
        first = None
        for number, one in enumerate(shown):
            axes = figure.add_subplot(grid[1 + number // ACROSS, number % ACROSS], sharey=first)
            first = first or axes
            _draw_patient(axes, one)
        figure.supxlabel("days since the first symptom", fontsize=9.5)
        made = io.StringIO()
        figure.savefig(made, format="svg", metadata={"Date": None})
    svg = made.getvalue()
    return svg[svg.index("<svg") :]


def _draw_common(axes: Any, heading: str, label: str, found: Found) -> None:
    """All scans, and the course that the law expects of a patient nobody has scanned."""
    points, common = found["points"], found["common"]
    axes.plot(points["days"], points["values"], ".", color=SOFT, alpha=0.45, markersize=3.5)
    axes.fill_between(
        common["days"], common["low"], common["high"], color=COLOURS[0], alpha=0.15, linewidth=0
    )
    axes.plot(common["days"], common["mean"], color=COLOURS[0], linewidth=2)
    axes.axvline(common["peak_day"], color=INK, linestyle=":", linewidth=1)
    axes.set_title(heading)
    axes.set_ylabel(label)
    peaks = found.get("peaks")
    if peaks:
        axes.axvspan(*peaks["true"], color=COLOURS[1], alpha=0.18, linewidth=0)
    axes.grid(color=LINE, linewidth=0.4)
    axes.set_axisbelow(True)


def _draw_patient(axes: Any, one: Found) -> None:
    axes.fill_between(one["at"], one["low"], one["high"], color=COLOURS[0], alpha=0.15, linewidth=0)
    axes.plot(one["at"], one["mean"], color=COLOURS[0], linewidth=1.4)
    axes.plot(one["days"], one["values"], "o", color=INK, markersize=4)
    if one["true_peak"] is not None:
        axes.axvspan(*one["true_peak"], color=COLOURS[1], alpha=0.25, linewidth=0)
    axes.set_title(f"{one['part']}: peak on day {one['peak'][0]:.0f}", fontsize=9)
    axes.grid(color=LINE, linewidth=0.4)
    axes.set_axisbelow(True)
