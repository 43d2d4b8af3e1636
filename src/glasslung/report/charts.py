"""Charts: the course over time, the bands, the profile from apex to base; drawn by hand as SVG.

Values stand beside their points and names beside their lines, so no chart needs a legend to be read. A hollow
point is a figure that is not to be trusted; no line runs to it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from glasslung.data.preview import Profile
from glasslung.report.markup import Html, joined, tag
from glasslung.report.wording import SPACE, number
from glasslung.types import Amount

PANEL_WIDTH, PANEL_HEIGHT = 540, 230
_LEFT, _RIGHT, _RIGHT_OF_NAMES, _TOP, _BOTTOM = 44, 20, 96, 22, 44
_SEEN_PERCENT = 1.0  # a thinner part is a hairline, and its name would only crowd the others
_CLOSE_PX = 40  # labels nearer than this stand on different sides of the line

_text = partial(tag, "text")


@dataclass(frozen=True)
class Series:
    """One line of a chart: a value per scan (None: not measured), and which are not to be trusted."""

    name: str
    style: str
    values: tuple[float | None, ...]
    hollow: tuple[bool, ...]


@dataclass(frozen=True)
class Times:
    """Where the scans stand along time: places (days, or 0, 1, 2, ... where unknown) and their labels."""

    places: tuple[float, ...]
    labels: tuple[str, ...]
    known: bool


def nice_top(value: float) -> float:
    """The smallest of 1, 2, 3, 4, 5, 6, 8 times a power of ten that is not below the value."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 3, 4, 5, 6, 8, 10) if step * power >= value * (1 - 1e-9))


def band_class(name: str) -> str:
    """The band's name as a CSS class."""
    return "band-" + "".join(letter if letter.isalnum() else "-" for letter in name.lower())


def course_panel(
    title: str, unit: str, times: Times, series: Sequence[Series], top: float | None = None, decimals: int = 0
) -> Html:
    """One measure over time. `top` is the end of its axis where it has one, else a round number above all."""
    values = [value for line in series for value in line.values if value is not None]
    end = top if top is not None else nice_top(1.12 * max(values, default=1.0))
    right = _RIGHT_OF_NAMES if any(line.name for line in series) else _RIGHT
    xs = _places(times, right)
    parts = [_frame(end, right), _time_axis(times, xs)]
    parts += [_line(line, xs, end, decimals, below=_is_below(series, n)) for n, line in enumerate(series)]
    parts.append(_names(series, xs, end))
    told = "; ".join(f"{line.name}: {_values_told(line, times, unit, decimals)}" for line in series)
    return _panel(title, parts, f"{title}. {told}")


def points_panel(title: str, unit: str, times: Times, line: Series, top: float) -> Html:
    """Figures of scans that have no course: points without a line between them."""
    xs = _places(times, _RIGHT)
    frame = (xs, top, 0, False)
    alone = [
        _line(replace(line, values=tuple(v if m == n else None for m, v in enumerate(line.values))), *frame)
        for n, value in enumerate(line.values)
        if value is not None
    ]
    told = _values_told(line, times, unit, 0)
    return _panel(title, [_frame(top, _RIGHT), _time_axis(times, xs), *alone], f"{title}. {told}")


def _values_told(line: Series, times: Times, unit: str, decimals: int) -> str:
    pairs = zip(times.labels, line.values, strict=True)
    return ", ".join(
        f"{label} {number(value, decimals)} {unit}" for label, value in pairs if value is not None
    )


def _panel(title: str, parts: Sequence[Html], label: str) -> Html:
    drawing = tag(
        "svg",
        *parts,
        viewBox=f"0 0 {PANEL_WIDTH} {PANEL_HEIGHT}",
        class_="chart",
        role="img",
        aria_label=label,
    )
    return tag("figure", tag("figcaption", title), drawing, class_="panel")


def _places(times: Times, right: int) -> list[float]:
    """x of each scan in the drawing."""
    first, last = times.places[0], times.places[-1]
    width = PANEL_WIDTH - _LEFT - right - 40
    return [_LEFT + 20 + width * ((place - first) / ((last - first) or 1.0)) for place in times.places]


def _y(value: float, end: float) -> float:
    return _TOP + (PANEL_HEIGHT - _TOP - _BOTTOM) * (1 - min(max(value / end, 0.0), 1.0))


def _frame(end: float, right: int) -> Html:
    """Three quiet lines: zero, half and the top, with their values."""
    lines = []
    for value in (0.0, end / 2, end):
        y = _y(value, end)
        decimals = 0 if value == round(value) else 1
        label = number(value, decimals)
        style = "axis" if value == 0 else "grid"
        lines.append(tag("path", d=f"M{_LEFT},{y:.1f}H{PANEL_WIDTH - right}", class_=style))
        lines.append(_text(label, x=_LEFT - 6, y=y + 4, class_="tick", text_anchor="end"))
    return joined(*lines)


def _time_axis(times: Times, xs: Sequence[float]) -> Html:
    """The scans' labels under their places; a label too near its neighbour goes a line down."""
    base = PANEL_HEIGHT - _BOTTOM
    parts, low, last = [], False, -math.inf
    for x, label in zip(xs, times.labels, strict=True):
        low = x - last < _CLOSE_PX and not low
        parts.append(tag("path", d=f"M{x:.1f},{base}v4", class_="axis"))
        parts.append(_text(label, x=x, y=base + (30 if low else 17), class_="tick", text_anchor="middle"))
        last = x
    if not times.known:
        note = "in the order given, not to scale: days unknown"
        parts.append(_text(note, x=xs[0], y=base + 36, class_="tick note", text_anchor="start"))
    return joined(*parts)


def _is_below(series: Sequence[Series], n: int) -> bool:
    """Of two lines the lower one carries its values below."""
    means = [np.mean([v for v in line.values if v is not None] or [0.0]) for line in series]
    return len(series) > 1 and n == int(np.argmin(means))


def _line(line: Series, xs: Sequence[float], end: float, decimals: int, below: bool) -> Html:
    """One line with its points, their values beside them, and its name after the last."""
    parts, path, pen_down = [], "", False
    last, side = -math.inf, below
    for x, value, hollow in zip(xs, line.values, line.hollow, strict=True):
        if value is None:
            pen_down = False
            continue
        y = _y(value, end)
        path += "" if hollow else f"{'L' if pen_down else 'M'}{x:.1f},{y:.1f}"
        pen_down = not hollow
        side = (not side) if x - last < _CLOSE_PX else below
        parts.append(tag("circle", cx=x, cy=y, r=4.5, class_="point hollow" if hollow else "point"))
        label = number(value, decimals)
        parts.append(_text(label, x=x, y=y + (19 if side else -10), class_="value", text_anchor="middle"))
        last = x
    if not parts:
        return Html("")
    return tag("g", tag("path", d=path, class_="line") if path else None, *parts, class_=line.style)


def _names(series: Sequence[Series], xs: Sequence[float], end: float) -> Html:
    """Each line's name after its last point, the upper line's above the lower one's even where they meet."""
    ends = []
    for line in series:
        places = [(x, _y(v, end)) for x, v in zip(xs, line.values, strict=True) if v is not None]
        if line.name and places:
            ends.append((places[-1][1], places[-1][0], line))
    parts, last = [], -math.inf
    for y, x, line in sorted(ends, key=lambda place: place[0]):
        y = max(y, last + 15)
        parts.append(tag("g", _text(line.name, x=x + 26, y=y + 4, class_="name"), class_=line.style))
        last = y
    return joined(*parts)


def bands_panel(times: Times, scans: Sequence[dict[str, Amount] | None], hollow: Sequence[bool]) -> Html:
    """How the lungs divide into bands, one column per scan, in per cent; pale where not trusted."""
    names = list(dict.fromkeys(name for bands in scans for name in bands or {}))
    seen = {name for bands in scans if bands for name in bands if bands[name].percent >= _SEEN_PERCENT}
    step = (PANEL_WIDTH - _LEFT - _RIGHT_OF_NAMES) / len(scans)
    width = min(64.0, 0.62 * step)
    parts = [_frame(100.0, _RIGHT_OF_NAMES)]
    for n, (bands, label) in enumerate(zip(scans, times.labels, strict=True)):
        x = _LEFT + step * (n + 0.5)
        parts.append(tag("g", _column(bands, x, width), class_="pale" if hollow[n] else None))
        parts.append(_text(label, x=x, y=PANEL_HEIGHT - _BOTTOM + 17, class_="tick", text_anchor="middle"))
    last = next((bands for bands in reversed(scans) if bands), {})
    parts.append(_column_names(last, seen, _LEFT + step * (len(scans) - 0.5) + width / 2 + 8))
    told = "; ".join(
        f"{label}: "
        + ", ".join(f"{name} {number(bands[name].percent, 1)} %" for name in names if name in bands)
        for bands, label in zip(scans, times.labels, strict=True)
        if bands
    )
    return _panel("Density of both lungs, % of lung volume", parts, f"Density of both lungs. {told}")


def _column(bands: dict[str, Amount] | None, x: float, width: float) -> Html:
    """One stacked column, the least dense band at the bottom; a note where there are no bands."""
    if bands is None:
        return _text("not measured", x=x, y=_y(4, 100), class_="tick note", text_anchor="middle")
    parts, below = [], 0.0
    for name, share in bands.items():
        y, height = _y(below + share.percent, 100), _y(below, 100) - _y(below + share.percent, 100)
        parts.append(
            tag("rect", x=x - width / 2, y=y, width=width, height=max(height, 0.0), class_=band_class(name))
        )
        if height >= 13:
            parts.append(
                _text(
                    number(share.percent, 1),
                    x=x,
                    y=y + height / 2 + 4,
                    class_=f"inside on-{band_class(name)}",
                    text_anchor="middle",
                )
            )
        below += share.percent
    return joined(*parts)


def _column_names(bands: dict[str, Amount], seen: set[str], x: float) -> Html:
    """The names of the bands that can be seen, beside the last column, pushed apart where they touch."""
    parts, below, last = [], 0.0, math.inf
    for name, share in bands.items():
        y = min(_y(below + share.percent / 2, 100) + 4, last - 14)
        below += share.percent
        if name in seen:
            parts.append(_text(name, x=x, y=y, class_="name"))
            last = y
    return joined(*parts)


def stacked_bar(bands: dict[str, Amount], label: str) -> Html:
    """One horizontal bar, 0 to 100 per cent, divided into bands."""
    parts, left = [], 0.0
    for name, share in bands.items():
        title = tag("title", f"{name} {number(share.percent, 1)}{SPACE}%")
        parts.append(tag("rect", title, x=left, y=0, width=share.percent, height=10, class_=band_class(name)))
        left += share.percent
    told = ", ".join(f"{name} {number(share.percent, 1)} %" for name, share in bands.items())
    return tag(
        "svg",
        *parts,
        viewBox="0 0 100 10",
        preserveAspectRatio="none",
        class_="bar",
        role="img",
        aria_label=f"{label}: {told}",
    )


def share_bar(percent: float, label: str) -> Html:
    """A bar of how much of a zone is affected, 0 to 100 per cent."""
    return tag(
        "svg",
        tag("rect", x=0, y=0, width=100, height=10, class_="rail"),
        tag("rect", x=0, y=0, width=min(percent, 100.0), height=10, class_="affected"),
        viewBox="0 0 100 10",
        preserveAspectRatio="none",
        class_="bar",
        role="img",
        aria_label=f"{label}: {number(percent, 1)} % affected",
    )


def probability_bar(probability: float, threshold: float, label: str) -> Html:
    """A probability on a rail from 0 to 100 per cent, with the operating point as a mark."""
    x, at = 100.0 * probability, 100.0 * threshold
    return tag(
        "svg",
        tag("rect", x=0, y=8, width=300, height=12, class_="rail"),
        tag("rect", x=0, y=8, width=3 * x, height=12, class_="odds-bar"),
        tag("path", d=f"M{3 * at:.1f},3V25", class_="odds-mark"),
        _text(
            f"operating point {number(at)}{SPACE}%",
            x=3 * min(max(at, 22.0), 78.0),
            y=37,
            class_="tick",
            text_anchor="middle",
        ),
        viewBox="0 0 300 42",
        class_="chart odds-rail",
        role="img",
        aria_label=f"{label} {number(x)} %, operating point {number(at)} %",
    )


def pair_bar(relevance: float, volume: float | None, label: str) -> Html:
    """Two shares under each other, 0 to 100 per cent: of relevance, and of the lungs' volume."""
    rails = [tag("rect", x=0, y=0, width=100 * min(relevance, 1.0), height=4, class_="affected")]
    told = f"{label}: {number(100 * relevance)} % of the relevance"
    if volume is not None:
        rails.append(tag("rect", x=0, y=5, width=100 * min(volume, 1.0), height=4, class_="volume"))
        told += f", {number(100 * volume)} % of the lungs"
    return tag(
        "svg",
        *rails,
        viewBox="0 0 100 9",
        preserveAspectRatio="none",
        class_="bar",
        role="img",
        aria_label=told,
    )


def profile_chart(profile: Profile) -> Html:
    """Lung and affected area of each slice, from the apex (top) to the base (bottom)."""
    width, height, left, right, top, bottom = 420, 250, 62, 46, 10, 34
    found = np.flatnonzero(profile.lung)
    if not found.size:
        return Html("")
    shown = slice(max(0, found[0] - 1), found[-1] + 2)
    z, lung = profile.position_mm[shown], profile.lung[shown]
    end = nice_top(1.05 * float(lung.max()))

    def x_of(area: float) -> float:
        return left + (width - left - right) * area / end

    def y_of(place: float) -> float:
        return top + (height - top - bottom) * (z[-1] - place) / (z[-1] - z[0])

    def region(area: np.ndarray, style: str) -> Html:
        corners = [f"{x_of(a):.1f},{y_of(p):.1f}" for a, p in zip(area, z, strict=True)]
        path = f"M{left},{y_of(z[0]):.1f}L{' '.join(corners)}L{left},{y_of(z[-1]):.1f}z"
        return tag("path", d=path, class_=style)

    parts = [region(lung, "lung-area")]
    if profile.affected is not None:
        parts.append(region(profile.affected[shown], "affected"))
    parts.append(tag("path", d=f"M{left},{top}V{height - bottom}", class_="axis"))
    for value in (0.0, end / 2, end):
        label = number(value) + (f"{SPACE}cm²" if value == end else "")
        parts.append(_text(label, x=x_of(value), y=height - bottom + 17, class_="tick", text_anchor="middle"))
    for place, name in ((z[-1], "apex"), (z[0], "base")):
        parts.append(_text(name, x=left - 8, y=y_of(place) + 4, class_="tick", text_anchor="end"))
    label = f"Lung area per slice from apex to base, at most {number(float(lung.max()))} cm²"
    if profile.affected is not None:
        label += f"; affected at most {number(float(profile.affected.max()))} cm²"
    return tag(
        "svg", *parts, viewBox=f"0 0 {width} {height}", class_="chart profile", role="img", aria_label=label
    )
