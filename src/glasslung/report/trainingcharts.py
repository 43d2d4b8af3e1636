"""Trainingcharts: losses and accuracies of two players over steps, as the DCGAN paper's figures 6 and 7."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from glasslung.report.studycharts import COLOURS, DASHES, SOFT, STYLE, WIDTH_INCHES

PANEL_INCHES = 2.3
SMOOTH = 15  # logged steps under a running mean: single batches jump


def draw_training(curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """One row for each training, losses at the left, the discriminator's accuracies at the right, as SVG.

    curves  name -> records with step, player ('discriminator' or 'generator'), total, right_real, right_made
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure((WIDTH_INCHES, PANEL_INCHES * len(curves)), facecolor="white", layout="constrained")
        FigureCanvasSVG(figure)
        panels = figure.subplots(len(curves), 2, squeeze=False)
        for (loss, right), (name, records) in zip(panels, curves.items(), strict=True):
            _draw_losses(loss, name, records)
            _draw_accuracies(right, records)
        for axes in panels[-1]:
            axes.set_xlabel("step")
        made = io.StringIO()
        figure.savefig(made, format="svg", metadata={"Date": None})
    svg = made.getvalue()
    return svg[svg.index("<svg") :]


def _draw_losses(axes: Any, name: str, records: Sequence[Mapping[str, Any]]) -> None:
    axes.set_title(f"{name}: losses")
    for number, player in enumerate(("discriminator", "generator")):
        _line(axes, records, player, "total", player, number)
    axes.legend(frameon=False, fontsize=8)


def _draw_accuracies(axes: Any, records: Sequence[Mapping[str, Any]]) -> None:
    axes.set_title("discriminator right on")
    for number, (term, kind) in enumerate((("right_real", "real"), ("right_made", "made"))):
        _line(axes, records, "discriminator", term, kind, number)
    axes.axhline(0.5, color=SOFT, linewidth=0.8, linestyle=":")
    axes.set_ylim(-0.02, 1.02)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8, loc="lower right")


def _line(
    axes: Any, records: Sequence[Mapping[str, Any]], player: str, term: str, name: str, number: int
) -> None:
    """One term of one player as a running mean; nothing where it was not logged."""
    found = [(one["step"], one[term]) for one in records if one["player"] == player and term in one]
    if not found:
        return
    steps, values = (np.array(column, float) for column in zip(*found, strict=True))
    shown = running_mean(values, SMOOTH)
    style = "-" if number == 0 else DASHES[0]
    axes.plot(steps, shown, style, color=COLOURS[number], linewidth=1.3, label=name)


def running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Mean of the last `width` values at each place, of fewer at the beginning: (N,) -> (N,)."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - width)
    return np.asarray((sums[ends] - sums[starts]) / (ends - starts))
