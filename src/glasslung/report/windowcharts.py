"""Windowcharts: AUCs through many windows as a cloud, and how far each scan's answer moves."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from glasslung.report.studycharts import COLOURS, INK, LINE, STYLE, WIDTH_INCHES

CLOUD_INCHES, SPREAD_INCHES = 3.6, 3.3
MAP = "cividis"  # even in lightness, apart for every kind of eye


@dataclass(frozen=True)
class CloudDrawing:
    """The windows of one law: (level, width, AUC) of each, shifts in HU."""

    heading: str
    windows: Sequence[tuple[float, float, float]]


@dataclass(frozen=True)
class SpreadDrawing:
    """Scans through the windows of one law: (log-odds unshifted, lowest, highest, has the finding)."""

    heading: str
    scans: Sequence[tuple[float, float, float, bool]]
    threshold: float


def draw_cloud(panels: Sequence[CloudDrawing]) -> str:
    """Each window as a dot at its level and width, coloured by its AUC; the worst is ringed. SVG on white."""
    every = [area for panel in panels for _, _, area in panel.windows]
    low, high = min(every), max(every)
    low = low if high - low > 1e-3 else high - 1e-3
    far = 1.08 * max(max(map(abs, one[:2])) for panel in panels for one in panel.windows)

    def draw(figure: Any, grid: Sequence[Any]) -> None:
        dots = None
        for axes, panel in zip(grid, panels, strict=True):
            levels, widths, areas = zip(*panel.windows, strict=True)
            axes.axhline(0, color=LINE, linewidth=0.8)
            axes.axvline(0, color=LINE, linewidth=0.8)
            dots = axes.scatter(
                levels, widths, c=areas, cmap=MAP, vmin=low, vmax=high, s=26, edgecolors=INK, linewidths=0.3
            )
            if max(areas) > min(areas):
                _ring(axes, min(panel.windows, key=lambda one: one[2]))
            axes.set_xlim(-far, far)
            axes.set_ylim(-far, far)
            axes.set_aspect("equal")
            axes.set_title(panel.heading)
            axes.set_xlabel("level moved by, HU")
        grid[0].set_ylabel("width changed by, HU")
        figure.colorbar(dots, ax=list(grid), label="AUC", shrink=0.9)

    return _drawn(len(panels), CLOUD_INCHES + 0.4, draw)


def _ring(axes: Any, worst: tuple[float, float, float]) -> None:
    """Mark the worst window; its AUC stands in the corner, clear of the dots."""
    level, width, area = worst
    axes.plot(level, width, "o", mfc="none", mec=COLOURS[1], markersize=11, mew=1.6)
    place = {"transform": axes.transAxes, "ha": "right", "fontsize": 9, "color": COLOURS[1]}
    axes.text(0.98, 0.03, f"ringed: worst {area:.3f}", **place)


def draw_spread(panels: Sequence[SpreadDrawing]) -> str:
    """Each scan's log-odds without a shift as a mark, lowest to highest over the windows as a bar. SVG."""

    def draw(figure: Any, grid: Sequence[Any]) -> None:
        for axes, panel in zip(grid, panels, strict=True):
            order = sorted(panel.scans, key=lambda one: one[0])
            for sick, colour, marker, name in (
                (True, COLOURS[1], "o", "with the finding"),
                (False, COLOURS[0], "s", "without"),
            ):
                rows = [(x, one) for x, one in enumerate(order) if one[3] is sick]
                xs = [x for x, _ in rows]
                axes.vlines(
                    xs, [one[1] for _, one in rows], [one[2] for _, one in rows], color=colour, lw=1.4
                )
                axes.plot(xs, [one[0] for _, one in rows], marker, color=colour, markersize=3.2, label=name)
            axes.axhline(panel.threshold, color=INK, linewidth=1, linestyle="--")
            axes.set_title(panel.heading)
            axes.set_xlabel("scans, by their log-odds at the true window")
            axes.set_xticks([])
        grid[0].set_ylabel("log-odds")
        handles, names = grid[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper left", ncols=2, frameon=False)

    return _drawn(len(panels), SPREAD_INCHES, draw, sharey=True)


def _drawn(
    count: int, height: float, draw: Callable[[Any, Sequence[Any]], None], sharey: bool = False
) -> str:
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        wide = WIDTH_INCHES if count > 1 else WIDTH_INCHES / 2 + 0.8
        figure = Figure((wide, height), facecolor="white", layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure, figure.subplots(1, count, squeeze=False, sharey=sharey)[0])
        made = io.StringIO()
        figure.savefig(made, format="svg", metadata={"Date": None})
    svg = made.getvalue()
    return svg[svg.index("<svg") :]
