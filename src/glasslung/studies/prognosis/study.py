"""COVID3D told in order: the diagnosis elsewhere, its score over the days, and what it foretells.

    ground     serial scans of three hospitals, phantoms or a cohort (`ground`)
    folds      I3D and its 2D baseline, trained fold by fold at one hospital (`folded`), asked once
    diagnosis  tables 1 and 2: at the other hospitals, beside outlines, readers and other windows
    course     figure 2: the score over the days, and whether it peaks when the lungs do (`courses`)
    prognosis  figure 3: the stay from nothing, from one scan, from two (`foretelling`)
    case       figure 4: where the network looked, day by day (`case`)
    page       `index.html` and `numbers.json`

A folder holds one study. The same command goes on where it was stopped; another study is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.errors import DataError, UsageError
from glasslung.files import make_folder, write_json
from glasslung.predict.exams import LEAST_SIZE, ExamMaking, MaskMaker
from glasslung.studies.diagnosis.contest import Budget
from glasslung.studies.folder import NUMBERS, OUTCOMES, about_run, check_free, claim, one_thread, part_of
from glasslung.studies.jobs import Done, Job, Product, finish
from glasslung.studies.prognosis.burden import AFFECTED
from glasslung.studies.prognosis.case import draw_case
from glasslung.studies.prognosis.columns import all_columns, principal_parts
from glasslung.studies.prognosis.courses import changes_with, follow
from glasslung.studies.prognosis.diagnosed import by_days, diagnose, inner
from glasslung.studies.prognosis.folded import (
    FOLLOWED,
    I3D,
    LEAST_FOLDS,
    METHODS,
    Folded,
    deal_folds,
    fold_jobs,
    opened,
    read_folds,
)
from glasslung.studies.prognosis.foretelling import foretell
from glasslung.studies.prognosis.ground import (
    People,
    PrognosisGround,
    cohort_ground,
    known_stays,
    names_masks,
    phantom_ground,
)
from glasslung.studies.prognosis.masks import compare_masks
from glasslung.studies.prognosis.page import write_page
from glasslung.studies.prognosis.readings import check_readings, read_prognoses, readings_of
from glasslung.studies.prognosis.windows import through_windows
from glasslung.types import Progress

EXAMS = "exams"
LABELS = "labels.csv"
COURSE_STREAM = 9
SHARES = {"draw": 0.2, "train": 0.6, "windows": 0.1, "figures": 0.1}
SEED = 0


@dataclass(frozen=True)
class Plan:
    """How much of everything: what `--quick` and the full study differ in."""

    quick: bool
    people: People
    size: int  # side of the slices, pixels
    folds: int
    budget: Budget  # of each fold of each method
    windows: int  # draws of other windows
    window_scans: int  # of each kind at each hospital that are seen through them
    checked: int  # scans whose masks are found where they were drawn
    draws: int  # resamples behind an interval
    tuned: bool = True  # how strongly risk models are shrunk; False: the middle of what is tried
    found: bool = False  # lungs and lesions found as the product does, also where somebody drew them
    methods: tuple[str, ...] = field(default_factory=lambda: tuple(METHODS))

    def for_minutes(self, minutes: float | None) -> Plan:
        """The same with another time for each fold."""
        if minutes is None:
            return self
        if not minutes > 0:
            raise UsageError(f"--minutes {minutes:g}: every training needs some time")
        return replace(self, budget=replace(self.budget, seconds=60 * minutes))

    def for_folds(self, folds: int | None) -> Plan:
        """The same with another number of folds."""
        if folds is None:
            return self
        if folds < LEAST_FOLDS:
            raise UsageError(f"--folds {folds}: {LEAST_FOLDS} or more")
        return replace(self, folds=folds)

    def for_size(self, size: int | None) -> Plan:
        """The same on slices of another side, pixels."""
        if size is None:
            return self
        if size < LEAST_SIZE:
            raise UsageError(f"--size {size}: {LEAST_SIZE} pixels or more")
        return replace(self, size=size)

    def with_masks(self, found: bool) -> Plan:
        """The same with masks found as the product finds them, two seconds a scan."""
        return replace(self, found=found)

    def for_methods(self, names: str) -> Plan:
        """The same with some methods, named with commas between them; I3D is always there."""
        if not names.strip():
            return self
        wanted = [I3D, *(name.strip() for name in names.split(","))]
        for name in wanted:
            if name not in METHODS:
                raise UsageError(f"there is no method {name!r}; there are {', '.join(METHODS)}")
        return replace(self, methods=tuple(dict.fromkeys(wanted)))


FULL = Plan(False, People(), 96, 3, Budget(120.0, looks=4), 50, 16, 16, 1000)
QUICK = Plan(True, People((60, 40), (30, 15)), 48, 2, Budget(20.0, looks=4), 20, 8, 0, 300, tuned=False)


def is_critical(cohort: Path) -> bool:
    """Whether a folder holds slices with a column critical_illness: the study of `studies.critical`."""
    table = cohort / LABELS
    if not table.is_file():
        return False
    header = table.read_text(encoding="utf-8-sig", errors="replace").partition("\n")[0]
    return "critical_illness" in {name.strip().strip('"') for name in header.split(",")}


def run_prognosis(
    cohort: Path | None,
    out: Path,
    plan: Plan = FULL,
    readers: Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """The whole study, from scans to the page; returns the page's path.

    cohort   folder or table of serial scans with days and outcomes; None: phantoms
    readers  table of readers' ratings (`data.readers`); None: of phantoms simulated ones
    Raises UsageError (the folder holds something else), DataError (scans that no study can be made of).
    """
    from glasslung.data.readers import read_readers
    from glasslung.data.sources import open_cohort

    check_free(out)
    table = None if cohort is None else open_cohort(cohort)
    if table is not None:
        known_stays(table)
    drawn = not plan.found and (table is None or names_masks(table))
    read = None if readers is None else hashlib.sha256(_table(readers).read_bytes()).hexdigest()[:16]
    readings = None if readers is None else read_readers(_table(readers))
    making = ExamMaking(plan.size)
    asked: dict[str, Any] = {
        "study": "prognosis",
        "plan": {**asdict(plan), "methods": list(plan.methods)},
        "cohort": "phantom" if table is None else table.name,
        "readers": read,
        "masks by": "drawn" if drawn else MaskMaker(making).identity(),
    }
    make_folder(out)
    claim(out, asked)
    begun, trained = SHARES["draw"], SHARES["draw"] + SHARES["train"]
    with one_thread():
        drawing = part_of(progress, 0.0, begun)
        if table is None:
            masks = None if drawn else MaskMaker(making)
            ground = phantom_ground(plan.people, SEED, out / EXAMS, plan.size, masks, drawing)
        else:
            ground = cohort_ground(table, out / EXAMS, plan.size, drawn, drawing)
        if readings is not None:
            check_readings(ground, readings)
        done, folded, why = learn(ground, plan, out, part_of(progress, begun, trained))
        numbers = about_run(asked, done, 1)
        numbers |= measure(ground, plan, done, folded, readers, out, part_of(progress, trained, 1.0))
        numbers["no diagnosis"] = why
    write_json(out / NUMBERS, numbers)
    return write_page(numbers, out)


def learn(
    ground: PrognosisGround, plan: Plan, out: Path, progress: Progress | None
) -> tuple[list[Done], dict[str, Folded], str]:
    """Every fold of every method; nothing, with the reason, where a table has no two diseases to part."""
    try:
        fold = deal_folds(ground, plan.folds, SEED)
    except DataError as problem:
        if ground.plan:
            raise
        return [], {}, str(problem)
    jobs = fold_jobs(ground, fold, plan.budget, plan.methods, SEED)
    done = finish(jobs, out / OUTCOMES, progress)
    return done, {name: read_folds(done, name, ground, fold) for name in plan.methods}, ""


def measure(
    ground: PrognosisGround,
    plan: Plan,
    done: Sequence[Done],
    folded: Mapping[str, Folded],
    readers: Path | None,
    out: Path,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Every figure of the study."""
    readings = readings_of(ground, readers, SEED)
    lead = folded.get(I3D)
    numbers: dict[str, Any] = {
        "ground": ground.told(),
        "simulated readers": readers is None and bool(readings),
        "inner": inner(ground, folded),
        "diagnosis": diagnose(ground, folded, readings, SEED, plan.draws) if folded else {},
        "by day": [] if lead is None else by_days(ground, lead, SEED, plan.draws),
    }
    shared = SHARES["windows"] / (SHARES["windows"] + SHARES["figures"])
    extra = finish(_extra_jobs(ground, plan, done, lead), out / OUTCOMES, part_of(progress, 0.0, shared))
    numbers["windows"] = {
        one.manifest["asked"]["part"]: one.manifest["told"]
        for one in extra
        if "part" in one.manifest["asked"]
    }
    numbers["mask check"] = next((one.manifest["told"] for one in extra if one.name == "masks"), None)
    score, parts = _read_by(ground, lead)
    features = None if lead is None else lead.features[lead.best]
    numbers["course"] = _courses(ground, score, plan.draws)
    columns = all_columns(ground.stays, dict(ground.burdens), score, parts)
    foretelling = part_of(progress, shared, 1.0)
    numbers["prognosis"] = foretell(ground, columns, features, SEED, plan.draws, plan.tuned, foretelling)
    numbers["readers"] = read_prognoses(ground, readings, SEED, plan.draws)
    numbers["case"] = _case(ground, done, lead, plan, out)
    return numbers


def _read_by(ground: PrognosisGround, lead: Folded | None) -> tuple[np.ndarray | None, np.ndarray | None]:
    """s(t) of every scan, and the principal parts of the best fold's features."""
    if lead is None:
        return None, None
    rows = ground.covid & ground.rows(ground.trained)
    return lead.score, principal_parts(lead.features[lead.best], rows)


def _courses(ground: PrognosisGround, score: np.ndarray | None, draws: int) -> dict[str, Any]:
    """The courses of s(t) and of the burden; the reason where nobody has two scans."""
    if not ground.serial:
        return {"why not": "every patient has one scan: there is no course to follow"}
    rng = np.random.default_rng([SEED, COURSE_STREAM])
    told = {"burden": follow(ground, ground.burdens[AFFECTED], rng, draws, amount=True)}
    if score is None:
        return told
    followed = follow(ground, score, rng, draws)
    followed["changes with"] = changes_with(ground, score, rng, draws)
    return {"s": followed, **told}


def _case(
    ground: PrognosisGround, done: Sequence[Done], lead: Folded | None, plan: Plan, out: Path
) -> dict[str, Any] | None:
    if lead is None or not ground.serial:
        return None
    return draw_case(ground, opened(done, lead, plan.size), out)


def _extra_jobs(ground: PrognosisGround, plan: Plan, done: Sequence[Done], lead: Folded | None) -> list[Job]:
    """What takes minutes and gives a few figures: other windows at each hospital, masks found."""
    jobs = []
    if lead is not None:
        model = opened(done, lead, plan.size)
        weights = next(one for one in done if one.name == f"{lead.name} fold {lead.best}")
        told = {
            "weights": weights.manifest["weights_sha256"],
            "scans": plan.window_scans,
            "draws": plan.windows,
        }
        for part in ground.outside:

            def work(progress: Progress | None, part: str = part) -> Product:
                seen = (part, plan.window_scans, plan.windows, SEED, progress)
                return Product(None, None, through_windows(ground, model, *seen))

            jobs.append(Job(f"windows at {part}", SEED, {"part": part, **told}, work))
    if ground.plan and not plan.found and plan.checked:
        jobs.append(Job("masks", SEED, {"scans": plan.checked, "size": plan.size}, _mask_work(ground, plan)))
    return jobs


def _mask_work(ground: PrognosisGround, plan: Plan) -> Callable[[Progress | None], Product]:
    def work(progress: Progress | None) -> Product:
        found = compare_masks(ground, plan.checked, MaskMaker(ExamMaking(plan.size)), progress)
        return Product(None, None, found or {})

    return work


def _table(readers: Path) -> Path:
    from glasslung.data.readers import TABLE_NAME

    table = readers / TABLE_NAME if readers.is_dir() else readers
    if not table.is_file():
        raise UsageError(f"there is no table of readings at {table}")
    return table


assert I3D in FOLLOWED, "s(t) is the score of the paper's network"
