"""One slice of every patient whose critical illness is known: from a cohort to lines that a model reads.

The CAGE set gives each COVID patient one slice, cut to the lungs. Its columns and how they are taken here:

    critical_illness   1 or 0: the endpoint. Rows without it, and of healthy people, are left out and told
    progression_days   seems to be the time to critical illness, cut off at 14 days: events have a median of
                       0.1 to 0.2 days, the others of 10. A time that ends early without the event is taken as
                       the end of observation. It knows the answer (alone: AUC 0.95), so no model may see it,
                       nor `days` and `group`, which are made of it
    age                years; 0 stands for missing
    sex                1 presumably male
    width, height, scan_slices, slice   facts of the file and the scan: they tell the hospital. No model sees
                       them; what they alone would tell is measured (`scores`)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from glasslung.data.cohort import Cohort
from glasslung.data.slices import read_picture
from glasslung.errors import DataError
from glasslung.types import Case

FORBIDDEN = ("days", "progression_days", "group")
"""Columns made of the time to the event: never a feature."""
SAME_SCANNER = (110, 155)
"""Slices in the scan: the stratum in which three in five patients lie, and scan length tells nothing more."""
LEAST = 8  # patients of each kind, or nothing can be said


@dataclass(frozen=True, eq=False)
class CriticalGround:
    """N patients, one slice each.

    name      of the cohort, and `left_out`: reason -> rows
    patients  (N,) names; intervals and folds go by them
    paths     (N,) of the pictures
    event     (N,) bool: became critically ill
    days      (N,) float: to critical illness or the end of observation; NaN unknown
    age, male (N,) float, NaN unknown
    slices    (N,) float: length of the whole scan, NaN unknown: to part scanners, never a feature
    """

    name: str
    patients: np.ndarray
    paths: tuple[Path, ...]
    event: np.ndarray
    days: np.ndarray
    age: np.ndarray
    male: np.ndarray
    slices: np.ndarray
    left_out: dict[str, int] = field(default_factory=dict)
    note: str = ""

    def __len__(self) -> int:
        return len(self.patients)

    def one_scanner(self) -> np.ndarray:
        """(N,) bool: scans of the length that most have, among which length tells no hospital."""
        return (self.slices >= SAME_SCANNER[0]) & (self.slices <= SAME_SCANNER[1])

    def take(self, rows: np.ndarray, left_out: Mapping[str, int]) -> CriticalGround:
        """Some of the patients, and why the others are not there."""
        columns = {
            name: getattr(self, name)[rows] for name in ("patients", "event", "days", "age", "male", "slices")
        }
        paths = tuple(self.paths[row] for row in rows.tolist())
        return replace(self, **columns, paths=paths, left_out={**self.left_out, **left_out})

    def picture(self, row: int) -> np.ndarray:
        """A patient's slice, (H, W) uint8."""
        return read_picture(self.paths[row])


def critical_ground(cohort: Cohort) -> CriticalGround:
    """The patients of a cohort with a known endpoint; DataError where they are too few for anything.

    A patient with several rows counts by the first one with an endpoint, which is told.
    """
    left: dict[str, int] = {}
    kept: list[Case] = []
    seen: set[str] = set()
    for case in cohort.cases:
        reason = _unfit(case, seen)
        if reason:
            left[reason] = left.get(reason, 0) + 1
            continue
        seen.add(case.patient)
        kept.append(case)
    event = np.array([bool(case.event) for case in kept], bool)
    if min(int(event.sum()), int((~event).sum())) < LEAST:
        told = "; ".join(f"{count} left out: {reason}" for reason, count in left.items())
        raise DataError(
            f"{cohort.name} has {int(event.sum())} patients who became critically ill and "
            f"{int((~event).sum())} who did not; {LEAST} of each are the least{f' ({told})' if told else ''}"
        )
    return CriticalGround(
        cohort.name,
        np.array([case.patient for case in kept]),
        tuple(cohort.path(case.image) for case in kept),
        event,
        _column(kept, "progression_days", least=0.0),
        _column(kept, "age", least=0.1),
        _column(kept, "sex", least=0.0),
        _column(kept, "scan_slices", least=1.0),
        left,
        cohort.note,
    )


def _unfit(case: Case, seen: set[str]) -> str:
    """Why a row is no patient of the study; '' where it is one."""
    if case.label == "healthy":
        return "healthy people, who have no endpoint"
    if case.event is None:
        return "critical illness not known"
    if case.patient in seen:
        return "a further row of the same patient"
    return ""


def _column(cases: Iterable[Case], name: str, least: float) -> np.ndarray:
    """A column of the table as numbers; NaN where it is empty or below what can be (an age of 0).

    DataError for a word, and for a negative time.
    """
    found = []
    for number, case in enumerate(cases, 1):
        text = case.extra.get(name, "")
        try:
            value = float(text) if text else np.nan
        except ValueError:
            raise DataError(
                f"row {number} of those with an endpoint: {name} {text!r} is no number; leave it empty where "
                "it is not known"
            ) from None
        if name == "progression_days" and value < 0:
            raise DataError(
                f"row {number} of those with an endpoint: {name} {value:g} lies before the scan; times count "
                "from the scan on"
            )
        found.append(value if value >= least else np.nan)
    return np.array(found, float)
