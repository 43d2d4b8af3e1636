"""U-SVAE and CAGE, told in order: a lung carried through the ages of COVID-19, and the tourist crisis.

    ground     slices to train on and slices that nobody trained on: a cohort split by patient, or phantoms,
               whose other days are known
    limits     what these slices can and cannot teach (`limits.survey`)
    contest    every method trained on the same slices for as long, and asked the same (`contest`)
    crisis     what the answers are worth (`crisis`); on phantoms also the error of the forecasts
    page       `index.html` and `numbers.json`

A folder holds one study. The same command goes on where it was stopped; another study is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.errors import UsageError
from glasslung.files import make_folder, write_json
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
from glasslung.studies.progression.contest import (
    SLIM,
    Budget,
    Method,
    Outcome,
    compete,
    contestants,
    read_outcome,
    train,
    write_outcome,
)
from glasslung.studies.progression.ground import Ground, cohort_ground, phantom_ground
from glasslung.studies.progression.limits.summaries import LimitSettings
from glasslung.studies.progression.papertable import SHIPPED, bounds_of, paper_rows
from glasslung.studies.seeds import over_seeds
from glasslung.types import Progress

READER, WORLD = "reader", "world.npz"
QUICK_METHODS = (
    *(f"CAGE-T{age}" for age in range(4)),
    *("CAGE-ALL A0", "CAGE-ALL A3", "R1", "R1+R2", "R4+R5", "R6"),
)


@dataclass(frozen=True)
class Plan:
    """How much of everything: what `--quick` and the full study differ in."""

    quick: bool
    budget: Budget
    each: int  # phantoms to train on, of every age
    people: int  # phantoms whose whole course is kept
    draws: int  # resamples behind an interval
    reader_batches: int  # of 32 slices: what the classifier behind the features is trained on
    limits: LimitSettings
    score_training: bool = True  # the bound on training slices too
    world_seed: int = 0

    def for_minutes(self, minutes: float | None) -> Plan:
        """The same with another time for each method."""
        if minutes is None:
            return self
        if not minutes > 0:
            raise UsageError(f"--minutes {minutes:g}: every method needs some time")
        return replace(self, budget=replace(self.budget, seconds=60 * minutes))


FULL = Plan(False, Budget(), each=256, people=128, draws=1000, reader_batches=600, limits=LimitSettings())
QUICK = Plan(
    True,
    Budget(seconds=20.0, samples=64, draws=2, ema=None),  # an average of 100 steps is mostly their start
    each=80,
    people=24,
    draws=200,
    reader_batches=200,
    limits=LimitSettings(draws=200, second=""),
    score_training=False,
)


def run_progression(
    cohort: Path | None,
    out: Path,
    plan: Plan = FULL,
    seeds: int = 1,
    methods: Mapping[str, Method] | None = None,
    progress: Progress | None = None,
) -> Path:
    """The whole study, from slices to the page; returns the page's path.

    cohort   folder or table of 8-bit slices, or what `glasslung prepare` wrote; None: phantoms
    seeds    trainings of every method; more can be added to a finished study
    methods  by name; None: all, or the quick plan's
    Raises UsageError (the folder holds something else), DataError (slices that no study can be made of).
    """
    from glasslung.studies.progression.page import write_page

    if seeds < 1:
        raise UsageError(f"--seeds {seeds}: one training at least")
    check_free(out)
    ground = None if cohort is None else cohort_ground(cohort)
    make_folder(out)
    if ground is None:
        ground = phantom_ground(
            plan.each, plan.people, plan.world_seed, out / WORLD, part_of(progress, 0.0, 0.05)
        )
    asked = asked_for(plan, ground)
    claim(out, asked)
    chosen = methods if methods is not None else methods_of(plan)
    with one_thread():
        jobs = list_jobs(ground, plan, chosen, range(seeds), cohort)
        done = finish(jobs, out / OUTCOMES, part_of(progress, 0.05, 0.85))
        numbers = about_run(asked, done, seeds) | measure(
            ground, plan, done, chosen, part_of(progress, 0.85, 0.98)
        )
    write_json(out / NUMBERS, numbers)
    return write_page(numbers, ground, outcomes_of(done, chosen, 0), out / PAGE)


def methods_of(plan: Plan) -> dict[str, Method]:
    """All contestants, or those of the quick plan."""
    every = contestants()
    return {name: every[name] for name in QUICK_METHODS} if plan.quick else every


def choose_methods(names: str, plan: Plan) -> dict[str, Method]:
    """Methods by name, with commas between them; the plan's where none is named."""
    if not names.strip():
        return methods_of(plan)
    every = contestants()
    wanted = [name.strip() for name in names.split(",")]
    unknown = [name for name in wanted if name not in every]
    if unknown:
        raise UsageError(f"there is no method {unknown[0]!r}; there are {', '.join(every)}")
    return {name: every[name] for name in dict.fromkeys(wanted)}


def asked_for(plan: Plan, ground: Ground) -> dict[str, Any]:
    """All that decides what a study finds, but for the number of seeds, as plain values."""
    told = asdict(plan)
    told["budget"].pop("seed")
    return {"study": "progression", "plan": told, "ground": ground.told()}


# --------------------------------------------------------------------------------------------- the jobs


def list_jobs(
    ground: Ground, plan: Plan, methods: Mapping[str, Method], seeds: range, cohort: Path | None
) -> list[Job]:
    """The reader of features once, then every method with the first seed, then with the next."""
    parts = {"train": ground.training, "unseen": ground.scored}
    if plan.quick and not plan.score_training:
        parts.pop("train")
    jobs = [_reader_job(ground, plan)]
    if cohort is not None and is_shipped_on(cohort):
        jobs.append(_shipped_job(ground, parts))
    for seed in seeds:
        budget = replace(plan.budget, seed=seed)
        jobs.append(_usvae_job(ground, budget, parts))
        jobs += [_contest_job(name, method, ground, budget, parts) for name, method in methods.items()]
    return jobs


def _asked(method: Method, budget: Budget, ground: Ground) -> dict[str, Any]:
    return {
        "model": method.model,
        "settings": dict(method.settings),
        "groups": list(method.groups),
        "budget": asdict(budget),
        "slices": ground.told()["training"]["sha256"],
    }


def _contest_job(name: str, method: Method, ground: Ground, budget: Budget, parts: Mapping[str, Any]) -> Job:
    def work(progress: Progress | None) -> Product:
        model, outcome = compete(method, ground.training, ground.unseen, budget, part_of(progress, 0.0, 0.8))
        told = dict(outcome.about)
        if method.model == "cage":
            told["bounds"] = bounds_of(model, parts, budget.seed, part_of(progress, 0.8, 1.0))
        return Product(model, partial(write_outcome, outcome), told)

    return Job(name, budget.seed, _asked(method, budget, ground), work)


def _usvae_job(ground: Ground, budget: Budget, parts: Mapping[str, Any]) -> Job:
    """The slim U-SVAE under the same budget and recipe as every CAGE here."""
    method = Method("usvae", {"likelihood": "beta", "kl_schedule": "warm-up", **SLIM})

    def work(progress: Progress | None) -> Product:
        model, about = train(method, ground.training, budget, part_of(progress, 0.0, 0.8))
        return Product(
            model, None, about | {"bounds": bounds_of(model, parts, budget.seed, part_of(progress, 0.8, 1.0))}
        )

    return Job("U-SVAE", budget.seed, _asked(method, budget, ground), work)


def _shipped_job(ground: Ground, parts: Mapping[str, Any]) -> Job:
    """The weights that come with the package, scored on the patients they were not trained on."""
    from glasslung.models.shipped import load_shipped

    def work(progress: Progress | None) -> Product:
        model, about = load_shipped("usvae")
        return Product(model, None, {"run": about, "bounds": bounds_of(model, parts, 0, progress)})

    return Job(SHIPPED, 0, {"slices": ground.told()["unseen"]["sha256"]}, work)


def is_shipped_on(cohort: Path) -> bool:
    """Whether the shipped U-SVAE was trained on this very folder, dealt in this very way."""
    from glasslung.files import read_json
    from glasslung.models.shipped import FOLDER
    from glasslung.studies.progression.ground import SPLIT_SEED
    from glasslung.train.rundir import hash_input

    about = read_json(FOLDER / "usvae" / "settings.json")
    same_split = about["settings"]["training"]["split_seed"] == SPLIT_SEED
    return same_split and cohort.is_dir() and hash_input(cohort) == about["input sha256"]


def _reader_job(ground: Ground, plan: Plan) -> Job:
    """The classifier whose features the distances are taken on, from the training slices alone."""
    asked = {
        "model": "slicenet",
        "batches": plan.reader_batches,
        "slices": ground.told()["training"]["sha256"],
    }

    def work(progress: Progress | None) -> Product:
        from glasslung.data.batches import GroupBalancedBatches, mirror
        from glasslung.models import build, entry_for
        from glasslung.train.game import Game
        from glasslung.train.loop import fit

        model = build("slicenet", 0)
        groups = tuple(range(4))
        stream = GroupBalancedBatches(ground.training, 8, np.random.default_rng(0), groups, mirror)
        game = Game({"slicenet": model}, entry_for("slicenet").players(model), stream, 0)
        last: dict[str, Any] = {}
        fit(game, range(plan.reader_batches), last.update)
        return Product(model, None, {"records": last})

    return Job(READER, 0, asked, work)


def load_reader(done: list[Done]) -> Callable[[np.ndarray], np.ndarray]:
    """The trained reader as a function of pictures: (N, S, S) -> (N, F)."""
    from glasslung.models import build
    from glasslung.models.slicenet import SliceNet, reader
    from glasslung.train.checkpoint import load_tensors

    model = build("slicenet", 0)
    model.load_state_dict(load_tensors(next(one for one in done if one.name == READER).weights))
    assert isinstance(model, SliceNet)
    return reader(model)


# ------------------------------------------------------------------------------------------ the figures


def outcomes_of(done: list[Done], methods: Mapping[str, Method], seed: int) -> dict[str, Outcome]:
    """What every method did with one seed, in the order of the methods."""
    by_name = {one.name: one for one in done if one.seed == seed}
    found = {name: by_name[name].answer for name in methods}
    return {name: read_outcome(path) for name, path in found.items() if path is not None}


def measure(
    ground: Ground, plan: Plan, done: list[Done], methods: Mapping[str, Method], progress: Progress | None
) -> dict[str, Any]:
    """All figures: of every seed, over seeds, the paper's table, the cohort's limits, and what follows."""
    from glasslung.studies.progression.crisis import measure_outcomes
    from glasslung.studies.progression.crisisverdict import verdicts
    from glasslung.studies.progression.guesses import forecast_errors
    from glasslung.studies.progression.limits.survey import measure_limits

    rng = np.random.default_rng(0)
    limits = measure_limits(ground.whole, rng, ground.cohort, plan.limits, part_of(progress, 0.0, 0.4))
    read = load_reader(done)
    seeds = sorted({one.seed for one in done if one.name in methods})
    measured, forecasts = [], []
    for seed in seeds:
        if told := part_of(progress, 0.4, 1.0):
            told(f"measuring the answers of seed {seed}", seed / len(seeds))
        outcomes, rng = outcomes_of(done, methods, seed), np.random.default_rng(seed)
        measured.append(measure_outcomes(outcomes, ground.training, ground.unseen, read, rng, plan.draws))
        if ground.world is not None:
            forecasts.append(forecast_errors(outcomes, ground.world, rng, plan.draws))
    first = {one.name: one.manifest["told"].get("bounds") for one in reversed(done)}
    found = {"outcomes": measured[0]} | ({"forecasts": forecasts[0]} if forecasts else {})
    return {
        "verdicts": verdicts(found),
        "paper": paper_rows(first.get),
        "limits": limits,
        **found,
        "further_seeds": {"outcomes": measured[1:], "forecasts": forecasts[1:]},
        "over_seeds": {"outcomes": over_seeds(measured), "forecasts": over_seeds(forecasts)},
    }
