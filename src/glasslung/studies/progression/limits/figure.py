"""The limits of a cohort as one picture: day and outcome, brightness by group, and what tells the groups.

Colours are those of Okabe & Ito, apart for every kind of colour blindness, and no colour stands alone:
markers and places say the same.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import quoteattr

from glasslung.report.studycharts import STYLE as PAGE_STYLE
from glasslung.studies.progression.limits.verdict import AGES, AS_THEY_ARE, CEILING, HEALTHY, standards_of

INK, SOFT, LINE = "#16222e", "#566574", "#c3ccd4"
EVENT, NO_EVENT, BOX = "#d55e00", "#a9c6dd", "#dfe7ee"
SECOND = "second opinion"
KINDS = {  # features: name in the legend, marker, colour
    "brightness": ("brightness alone", "s", "#e69f00"),
    "outline": ("outline alone", "^", "#0072b2"),
    "texture": ("texture alone", "D", "#009e73"),
    CEILING: ("all of them", "o", INK),
    SECOND: ("all of them, second classifier", "o", "#ffffff"),
}
GREY = "lung mean grey, of 255"
STEP = 0.14  # between the kinds of one treatment, in rows
SIZE_INCHES = (10.4, 8.4)
STYLE = PAGE_STYLE | {"ytick.color": SOFT}


def draw_limits(found: Mapping[str, Any], label: str = "") -> str:
    """What `measure_limits` found as one SVG on white, without XML head, to stand inside a page.

    label  said to those who cannot see it; '' for a plain one. A part that was not measured says so in its
    place.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(SIZE_INCHES, facecolor="white", layout="constrained")
        FigureCanvasSVG(figure)
        halves: Any = figure.subfigures(2, 1, height_ratios=(1.0, 1.25), hspace=0.04)
        top, bottom = halves
        day, grey = top.subplots(1, 2)
        told = bottom.subplots(1, 2)
        _draw_day(day, found["day"])
        _draw_grey(grey, found["looks"])
        for axes, task in zip(told, (HEALTHY, AGES), strict=True):
            _draw_told(axes, found, task)
        _draw_legend(bottom, found)
        made = io.StringIO()
        figure.savefig(made, format="svg", metadata={"Date": None})
    svg = made.getvalue()
    words = quoteattr(label or "Limits of the cohort: day against outcome, brightness, telling the groups")
    shown = f'role="img" aria-label={words} style="max-width:100%;height:auto"'
    return svg[svg.index("<svg") :].replace("<svg ", f"<svg {shown} ", 1)


def _say(axes: Any, text: str) -> None:
    """A sentence where there is nothing to draw."""
    import textwrap

    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.text(0.02, 0.6, textwrap.fill(text, 48), transform=axes.transAxes, color=SOFT, va="center")


def _draw_day(axes: Any, day: Mapping[str, Any]) -> None:
    axes.set_title("Day and outcome")
    if "missing" in day:
        _say(axes, f"Not measured: {day['missing']}.")
        return
    days = [row["day"] for row in day["by_day"]]
    events, others = ([row[name] for row in day["by_day"]] for name in ("events", "others"))
    axes.bar(days, events, color=EVENT, width=0.85, label="with the outcome")
    axes.bar(days, others, bottom=events, color=NO_EVENT, width=0.85, label="without")
    most = max(e + o for e, o in zip(events, others, strict=True))
    axes.set_ylim(0, 1.42 * most)
    for band in day["bands"]:
        share = f"{100 * band['share']:.0f} %\n[{100 * band['low']:.0f}, {100 * band['high']:.0f}]"
        axes.text((band["first"] + band["last"]) / 2, 1.4 * most, share, ha="center", va="top")
        if band is not day["bands"][0]:
            axes.axvline(band["first"] - 0.5, color=LINE, linewidth=0.8)
    axes.set_xlabel("day as the cohort counts it; above: share with the outcome, exact interval")
    axes.set_ylabel("patients")
    axes.legend(frameon=False, loc="center right", bbox_to_anchor=(1.0, 0.66))


def _draw_grey(axes: Any, looks: Mapping[str, Any]) -> None:
    axes.set_title("Mean grey of the lung")
    groups = looks[GREY]["groups"]
    boxes = [
        {
            "label": name,
            "whislo": each["most"][0],
            "q1": each["quartiles"][0],
            "med": each["median"],
            "q3": each["quartiles"][1],
            "whishi": each["most"][1],
        }
        for name, each in groups.items()
    ]
    axes.bxp(
        boxes,
        showfliers=False,
        patch_artist=True,
        widths=0.5,
        boxprops={"facecolor": BOX, "edgecolor": SOFT},
        medianprops={"color": INK},
        whiskerprops={"color": SOFT},
        capprops={"color": SOFT},
    )
    for place, each in enumerate(groups.values(), start=1):
        if each["interval"]:
            limits = each["interval"]["low"], each["interval"]["high"]
            axes.plot([place, place], limits, color=INK, linewidth=5, solid_capstyle="butt")
        axes.text(place + 0.3, each["median"], f"{each['median']:.0f}", va="center")
    axes.set_xlabel("group; box: quartiles, whiskers: 5 to 95 %, bar: interval of the median")
    axes.set_ylabel("grey, 0 to 255")


def _draw_told(axes: Any, found: Mapping[str, Any], task: str) -> None:
    about = found["tasks"][task]
    axes.set_title(f"Telling {task}")
    if "missing" in about:
        _say(axes, f"Not measured: it {about['missing']}.")
        return
    places = {AS_THEY_ARE: 0} | {name: row for row, name in enumerate(standards_of(found), start=1)}
    for row in found["told"]:
        kind = _kind_of(row, found)
        if row["task"] != task or kind is None:
            continue
        _, marker, colour = KINDS[kind]
        y = places[row["method"]] + STEP * (list(KINDS).index(kind) - (len(KINDS) - 1) / 2)
        told = row["told"]
        axes.plot(
            [told["low"], told["high"]], [y, y], color=SOFT if kind == SECOND else colour, linewidth=1.6
        )
        axes.plot(told["value"], y, marker, color=colour, markeredgecolor=INK, markersize=6)
    axes.axvline(about["chance"], color=SOFT, linestyle="--", linewidth=1)
    at = {"xytext": (4, 0), "textcoords": "offset points"}
    axes.annotate("chance", (about["chance"], -0.62), color=SOFT, va="center", **at)
    names = [name.replace("percentiles", "percentiles\n") for name in places]
    alone = task == HEALTHY or "missing" in found["tasks"][HEALTHY]  # else the names stand on the left
    axes.set_yticks(list(places.values()), names if alone else [])
    axes.set_ylim(max(places.values()) + 0.6, -0.75)
    for edge in list(places.values())[1:]:
        axes.axhline(edge - 0.5, color=LINE, linewidth=0.8)
    axes.set_xlabel(f"{about['measure']} on unseen patients")


def _kind_of(row: Mapping[str, Any], found: Mapping[str, Any]) -> str | None:
    """The name under which a row is drawn; None for one that is only in the table."""
    if row["classifier"] != found["settings"]["classifier"]:
        return SECOND
    return row["features"] if row["features"] in KINDS else None


def _draw_legend(figure: Any, found: Mapping[str, Any]) -> None:
    from matplotlib.lines import Line2D

    used = {_kind_of(row, found) for row in found["told"]}
    handles = [
        Line2D([], [], linestyle="", marker=marker, color=colour, markeredgecolor=INK, label=name)
        for kind, (name, marker, colour) in KINDS.items()
        if kind in used
    ]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
