"""Stays: each scan of a cohort as a day from which one looks ahead, and what came after it.

A cohort's table tells, per patient and on its own axis of days: `event` and `event_day` (critical illness,
or the last day on which it was looked for), and in further columns `stay_days` (the day of discharge or
death), `outcome` ('discharged', 'died', 'in hospital', 'control'), `age` and `sex`. Here these become times
from each scan. What has already happened on the day of a scan is nothing to foretell: the scan stays in the
table with NaN there, and each endpoint leaves out its own.

Where the table names no outcome, a stay that is told has ended; a patient who left without critical illness
has been discharged, one who died counts as critically ill.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from glasslung.data.cohort import Cohort
from glasslung.errors import DataError, ShapeError
from glasslung.types import Case

LONG_STAY_DAYS = 7.0  # what the COVID3D paper calls high risk: 7 days or more, its median
NOTHING, CRITICAL, DISCHARGE = 0, 1, 2  # codes of `Stays.event`
SEXES = {"m": 1.0, "male": 1.0, "1": 1.0, "f": 0.0, "female": 0.0, "0": 0.0, "": math.nan}
ENDED = {"discharged": True, "died": True, "in hospital": False, "control": False, "": None}
TIMES = ("day", "age", "male", "stay", "seen", "event", "event_days", "died")  # arrays that are simply cut
SAME_DAY = 0.05  # days: tables round to tenths
PRIOR, CHANGE, LOG_DAYS = "_prior", "_change", "log_days"


@dataclass(frozen=True, eq=False)
class Stays:
    """One line for each scan; N scans. Days count from the scan.

    patients, scans, sites  (N,) names
    prior       (N,) int64 line of the same patient's scan before this one; -1 none
    day         (N,) of the scan on the cohort's own axis
    age, male   (N,) years; 1 or 0; NaN unknown
    stay        (N,) days to the end of the stay, or of observation; NaN unknown, or over before the scan
    seen        (N,) bool: the stay's end was seen; False: still in hospital after `stay` days, or unknown
    event       (N,) what came first: 0 nothing was seen, 1 critical illness, 2 discharge
    event_days  (N,) days to it, above 0; of 0 to the end of observation; NaN where that lies before the scan
    died        (N,) bool: the stay ended in death
    """

    patients: tuple[str, ...]
    scans: tuple[str, ...]
    sites: tuple[str, ...]
    prior: np.ndarray
    day: np.ndarray
    age: np.ndarray
    male: np.ndarray
    stay: np.ndarray
    seen: np.ndarray
    event: np.ndarray
    event_days: np.ndarray
    died: np.ndarray

    def __post_init__(self) -> None:
        for one in fields(self):
            if len(getattr(self, one.name)) != len(self.patients):
                raise ShapeError(f"{len(self.patients)} scans, but {one.name} has another length")
        for name in ("stay", "event_days"):
            if (getattr(self, name) < 0).any():
                raise DataError(f"{name} holds a time below 0; days count from the scan onwards")
        if len(self.prior) and self.prior.max() >= len(self):
            raise ShapeError("a prior scan lies outside the table")

    def __len__(self) -> int:
        return len(self.patients)

    @property
    def long_stay(self) -> np.ndarray:
        """(N,) int64: 1 stayed 7 days or more after the scan, 0 less, -1 not known."""
        with np.errstate(invalid="ignore"):
            long, short = self.stay >= LONG_STAY_DAYS, (self.stay < LONG_STAY_DAYS) & self.seen
        return np.where(long, 1, np.where(short, 0, -1)).astype(np.int64)

    @property
    def gap(self) -> np.ndarray:
        """(N,) days between a scan and the one before it; NaN for a first scan."""
        return np.where(self.prior >= 0, self.day - self.day[self.prior], np.nan)

    def take(self, rows: np.ndarray | Sequence[int]) -> Stays:
        """Some lines, in the order given (numbers, or a mask). A prior scan that is left out becomes -1."""
        chosen = np.arange(len(self))[np.asarray(rows)]
        place = np.full(len(self) + 1, -1, np.int64)  # the last line stands for 'no prior'
        place[chosen] = np.arange(len(chosen))
        cut = {name: getattr(self, name)[chosen] for name in TIMES}
        patients, scans, sites = (
            tuple(names[row] for row in chosen) for names in (self.patients, self.scans, self.sites)
        )
        return Stays(patients, scans, sites, place[self.prior[chosen]], **cut)


def stays_of(cohort: Cohort) -> Stays:
    """The stays of a cohort's scans, in the order of its table.

    DataError, with the row of the table (the header is row 1), for: a scan without a day, two scans of one
    patient on one day, rows of one patient that differ in what became of them, a time below 0, an event
    without its day, after the end of the stay, or a death without critical illness.
    """
    _check_days(cohort.cases)
    _check_agreement(cohort.cases)
    lines = [_line(row, case) for row, case in enumerate(cohort.cases, start=2)]
    columns = {name: np.array([line[name] for line in lines], float) for name in lines[0]}
    return Stays(
        patients=tuple(case.patient for case in cohort.cases),
        scans=tuple(case.scan for case in cohort.cases),
        sites=tuple(case.site for case in cohort.cases),
        prior=_priors(cohort.cases),
        day=np.array([case.day for case in cohort.cases], float),
        age=columns["age"],
        male=columns["male"],
        stay=columns["stay"],
        seen=columns["seen"] > 0,
        event=columns["event"].astype(np.int64),
        event_days=columns["event_days"],
        died=columns["died"] > 0,
    )


def with_priors(columns: Mapping[str, np.ndarray], stays: Stays) -> dict[str, np.ndarray]:
    """Columns of scans, each also as `x_prior` and `x_change` (now minus prior), and `log_days`.

    columns  name -> (N,) of every scan of `stays`; NaN in the new ones of scans without a prior. log_days is
             log(1 + days between the two). Call it before `take`, which may leave prior scans out.
    """
    out = dict(columns)
    there = stays.prior >= 0
    for name, column in columns.items():
        if len(column) != len(stays):
            raise ShapeError(f"{len(stays)} scans, but the column {name} has {len(column)} lines")
        before = np.where(there, np.asarray(column, float)[stays.prior], np.nan)
        out[name + PRIOR], out[name + CHANGE] = before, np.asarray(column, float) - before
    out[LOG_DAYS] = np.log1p(stays.gap)
    return out


def _line(row: int, case: Case) -> dict[str, float]:
    """What one scan looks ahead to."""
    assert case.day is not None
    died, outcome = _outcome(row, case) == "died", _outcome(row, case)
    end = _number(row, case, "stay_days")
    if end < 0:
        raise DataError(f"row {row}, column stay_days: {end:g} lies before day 0; a stay has 0 days or more")
    ended = math.isfinite(end) and ENDED[outcome] is not False
    event, event_day = _event(row, case, end, ended, died)
    stay, ahead = end - case.day, event_day - case.day
    return {
        "age": _age(row, case),
        "male": _male(row, case),
        "stay": stay if stay >= 0 else math.nan,
        "seen": ended and stay >= 0,
        "event": event if ahead > 0 else NOTHING,
        "event_days": ahead if ahead > 0 else math.nan,
        "died": died,
    }


def _event(row: int, case: Case, end: float, ended: bool, died: bool) -> tuple[int, float]:
    """Which event came first, and on which day of the cohort's axis; NaN where nobody looked for it."""
    if case.event is None:
        return NOTHING, math.nan
    if case.event_day is None:
        raise DataError(f"row {row}: event is told and event_day is empty; write the day, or empty both")
    if case.event_day < 0:
        raise DataError(f"row {row}, column event_day: {case.event_day:g} lies before day 0")
    if ended and case.event_day > end + SAME_DAY:
        raise DataError(
            f"row {row}: event_day {case.event_day:g} lies after the end of the stay on day {end:g}; "
            "mend the dates"
        )
    if case.event:
        return CRITICAL, case.event_day
    if died:
        raise DataError(f"row {row}: died without critical illness; death counts as one, so write event 1")
    left = ended and case.event_day >= end - SAME_DAY
    return (DISCHARGE if left else NOTHING), case.event_day


def _outcome(row: int, case: Case) -> str:
    word = case.extra.get("outcome", "").strip().lower()
    if word not in ENDED:
        known = ", ".join(name for name in ENDED if name)
        raise DataError(f"row {row}, column outcome: {word!r} is not known; write {known}, or leave it empty")
    return word


def _number(row: int, case: Case, column: str) -> float:
    text = case.extra.get(column, "").strip()
    try:
        number = float(text) if text else math.nan
    except ValueError:
        number = math.inf
    if math.isinf(number) or (text and math.isnan(number)):
        raise DataError(f"row {row}, column {column}: {text!r} is not a number; leave it empty if not known")
    return number


def _age(row: int, case: Case) -> float:
    age = _number(row, case, "age")
    if age < 0:
        raise DataError(f"row {row}, column age: {age:g} years; leave it empty if not known")
    return age


def _male(row: int, case: Case) -> float:
    word = case.extra.get("sex", "").strip().lower()
    if word not in SEXES:
        raise DataError(f"row {row}, column sex: {word!r} is not known; write M or F, or leave it empty")
    return SEXES[word]


def _check_days(cases: Sequence[Case]) -> None:
    """Every scan has a day, and no patient two on the same."""
    seen: dict[tuple[str, float], int] = {}
    for row, case in enumerate(cases, start=2):
        if case.day is None or not math.isfinite(case.day):
            raise DataError(f"row {row}, column day: is empty; without its day a scan cannot look ahead")
        first = seen.setdefault((case.patient, case.day), row)
        if first != row:
            raise DataError(f"rows {first} and {row}: one patient, two scans on day {case.day:g}; keep one")
    if not cases:
        raise DataError("the cohort has no scan")


def _check_agreement(cases: Sequence[Case]) -> None:
    """All rows of a patient tell the same end: another would make two patients of one."""
    first: dict[str, tuple[int, dict[str, object]]] = {}
    for row, case in enumerate(cases, start=2):
        told: dict[str, object] = {"event": case.event, "event_day": case.event_day}
        told |= {name: case.extra.get(name, "").strip() for name in ("stay_days", "outcome", "sex")}
        other, before = first.setdefault(case.patient, (row, told))
        for name, value in told.items():
            if value != before[name]:
                raise DataError(f"rows {other} and {row} are one patient and differ in {name}; mend one")


def _priors(cases: Sequence[Case]) -> np.ndarray:
    """The line of each scan's predecessor, -1 for first scans."""
    prior, last = np.full(len(cases), -1, np.int64), dict[str, int]()
    for line in sorted(range(len(cases)), key=lambda n: cases[n].day or 0.0):
        prior[line] = last.get(cases[line].patient, -1)
        last[cases[line].patient] = line
    return prior
