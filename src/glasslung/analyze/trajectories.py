"""Each measure over a patient's scans: the points, and a smooth course where a law of courses is at hand.

The burden of lesions and s(t), the log-odds of the diagnosis, are followed. A curve needs two scans of known,
different days, and a law of what such courses look like; without it there are the points alone, and the note
says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from glasslung.measure.course import SLAB_CODES
from glasslung.measure.courselaw import CourseLaw, course_by, law_for
from glasslung.measure.statistics import Interval
from glasslung.types import Findings, Geometry, SmoothCourse, Trajectory

INVOLVEMENT, LESIONS, SCORE = "involvement", "lesions", "log-odds"
PERCENT = "percent"
DAYS_UNKNOWN = "the days between the scans are not known, so there is no course over time, only points"
ONE_SCAN = "this is known of one scan alone: a point, and no course"
ONE_DAY = "all scans are of one day: points, and no course"
PART_OF_LUNGS = (
    "per cent of the lung that these slices show: where they lie and how much of the lungs that is, is not "
    "known, so the days need not show the same lung and no curve joins them"
)
FEW_TRUSTED = "fewer than two of these days can be trusted, so there is no course, only points"
NO_LAW = "there is no law of courses of this measure to draw a curve by: only the points are shown"


class _Point(NamedTuple):
    """One scan's figure, and whether it may be believed."""

    scan: Findings
    value: float
    trusted: bool


def trajectories(findings: Sequence[Findings]) -> tuple[Trajectory, ...]:
    """Burden and score over the scans, in order of time; measures that no scan has are left out.

    Figures of untrusted lungs or lesions and of slabs are points that no curve rests on. s(t) is of the
    classifier that read the last scan that any read, on all scans that it read.
    """
    return tuple(_trajectory(*one) for one in _measures(findings) if one[2])


def _measures(findings: Sequence[Findings]) -> list[tuple[str, str, list[_Point]]]:
    dense = [
        _Point(scan, scan.involvement, _whole(scan)) for scan in findings if scan.involvement is not None
    ]
    made = [(INVOLVEMENT, "density", dense)]
    for who in dict.fromkeys(hand for scan in findings if (hand := _hand(scan))):
        ones = [_Point(scan, _lesions(scan), _drawn(scan)) for scan in findings if _hand(scan) == who]
        made.append((LESIONS, who, ones))
    asked = [(scan, scan.diagnosis) for scan in findings if scan.diagnosis is not None]
    if asked:
        last = asked[-1][1]
        scores = [
            _Point(scan, told.log_odds, _whole(scan)) for scan, told in asked if told.digest == last.digest
        ]
        made.append((SCORE, last.classifier, scores))
    return made


def _whole(scan: Findings) -> bool:
    """Whether a scan's figures may stand in a course."""
    return scan.lung_quality.trusted and not SLAB_CODES & {remark.code for remark in scan.gate}


def _drawn(scan: Findings) -> bool:
    return _whole(scan) and (scan.lesion_quality is None or scan.lesion_quality.trusted)


def _hand(scan: Findings) -> str:
    """Who drew a scan's lesions; '' where nobody did."""
    if scan.origin is None or not scan.regions or scan.regions[0].all_lesions is None:
        return ""
    return scan.origin.network or "mask given"


def _lesions(scan: Findings) -> float:
    found = scan.regions[0].all_lesions
    assert found is not None, "only scans whose lesions are drawn are asked"
    return found.percent


def _trajectory(measure: str, of: str, points: Sequence[_Point]) -> Trajectory:
    unit = SCORE if measure == SCORE else PERCENT
    bare = Trajectory(
        measure,
        of,
        unit,
        tuple(one.scan.scan for one in points),
        tuple(one.scan.day for one in points),
        tuple(float(one.value) for one in points),
        tuple(one.trusted for one in points),
    )
    good = [one for one in points if one.trusted]
    law = law_for("log-odds", _digest(points)) if measure == SCORE else law_for("burden")
    why = _why_no_curve(measure, points, good)
    if why or law is None:
        return replace(bare, notes=tuple(why or [NO_LAW]))
    known = [one.scan.day for one in good if one.scan.day is not None]
    values = [one.value for one in good]
    found = course_by(law, np.array(known), np.array(values))
    shape, first = found.shape, min(known)
    return replace(
        bare,
        law=law.cohort,
        curve=SmoothCourse(
            _rounded(found.days + first), *map(_rounded, (found.middle, found.low, found.high))
        ),
        peak_day=_limits(shape.peak_day, first),
        peak=_limits(shape.peak),
        slope=_limits(shape.slope),
        bend=_limits(shape.bend),
        open_ended=shape.open_ended,
        notes=_notes(law, known),
    )


def _why_no_curve(measure: str, points: Sequence[_Point], good: Sequence[_Point]) -> list[str]:
    """What stands against a curve; [] where nothing does."""
    days = [one.scan.day for one in points]
    why = []
    if len(points) < 2:
        why.append(ONE_SCAN)
    elif None in days:
        why.append(DAYS_UNKNOWN)
    elif len({one.scan.day for one in good}) < 2:
        why.append(ONE_DAY if len(set(days)) < 2 else FEW_TRUSTED)
    if measure != SCORE and any(one.scan.geometry is Geometry.ASSUMED for one in points):
        why.append(PART_OF_LUNGS)
    return why


def _digest(points: Sequence[_Point]) -> str:
    told = points[-1].scan.diagnosis
    return "" if told is None else told.digest


def _notes(law: CourseLaw, days: Sequence[float]) -> tuple[str, ...]:
    """Whose law it is, and where this patient leaves it."""
    whose = (
        f"the curve and its 95 % limits rest on the courses of {law.cohort}; real patients may run "
        "otherwise, and a scan, which has its own error, may lie outside them"
    )
    said = [whose]
    if max(days) - min(days) > law.longest:
        said.append(
            f"the scans span {max(days) - min(days):g} days, and the law knows {law.longest:.0f} at most"
        )
    return tuple(said)


def _rounded(values: np.ndarray) -> tuple[float, ...]:
    return tuple(round(float(value), 3) for value in values)


def _limits(found: Interval, since: float = 0.0) -> tuple[float, float, float]:
    middle, low, high = _rounded(np.array([found.value, found.low, found.high]) + since)
    return middle, low, high
