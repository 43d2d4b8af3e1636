"""One run: a model, trained on the slices of a cohort, in a folder that can be stopped and gone on with.

    slices   `data.prepare`'s folder, or any cohort of 8-bit slices; for an auto-encoder, which knows no ages,
             pictures of any kind, as for the models that make lungs (`data.pictureset`)
    split    the table's, where it has one; else by patient, stratified by age
    run      settings, log, checkpoints and weights in a folder (`train.rundir`)

The same call goes on where it was stopped, killed or not, to the same bits as if it never had been. A call
with other settings or other slices is refused, and says what differs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from glasslung.data.batches import GroupBalancedBatches, mirror
from glasslung.data.cohort import DEFAULT_FRACTIONS, Cohort, split_by_patient
from glasslung.data.pictureset import picture_parts
from glasslung.data.prepare import MANIFEST, read_prepared
from glasslung.data.slices import GROUP_NAMES, SliceSet, read_slices, split_slices
from glasslung.data.sources import open_cohort
from glasslung.errors import DataError, UsageError
from glasslung.forecast.familiarity import LEAST_HELD_OUT, make_reference, write_reference
from glasslung.forecast.voices import VOICES
from glasslung.models import build, entry_for
from glasslung.studies.settings import typed_settings
from glasslung.train.game import Game
from glasslung.train.loop import Progress as StepProgress
from glasslung.train.loop import fit
from glasslung.train.machine import Machine
from glasslung.train.ranks import find_ranks
from glasslung.train.rundir import SETTINGS, RunDir, tensorboard
from glasslung.types import Progress

STUDY = "progression"
PART, HELD_OUT = "train", "val"
LEAST_SLICES = 2  # of each age to train on: batch statistics and a spread need more than one picture
LEAST_STEPS = {"usvae": 20, "autoencoder": 0}  # which its schedules need; 0: the rate does not fall
OTHER_STEPS = ("ageflow",)  # whose setting `steps` is that of a rule of integration, not the run's length
AGELESS = ("autoencoder",)  # learn from pictures of any kind, whatever the age of a disease in them
SPLIT_STREAM, BATCH_STREAM = 1, 2


@dataclass(frozen=True)
class TrainingSettings:
    """How long and on what a model is trained; what it is, its own settings say."""

    steps: int
    batch: int = 16
    """Slices in a batch, shared evenly by the ages; the paper's."""
    mirror: bool = False
    """Turn slices left to right by chance; the paper does not, and the heart tells the side."""
    ema: float | None = None
    """Decay of a running average of the weights, which is what is kept: 0.998 for some thousand steps."""
    log_every: int = 10
    checkpoint_every: int = 200
    """Steps that a kill can cost; a U-SVAE's checkpoint is 180 MB and takes about a second."""
    split_seed: int = 0
    """Of the split by patient, where the table has none: the same for all runs that are to be compared."""

    def __post_init__(self) -> None:
        if min(self.steps, self.batch, self.log_every, self.checkpoint_every) < 1:
            raise UsageError("steps, batch, log_every and checkpoint_every must be 1 or more")
        if self.ema is not None and not 0 < self.ema < 1:
            raise UsageError(f"ema {self.ema} is no decay; choose one below 1, for example 0.998")


@dataclass(frozen=True)
class Job:
    """All that decides what a run gives: equal jobs give equal bits on equal machines."""

    model: str
    cohort: Path
    training: TrainingSettings
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    machine: Machine = field(default_factory=Machine)


def train_model(
    job: Job,
    out: Path,
    must_exist: bool = False,
    with_tensorboard: bool = False,
    progress: Progress | None = None,
) -> RunDir:
    """Train a model as the job says, or go on with the run that stands in `out`.

    must_exist  True: UsageError where there is no run to go on with
    Raises UsageError (settings, another run in the folder), DataError (slices), TrainingError (a loss that is
    not finite: the run keeps its last checkpoint).
    """
    check_there(out, must_exist)
    config = config_of(job)
    slices = training_slices(job, config)
    told, game = settings_of(job, config, slices), new_game(job, config, slices)
    run = run_for(job, out, told, STUDY, {"cohort": job.cohort})
    with run.writing(), tensorboard(run) if with_tensorboard else nullcontext(run.log) as log:
        play(game, run, job, log, progress)
        keep_reference(run, job, config)
    return run


def check_there(out: Path, must_exist: bool) -> None:
    """UsageError where there must be a run to go on with, and is none."""
    if must_exist and not (Path(out) / SETTINGS).is_file():
        raise UsageError(f"{out} holds no run to go on with; leave --resume away to begin one")


def keep_reference(run: RunDir, job: Job, config: Any) -> None:
    """Beside a model that forecasts: what it was trained on, in features, to say how familiar a slice is.

    A cohort without enough validation slices leaves none; a forecast then says that nothing is known of it.
    """
    if job.model not in VOICES or not find_ranks().first:
        return
    cohort, slices = load_slices(job.cohort, int(config.size))
    parts = split_slices(slices, dealt(cohort, job.training.split_seed))
    if HELD_OUT in parts and len(parts[HELD_OUT]) >= LEAST_HELD_OUT:
        write_reference(make_reference(parts[PART], parts[HELD_OUT]), run.folder)


def config_of(job: Job) -> Any:
    """The model's settings, complete; a schedule that depends on the run's length gets that length."""
    entry = entry_for(job.model)
    given = dict(typed_settings(entry.config, job.settings))
    if job.model not in OTHER_STEPS and "steps" in {one.name for one in fields(entry.config)}:
        least, steps = LEAST_STEPS.get(job.model, 1), given.setdefault("steps", job.training.steps)
        if steps < least:
            raise UsageError(
                f"{steps} steps are too few for {job.model}, whose schedules are stretched over the run; "
                f"train {least} or more"
            )
    config = entry.config(**given)
    if getattr(config, "lr", 1.0) <= 0:
        raise UsageError(f"lr {config.lr:g}: a learning rate must be above 0, for example 1e-3")
    return config


def training_slices(job: Job, config: Any) -> SliceSet:
    """The slices of the patients to train on, of the ages that the model needs."""
    size = int(getattr(config, "size", 64))
    if job.model in AGELESS:
        return ageless_slices(job, size)
    cohort, slices = load_slices(job.cohort, size)
    slices = split_slices(slices, dealt(cohort, job.training.split_seed))[PART]
    for group in ages_needed(job.model, config, slices):
        count = int((slices.group == group).sum())
        if count < LEAST_SLICES:
            raise DataError(
                f"{cohort.name} has {count} slice(s) of {GROUP_NAMES[group]} to train on; {job.model} needs "
                f"{LEAST_SLICES} at least. Add scans, split differently, or train without that age."
            )
    if getattr(config, "day", False) and not np.isfinite(slices.day[slices.group > 0]).any():
        raise DataError(
            f"{cohort.name} tells no day of any ill slice to train on; give its table a column day, or leave "
            "the setting day off"
        )
    return slices


def ageless_slices(job: Job, size: int) -> SliceSet:
    """Pictures of any kind to train on, padded to squares, as the explorer shows them to the same model."""
    parts = picture_parts(job.cohort, size, split_seed=job.training.split_seed, framing="pad")
    if PART not in parts:
        raise DataError(f"{job.cohort} has no picture in its part 'train'; split it: `glasslung split`")
    return parts[PART]


def load_slices(path: Path, size: int) -> tuple[Cohort, SliceSet]:
    """A cohort and its slices: those that `glasslung prepare` made, or read now from 8-bit pictures."""
    path = Path(path)
    if not (path.is_dir() and (path / MANIFEST).is_file()):
        cohort = open_cohort(path)
        return cohort, read_slices(cohort, size)
    cohort, slices = read_prepared(path)
    if slices.size != size:
        raise UsageError(
            f"the slices in {path} are {slices.size} x {slices.size}, the model reads {size} x {size}; "
            f"prepare them with --size {size}, or set the model's size"
        )
    return cohort, slices


def dealt(cohort: Cohort, seed: int) -> Cohort:
    """The cohort with a split: its own, or by patient with every age on every side."""
    if any(case.split for case in cohort.cases):
        return cohort
    grouped = len({case.extra.get("group", "") for case in cohort.cases}) > 1
    return split_by_patient(cohort, DEFAULT_FRACTIONS, seed, ("group",) if grouped else None)


def ages_needed(model: str, config: Any, slices: SliceSet) -> tuple[int, ...]:
    """The groups a model is fed: one for a model of one age, all four for one that carries lungs through
    them, else those that are there.
    """
    single: int | None = getattr(config, "single_age", None)
    if single is not None:
        return (single,)
    return tuple(range(len(GROUP_NAMES))) if model in VOICES else tuple(sorted(set(slices.group.tolist())))


def new_game(job: Job, config: Any, slices: SliceSet) -> Game:
    """Model, players and stream as they are before the first step."""
    groups = ages_needed(job.model, config, slices)
    if job.training.batch % len(groups):
        raise UsageError(
            f"a batch of {job.training.batch} cannot be shared evenly by {len(groups)} ages; take a multiple"
        )
    model = build(job.model, job.seed, **{name: getattr(config, name) for name in asdict(config)})
    stream = GroupBalancedBatches(
        slices,
        job.training.batch // len(groups),
        np.random.default_rng([job.seed, BATCH_STREAM]),
        groups,
        mirror if job.training.mirror else None,
    )
    players = entry_for(job.model).players(model)
    return Game({job.model: model}, players, stream, job.seed, job.machine, job.training.ema)


def play(
    game: Game, run: RunDir, job: Job, log: Callable[[dict[str, Any]], None], progress: Progress | None
) -> None:
    """From the last checkpoint, or the beginning, to the last step; then the weights."""
    training, loss = job.training, ""

    def keep(record: dict[str, Any]) -> None:
        nonlocal loss
        loss = f", {record['player']} {record['total']:.4g}"
        log(record)

    def tell(state: StepProgress) -> None:
        if progress:
            done = (state.step + 1) / training.steps
            progress(f"training {job.model}: step {state.step + 1} of {training.steps}{loss}", done)

    start = run.resume(game)
    if start > training.steps:
        raise UsageError(
            f"the run in {run.folder} has made {start} steps already, asked for: {training.steps}"
        )
    while start < training.steps:
        end = min(training.steps, start + training.checkpoint_every)
        fit(game, range(start, end), keep, training.log_every, tell)
        run.checkpoint(game)
        start = end
    with game.averaged() if game.ema is not None else nullcontext():
        run.save(job.model, game.modules[job.model])


# --- what makes two runs the same --------------------------------------------------------------------------


def settings_of(job: Job, config: Any, slices: SliceSet) -> dict[str, Any]:
    """The run's settings as its folder keeps them: the model's, and under 'training' all else."""
    machine = asdict(job.machine)
    training = {**asdict(job.training), "machine": machine, "slices": describe(slices)}
    told: dict[str, Any] = json.loads(json.dumps({**asdict(config), "training": training}))
    return told


def describe(slices: SliceSet) -> dict[str, Any]:
    """How many slices there are of each age, of how many patients, and a hash of all."""
    whole = hashlib.sha256()
    for array in (slices.images, slices.group, slices.day, slices.patient):
        whole.update(np.ascontiguousarray(array).tobytes())
    counts = {GROUP_NAMES[group]: int((slices.group == group).sum()) for group in np.unique(slices.group)}
    return {
        **counts,
        "patients": len(set(slices.patient.tolist())),
        "size": slices.size,
        "sha256": whole.hexdigest(),
    }


FREE = ("log_every", "checkpoint_every")  # they change nothing that is computed


class AnyJob(Protocol):
    """What every kind of training job says of itself."""

    @property
    def model(self) -> str:
        """Name of the method."""

    @property
    def seed(self) -> int:
        """Of all draws."""


def run_for(
    job: AnyJob, out: Path, told: Mapping[str, Any], study: str, inputs: Mapping[str, Path]
) -> RunDir:
    """The run that stands in `out`, where it is this job's (else UsageError), or a new one."""
    if not (Path(out) / SETTINGS).is_file():
        return RunDir.create(out, study, job.model, told, job.seed, inputs)
    run = RunDir.open(out)
    check_same(run, job, told)
    return run


def check_same(run: RunDir, job: AnyJob, told: Mapping[str, Any]) -> None:
    """Refuse to go on with a run that is not this job's (UsageError names what differs).

    More steps are allowed: where the model's own schedule depends on their number, its settings differ.
    """
    before = {"model": run.about["model"], "seed": run.about["seed"], **_flat(run.about["settings"])}
    now = {"model": job.model, "seed": job.seed, **_flat(told)}
    free = {f"training.{name}" for name in (*FREE, "steps")}
    differ = [name for name in {**before, **now} if before.get(name) != now.get(name) and name not in free]
    if differ:
        first = differ[0]
        more = f" (and {len(differ) - 1} more)" if len(differ) > 1 else ""
        raise UsageError(
            f"{run.folder} holds another run: its {first} is {before.get(first)}, asked for: "
            f"{now.get(first)}{more}. Use the settings of the run, or another folder."
        )


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{'training': {'batch': 16}} -> {'training.batch': 16}"""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
