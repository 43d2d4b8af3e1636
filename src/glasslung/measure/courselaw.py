"""The laws of courses that come with the package: of which cohort, in which scale, and one patient's by them.

Burden is followed as its square root, because a lung that is 2 per cent affected does not change by 5 per
cent from day to day as one at 40 does, and no curve falls below zero; s(t) is followed as it is. Days are
counted from the patient's first scan: the day of illness is seldom known, so the law is of patients who come
on any day of theirs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from glasslung.errors import DataError
from glasslung.measure.trajectory import Law, Shape, shape_of, smooth

FOLDER = ("weights", "course-law")
FILE = "laws.json"
FORMAT = "glasslung-course-laws/1"
POINTS = 61  # of a curve between the first and the last scan
SEED = 3  # of the curves from which peak, slope and bend are told; 500 of them hardly differ between seeds


@dataclass(frozen=True, eq=False)
class CourseLaw:
    """The law of one measure's courses.

    cohort   whose courses they are, in words;  patients, scans  how many
    root     whether the law is of the measure's square root
    classifier  digest of the classifier whose log-odds they are; '' for a burden
    longest  days from the first scan to the last that the cohort reaches
    """

    law: Law
    cohort: str
    patients: int
    scans: int
    root: bool
    classifier: str
    longest: float

    def seen(self, values: np.ndarray) -> np.ndarray:
        """From the measure to the law's scale."""
        return np.sqrt(np.clip(values, 0, None)) if self.root else np.asarray(values, float)

    def back(self, values: np.ndarray) -> np.ndarray:
        """From the law's scale to the measure; below zero there is none."""
        return np.square(np.clip(values, 0, None)) if self.root else np.asarray(values, float)


@dataclass(frozen=True, eq=False)
class PatientCourse:
    """One patient's course: days (T,), median and 95 % limits (T,), and what it says."""

    days: np.ndarray
    middle: np.ndarray
    low: np.ndarray
    high: np.ndarray
    shape: Shape


def course_by(known: CourseLaw, days: np.ndarray, values: np.ndarray) -> PatientCourse:
    """The smooth course of a patient between the first scan and the last.

    days, values  (n,) from the first scan's day on, of two different days at least
    """
    days = np.asarray(days, float) - float(np.min(days))
    seen = known.seen(np.asarray(values, float))
    first, last = 0.0, float(days.max())
    if not last > first:
        raise DataError("a course needs scans of two different days")
    found = smooth(known.law, days, seen, np.linspace(first, last, POINTS))
    rng = np.random.default_rng(SEED)
    shape = shape_of(known.law, days, seen, first, last, rng, known.back)
    return PatientCourse(
        found.days, known.back(found.mean), known.back(found.low), known.back(found.high), shape
    )


def law_for(measure: str, classifier: str = "") -> CourseLaw | None:
    """The law that ships for a measure, None for none.

    measure  'burden', or 'log-odds' of the classifier with this digest
    """
    laws = _shipped()
    found = laws.get(measure)
    return found if found is None or found.classifier == classifier else None


@cache
def _shipped() -> dict[str, CourseLaw]:
    place = files("glasslung").joinpath(*FOLDER, FILE)
    return laws_from(json.loads(place.read_text(encoding="utf-8"))) if place.is_file() else {}


def laws_from(told: Mapping[str, object]) -> dict[str, CourseLaw]:
    """Laws by measure out of their file's plain values; DataError where it is of another format."""
    if told.get("format") != FORMAT or not isinstance(told.get("laws"), dict):
        raise DataError(f"these are no laws of courses of this version ({FORMAT}); install glasslung anew")
    made = {}
    for name, one in dict(told["laws"]).items():  # type: ignore[call-overload]
        made[name] = CourseLaw(
            Law.from_json(one["law"]),
            str(one["cohort"]),
            int(one["patients"]),
            int(one["scans"]),
            bool(one["root"]),
            str(one["classifier"]),
            float(one["longest"]),
        )
    return made


def told_of(laws: Mapping[str, CourseLaw]) -> dict[str, object]:
    """Laws as the plain values of their file."""
    plain = {
        name: {
            "cohort": one.cohort,
            "patients": one.patients,
            "scans": one.scans,
            "root": one.root,
            "classifier": one.classifier,
            "longest": one.longest,
            "law": one.law.as_json(),
        }
        for name, one in laws.items()
    }
    return {"format": FORMAT, "laws": plain}
