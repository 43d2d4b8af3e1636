"""COVID-19 or not, and why, told in order: which classifier tells it, on whom, and by what.

    ground    exams in parts that share no patient: phantoms of three hospitals, one never trained on, or a
              cohort; lungs and lesions as the product finds them (`ground`)
    contest   every method learns from the same exams for the same time (`contest`), and is asked once
    scores    on held-out patients and on the foreign hospital, beside what outlines alone tell (`scores`)
    stress    the same phantoms through other windows, noise and slices (`stress`)
    reasons   where the relevance of the reference lies, beside the true lesions (`explain.ledger`)
    page      `index.html` and `numbers.json`

A folder holds one study. The same command goes on where it was stopped; another study is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from glasslung.errors import DataError, UsageError
from glasslung.files import make_folder, write_json
from glasslung.predict.exams import LEAST_SIZE, ExamMaking, MaskMaker, make_exam
from glasslung.studies.diagnosis.complexity import complexities
from glasslung.studies.diagnosis.contest import METHODS, Budget, jobs_for, read_said
from glasslung.studies.diagnosis.explained import explained, joined_rows
from glasslung.studies.diagnosis.ground import (
    TEST,
    TRAIN,
    VALIDATION,
    DiagnosisGround,
    cohort_ground,
    phantom_ground,
    true_lesions,
)
from glasslung.studies.diagnosis.page import write_page
from glasslung.studies.diagnosis.papers import FULL as PAPER_FULL
from glasslung.studies.diagnosis.papers import NO_CVAE, NO_SIDE
from glasslung.studies.diagnosis.scores import replies_of, scans_of, score_part
from glasslung.studies.diagnosis.source import KINDS, source_tells
from glasslung.studies.diagnosis.stress import StressSettings, asking, phantom_cases, stress_curves
from glasslung.studies.folder import NUMBERS, OUTCOMES, about_run, check_free, claim, one_thread, part_of
from glasslung.studies.jobs import Done, finish
from glasslung.types import Progress

if TYPE_CHECKING:
    from torch import nn

REFERENCE = "NetVLAD + CVAE + side"
STRESSED = (REFERENCE, "slice-wise")
ABLATION = {
    PAPER_FULL: REFERENCE,
    NO_SIDE: "no side information",
    NO_CVAE: "no CVAE, no side information",
}
EXAMS = "exams"
SOURCE_STREAM, STRESS_STREAM, REASON_STREAM = 1, 2, 3
OURS = "LRP, conserving"
SHARES = {"draw": 0.25, "train": 0.55, "stress": 0.1, "reasons": 0.1}


@dataclass(frozen=True)
class Plan:
    """How much of everything: what `--quick` and the full study differ in."""

    quick: bool
    budget: Budget
    people: int  # phantoms, where there is no cohort
    size: int  # side of the slices, pixels
    stress: StressSettings
    reasons: int  # ill scans whose relevance is measured
    draws: int  # resamples behind an interval
    drawn: bool = (
        False  # lungs and lesions that somebody drew, a phantom's true ones, in place of those found
    )
    methods: tuple[str, ...] = field(default_factory=lambda: tuple(METHODS))

    def for_minutes(self, minutes: float | None) -> Plan:
        """The same with another time for each training."""
        if minutes is None:
            return self
        if not minutes > 0:
            raise UsageError(f"--minutes {minutes:g}: every training needs some time")
        return replace(self, budget=replace(self.budget, seconds=60 * minutes))

    def for_size(self, size: int | None) -> Plan:
        """The same on slices of another side, pixels."""
        if size is None:
            return self
        if size < LEAST_SIZE:
            raise UsageError(f"--size {size}: {LEAST_SIZE} pixels or more")
        return replace(self, size=size)

    def for_people(self, people: int | None) -> Plan:
        """The same with another number of phantoms."""
        return self if people is None else replace(self, people=people)

    def with_masks(self, drawn: bool) -> Plan:
        """The same with masks that were drawn, or with those that the product finds."""
        return replace(self, drawn=drawn)

    def for_methods(self, names: str) -> Plan:
        """The same with some methods, named with commas between them; the reference is always there."""
        if not names.strip():
            return self
        wanted = [REFERENCE, *(name.strip() for name in names.split(","))]
        for name in wanted:
            if name not in METHODS:
                raise UsageError(f"there is no method {name!r}; there are {', '.join(METHODS)}")
        return replace(self, methods=tuple(dict.fromkeys(wanted)))


# phantom slices are about 5 mm thick already
FULL = Plan(
    False, Budget(120.0), 160, 96, StressSettings(scans=24, thickness=(1, 2, 4), draws=1000), 12, 2000
)
QUICK = Plan(
    True,
    Budget(20.0, looks=6),
    60,
    64,
    StressSettings(
        level=(-200, 0, 200), width=(1000, 1400, 2000), noise=(0, 100), thickness=(1, 4), scans=8, draws=500
    ),
    4,
    500,
)


def run_diagnosis(
    cohort: Path | None, out: Path, plan: Plan = FULL, seeds: int = 1, progress: Progress | None = None
) -> Path:
    """The whole study, from scans to the page; returns the page's path.

    cohort  folder or table of scans labelled 'covid' or otherwise; None: phantoms
    seeds   trainings of every method; more can be added to a finished study
    Raises UsageError (the folder holds something else), DataError (scans that no study can be made of).
    """
    from glasslung.data.sources import open_cohort

    if seeds < 1:
        raise UsageError(f"--seeds {seeds}: one training at least")
    check_free(out)
    opened = None if cohort is None else open_cohort(cohort)
    make_folder(out)
    making, drawing = ExamMaking(plan.size, drawn=plan.drawn), part_of(progress, 0.0, SHARES["draw"])
    masks = None if plan.drawn else MaskMaker(making)
    asked: dict[str, Any] = {
        "study": "diagnosis",
        "plan": {**asdict(plan), "seconds": plan.budget.seconds, "methods": list(plan.methods)},
        "cohort": "phantom" if opened is None else opened.name,
        "masks by": MaskMaker(making).identity(),
    }
    claim(out, asked)
    with one_thread():
        if opened is None:
            ground = phantom_ground(plan.people, 0, out / EXAMS, plan.size, masks, drawing)
        else:
            ground = cohort_ground(opened, out / EXAMS, making, drawing)
        begun = SHARES["draw"]
        done = finish(
            jobs_for(ground.exams, plan.budget, seeds, plan.methods),
            out / OUTCOMES,
            part_of(progress, begun, begun + SHARES["train"]),
        )
        numbers = about_run(asked, done, seeds) | measure(ground, done, plan, masks, progress)
    write_json(out / NUMBERS, numbers)
    return write_page(numbers, out)


def measure(
    ground: DiagnosisGround,
    done: Sequence[Done],
    plan: Plan,
    masks: MaskMaker | None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Every figure of the study, from what the methods said and from the reference's weights."""
    begun = SHARES["draw"] + SHARES["train"]
    middle = begun + SHARES["stress"]
    reference = opened(done, REFERENCE, plan.size)
    return {
        "ground": ground.told() | {"parts": counts(ground)},
        "reference": REFERENCE,
        "parts": {part: _part(ground, part, done, plan) for part in scored_parts(ground)},
        "ablation": {row: name for row, name in ABLATION.items() if name in plan.methods},
        "complexity": [{"method": name, **asdict(one)} for name, one in costs(plan).items()],
        "stress": _stress(ground, done, plan, masks, part_of(progress, begun, middle)),
        **_reasons(ground, reference, plan, masks, part_of(progress, middle, 1.0)),
        "cautions": _cautions(ground, plan.drawn),
    }


def scored_parts(ground: DiagnosisGround) -> tuple[str, ...]:
    """The parts that nothing was learned from or chosen on; of a cohort without any, its validation part."""
    free = tuple(part for part in ground.parts if part not in (TRAIN, VALIDATION))
    return free or (VALIDATION,)


def counts(ground: DiagnosisGround) -> dict[str, dict[str, int]]:
    """Scans, patients and scans with the disease in each part."""
    told = {}
    for part in ground.parts:
        exams = ground.part(part).labelled()
        told[part] = {
            "scans": len(exams),
            "patients": len(set(exams.patients)),
            "with": int((exams.label == 1).sum()),
        }
    return told


def costs(plan: Plan) -> Mapping[str, Any]:
    """What the methods cost at the paper's size of scan and this plan's slices."""
    return complexities(size=plan.size, methods={name: METHODS[name] for name in plan.methods})


def opened(done: Sequence[Done], name: str, size: int) -> nn.Module:
    """A method's first training, with its weights."""
    from safetensors.torch import load_file

    from glasslung.models import build

    first = next(one for one in done if one.name == name)
    method = METHODS[name]
    settings: dict[str, Any] = {"size": size, **method.settings}
    model = build(method.model, first.seed, **settings)
    model.load_state_dict(load_file(first.weights))
    return model.eval()


def _part(ground: DiagnosisGround, part: str, done: Sequence[Done], plan: Plan) -> dict[str, Any]:
    exams = ground.part(part).labelled()
    if set(exams.label.tolist()) != {0, 1}:
        raise DataError(f"the part {part!r} has scans of one label only: nothing can be scored there")
    validation = ground.part(VALIDATION).labelled()
    answers = {}
    for name in plan.methods:
        said = [read_said(one.answer) for one in done if one.name == name and one.answer is not None]
        answers[name] = replies_of(said, exams.scans, validation.scans)
    rng = np.random.default_rng([0, SOURCE_STREAM])
    return score_part(
        scans_of(exams),
        validation.label == 1,
        answers,
        REFERENCE,
        source=source_tells(exams, rng, KINDS, plan.draws),
        draws=plan.draws,
    )


def _stress(
    ground: DiagnosisGround,
    done: Sequence[Done],
    plan: Plan,
    masks: MaskMaker | None,
    progress: Progress | None,
) -> dict[str, Any] | None:
    """Phantoms alone can be drawn again whole; a cohort's exams have lost what a window hides."""
    if not ground.plan:
        return None
    ask = {name: asking(opened(done, name, plan.size)) for name in STRESSED if name in plan.methods}
    return stress_curves(
        phantom_cases(ground, TEST, plan.stress.scans, masks),
        lambda volume, lungs, lesions: make_exam(volume, lungs, lesions, plan.size),
        ask,
        plan.stress,
        np.random.default_rng([0, STRESS_STREAM]),
        progress,
    )


def _reasons(
    ground: DiagnosisGround, model: nn.Module, plan: Plan, masks: MaskMaker | None, progress: Progress | None
) -> dict[str, list[dict[str, Any]]]:
    """The ledger of the reference on ill scans: our rules in full, the paper's beside them."""
    from glasslung.explain.composites import CONSERVING, PAPER
    from glasslung.explain.ledger import figures, keep_ledger
    from glasslung.explain.perturbing import shuffled

    part = scored_parts(ground)[0]
    rows = [
        row for row, kind in enumerate(ground.exams.split) if kind == part and ground.exams.label[row] == 1
    ]
    rows = [row for row in rows if (ground.exams.exams[row].lesions > 0).any()][: plan.reasons]
    ways = {OURS: CONSERVING, "LRP, the paper's": PAPER}
    forgot = shuffled(model, np.random.default_rng([0, REASON_STREAM]))
    kept: dict[str, list[Any]] = {name: [] for name in (*ways, "shuffled")}
    for number, row in enumerate(rows):
        if progress:
            progress(f"reasons: scan {number + 1} of {len(rows)}", number / len(rows))
        exam, name = ground.exams.exams[row], ground.exams.scans[row]
        truth = true_lesions(ground.plan[row].render(), plan.size, masks) if ground.plan else None
        for way, rules in ways.items():
            rng, only = np.random.default_rng([row, REASON_STREAM]), way != OURS
            more: dict[str, Any] = {"steps": None, "cascade": None} if only else {}
            kept[way].append(keep_ledger(model, exam, rng, name, truth, rules, **more))
        kept["shuffled"].append(
            keep_ledger(forgot, exam, np.random.default_rng(row), name, truth, steps=None, cascade=None)
        )
    patients = [ground.exams.patients[row] for row in rows]
    if len(set(patients)) < 2:
        return joined_rows([])
    found = {
        name: figures(ledgers, patients, np.random.default_rng(REASON_STREAM), plan.draws)
        for name, ledgers in kept.items()
    }
    return joined_rows(
        [explained(way, REFERENCE, found[way], found["shuffled"] if way == OURS else ()) for way in ways]
    )


def _cautions(ground: DiagnosisGround, drawn: bool) -> list[str]:
    told = []
    if ground.plan:
        told.append(
            "Phantoms follow laws that we wrote: covid-like and bacterial-like pneumonia differ in them more "
            "plainly than in people. What is compared here is methods, not their worth in a hospital."
        )
        if drawn:
            told.append(
                "Lesion masks are the true ones: who has an empty one is healthy, which a classifier with "
                "side information is told before it sees a grey value."
            )
    if scored_parts(ground) == (VALIDATION,):
        told.append(
            "There is no part to test on: the scores are of the validation scans, on which weights and "
            "operating points were chosen, and are too good."
        )
    if ground.left:
        told.append(f"{len(ground.left)} scans were left out: their patient is in an earlier part too.")
    return told
