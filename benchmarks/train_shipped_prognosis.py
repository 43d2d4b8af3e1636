"""Make the prognosis that comes with the package, and say what its figures are worth.

    python benchmarks/train_shipped_prognosis.py --kept FOLDER --scans 150 --out OUT

OUT is src/glasslung/weights/prognosis-hu for the one that ships. Nobody in it is a person.

1. Some phantom scans are drawn, and the product measures them as `glasslung analyze` would: lungs, lesions,
   opacity by density, severity score, log-odds of the classifier that ships. About 5 s of one core each; kept
   in FOLDER, so the command can be repeated after a stop.
2. From these: what the product measures, given how much lung is truly ill (a regression for each disease) and
   by how much it errs (the errors of one patient's two scans stay together).
3. Many more people are drawn, never rendered: their true extent follows from their course, what the product
   would measure from 2, their fate from the phantom's hazards. The laws learn from these.
4. Others of the same kind, whom no law learned from, give the curves of the groups and the figures.
5. The drawn scans of 1, with what the product really measured on them, are asked too: too few for curves, but
   nothing about them is imagined, and their fates taught nobody.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glasslung.data.cohort import Cohort
from glasslung.data.phantom import Patient, draw_cohort, render
from glasslung.data.stays import CHANGE, LOG_DAYS, LONG_STAY_DAYS, Stays, stays_of, with_priors
from glasslung.files import make_folder, write_json, write_whole
from glasslung.measure.concordance import c_difference, c_interval, harrells_c, harrells_c_weighted
from glasslung.measure.survival import at_risk, cumulative_incidence, kaplan_meier, log_rank
from glasslung.predict.prognosis import FILE, MEASURES, PERSON, Outlook, PrognosisModel, told_of
from glasslung.studies.prognosis.hazardlaw import resampled_law
from glasslung.studies.prognosis.risks import HORIZON, ILL, STAY, fit, times_of, usable
from glasslung.types import Case, Intensity, RiskCurve

SHAPE = (64, 160, 160)  # voxels of about 5 x 2.4 x 2.4 mm, as in the study of diagnosis
MIX = {"covid": 0.5, "bacterial": 0.3}  # the diagnosis' mix without the healthy, who have no stay
SITES = ("a", "b", "c")
FIRST, GAP = (1.0, 5.0), (2.0, 6.0)  # days: of the first scan, and to the second
MOST_BREATH = 0.4
RENDERED, RENDERED_SEED, PEOPLE_SEED, ASKED_SEED = 240, 11, 12, 13
STRENGTHS = (1.0, 10.0, 100.0)
DRAWS = 40  # resampled laws behind a curve's limits: their 95 % limits need no more
MARKS = (0.0, 3.0, 7.0, 10.0, 14.0, 21.0)  # by the last of them nearly all phantoms have left
STILL = "being still in hospital"
ONE = MEASURES
TWO = (*MEASURES, *(name + CHANGE for name in MEASURES), LOG_DAYS)
READ = ((*TWO, *PERSON), (*ONE, *PERSON), TWO, ONE)  # what a law reads; those that read most first
POINTS = 2000  # of a lung, on which its share of ill tissue is counted


@dataclass(frozen=True)
class Scan:
    """One scan of a phantom, drawn or only imagined."""

    patient: Patient
    day: float
    breath: float

    @property
    def name(self) -> str:
        """Equal for equal scans."""
        patient = self.patient
        return f"{patient.name}-{patient.disease}-{patient.site.name}-{self.day:g}-{self.breath:g}"


def plan(people: int, seed: int) -> list[Scan]:
    """Two scans of each ill person, of which those remain on which the patient is in hospital and well."""
    rng = np.random.default_rng([seed, people])
    scans = []
    for patient in draw_cohort(people, seed, MIX, SITES).patients:
        first = round(float(rng.uniform(*FIRST)), 1)
        for day in (first, round(first + float(rng.uniform(*GAP)), 1)):
            scan = Scan(patient, day, round(float(rng.uniform(0, MOST_BREATH)), 2))
            if (patient.outcome.event_day or 0.0) > day:
                scans.append(scan)
    return scans


# --------------------------------------------------------------------------------- what the product measures


def measured(scans: Sequence[Scan], kept: Path) -> dict[str, np.ndarray]:
    """The product's columns of each scan, (N,) each."""
    from glasslung.analyze.masks import Segmenters
    from glasslung.predict.diagnosing import open_classifier

    make_folder(kept)
    asked = None
    rows = []
    for number, scan in enumerate(scans):
        file = kept / f"{scan.name}.json"
        if not file.is_file():
            asked = asked or (Segmenters(), open_classifier("diagnosis-hu"))
            write_json(file, look(scan, *asked))
            print(f"{number + 1} of {len(scans)}", flush=True)
        rows.append(json.loads(file.read_text()))
    return {name: np.array([row[name] for row in rows], float) for name in MEASURES}


def look(scan: Scan, segmenters: object, classifier: object) -> dict[str, float]:
    """One scan rendered, and measured as `glasslung analyze` does."""
    from glasslung.analyze.masks import GivenPaths, make_masks
    from glasslung.measure.opacity import opacities
    from glasslung.measure.regions import measure_scan
    from glasslung.predict.exams import make_exam

    volume = render(scan.patient, scan.day, shape=SHAPE, breath=scan.breath).volume
    masks = make_masks(volume, GivenPaths(), {}, segmenters)  # type: ignore[arg-type]
    dense = opacities(volume, masks.lungs)
    regions, severity, involvement = measure_scan(volume, masks.lungs, dense, masks.lobes, masks.lesions)
    exam = make_exam(volume, masks.lungs.mask, masks.lesions.mask, classifier.size)  # type: ignore
    return {
        "affected_percent": float(involvement or 0.0),
        "consolidation_percent": regions[0].lesions["consolidation"].percent,  # type: ignore[index]
        "severity_points": float(severity.points if severity else np.nan),
        "log_odds": classifier.ask(exam),  # type: ignore[attr-defined]
    }


def extent(scan: Scan) -> tuple[float, float]:
    """Per cent of the lungs that is truly ill, and consolidated, without a rendering.

    The phantom's own formulas (`data.phantom.disease`) at points of a lung that the disease reaches one after
    another; agrees with renderings to a correlation of .99 in square roots.
    """
    from scipy.special import ndtri

    course, day = scan.patient.course, scan.day
    when = course.start_day + (course.peak_day - course.start_day) * np.linspace(0, 1, 401)
    place = (np.arange(POINTS) + 0.5) / POINTS
    reached = np.interp(place * course.most, course.reached(when), when)
    core = ndtri((np.random.default_rng(0).permutation(POINTS) + 0.5) / POINTS)
    age = np.maximum(day - reached, 0)
    glass = course.glass * np.clip(age / 2, 0.15, 1)
    ripe = np.clip((age - course.tempo_days) / (0.6 * course.tempo_days + 0.6), 0, 1)
    step = np.clip((core - ndtri(1 - np.clip(course.core, 1e-3, 0.999))) * (0.5 / 0.22) + 0.5, 0, 1)
    solid = ripe * step * step * (3 - 2 * step)
    late = max(0.0, day - course.peak_day - course.hold_days)
    left = np.exp(-late / course.clear_days * np.maximum(1 + 0.25 * core, 0.2))
    lost = (glass + (0.96 - glass) * solid) * left * (reached < day)
    return 100 * course.most * float((lost >= 0.1).mean()), 100 * course.most * float((lost > 0.6).mean())


class Measuring:
    """What the product measures on scans whose true extent is known, with its errors."""

    def __init__(self, scans: Sequence[Scan], columns: Mapping[str, np.ndarray]) -> None:
        self.slopes: dict[str, np.ndarray] = {}
        self.errors: dict[str, list[list[np.ndarray]]] = {}
        table = self._rooted(columns)
        for disease in MIX:
            rows = [row for row, scan in enumerate(scans) if scan.patient.disease == disease]
            x = self._known([scans[row] for row in rows])
            self.slopes[disease] = np.linalg.lstsq(x, table[rows], rcond=None)[0]
            left = table[rows] - x @ self.slopes[disease]
            by_patient: dict[str, list[np.ndarray]] = {}
            for row, error in zip(rows, left, strict=True):
                by_patient.setdefault(scans[row].patient.name, []).append(error)
            self.errors[disease] = list(by_patient.values())
            print(f"{disease}: {len(rows)} scans measured, errors (SD) {left.std(0).round(2)}")

    def of(self, scans: Sequence[Scan], rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Columns of scans that nobody rendered."""
        table = np.zeros((len(scans), len(MEASURES)))
        rows: dict[str, list[int]] = {}
        for row, scan in enumerate(scans):
            rows.setdefault(scan.patient.name, []).append(row)
        for some in rows.values():
            disease = scans[some[0]].patient.disease
            donors = [one for one in self.errors[disease] if len(one) >= len(some)]
            errors = donors[rng.integers(len(donors))]
            known = self._known([scans[row] for row in some])
            table[some] = known @ self.slopes[disease] + np.stack(errors[: len(some)])
        share = np.maximum(table[:, :2], 0) ** 2
        points = np.clip(np.rint(table[:, 2]), 0, 24)
        return dict(zip(MEASURES, (*np.minimum(share, 100).T, points, table[:, 3]), strict=True))

    @staticmethod
    def _known(scans: Sequence[Scan]) -> np.ndarray:
        ill, solid = np.array([extent(scan) for scan in scans]).T
        return np.stack([np.ones(len(ill)), np.sqrt(ill), np.sqrt(solid), ill / 10], 1)

    @staticmethod
    def _rooted(columns: Mapping[str, np.ndarray]) -> np.ndarray:
        roots = [np.sqrt(columns[name]) for name in MEASURES[:2]]
        return np.stack([*roots, *(columns[name] for name in MEASURES[2:])], 1)


# ------------------------------------------------------------------------------------------------- the laws


def table_of(scans: Sequence[Scan], columns: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], Stays]:
    """All columns of scans, those of the scan before among them, and their stays."""
    cases = []
    for scan in scans:
        patient, outcome = scan.patient, scan.patient.outcome
        told = {"age": str(patient.age), "sex": "M" if patient.male else "F", "outcome": outcome.kind}
        told["stay_days"] = f"{outcome.stay_days:.1f}"
        cases.append(
            Case(
                patient.name,
                scan.name,
                Path("phantom"),
                Intensity.HU,
                scan.day,
                patient.site.name,
                patient.disease,
                outcome.event,
                outcome.event_day,
                extra=told,
            )
        )
    stays = stays_of(Cohort("phantom", Path(), tuple(cases)))
    return with_priors(columns, stays) | {"age": stays.age, "male": stays.male}, stays


def chosen(
    columns: Mapping[str, np.ndarray], stays: Stays, names: Sequence[str], endpoint: str, last: bool = False
) -> tuple[dict[str, np.ndarray], Stays]:
    """The lines that a law can read; of each patient the last alone where asked."""
    mine = {name: columns[name] for name in names}
    rows = np.flatnonzero(usable(mine, stays, endpoint))
    if last:
        rows = np.array([max(some, key=lambda row: stays.day[row]) for some in _by_patient(stays, rows)])
    return {name: column[rows] for name, column in mine.items()}, stays.take(rows)


def _by_patient(stays: Stays, rows: np.ndarray) -> list[list[int]]:
    found: dict[str, list[int]] = {}
    for row in rows:
        found.setdefault(stays.patients[row], []).append(int(row))
    return list(found.values())


def watched(stays: Stays, endpoint: str) -> tuple[np.ndarray, np.ndarray, int]:
    """Days, event, and whether a high risk meets it early (1) or late (-1)."""
    if endpoint == STAY:
        return stays.stay, stays.seen, -1
    return stays.event_days, stays.event == 1, 1


def outlook_of(
    names: Sequence[str],
    endpoint: str,
    learned: tuple[dict[str, np.ndarray], Stays],
    asked: tuple[dict[str, np.ndarray], Stays],
    drawn: tuple[dict[str, np.ndarray], Stays],
    seed: int,
) -> Outlook:
    """One law, and what it is worth on the people who are asked; printed also for the scans really drawn."""
    rng = np.random.default_rng([seed, len(names), endpoint == STAY])
    columns, stays = chosen(*learned, names, endpoint)
    model = fit("hazards", columns, stays, endpoint, rng=rng, strengths=STRENGTHS)
    members = resampled_law(
        columns, *times_of(stays, endpoint), model.strength, stays.patients, draws=DRAWS, rng=rng
    )
    others, ahead = chosen(*asked, names, endpoint, last=True)
    plain = fit("hazards", *_person(learned, names, endpoint), endpoint, rng=rng, strengths=STRENGTHS)
    days, event, sign = watched(ahead, endpoint)
    risk = model.risk(others)
    person = plain.risk({name: _column(asked, ahead, name) for name in PERSON})
    worth, without = (
        c_interval(harrells_c_weighted, sign * one, days, event, ahead.patients, rng=rng)
        for one in (risk, person)
    )
    gain = c_difference(harrells_c_weighted, sign * person, sign * risk, days, event, ahead.patients, rng=rng)
    cut = float(np.median(model.risk(columns)))
    p = log_rank(days, event, risk >= cut).p
    people = len(set(stays.patients))
    print(f"\n{endpoint} from {', '.join(names)}: {people} people, strength {model.strength:g}")
    print(f"  asked {len(ahead)}, {int(event.sum())} events: C {worth}, age and sex {without}, gain {gain}")
    print(
        f"  higher against lower risk: log-rank p {p:.2g}; C of the true risk {best_of(ahead, endpoint):.2f}"
    )
    real, fate = chosen(*drawn, names, endpoint, last=True)
    days, event, sign = watched(fate, endpoint)
    found = c_interval(harrells_c_weighted, sign * model.risk(real), days, event, fate.patients, rng=rng)
    print(f"  scans really drawn: {len(fate)}, {int(event.sum())} events: C {found}", flush=True)
    return Outlook(
        STILL if endpoint == STAY else ILL,
        model.law,  # type: ignore[attr-defined]
        members,
        1,
        endpoint == STAY,
        LONG_STAY_DAYS if endpoint == STAY else HORIZON,
        MARKS,
        {name: (float(column.min()), float(column.max())) for name, column in columns.items()},
        tuple(np.quantile(model.risk(columns), np.linspace(0, 1, 101))),
        cut,
        groups_of(risk >= cut, ahead, endpoint),
        "Harrell's C",
        (worth.value, worth.low, worth.high),
        (without.value, without.low, without.high),
        (gain.value, gain.low, gain.high),
    )


def best_of(stays: Stays, endpoint: str) -> float:
    """Harrell's C of the true log hazard, which no column tells whole."""
    true = np.array([truth[name] for name in stays.patients])
    days, event, sign = watched(stays, endpoint)
    return harrells_c(sign * true, days, event)


truth: dict[str, float] = {}
"""Name of a phantom -> its true log hazard of critical illness."""


def _person(
    learned: tuple[dict[str, np.ndarray], Stays], names: Sequence[str], endpoint: str
) -> tuple[dict[str, np.ndarray], Stays]:
    """Age and sex of the very lines that the law with `names` reads."""
    columns, stays = chosen(*learned, (*dict.fromkeys((*names, *PERSON)),), endpoint)
    return {name: columns[name] for name in PERSON}, stays


def _column(asked: tuple[dict[str, np.ndarray], Stays], ahead: Stays, name: str) -> np.ndarray:
    place = {scan: row for row, scan in enumerate(asked[1].scans)}
    return asked[0][name][[place[scan] for scan in ahead.scans]]


def groups_of(higher: np.ndarray, stays: Stays, endpoint: str) -> tuple[RiskCurve, RiskCurve]:
    """What happened to the patients of lower and of higher risk."""
    curves = []
    for name, rows in (("lower risk", ~higher), ("higher risk", higher)):
        mine = stays.take(rows)
        if endpoint == STAY:
            curve, days = kaplan_meier(mine.stay, mine.seen), mine.stay
        else:
            curve, days = cumulative_incidence(mine.event_days, mine.event, 1), mine.event_days
        early = curve.days <= MARKS[-1]
        arrays = (getattr(curve, part)[early] for part in ("days", "share", "low", "high"))
        told = (tuple(float(value) for value in one) for one in arrays)
        curves.append(RiskCurve(name, *told, len(mine), tuple(at_risk(days, MARKS))))  # type: ignore
    return curves[0], curves[1]


TRAINED_ON = (
    "{people} drawn people (phantoms) with COVID-like or bacterial-like pneumonia; what would have been "
    "measured on them follows {scans} drawn scans that were measured. No person"
)
LIMITS = (
    "drawn fates follow laws that were written down, by severity, age and sex; a hospital's patients, its "
    "treatment and its discharges follow others"
)
DOUBTS = ("it learned from drawn patients (phantoms), not from people",)


def main(asked: argparse.Namespace) -> None:
    """All steps, in order."""
    drawn = plan(RENDERED, RENDERED_SEED)[: asked.scans]
    found = measured(drawn, asked.kept)
    measuring = Measuring(drawn, found)
    rng = np.random.default_rng(asked.seed)
    taken = {scan.patient.seed for scan in drawn}
    tables = []
    for people, seed in ((asked.people, PEOPLE_SEED), (asked.asked, ASKED_SEED)):
        scans = [scan for scan in plan(people, seed) if scan.patient.seed not in taken]
        taken |= {scan.patient.seed for scan in scans}
        truth.update({scan.patient.name: scan.patient.outcome.log_risk or 0.0 for scan in scans})
        tables.append(table_of(scans, measuring.of(scans, rng)))
    learned, others = tables
    outlooks = tuple(
        outlook_of(names, endpoint, learned, others, table_of(drawn, found), asked.seed)
        for endpoint in (ILL, STAY)
        for names in READ
    )
    told = TRAINED_ON.format(people=len(set(learned[1].patients)), scans=len(drawn))
    model = PrognosisModel("prognosis-hu", "", Intensity.HU, outlooks, told, LIMITS, DOUBTS)
    make_folder(asked.out)
    write_whole(asked.out / FILE, json.dumps(told_of(model), allow_nan=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kept", type=Path, required=True, help="folder of what was measured")
    parser.add_argument("--scans", type=int, default=150, help="rendered and measured")
    parser.add_argument("--people", type=int, default=1200, help="drawn, not rendered, to learn from")
    parser.add_argument("--asked", type=int, default=500, help="drawn, not rendered, to ask")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args())
