"""Each measure over a patient's scans: the points, and a smooth course where a law of courses is at hand.

The burden of lesions and s(t), the log-odds of the diagnosis, are followed. A curve needs two scans of known,
different days, and a law of what such courses look like; without it there are the points alone, and the note
says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from glasslung.measure.course import SLAB_CODES
from glasslung.measure.courselaw import CourseLaw, course_by, law_for
from glasslung.measure.statistics import Interval
from glasslung.types import Findings, SmoothCourse, Trajectory

INVOLVEMENT, LESIONS, SCORE = "involvement", "lesions", "log-odds"
PERCENT = "percent"
DAYS_UNKNOWN = "the days between the scans are not known, so there is no course over time, only points"
ONE_SCAN = "this is known of one scan alone: a point, and no course"
ONE_DAY = "all scans are of one day: points, and no course"
NO_LAW = "there is no law of courses of this measure to draw a curve by: only the points are shown"


def trajectories(findings: Sequence[Findings]) -> tuple[Trajectory, ...]:
    """Burden and score over the scans, in order of time; measures that no scan has are left out.

    A scan takes part where its lungs are trusted and it is no slab; s(t) where the classifier of the last
    answer read it too.
    """
    told = []
    for measure, of, values in _measures(findings):
        if values:
            told.append(_trajectory(measure, of, values))
    return tuple(told)


def _measures(findings: Sequence[Findings]) -> list[tuple[str, str, list[tuple[Findings, float]]]]:
    whole = [scan for scan in findings if _whole(scan)]
    dense = [(scan, scan.involvement) for scan in whole if scan.involvement is not None]
    made = [(INVOLVEMENT, "density", dense)]
    hands = dict.fromkeys(hand for scan in whole if (hand := _hand(scan)))
    for who in hands:
        ones = [(scan, _lesions(scan)) for scan in whole if _hand(scan) == who]
        made.append((LESIONS, who, ones))
    asked = [scan for scan in whole if scan.diagnosis is not None]
    if asked and asked[-1].diagnosis is not None:
        last = asked[-1].diagnosis
        scores = [
            (scan, scan.diagnosis.log_odds)
            for scan in asked
            if scan.diagnosis is not None and scan.diagnosis.digest == last.digest
        ]
        made.append((SCORE, last.classifier, scores))
    return made


def _whole(scan: Findings) -> bool:
    """Whether a scan's figures may stand in a course."""
    return scan.lung_quality.trusted and not SLAB_CODES & {remark.code for remark in scan.gate}


def _hand(scan: Findings) -> str:
    """Who drew a scan's lesions; '' where nobody is trusted to have."""
    origin, quality = scan.origin, scan.lesion_quality
    if origin is None or not scan.regions or scan.regions[0].all_lesions is None:
        return ""
    return "" if quality is not None and not quality.trusted else origin.network or "mask given"


def _lesions(scan: Findings) -> float:
    found = scan.regions[0].all_lesions
    assert found is not None, "only scans whose lesions are drawn are asked"
    return found.percent


def _trajectory(measure: str, of: str, points: Sequence[tuple[Findings, float]]) -> Trajectory:
    scans = tuple(scan.scan for scan, _ in points)
    days = tuple(scan.day for scan, _ in points)
    values = tuple(float(value) for _, value in points)
    unit = SCORE if measure == SCORE else PERCENT
    bare = Trajectory(measure, of, unit, scans, days, values)
    known = [day for day in days if day is not None]
    law = law_for("log-odds", _digest(points)) if measure == SCORE else law_for("burden")
    why = ""
    if len(points) < 2:
        why = ONE_SCAN
    elif len(known) < len(days):
        why = DAYS_UNKNOWN
    elif len(set(known)) < 2:
        why = ONE_DAY
    if why or law is None:
        return replace(bare, notes=(why or NO_LAW,))
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


def _digest(points: Sequence[tuple[Findings, float]]) -> str:
    told = points[-1][0].diagnosis
    return "" if told is None else told.digest


def _notes(law: CourseLaw, days: Sequence[float]) -> tuple[str, ...]:
    """Whose law it is, and where this patient leaves it."""
    said = [
        f"the curve and its 95 % limits rest on the courses of {law.cohort}; real patients may run otherwise"
    ]
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
