"""Clinical points that order patients by risk, to set beside what a network says.

    CT severity    the points of `measure.severity` taken as a risk: more lung affected, higher risk
    4C mortality   the ISARIC 4C Mortality Score, of 0 to 21 points, from what is known on admission; where a
                   column is missing its points are too, the total is then partial and says so

A partial total still orders patients by what is known of all of them alike; it is not the published score,
whose chances of death must not be read from it. Points are computed, never looked up in a scan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from glasslung.errors import DataError, ShapeError

COMORBIDITIES = "comorbidities"


@dataclass(frozen=True)
class Item:
    """One line of a score.

    column  its name in a table; unit  in which it is counted
    cuts    the least value for each number of points beyond the first
    points  one more than cuts: below the first cut, from it on, from the second on, ...
    most    the highest value that can be meant; above or below `least`, it is a mistake
    """

    column: str
    unit: str
    cuts: tuple[float, ...]
    points: tuple[int, ...]
    least: float
    most: float

    def of(self, values: np.ndarray) -> np.ndarray:
        """Points of each patient, (N,) int; DataError for values that cannot be meant."""
        if not np.isfinite(values).all():
            raise DataError(f"the column {self.column!r} holds no number in some lines; leave those out")
        if (values < self.least).any() or (values > self.most).any():
            raise DataError(
                f"the column {self.column!r} goes from {values.min():g} to {values.max():g}; in {self.unit} "
                f"it lies between {self.least:g} and {self.most:g}"
            )
        return np.asarray(self.points, np.int64)[np.searchsorted(self.cuts, values, side="right")]


FOUR_C = (
    Item("age", "years", (50, 60, 70, 80), (0, 2, 4, 6, 7), 0, 130),
    Item("male", "1 or 0", (1,), (0, 1), 0, 1),
    Item(COMORBIDITIES, "number of them", (1, 2), (0, 1, 2), 0, 30),
    Item("respiratory_rate", "breaths a minute", (20, 30), (0, 1, 2), 0, 120),
    Item("oxygen_saturation", "% on room air", (92,), (2, 0), 0, 100),
    Item("coma_scale", "points of the Glasgow Coma Scale", (15,), (2, 0), 3, 15),
    Item("urea", "mmol/l", (7, np.nextafter(14, 15)), (0, 1, 3), 0, 150),
    Item("crp", "mg/l", (50, 100), (0, 1, 2), 0, 1000),
)
FOUR_C_DEFINITION = (
    "ISARIC 4C Mortality Score (Knight et al., BMJ 2020;370:m3339): age below 50 0, 50 to 59 2, 60 to 69 4, "
    "70 to 79 6, 80 and above 7; male 1; comorbidities none 0, one 1, more 2; breaths a minute below 20 0, "
    "20 to 29 1, 30 and above 2; oxygen saturation on room air below 92 % 2; Glasgow Coma Scale below 15 2; "
    "urea below 7 mmol/l 0, 7 to 14 1, above 14 3; C-reactive protein below 50 mg/l 0, 50 to 99 1, 100 and "
    "above 2. Total 0 to 21: 0 to 3 low, 4 to 8 intermediate, 9 to 14 high, 15 and above very high."
)
FOUR_C_GROUPS = ((0, "low"), (4, "intermediate"), (9, "high"), (15, "very high"))


@dataclass(frozen=True, eq=False)
class Points:
    """Points of N patients.

    total       (N,) int
    most        highest total of the items that were known
    known       the items' columns that were there; `missing` those that were not
    definition  the whole score, in words
    """

    total: np.ndarray
    most: int
    known: tuple[str, ...]
    missing: tuple[str, ...]
    definition: str

    @property
    def partial(self) -> bool:
        """Whether something is missing, so that the total is not the published score."""
        return bool(self.missing)

    @property
    def words(self) -> str:
        """What the total is of, as a caption says it."""
        if not self.partial:
            return f"0 to {self.most} points"
        return f"partial, 0 to {self.most} points: without {', '.join(self.missing)}"

    def groups(self) -> tuple[str, ...]:
        """The published name of each patient's group; DataError for a partial total, which has none."""
        if self.partial:
            raise DataError(f"a partial total has no risk group: without {', '.join(self.missing)}")
        starts = [start for start, _ in FOUR_C_GROUPS]
        return tuple(
            FOUR_C_GROUPS[place - 1][1] for place in np.searchsorted(starts, self.total, side="right")
        )


def four_c_points(columns: Mapping[str, np.ndarray]) -> Points:
    """The 4C Mortality Score, of those of its columns that are there.

    columns  name -> (N,): `age`, `male`, `comorbidities`, `respiratory_rate`, `oxygen_saturation`,
             `coma_scale`, `urea` (mmol/l), `crp` (mg/l); a column that is NaN in all lines is missing
    DataError where none is there, one holds gaps, or values of another unit.
    """
    known, missing, total, most = [], [], None, 0
    for item in FOUR_C:
        values = columns.get(item.column)
        if values is None or not np.isfinite(np.asarray(values, float)).any():
            missing.append(item.column)
            continue
        points = item.of(np.asarray(values, float))
        if total is not None and len(points) != len(total):
            raise ShapeError(f"the column {item.column!r} has {len(points)} lines, others {len(total)}")
        total = points if total is None else total + points
        known.append(item.column)
        most += max(item.points)
    if total is None:
        raise DataError(f"no column of the 4C score is there; it reads {', '.join(missing)}")
    return Points(total, most, tuple(known), tuple(missing), FOUR_C_DEFINITION)


def severity_risk(points: np.ndarray) -> np.ndarray:
    """CT severity points (N,) as a risk: the points themselves; DataError for gaps or points below 0."""
    points = np.asarray(points, float)
    if not np.isfinite(points).all() or (points < 0).any():
        raise DataError("severity points are 0 or more for every scan; leave out scans without")
    return points
