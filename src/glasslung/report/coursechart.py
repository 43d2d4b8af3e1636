"""Coursechart: a measure over a patient's days, with the smooth course, its limits, and what it says.

Points are the scans. A line with a band is the smooth course between them where a law of courses was at hand;
without one there are points alone, and the words below the chart say why.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from glasslung.report.charts import Times, nice_top
from glasslung.report.markup import Html, joined, tag
from glasslung.report.wording import SPACE, day, number, percent, sentence, signed
from glasslung.types import Trajectory

WIDTH, HEIGHT = 560, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 26, 24, 40
_CLOSE_PX = 46  # labels nearer than this stand on two lines
_MOSTLY = 0.5  # share of plausible curves that are highest at an end: from here no peak was seen

_text = partial(tag, "text")


@dataclass(frozen=True)
class Mark:
    """A level to read a chart against: its value and its name."""

    value: float
    name: str


@dataclass(frozen=True)
class _Frame:
    """Where values and days lie in the drawing."""

    low: float
    high: float
    first: float
    last: float

    def x(self, place: float) -> float:
        width = WIDTH - _LEFT - _RIGHT - 36
        return _LEFT + 18 + width * ((place - self.first) / ((self.last - self.first) or 1.0))

    def y(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return _TOP + (HEIGHT - _TOP - _BOTTOM) * (1 - share)


def trajectory_panel(title: str, told: Trajectory, times: Times, marks: Sequence[Mark] = ()) -> Html:
    """The chart of one measure, with what it says below.

    times  of the scans of this trajectory, as `places_of` gives them
    """
    frame = _frame(told, times, marks)
    parts = [_axis(frame), *(_mark(frame, mark, told.values) for mark in marks), _days(frame, times)]
    parts += [_course(frame, told), _points(frame, told, times)]
    drawing = tag(
        "svg",
        *parts,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        class_="chart",
        role="img",
        aria_label=f"{title}. {_points_told(told, times)}",
    )
    said = tag("p", " ".join(words_of(told)), class_="says") if words_of(told) else None
    style = "score" if told.unit == "log-odds" else "involvement"
    return tag("figure", tag("figcaption", title), drawing, said, class_=f"panel {style}")


def places_of(told: Trajectory) -> Times:
    """Where a trajectory's scans stand: by day where all are known, else in the order given."""
    known = [one for one in told.days if one is not None]
    if len(known) == len(told.days) and len(set(known)) > 1:
        return Times(tuple(known), tuple(f"day {one:g}" for one in known), True)
    return Times(tuple(map(float, range(len(told.days)))), told.scans, False)


def words_of(told: Trajectory) -> list[str]:
    """What a course says, sentence by sentence; why there is none, where there is none."""
    hollow = [] if all(told.trusted) else ["Hollow: not to be trusted."]
    if told.curve is None or told.peak is None or told.peak_day is None or told.slope is None:
        return [*(sentence(note) for note in told.notes), *hollow]
    said = [_peak_words(told), _slope_words(told)]
    return [*said, *(sentence(note) for note in told.notes[1:]), *hollow]


def _peak_words(told: Trajectory) -> str:
    assert told.peak is not None and told.peak_day is not None
    at_end = told.open_ended or 0.0
    height = f"{_value(told.peak[0], told)} ({_value(told.peak[1], told)} to {_value(told.peak[2], told)})"
    if at_end > _MOSTLY:
        return (
            f"No peak between the scans: in {number(100 * at_end)}{SPACE}% of the curves that fit, the "
            f"highest point, {height}, is on the first or the last day."
        )
    middle, low, high = told.peak_day
    return f"Highest about {day(round(middle, 1))} ({number(low, 1)} to {number(high, 1)}), at {height}."


def _slope_words(told: Trajectory) -> str:
    assert told.slope is not None and told.bend is not None
    middle, low, high = told.slope
    unit = f"{SPACE}pp" if told.unit == "percent" else ""
    decimals = 1 if told.unit == "percent" else 2
    span = f"{signed(middle, decimals)}{unit} a day ({signed(low, decimals)} to {signed(high, decimals)})"
    if low <= 0 <= high:
        return f"Whether it rises or falls at the last scan cannot be told: {span}."
    way = "rising" if middle > 0 else "falling"
    return f"At the last scan it is {way}, {span}{_bend_words(told.bend, middle)}."


def _bend_words(bend: tuple[float, float, float], slope: float) -> str:
    """Whether rise or fall slows down, where its limits say so."""
    _, low, high = bend
    if low <= 0 <= high:
        return "; whether that slows down cannot be told"
    slowing = (bend[0] < 0) == (slope > 0)
    return ", and slowing down" if slowing else ", and speeding up"


def _value(value: float, told: Trajectory) -> str:
    return percent(value) if told.unit == "percent" else signed(value, 1)


def _frame(told: Trajectory, times: Times, marks: Sequence[Mark]) -> _Frame:
    values = [*told.values, *(mark.value for mark in marks)]
    if told.curve is not None:
        values += [*told.curve.low, *told.curve.high]
    first, last = min(times.places), max(times.places)
    if told.unit == "percent":
        return _Frame(0.0, min(100.0, nice_top(1.12 * max([*values, 1.0]))), first, last)
    reach = nice_top(1.15 * max(abs(value) for value in [*values, 1.0]))
    low = -reach if min(values) < 0 else 0.0
    high = reach if max(values) > 0 else 0.0
    if low < 0 < high and -min(values) < 0.4 * reach:
        low = -nice_top(max(1.15 * -min(values), 0.1))
    return _Frame(low, high, first, last)


def _axis(frame: _Frame) -> Html:
    """Quiet lines at the ends and the middle; zero is drawn stronger."""
    middle = [(frame.low + frame.high) / 2] if frame.low * frame.high == 0 else []
    levels = sorted({frame.low, *middle, frame.high, 0.0})
    lines = []
    for n, value in enumerate(levels):
        y = frame.y(value)
        close = n and abs(y - frame.y(levels[n - 1])) < 16
        lines.append(
            tag("path", d=f"M{_LEFT},{y:.1f}H{WIDTH - _RIGHT}", class_="axis" if value == 0 else "grid")
        )
        if not close:
            label = number(value, 0 if value == round(value) else 1)
            lines.append(_text(label, x=_LEFT - 7, y=y + 4, class_="tick", text_anchor="end"))
    return joined(*lines)


def _mark(frame: _Frame, mark: Mark, values: Sequence[float]) -> Html:
    """A dashed level, its name at the end that is farther from the points."""
    y = frame.y(mark.value)
    gaps = [abs(frame.y(value) - y) for value in (values[0], values[-1])]
    left = gaps[0] > gaps[1]
    x, anchor = (_LEFT + 2, "start") if left else (WIDTH - _RIGHT, "end")
    return joined(
        tag("path", d=f"M{_LEFT},{y:.1f}H{WIDTH - _RIGHT}", class_="level"),
        _text(mark.name, x=x, y=y - 5, class_="tick", text_anchor=anchor),
    )


def _days(frame: _Frame, times: Times) -> Html:
    base = HEIGHT - _BOTTOM
    parts, low, last = [], False, -math.inf
    for place, label in zip(times.places, times.labels, strict=True):
        x = frame.x(place)
        if x == last:
            continue  # two scans of one day share its label
        low = x - last < _CLOSE_PX and not low
        parts.append(tag("path", d=f"M{x:.1f},{base}v4", class_="axis"))
        parts.append(_text(label, x=x, y=base + (31 if low else 18), class_="tick", text_anchor="middle"))
        last = x
    if not times.known:
        note = "in the order given, not to scale: days unknown"
        parts.append(_text(note, x=_LEFT, y=base + 34, class_="tick note", text_anchor="start"))
    return joined(*parts)


def _course(frame: _Frame, told: Trajectory) -> Html:
    """Band and line of the smooth course; nothing where there is none."""
    curve = told.curve
    if curve is None:
        return Html("")

    def corners(values: Sequence[float]) -> list[str]:
        pairs = zip(curve.days, values, strict=True)
        return [f"{frame.x(one):.1f},{frame.y(value):.1f}" for one, value in pairs]

    band = f"M{' '.join([*corners(curve.high), *corners(curve.low)[::-1]])}z"
    line = f"M{' '.join(corners(curve.middle))}"
    return joined(tag("path", d=band, class_="band"), tag("path", d=line, class_="line"))


def _points(frame: _Frame, told: Trajectory, times: Times) -> Html:
    parts = []
    decimals = 1
    for place, value, trusted in zip(times.places, told.values, told.trusted, strict=True):
        x, y = frame.x(place), frame.y(value)
        parts.append(tag("circle", cx=x, cy=y, r=5.0, class_="point" if trusted else "point hollow"))
        label = number(value, decimals) if told.unit == "percent" else signed(value, decimals)
        above = y - 12 > _TOP - 8
        parts.append(_text(label, x=x, y=y + (-12 if above else 21), class_="value", text_anchor="middle"))
    return joined(*parts)


def _points_told(told: Trajectory, times: Times) -> str:
    unit = "%" if told.unit == "percent" else "log-odds"
    pairs = zip(times.labels, told.values, strict=True)
    return ", ".join(f"{label} {number(value, 1)} {unit}" for label, value in pairs)
