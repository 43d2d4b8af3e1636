"""What the study of diagnosis stands on: exams of scans in parts that share no patient.

phantom   patients of three hospitals, ill with COVID-like or bacterial-like pneumonia or healthy, whose
          lungs and lesions are known because we drew them; one hospital is never trained on
cohort    anybody's scans; lungs and lesions as the product draws them, parts as the table has them
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.data.cohort import Cohort, check_disjoint, split_by_patient
from glasslung.data.exams import LUNGS, Exam, ExamSet, Frame, label_of
from glasslung.data.examstore import ExamStore
from glasslung.data.phantom import Chest, draw_cohort, draw_patient, render
from glasslung.errors import DataError, LeakError, UsageError
from glasslung.predict.exams import SIZE, ExamMaking, MaskMaker, make_exam, read_exams
from glasslung.types import Case, Progress

TRAIN, VALIDATION, TEST, EXTERNAL = "train", "val", "test", "external"
SHAPE = (64, 160, 160)  # voxels of about 5 x 2.4 x 2.4 mm, as fine as an exam of 128 pixels: 0.5 s a scan
TRAINED_SITES, HELD_OUT_SITE = ("a", "b"), "c"
MIX = {"covid": 0.5, "bacterial": 0.3, "healthy": 0.2}
EXTERNAL_SHARE = 0.25  # of all patients, from the hospital that is never trained on
PARTS = {TRAIN: 0.5, VALIDATION: 0.2, TEST: 0.3}  # of the others: figures need patients too
LATEST_DAY = {"covid": 18.0, "bacterial": 9.0, "healthy": 9.0}  # the bacterial course is over by then
FIRST_DAY = 2.0  # nobody is scanned before there is anything to see
MOST_BREATH = 0.4  # of full expiration: nobody holds the breath at quite the same place
LEAST_ASKED = 2  # patients of a label in the part that is scored: with one, none is left to cross-validate
FEWEST = 26  # phantoms: fewer leave the part that is scored with one patient of a label
SEVERITY = ((0.0, "none"), (0.1, "mild"), (0.25, "moderate"), (1.0, "severe"))
"""Bands of the share of the lungs that is lesion, by their upper ends."""
MOST_LEAKING = 0.02  # of the patients: captions show one patient under two names; more is no slip
SPLIT_SEED = 0  # of a cohort without a split: all studies of one cohort are read against the same patients


@dataclass(frozen=True)
class PhantomScan:
    """What one phantom scan is drawn from: the same numbers give the same scan."""

    seed: int
    disease: str
    site: str
    day: float
    breath: float
    part: str

    def drawn_from(self) -> str:
        """A text that is equal for equal scans."""
        return f"phantom {self.seed} {self.disease} {self.site} {self.day} {self.breath} {SHAPE}"

    def render(self) -> Chest:
        """The scan with its truth, on its own grid; about half a second."""
        patient = draw_patient(self.seed, self.disease, self.site)
        return render(patient, self.day, shape=SHAPE, breath=self.breath)


@dataclass(frozen=True, eq=False)
class DiagnosisGround:
    """Exams in parts, and for phantoms how each scan is drawn again.

    name   'phantom', or the cohort's
    exams  split is 'train', 'val', 'test' or 'external'
    plan   of each exam what it was drawn from; () for a cohort
    left   scans of a cohort left out because their patient is also in an earlier part
    """

    name: str
    exams: ExamSet
    plan: tuple[PhantomScan, ...] = ()
    left: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts there are, in the order of the study."""
        there = set(self.exams.split)
        return tuple(part for part in (TRAIN, VALIDATION, TEST, EXTERNAL) if part in there)

    def part(self, name: str) -> ExamSet:
        """The exams of a part."""
        return self.exams.part(name)

    def scans_of(self, part: str, most: int) -> list[tuple[int, PhantomScan]]:
        """Some scans of a phantom's part to draw again whole, every disease among them, with their rows."""
        rows = [row for row, scan in enumerate(self.plan) if scan.part == part]
        by_disease = [[row for row in rows if self.plan[row].disease == name] for name in MIX]
        turn = [row for some in _dealt_in_turn(by_disease) for row in some][:most]
        return [(row, self.plan[row]) for row in sorted(turn)]

    def told(self) -> dict[str, Any]:
        """Counts of scans by part, site and word, as plain values."""
        exams = self.exams
        lines = Counter(zip(exams.split, exams.sites, exams.words, strict=True))
        return {
            "name": self.name,
            "scans": len(exams),
            "patients": len(set(exams.patients)),
            "left out, patient in another part": len(self.left),
            "by part, site, word": [
                {"part": part, "site": site, "word": word, "scans": count}
                for (part, site, word), count in sorted(lines.items())
            ],
        }


def plan_phantoms(people: int, seed: int) -> tuple[PhantomScan, ...]:
    """Who is scanned where and when: sites and parts hold every disease, and no patient is in two parts."""
    if people < FEWEST:
        raise UsageError(f"a phantom ground needs {FEWEST} patients or more, got {people}")
    outside = round(people * EXTERNAL_SHARE)
    inner = draw_cohort(people - outside, seed, MIX, TRAINED_SITES)
    taken = {patient.seed for patient in inner.patients}
    outer = draw_cohort(outside + people, seed + 1, MIX, (HELD_OUT_SITE,))
    fresh = [patient for patient in outer.patients if patient.seed not in taken]
    rng = np.random.default_rng([seed, people])
    scans = []
    for disease, site in sorted({(p.disease, p.site.name) for p in inner.patients}):
        group = [p for p in inner.patients if (p.disease, p.site.name) == (disease, site)]
        for patient, part in zip(group, _parts(len(group)), strict=True):
            scans.append(_scan(patient.seed, disease, site, part, rng))
    for disease, share in MIX.items():
        group = [patient for patient in fresh if patient.disease == disease][: round(outside * share)]
        scans += [_scan(patient.seed, disease, HELD_OUT_SITE, EXTERNAL, rng) for patient in group]
    return tuple(scans)


def phantom_ground(
    people: int,
    seed: int,
    folder: Path | None = None,
    size: int = SIZE,
    masks: MaskMaker | None = None,
    progress: Progress | None = None,
    frame: Frame = LUNGS,
) -> DiagnosisGround:
    """Phantom exams, kept in `folder`; about 0.5 s a scan of one core, and 2 s more where masks are found.

    masks  who finds lungs and lesions, as in a hospital; None: the true ones, from which a classifier can
           tell healthy people without looking at a grey value
    frame  how scans are cut
    A scan that is kept there is not drawn again, so the call can be repeated after a stop.
    """
    plan = plan_phantoms(people, seed)
    made = {"ground": "phantom", "size": size} | ({} if frame == LUNGS else {"frame": asdict(frame)})
    store = ExamStore(folder, made if masks is None else made | {"masks by": masks.identity()})
    exams, involved = [], []
    for number, scan in enumerate(plan):
        if progress:
            progress(f"drawing phantom {number + 1} of {len(plan)}", number / len(plan))
        exam = store.kept(scan.drawn_from())
        if exam is None:
            exam = exam_of(scan.render(), size, masks, frame)
            store.keep(scan.drawn_from(), exam)
        exams.append(exam)
        involved.append(int(np.count_nonzero(exam.lesions)) / max(1, int(np.count_nonzero(exam.lungs))))
    patients = tuple(f"p{scan.seed:06d}" for scan in plan)
    found = ExamSet(
        tuple(exams),
        np.array([label_of(scan.disease) for scan in plan], np.int64),
        tuple(scan.disease for scan in plan),
        patients,
        tuple(scan.site for scan in plan),
        tuple(f"{name}-{scan.site}" for name, scan in zip(patients, plan, strict=True)),
        tuple(scan.part for scan in plan),
        {
            "day": tuple(f"{scan.day:g}" for scan in plan),
            "involvement": tuple(f"{share:.4f}" for share in involved),
            "severity": tuple(severity_word(share) for share in involved),
        },
    )
    store.finish(found, [scan.drawn_from() for scan in plan])
    return DiagnosisGround("phantom", found, plan)


def exam_of(chest: Chest, size: int, masks: MaskMaker | None = None, frame: Frame = LUNGS) -> Exam:
    """A phantom's exam with its true lungs and lesions, or with those that are found in it."""
    if masks is None:
        return make_exam(chest.volume, chest.lungs, chest.lesions, size, frame)
    lungs, lesions, _ = masks.of(chest.volume)
    return make_exam(chest.volume, lungs, lesions, size, frame)


def true_lesions(chest: Chest, size: int, masks: MaskMaker | None = None) -> np.ndarray:
    """Where the lesions truly are, (S, H, W) bool on the exam of `exam_of`; as far as the lungs reach."""
    lungs = chest.lungs if masks is None else masks.of(chest.volume)[0]
    return make_exam(chest.volume, lungs, chest.lesions, size).lesions > 0


def cohort_ground(
    cohort: Cohort,
    folder: Path | None = None,
    making: ExamMaking | None = None,
    progress: Progress | None = None,
) -> DiagnosisGround:
    """The exams of a cohort, in the parts that its table has; without any, in parts by patient.

    A patient in two parts keeps only the scans of the earlier one; where that is more than one patient in
    fifty the split was not made by patient: LeakError. DataError where there is nothing to train on, or
    nothing to ask about, of both labels.
    """
    if not any(case.split for case in cohort.cases):
        cohort = split_by_patient(cohort, PARTS, SPLIT_SEED, ("label",))
    cases, left = _without_leaks(cohort)
    check_disjoint({part: [case for case in cases if case.split == part] for part in PARTS})
    asked = TEST if any(case.split == TEST for case in cases) else VALIDATION
    for part, least in ((TRAIN, 1), (asked, LEAST_ASKED)):
        sick, others = (
            len({case.patient for case in cases if case.split == part and label_of(case.label) == kind})
            for kind in (1, 0)
        )
        if min(sick, others) < least:
            raise DataError(
                f"the part {part!r} of {cohort.name} has {sick} patient(s) with 'covid' and {others} without "
                f"it; it needs {least} of each: split again with `glasslung split`, or add patients"
            )
    found = read_exams(replace(cohort, cases=cases), folder, making, progress)
    return DiagnosisGround(cohort.name, found, left=left)


def _without_leaks(cohort: Cohort) -> tuple[tuple[Case, ...], tuple[str, ...]]:
    """The cases without the later parts of patients who are in two, and the names of the scans left out."""
    order = list(PARTS)
    first: dict[str, int] = {}
    for case in cohort.cases:
        if case.split:
            first[case.patient] = min(order.index(case.split), first.get(case.patient, len(order)))
    late = [case for case in cohort.cases if case.split and order.index(case.split) > first[case.patient]]
    leaking = {case.patient for case in late}
    if len(leaking) > MOST_LEAKING * len(first):
        raise LeakError(
            sorted(leaking), *sorted({case.split for case in late} | {TRAIN}, key=order.index)[:2]
        )
    kept = tuple(case for case in cohort.cases if case not in late)
    return kept, tuple(case.scan for case in late)


def severity_word(share: float) -> str:
    """'none', 'mild', 'moderate' or 'severe' by the share of the lungs that is lesion."""
    return next(word for most, word in SEVERITY if share <= most)


def _scan(seed: int, disease: str, site: str, part: str, rng: np.random.Generator) -> PhantomScan:
    day = round(float(rng.uniform(FIRST_DAY, LATEST_DAY[disease])), 1)
    return PhantomScan(seed, disease, site, day, round(float(rng.uniform(0, MOST_BREATH)), 2), part)


def _parts(count: int) -> list[str]:
    """Parts of a group of that many patients, by largest remainder; each part gets one as long as it can."""
    counts = {part: max(1, int(share * count)) for part, share in PARTS.items()}
    counts[TRAIN] = max(1, count - counts[VALIDATION] - counts[TEST])
    return [part for part, many in counts.items() for _ in range(many)][:count]


def _dealt_in_turn(groups: Sequence[Sequence[int]]) -> list[list[int]]:
    """First of each group, then the second of each, ..."""
    longest = max((len(group) for group in groups), default=0)
    return [[group[n] for group in groups if n < len(group)] for n in range(longest)]
