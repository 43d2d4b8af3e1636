"""Made lungs, told in order: what does the paper's GAN make, where does it fail, and what does better?

    pictures  training and held-out part, patient by patient; COVID pictures alone, as in the paper
    contest   every model trained on the same pictures for as long, under a watchdog that only tells
    figures   how real, how diverse, how new: on pictures of patients that no model and no reader saw
    page      `index.html` and `numbers.json`

A folder holds one study. The same command goes on where it was stopped; another study is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.data.phantom import draw_patient, slices
from glasslung.data.pictureset import picture_parts
from glasslung.data.slices import SliceSet
from glasslung.errors import DataError, UsageError
from glasslung.files import make_folder, write_json
from glasslung.measure.featuresets import feature_set
from glasslung.measure.lungfeatures import read_features
from glasslung.models import build, slicenet
from glasslung.predict.realism import open_reader
from glasslung.studies.folder import (
    NUMBERS,
    OUTCOMES,
    PAGE,
    about_run,
    check_free,
    claim,
    one_thread,
    part_of,
)
from glasslung.studies.jobs import Done, Job, Product, finish
from glasslung.studies.synthesis.contest import (
    Budget,
    Method,
    contestants,
    read_made,
    train_one,
    train_reader,
    write_answer,
)
from glasslung.studies.synthesis.figures import Ruler, distances, make_ruler, measure_made, story_of
from glasslung.studies.synthesis.page import write_page
from glasslung.studies.synthesis.training import TRAIN, unseen_of
from glasslung.studies.training import describe
from glasslung.train.checkpoint import load_tensors
from glasslung.types import Progress

READER = "reader of pictures"
LEAST_HELD_OUT = 12  # pictures: fewer have no neighbourhoods to speak of
PHANTOM_DAYS = (2.0, 14.0)  # of the disease, on which phantoms are seen
TRAINED_SHARE = 0.75  # of phantoms
CONTEST_SHARE = 0.85  # of the study's time


@dataclass(frozen=True)
class Plan:
    """How much of everything: what `--quick` and the full study differ in."""

    quick: bool
    budget: Budget
    draws: int  # resamples behind an interval
    people: int  # phantoms, where there is no cohort

    def for_minutes(self, minutes: float | None) -> Plan:
        """The same with another time for each training."""
        if minutes is None:
            return self
        if not minutes > 0:
            raise UsageError(f"--minutes {minutes:g}: every training needs some time")
        return replace(self, budget=replace(self.budget, seconds=60 * minutes))

    def for_size(self, size: int | None) -> Plan:
        """The same on pictures of another side."""
        return self if size is None else replace(self, budget=replace(self.budget, size=size))


FULL = Plan(False, Budget(), draws=1000, people=400)
QUICK = Plan(True, Budget(seconds=70.0, size=32, reader_steps=200), draws=300, people=160)


def choose_methods(names: str, plan: Plan) -> dict[str, Method]:
    """All contestants, or those named with semicolons between them; UsageError names those there are."""
    known = contestants(plan.budget.width)
    asked = [name.strip() for name in names.split(";") if name.strip()]
    unknown = [name for name in asked if name not in known]
    if unknown:
        raise UsageError(f"there is no {unknown[0]!r}; there are {'; '.join(known)}")
    return {name: known[name] for name in asked} if asked else known


def run_synthesis(
    cohort: Path | None,
    out: Path,
    plan: Plan = FULL,
    seeds: int = 1,
    methods: Mapping[str, Method] | None = None,
    labels: Sequence[str] = (),
    progress: Progress | None = None,
) -> Path:
    """The whole study; returns the path of its page.

    cohort  pictures of any kind, see `data.pictureset.open_pictures`; None: phantoms
    labels  only pictures of these, 'covid' for the paper's; none: all
    UsageError (another study in the folder, no seed), DataError (pictures).
    """
    if seeds < 1:
        raise UsageError("a study needs a seed: --seeds 1 or more")
    check_free(out)
    chosen = dict(methods or contestants(plan.budget.width))
    train, held_out = study_pictures(cohort, plan, labels, part_of(progress, 0.0, 0.05))
    asked = {
        "study": "synthesis",
        "cohort": None if cohort is None else str(cohort),
        "labels": list(labels),
        "plan": asdict(plan),
        "pictures": {"train": describe(train), "held_out": describe(held_out)},
    }
    make_folder(out)
    claim(out, asked)
    with one_thread():
        jobs = study_jobs(chosen, train, held_out, plan, seeds)
        done = finish(jobs, out / OUTCOMES, part_of(progress, 0.05, CONTEST_SHARE))
        shipped = open_reader()
        rulers = make_ruler(shipped, train, held_out), ruler_of(done[0], train, held_out)
        numbers = {
            "about": about_run(asked, [_without_curves(one) for one in done], seeds),
            "reader": str(shipped),
            "methods": score(done[1:], rulers, plan, part_of(progress, CONTEST_SHARE, 0.98)),
            "together": score_together(done[1:], rulers, plan.draws),
        }
    write_json(out / NUMBERS, numbers)
    return write_page(out / PAGE, numbers, done[1:], train, held_out)


def study_pictures(
    cohort: Path | None, plan: Plan, labels: Sequence[str], progress: Progress | None
) -> tuple[SliceSet, SliceSet]:
    """Pictures to train on, and pictures of other patients to judge by."""
    if cohort is None:
        return phantom_pictures(plan.people, plan.budget.size, progress)
    parts = picture_parts(Path(cohort), plan.budget.size, "none", labels, progress=progress)
    unseen = unseen_of(parts)
    if TRAIN not in parts or unseen is None or len(unseen) < LEAST_HELD_OUT:
        raise DataError(
            f"{cohort} needs pictures to train on and {LEAST_HELD_OUT} or more held out (val or test); "
            "split it: `glasslung split`"
        )
    return parts[TRAIN], unseen


def phantom_pictures(people: int, size: int, progress: Progress | None) -> tuple[SliceSet, SliceSet]:
    """Lung slices of phantoms on some day of the disease, everyone once; a quarter of the people held out."""
    rng = np.random.default_rng(0)
    patients = [draw_patient(int(one)) for one in rng.choice(2**40, size=people, replace=False)]
    days = rng.uniform(*PHANTOM_DAYS, people)
    images = []
    for number, (patient, day) in enumerate(zip(patients, days, strict=True)):
        if progress:
            progress("drawing phantoms", number / people)
        images.append(slices([patient], [float(day)], size).grey[0])
    names = tuple(patient.name for patient in patients)
    whole = SliceSet(
        np.stack(images).astype(np.float32) / np.float32(255),
        np.zeros(people, np.int64),
        days.astype(np.float32),
        np.arange(people),
        names,
        names,
    )
    trained = np.arange(people) < round(TRAINED_SHARE * people)
    return whole.take(trained), whole.take(~trained)


def study_jobs(
    methods: Mapping[str, Method], train: SliceSet, held_out: SliceSet, plan: Plan, seeds: int
) -> list[Job]:
    """The reader first, then every contestant with every seed."""

    def read(progress: Progress | None) -> Product:
        return Product(train_reader(train, plan.budget.reader_steps, progress)[0], None)

    def contest(method: Method, seed: int, progress: Progress | None) -> Product:
        found = train_one(method, train, held_out, plan.budget, seed, progress)
        told = {
            "steps": found.steps,
            "ended": found.ended,
            "looks": found.looks,
            "alarms": found.alarms,
            "curves": found.curves,
        }
        return Product(found.model, partial(write_answer, found), told)

    steps = {"steps": plan.budget.reader_steps, "size": plan.budget.size}
    jobs = [Job(READER, 0, steps, read)]
    for seed in range(seeds):
        for name, method in methods.items():
            wanted = {"model": method.model, "settings": dict(method.settings), "ema": method.ema}
            asked = {**wanted, "budget": asdict(plan.budget)}
            jobs.append(Job(name, seed, asked, partial(contest, method, seed)))
    return jobs


def ruler_of(reader: Done, train: SliceSet, held_out: SliceSet) -> Ruler:
    """The trained reader and what it sees in the real pictures."""
    net = build("slicenet", 0, groups=1)
    net.load_state_dict(load_tensors(reader.weights))
    return make_ruler(slicenet.reader(net), train, held_out)  # type: ignore[arg-type]


def score(
    done: Sequence[Done], rulers: tuple[Ruler, Ruler], plan: Plan, progress: Progress | None
) -> dict[str, Any]:
    """method -> seed -> figures and the story of the training."""
    found: dict[str, Any] = {}
    for number, one in enumerate(done):
        if progress:
            progress(f"measuring {one.name}, seed {one.seed}", number / len(done))
        assert one.answer is not None
        told = one.manifest["told"]
        figures = measure_made(read_made(one.answer), *rulers, one.seed, plan.draws)
        story = story_of(told["looks"], told["alarms"])
        found.setdefault(one.name, {})[str(one.seed)] = {
            **figures,
            **story,
            "steps": told["steps"],
            "ended": told["ended"],
            "alarms": told["alarms"],
        }
    return found


def score_together(done: Sequence[Done], rulers: tuple[Ruler, Ruler], draws: int) -> dict[str, Any]:
    """method -> distances of the pictures of all its trainings as one set, on both readers' features.

    One training may be lucky; together they are what a model makes that anybody trains.
    """
    made: dict[str, list[np.ndarray]] = {}
    for one in done:
        assert one.answer is not None
        made.setdefault(one.name, []).append(read_made(one.answer))

    def ask(pictures: np.ndarray, ruler: Ruler) -> dict[str, Any]:
        features = feature_set(read_features(pictures, ruler.read))
        return distances(features, ruler, np.random.default_rng(0), draws)

    shipped, own = rulers
    return {
        name: {**ask(np.concatenate(sets), shipped), "own": ask(np.concatenate(sets), own)}
        for name, sets in made.items()
    }


def _without_curves(one: Done) -> Done:
    """The manifest without its long lists, which stay in the outcome's own file."""
    told = {key: value for key, value in one.manifest["told"].items() if key not in ("curves", "looks")}
    return replace(one, manifest={**one.manifest, "told": told})
