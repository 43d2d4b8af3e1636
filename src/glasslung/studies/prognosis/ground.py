"""What the prognosis study stands on: serial scans of three hospitals, or of anybody's cohort.

phantom   patients with COVID-like pneumonia, scanned two to four times on days that do not depend on how
          they fare, and patients with a bacterial-like one, scanned once. Hospital A is learned from, B and
          C, whose scanners differ, are asked. Course, outcome and true risk are known because we drew them;
          on a day of its own each patient's record is closed, so that some are still in hospital.
cohort    scans with their days and outcomes; the site with most scans is learned from, or, of a single
          site, the parts of its table

The diagnosis is learned and asked on one scan of each patient, on a day spread over the course: a network
that knew first scans alone would take dense lung, which comes later, for the other disease. Phantoms of both
diseases are scanned on the same days, so that the day tells nothing.

A scan is a landmark where one may look ahead from it: the patient is still in hospital and, as the paper's
patients, not critically ill.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.data.cohort import Cohort, split_by_patient
from glasslung.data.exams import BODY, Exam, ExamSet, label_of
from glasslung.data.examstore import ExamStore
from glasslung.data.phantom import Chest, Patient, draw_cohort, draw_patient, render
from glasslung.data.stays import Stays, stays_of
from glasslung.errors import DataError, UsageError
from glasslung.predict.exams import ExamMaking, MaskMaker, make_exam, read_exams
from glasslung.studies.prognosis.burden import burdens_of
from glasslung.types import Case, Intensity, Progress, Volume

SHAPE = (48, 112, 112)  # voxels of about 7 x 3.4 x 3.4 mm: 0.25 s for a patient's first scan, 0.1 for others
TRAINED = "A"  # the hospital that is learned from
SITES = {"A": "a", "B": "b", "C": "c"}
FIRST = (1.0, 3.0)  # day of the first scan, of all diseases alike: the day must not tell the disease
GAPS = ((2.0, 3.5), (3.0, 6.0), (4.0, 8.0))  # days to the next
LAST_DAY = 21.0
ASKED_DAYS = (1.0, 16.0)  # the diagnosis is asked on the scan nearest a day drawn evenly from these
ASKED_STREAM = 11
SERIES = {2: 0.5, 3: 0.3, 4: 0.2}  # share of patients by the number of their scans
CLOSED = (15.0, 60.0)  # days after which a record may be closed: about one in twelve is then in hospital
MOST_BREATH = 0.4  # of full expiration: nobody holds the breath at quite the same place
FEWEST = 3  # patients of a disease at a hospital: fewer leave a fold without anybody
TEST = "test"
ADMITTED = 0.25  # severity: who is hardly ill is sent home, here as in the paper's hospitals
AGAIN = 4  # times the patients that are drawn so that enough are of one disease and none is in two hospitals


@dataclass(frozen=True)
class People:
    """How many phantom patients: with serial scans of COVID-19, with one of a bacterial pneumonia."""

    trained: tuple[int, int] = (150, 90)
    """At hospital A; the paper has 83 and 83."""
    outside: tuple[int, int] = (110, 45)
    """At B and at C; the paper has 20 and 20, 12 and 9: too few for an interval that says anything."""

    def __post_init__(self) -> None:
        if min(*self.trained, *self.outside) < FEWEST:
            raise UsageError(f"a hospital needs {FEWEST} patients of each disease or more")

    def at(self, hospital: str) -> tuple[int, int]:
        """COVID-19, bacterial."""
        return self.trained if hospital == TRAINED else self.outside


@dataclass(frozen=True)
class SerialScan:
    """What one phantom scan is drawn from: the same numbers give the same scan."""

    seed: int
    disease: str
    hospital: str
    day: float
    breath: float
    closed: float
    diagnosed: bool = True
    """Whether it is the patient's scan on which the diagnosis is learned or asked."""

    def drawn_from(self) -> str:
        """A text that is equal for equal scans."""
        return f"phantom {self.seed} {self.disease} {self.hospital} {self.day} {self.breath} {SHAPE}"

    def patient(self) -> Patient:
        """Who it is of."""
        return draw_patient(self.seed, self.disease, SITES[self.hospital])

    def render(self) -> Chest:
        """The scan with its truth, on its own grid."""
        return render(self.patient(), self.day, shape=SHAPE, breath=self.breath)

    def case(self) -> Case:
        """Its row in a cohort's table."""
        patient = self.patient()
        outcome = patient.outcome
        assert outcome.stay_days is not None and outcome.event_day is not None
        over = outcome.stay_days <= self.closed
        return Case(
            patient=patient.name,
            scan=f"{patient.name}-d{self.day:04.1f}",
            image=Path("phantom"),
            intensity=Intensity.HU,
            day=self.day,
            site=self.hospital,
            label=self.disease,
            event=bool(outcome.event and outcome.event_day <= self.closed),
            event_day=min(outcome.event_day, self.closed),
            extra={
                "age": str(patient.age),
                "sex": "M" if patient.male else "F",
                "stay_days": f"{min(outcome.stay_days, self.closed):.1f}",
                "outcome": outcome.kind if over else "in hospital",
            },
        )


@dataclass(frozen=True, eq=False)
class PrognosisGround:
    """Exams with what came after each; N scans, aligned.

    exams     framed as the paper frames a scan; split is the hospital: 'A' and others, or 'train' and 'test'
    stays     what each scan looks ahead to
    burdens   affected_percent, consolidation_percent, severity_points: (N,) each
    trained   the part that is learned from
    truth     phantoms: 'affected_percent' as drawn, 'peak_day' of the spread and 'clearing_day' on which it
              begins to clear, 'log_risk': (N,) each; else {}
    plan      phantoms: what each scan is drawn from again
    table     of a cohort: where its scans are
    """

    name: str
    exams: ExamSet
    stays: Stays
    burdens: Mapping[str, np.ndarray]
    trained: str
    masks: str
    truth: Mapping[str, np.ndarray] = field(default_factory=dict)
    plan: tuple[SerialScan, ...] = ()
    table: Cohort | None = None

    def volume(self, row: int) -> tuple[Volume, np.ndarray]:
        """A scan itself with its lungs, drawn or read again."""
        from glasslung.data.formats import read_scan
        from glasslung.data.lungs import segment_lungs

        if self.plan:
            chest = self.plan[row].render()
            return chest.volume, chest.lungs
        assert self.table is not None
        volume = read_scan(self.table.path(self.table.cases[row].image))
        return volume, segment_lungs(volume).mask

    @property
    def outside(self) -> tuple[str, ...]:
        """The parts that are asked and not learned from."""
        return tuple(sorted(set(self.exams.split) - {self.trained, ""}))

    @property
    def diagnosed(self) -> np.ndarray:
        """(N,) bool: the one scan of each patient on which the diagnosis is learned and asked."""
        if self.plan:
            return np.array([scan.diagnosed for scan in self.plan])
        return one_of_each(self.stays)

    @property
    def covid(self) -> np.ndarray:
        """(N,) bool: of a patient with COVID-19."""
        return self.exams.label == 1

    def rows(self, part: str) -> np.ndarray:
        """(N,) bool: scans of a part."""
        return np.array([one == part for one in self.exams.split])

    @property
    def serial(self) -> bool:
        """Whether some patient with COVID-19 has two scans."""
        return bool((self.covid & (self.stays.prior >= 0)).any())

    @property
    def landmarks(self) -> np.ndarray:
        """(N,) bool: COVID-19, in hospital, not critically ill, and with an earlier scan to compare with.

        Where nobody has two scans, none is asked for.
        """
        stays = self.stays
        free = np.isfinite(stays.event_days)
        free = free if free.any() else np.ones(len(stays), bool)  # of a table that tells stays alone
        compared = stays.prior >= 0 if self.serial else np.ones(len(stays), bool)
        return self.covid & np.isfinite(stays.stay) & free & compared

    def told(self) -> dict[str, Any]:
        """Counts by part, as plain values."""
        lines = []
        for part in (self.trained, *self.outside):
            here = self.rows(part)
            ahead = here & self.landmarks
            lines.append(
                {
                    "part": part,
                    "patients with COVID-19": _people(self.stays, here & self.covid),
                    "other patients": _people(self.stays, here & ~self.covid),
                    "scans": int(here.sum()),
                    "landmarks": int(ahead.sum()),
                    "patients at landmarks": _people(self.stays, ahead),
                    "long stays": int((self.stays.long_stay[ahead] == 1).sum()),
                    "critical": int((self.stays.event[ahead] == 1).sum()),
                    "still in hospital": int((~self.stays.seen[ahead]).sum()),
                }
            )
        return {"name": self.name, "scans": len(self.exams), "masks by": self.masks, "parts": lines}


def one_of_each(stays: Stays) -> np.ndarray:
    """(N,) bool: of each patient the scan nearest a day drawn evenly from those of the table."""
    rng = np.random.default_rng([len(stays), ASKED_STREAM])
    names, span = np.array(stays.patients), (float(stays.day.min()), float(stays.day.max()))
    chosen = np.zeros(len(stays), bool)
    for name in dict.fromkeys(stays.patients):
        rows = np.flatnonzero(names == name)
        chosen[rows[_nearest(stays.day[rows], span, rng)]] = True
    return chosen


def _nearest(days: np.ndarray, span: tuple[float, float], rng: np.random.Generator) -> int:
    """Which of some days lies nearest one drawn evenly from a span."""
    return int(np.argmin(np.abs(days - rng.uniform(*span))))


def _people(stays: Stays, rows: np.ndarray) -> int:
    return len({stays.patients[row] for row in np.flatnonzero(rows)})


# ----------------------------------------------------------------------------------------------- phantoms


def plan_serial(people: People, seed: int) -> tuple[SerialScan, ...]:
    """Who is scanned where and when; no patient is at two hospitals."""
    rng = np.random.default_rng([seed, *people.trained, *people.outside])
    taken: set[int] = set()
    scans: list[SerialScan] = []
    for number, hospital in enumerate(SITES):
        serial: list[SerialScan] = []
        for disease, count in zip(("covid", "bacterial"), people.at(hospital), strict=True):
            drawn = draw_cohort(AGAIN * count, seed + 1 + number, {disease: 1.0}, (SITES[hospital],))
            fresh = [one for one in drawn.patients if one.severity >= ADMITTED and one.seed not in taken]
            seeds = [one.seed for one in fresh[:count]]
            taken |= set(seeds)
            if disease == "covid":
                serial = [scan for one in seeds for scan in _series(one, hospital, rng)]
                scans += serial
            else:
                scans += _single(seeds, disease, hospital, serial, rng)
    return tuple(scans)


def _series(seed: int, hospital: str, rng: np.random.Generator) -> list[SerialScan]:
    """The scans of a patient with COVID-19: those before the record is closed, one at least."""
    many = int(rng.choice(list(SERIES), p=list(SERIES.values())))
    days = [rng.uniform(*FIRST)]
    for gap in GAPS[: many - 1]:
        days.append(min(days[-1] + rng.uniform(*gap), LAST_DAY))
    closed = round(float(rng.uniform(*CLOSED)), 1)
    kept = [round(float(day), 1) for day in days if day < closed]
    breaths = [round(float(rng.uniform(0, MOST_BREATH)), 2) for _ in kept]
    chosen = _nearest(np.array(kept), ASKED_DAYS, rng)
    return [
        SerialScan(seed, "covid", hospital, day, breath, closed, number == chosen)
        for number, (day, breath) in enumerate(zip(kept, breaths, strict=True))
    ]


def _single(
    seeds: Sequence[int], disease: str, hospital: str, serial: Sequence[SerialScan], rng: np.random.Generator
) -> list[SerialScan]:
    """One scan of each patient of another disease, on days taken evenly from those of the serial patients."""
    days = sorted(scan.day for scan in serial if scan.diagnosed)
    told = []
    for number, seed in enumerate(seeds):
        day = days[int((number + 0.5) * len(days) / len(seeds))]
        closed = round(float(rng.uniform(max(CLOSED[0], day + 1), CLOSED[1])), 1)
        breath = round(float(rng.uniform(0, MOST_BREATH)), 2)
        told.append(SerialScan(seed, disease, hospital, day, breath, closed))
    return told


def phantom_ground(
    people: People,
    seed: int,
    folder: Path | None,
    size: int,
    masks: MaskMaker | None,
    progress: Progress | None = None,
) -> PrognosisGround:
    """Serial phantom exams, kept in `folder`: 0.1 s a scan of one core, and 1.5 s more where masks are found.

    masks  who finds lungs and lesions, as in a hospital; None: the true ones
    A scan that is kept there is not drawn again, so the call can be repeated after a stop.
    """
    plan = plan_serial(people, seed)
    made = {"ground": "serial phantoms", "size": size, "frame": BODY.name}
    store = ExamStore(folder, made if masks is None else made | {"masks by": masks.identity()})
    exams, true = [], []
    for number, scan in enumerate(plan):
        if progress:
            progress(f"drawing phantom scan {number + 1} of {len(plan)}", number / len(plan))
        exam, involved = _kept(store, scan, size, masks)
        exams.append(exam)
        true.append(involved)
    table = Cohort("phantom", Path(), tuple(scan.case() for scan in plan))
    found = _exam_set(table, exams)
    store.finish(found, [scan.drawn_from() for scan in plan])
    people_of = [scan.patient() for scan in plan]
    truth = {
        "affected_percent": np.array(true, float),
        "peak_day": np.array([one.course.peak_day for one in people_of], float),
        "clearing_day": np.array([one.course.peak_day + one.course.hold_days for one in people_of], float),
        "log_risk": np.array([one.outcome.log_risk for one in people_of], float),
    }
    by = "drawn" if masks is None else "found"
    return PrognosisGround("phantom", found, stays_of(table), burdens_of(exams), TRAINED, by, truth, plan)


def _kept(store: ExamStore, scan: SerialScan, size: int, masks: MaskMaker | None) -> tuple[Exam, float]:
    """A scan's exam, and how much of its lungs is truly ill, per cent."""
    exam = store.kept(scan.drawn_from())
    if exam is not None:
        return exam, float(store.note(scan.drawn_from()))
    chest = scan.render()
    lungs, lesions = (chest.lungs, chest.lesions) if masks is None else masks.of(chest.volume)[:2]
    exam = make_exam(chest.volume, lungs, lesions, size, BODY)
    involved = 100.0 * chest.involvement()
    store.keep(scan.drawn_from(), exam, f"{involved:.4f}")
    return exam, involved


def _exam_set(table: Cohort, exams: list[Exam]) -> ExamSet:
    cases = table.cases
    return ExamSet(
        tuple(exams),
        np.array([label_of(case.label) for case in cases], np.int64),
        tuple(case.label for case in cases),
        tuple(case.patient for case in cases),
        tuple(case.site for case in cases),
        tuple(case.scan for case in cases),
        tuple(case.site for case in cases),
        {"day": tuple(f"{case.day:g}" for case in cases)},
    )


# ------------------------------------------------------------------------------------------ anybody's scans


def cohort_ground(
    cohort: Cohort, folder: Path | None, size: int, drawn: bool = False, progress: Progress | None = None
) -> PrognosisGround:
    """A cohort's scans: of several sites the one with most scans is learned from and the others are asked.

    DataError for a table whose days or outcomes contradict themselves (`data.stays`), that names no stay,
    or where nobody is left to ask.
    """
    stays = known_stays(cohort)
    parts, trained = _parts(cohort)
    exams = read_exams(cohort, folder, ExamMaking(size, drawn=drawn, frame=BODY), progress)
    exams = replace(exams, split=parts)
    by = "drawn" if drawn else "found"
    ground = PrognosisGround(cohort.name, exams, stays, burdens_of(exams.exams), trained, by, table=cohort)
    _check_labels(ground)
    return ground


def known_stays(cohort: Cohort) -> Stays:
    """The stays of a table, looked at before anything is written; DataError where nothing can be foretold."""
    stays = stays_of(cohort)
    if not np.isfinite(stays.stay).any():
        raise DataError(
            f"no scan of {cohort.name} has a stay ahead of it: the table needs a column stay_days, counted "
            "like the column day"
        )
    if not stays.seen.any():
        raise DataError(
            f"nobody in {cohort.name} was seen to leave: all stays are censored, and none can be foretold"
        )
    return stays


def names_masks(cohort: Cohort) -> bool:
    """Whether the table names lungs and lesions of every scan; of healthy people lungs alone."""
    return all(
        case.lungs is not None and (case.lesions is not None or case.label == "healthy")
        for case in cohort.cases
    )


def _parts(cohort: Cohort) -> tuple[tuple[str, ...], str]:
    """The part of each scan, and the one that is learned from."""
    sites = Counter(case.site for case in cohort.cases)
    if len(sites) > 1 and "" not in sites:
        return tuple(case.site for case in cohort.cases), sites.most_common(1)[0][0]
    if not any(case.split for case in cohort.cases):
        cohort = split_by_patient(cohort, {"train": 0.6, TEST: 0.4}, 0, ("label",))
    parts = tuple(TEST if case.split == TEST else "train" for case in cohort.cases)
    if set(parts) != {"train", TEST}:
        raise DataError(f"{cohort.name} has no scans in split {TEST!r}: there is nobody to ask")
    return parts, "train"


def _check_labels(ground: PrognosisGround) -> None:
    for part in (ground.trained, *ground.outside):
        here = ground.rows(part) & ground.covid
        if not here.any():
            raise DataError(f"no scan of {part!r} is labelled 'covid': a course and a prognosis are of these")
