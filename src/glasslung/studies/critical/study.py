"""Critical illness from one slice, told in order: does the picture know who becomes critically ill?

    run_critical(cohort, out, plan=FULL, progress=None) -> path of the page

    ground    patients with a known endpoint; who is left out, and why (`ground`)
    sight     what a model may read off a slice (`sight`)
    nested    every choice inside the training patients of each fold, several deals (`nested`)
    scores    AUC with intervals, beside age and sex, plain greys, and what the scanner alone tells (`scores`)
    courses   from day 1 on: C, log-rank (`courses`)
    page      `index.html` and `numbers.json` (`page`)

A folder holds one study. The same command goes on where it was stopped; another study is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.errors import DataError, UsageError
from glasslung.files import make_folder, whole_file, write_json
from glasslung.studies.critical.courses import courses
from glasslung.studies.critical.ground import CriticalGround, critical_ground
from glasslung.studies.critical.nested import (
    AGE_SEX,
    CHOSEN,
    FOREST,
    Ask,
    Deal,
    by_forest,
    by_recipe,
    candidates,
    cross_validate,
)
from glasslung.studies.critical.page import write_page
from glasslung.studies.critical.scores import answers_of, score_table
from glasslung.studies.critical.sight import SEGMENTER, see, stacked
from glasslung.studies.folder import NUMBERS, about_run, check_free, claim, one_thread, part_of
from glasslung.studies.trained import picture_digest
from glasslung.types import Progress

FEATURES = "features.npz"
DIGESTS = "pictures"
LENGTH, SIZE, RIM = "scan's length alone", "picture's size alone", "rim of the lungs alone"
FIXED = {
    "lesions, weighed": ("lesions",),
    "greys, weighed": ("grey",),
    "tissue without rim, weighed": ("tissue",),
    "lesions and greys, weighed": ("lesions", "grey"),
    "segmenter's fine eyes, weighed": ("fine eyes",),
    "lesions, greys, age, sex": ("lesions", "grey", "clinic"),
}
"""Comparisons without any choice: C 0.1, of the eyes a third of it."""
EYES_C = 0.03
SHOWN = 8  # slices of the highest and of the lowest risk
SEEN = 0.3  # of the time goes into reading slices


@dataclass(frozen=True)
class Plan:
    """How much of everything: what a quick and the full study differ in."""

    quick: bool
    deals: int  # outer divisions of the patients into folds, each with every choice made anew
    folds: int
    draws: int  # resamples behind an interval
    seed: int = 0


FULL = Plan(False, 5, 5, 2000)
QUICK = Plan(True, 1, 3, 500)


def run_critical(cohort: Path, out: Path, plan: Plan = FULL, progress: Progress | None = None) -> Path:
    """The whole study, from slices to the page; returns the page's path.

    cohort  a folder in the layout of the CAGE set, or a cohort table with `event` and the columns
            progression_days, age and sex
    UsageError (the folder holds something else), DataError (too few patients with a known endpoint).
    """
    from glasslung.data.sources import open_cohort

    if plan.deals < 1 or plan.folds < 2:
        raise UsageError("a study needs one deal and two folds at least")
    check_free(out)
    opened = open_cohort(cohort)
    ground = critical_ground(opened)
    make_folder(out)
    asked = {"study": "critical", "plan": asdict(plan), "cohort": opened.name, "patients": len(ground)}
    claim(out, asked)
    with one_thread():
        tables = look(ground, out / FEATURES, part_of(progress, 0.0, SEEN))
        deals = deal_all(ground, tables, plan, part_of(progress, SEEN, 0.9))
    if progress:
        progress("intervals", 0.9)
    numbers = about_run(asked, [], 0) | measure(ground, deals, plan)
    write_json(out / NUMBERS, numbers)
    return write_page(numbers, shown_slices(ground, deals), out)


def look(
    ground: CriticalGround, keep: Path | None, progress: Progress | None = None
) -> dict[str, np.ndarray]:
    """Every family of features of every patient, (N, F); kept in a file so that a stopped study goes on."""
    from glasslung.predict.opening import open_segmenter

    pictures = [ground.picture(row) for row in range(len(ground))]
    digests = np.array([picture_digest(picture) for picture in pictures])
    if keep is not None and keep.is_file():
        with np.load(keep, allow_pickle=False) as kept:
            if np.array_equal(kept[DIGESTS], digests):
                return {name: kept[name] for name in kept.files if name != DIGESTS} | clinic_of(ground)
    segmenter, seen = open_segmenter(SEGMENTER), []
    for row, picture in enumerate(pictures):
        if progress:
            progress(f"slice {row + 1} of {len(pictures)}", row / len(pictures))
        try:
            seen.append(see(picture, segmenter))
        except DataError as problem:
            raise DataError(f"the picture of row {row + 1} of those with an endpoint: {problem}") from problem
    tables = stacked(seen)
    if keep is not None:
        with whole_file(keep) as part, part.open("wb") as file:
            np.savez_compressed(file, **{DIGESTS: digests}, **tables)  # type: ignore[arg-type]
    return tables | clinic_of(ground)


def clinic_of(ground: CriticalGround) -> dict[str, np.ndarray]:
    """Age and sex as a family, NaN where unknown."""
    return {"clinic": np.stack([ground.age, ground.male], 1)}


def deal_all(
    ground: CriticalGround,
    tables: Mapping[str, np.ndarray],
    plan: Plan,
    progress: Progress | None = None,
    compared: bool = True,
) -> list[Deal]:
    """Nested cross-validation, deal by deal."""
    beside = comparisons(ground, tables) if compared else {}
    return [
        cross_validate(
            tables,
            ground.event,
            plan.folds,
            np.random.default_rng([plan.seed, number]),
            candidates(),
            beside,
            part_of(progress, number / plan.deals, (number + 1) / plan.deals),
        )
        for number in range(plan.deals)
    ]


def comparisons(ground: CriticalGround, tables: Mapping[str, np.ndarray]) -> dict[str, Ask]:
    """What stands beside the choice: age and sex, plain greys, fixed models, and what is no disease."""
    event = ground.event
    length = np.nan_to_num(ground.slices, nan=-1.0)[:, None]
    fixed = {
        name: by_recipe(tables, event, *families, c=EYES_C if "eyes" in families[0] else 0.1)
        for name, families in FIXED.items()
    }
    return {
        AGE_SEX: by_recipe(tables, event, "clinic"),
        FOREST: by_forest(tables["grey"], event),
        **fixed,
        LENGTH: by_forest(length, event, leaf=5),
        SIZE: by_forest(tables["size"], event, leaf=5),
        RIM: by_forest(tables["rim"], event),
    }


def measure(ground: CriticalGround, deals: list[Deal], plan: Plan) -> dict[str, Any]:
    """Every figure of the study."""
    rng = np.random.default_rng([plan.seed, 1000])
    scores = {CHOSEN: np.stack([deal.log_odds for deal in deals], 1)}
    scores |= {name: np.stack([deal.beside[name] for deal in deals], 1) for name in deals[0].beside}
    against = (AGE_SEX, FOREST, "greys, weighed", "lesions and greys, weighed")
    told: dict[str, Any] = {
        "ground": ground_told(ground),
        "all": score_table(ground.event, scores, ground.patients, against, CHOSEN, rng, plan.draws),
        "strata": {},
        "chosen": [
            {"deal": number, "fold": fold, "model": name, "inner": inner}
            for number, deal in enumerate(deals)
            for fold, (name, inner) in enumerate(zip(deal.chosen, deal.inner, strict=True))
        ],
        "answers": answers_of(ground.event, deals[0].log_odds, ground.patients, rng, plan.draws),
    }
    near = ground.one_scanner()
    for name, rows in (("scans of the usual length", near), ("all other scans", ~near)):
        if min(ground.event[rows].sum(), (~ground.event[rows]).sum()) >= 5:
            part = {method: score[rows] for method, score in scores.items()}
            told["strata"][name] = score_table(
                ground.event[rows], part, ground.patients[rows], against[:2], CHOSEN, rng, plan.draws
            )
    try:
        told["course"] = courses(ground, deals, rng, plan.draws)
    except DataError as problem:  # too few events after the landmark: said on the page
        told["course"] = {"refused": str(problem)}
    return told


def ground_told(ground: CriticalGround) -> dict[str, Any]:
    """Who was there and who was left out."""
    return {
        "name": ground.name,
        "patients": len(ground),
        "events": int(ground.event.sum()),
        "left_out": ground.left_out,
        "age_unknown": int(np.isnan(ground.age).sum()),
        "days": {
            kind: [float(q) for q in np.nanquantile(ground.days[rows], (0, 0.25, 0.5, 0.75, 1))]
            for kind, rows in (("event", ground.event), ("none", ~ground.event))
            if np.isfinite(ground.days[rows]).any()
        },
        "one_scanner": int(ground.one_scanner().sum()),
    }


def shown_slices(ground: CriticalGround, deals: list[Deal], side: int = 160) -> dict[str, np.ndarray]:
    """Slices of the highest and the lowest out-of-fold risk, of either endpoint: (N, S, S)."""
    from glasslung.data.slices import square_slice

    order = np.argsort(-np.mean([deal.log_odds for deal in deals], axis=0), kind="stable")
    ill = [row for row in order if ground.event[row]]
    well = [row for row in order if not ground.event[row]]
    half = SHOWN // 2
    rows = {
        "highest risk, became critically ill": ill[:half],
        "highest risk, did not": well[:half],
        "lowest risk, did not": well[-half:],
        "lowest risk, became critically ill": ill[-half:],
    }
    return {
        name: np.stack([square_slice(ground.picture(row), side) for row in some])
        for name, some in rows.items()
    }
