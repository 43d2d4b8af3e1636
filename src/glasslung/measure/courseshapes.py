"""The shape of courses across patients: when they peak, how they end, and all laid on each other.

The COVID3D paper reads from its figure 2 that virtually all patients peak within a week to ten days of their
first scan and then taper; here that is counted. Each patient's curve is drawn by the law of the others (the
common spans and variances, without the patient's own scans among the cohort's), and only patients whose peak
lies between their scans are laid on each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from glasslung.errors import DataError
from glasslung.measure.statistics import Interval, bootstrap_by_patient, patient_codes, share_by_patient
from glasslung.measure.trajectory import Course, Law, Shape, fit_law, shape_of, smooth

LEAST_SCANS = 3  # of a patient: two points have a slope and no peak
SEEN_PEAK = 0.5  # of the plausible curves may be highest at an end: above, the peak was not seen
POINTS = 61  # of a curve from first to last scan
LEAST_SHARE = 0.5  # of the patients laid on each other must reach a day for it to be drawn


@dataclass(frozen=True)
class PatientShape:
    """One patient's course: from first to last scan, what it says, and the curve itself."""

    patient: str
    first: float
    last: float
    shape: Shape
    course: Course

    @property
    def peaked(self) -> bool:
        """Whether the peak lies between the scans rather than at an end."""
        return self.shape.open_ended < SEEN_PEAK


@dataclass(frozen=True, eq=False)
class Aligned:
    """Courses laid on each other: days from the peak (T,), the middle patient and the quartiles."""

    days: np.ndarray
    middle: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    patients: np.ndarray


@dataclass(frozen=True, eq=False)
class Shapes:
    """All patients with three scans or more.

    people     one per patient
    peaked     share whose peak lies between their scans
    peak_day   the middle patient's, among those; days on the cohort's axis. None for fewer than two
    falling    share whose course falls at the last scan, surely (the slope's limits lie below 0)
    rising     likewise still rising
    slope, bend  the middle patient's on the day of the last scan, per day and per day squared
    aligned    None for fewer than two patients with a peak
    """

    people: tuple[PatientShape, ...]
    peaked: Interval
    peak_day: Interval | None
    falling: Interval
    rising: Interval
    slope: Interval
    bend: Interval
    aligned: Aligned | None


def shapes_across(
    days: np.ndarray,
    values: np.ndarray,
    patients: Sequence[object] | np.ndarray,
    *,
    rng: np.random.Generator,
    law: Law | None = None,
    draws: int = 2000,
) -> Shapes:
    """What the courses of a cohort have in common.

    days, values, patients (N,), one row per scan; law  that was fitted on exactly these rows, None: it is
    fitted here. DataError for fewer than two patients with three scans of different days.
    """
    codes, names = patient_codes(patients), np.asarray(patients)
    days, values = np.asarray(days, float), np.asarray(values, float)
    law = law or fit_law(days, values, codes)
    if law.days.shape != days.shape or not np.array_equal(law.days, days):
        raise DataError("the law was not fitted on these scans; fit it on them, or give none")
    people = []
    for code in range(int(codes.max()) + 1):
        mine = codes == code
        if len(np.unique(days[mine])) < LEAST_SCANS:
            continue
        people.append(_one(str(names[mine][0]), without(law, mine), days[mine], values[mine], rng))
    if len(people) < 2:
        raise DataError(
            f"{len(people)} patient(s) have {LEAST_SCANS} scans of different days; two are needed to tell "
            "what courses have in common"
        )
    return _summed(tuple(people), rng, draws)


def without(law: Law, rows: np.ndarray) -> Law:
    """A law without some of the scans it rests on, (N,) bool; spans and variances stay. DataError for all."""
    kept = ~np.asarray(rows, bool)
    if not kept.any():
        raise DataError("a law needs the scans of somebody else; all of them are of this patient")
    return replace(law, days=law.days[kept], values=law.values[kept], patients=law.patients[kept])


def align(people: Sequence[PatientShape]) -> Aligned:
    """Curves laid on each other by their peak days; days that fewer than half of them reach are left out."""
    spans = [(one.first - one.shape.peak_day.value, one.last - one.shape.peak_day.value) for one in people]
    at = np.arange(np.floor(min(low for low, _ in spans)), np.ceil(max(high for _, high in spans)) + 0.5, 0.5)
    curves = np.stack(
        [
            np.interp(
                at, one.course.days - one.shape.peak_day.value, one.course.mean, left=np.nan, right=np.nan
            )
            for one in people
        ]
    )
    count = (~np.isnan(curves)).sum(0)
    kept = count >= max(2, LEAST_SHARE * len(people))
    lower, middle, upper = np.nanquantile(curves[:, kept], [0.25, 0.5, 0.75], axis=0)
    return Aligned(at[kept], middle, lower, upper, count[kept])


def _one(name: str, law: Law, days: np.ndarray, values: np.ndarray, rng: np.random.Generator) -> PatientShape:
    first, last = float(days.min()), float(days.max())
    course = smooth(law, days, values, np.linspace(first, last, POINTS))
    return PatientShape(name, first, last, shape_of(law, days, values, first, last, rng), course)


def _summed(people: tuple[PatientShape, ...], rng: np.random.Generator, draws: int) -> Shapes:
    who = np.arange(len(people))

    def share(hits: list[bool]) -> Interval:
        return share_by_patient(np.array(hits), who, rng=rng, draws=draws)

    def middle(figures: list[float]) -> Interval | None:
        if len(figures) < 2:
            return None
        some = np.arange(len(figures))
        return bootstrap_by_patient(
            lambda x: float(np.median(x)), some, np.array(figures), rng=rng, draws=draws
        )

    peaked = [one for one in people if one.peaked]
    slope = middle([one.shape.slope.value for one in people])
    bend = middle([one.shape.bend.value for one in people])
    assert slope is not None and bend is not None
    return Shapes(
        people,
        share([one.peaked for one in people]),
        middle([one.shape.peak_day.value for one in peaked]),
        share([one.shape.slope.high < 0 for one in people]),
        share([one.shape.slope.low > 0 for one in people]),
        slope,
        bend,
        align(peaked) if len(peaked) > 1 else None,
    )
