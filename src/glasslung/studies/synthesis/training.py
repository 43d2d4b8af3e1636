"""One run of a model that makes lungs: pictures of any kind, a watchdog, a folder that goes on.

    pictures  a cohort's table, a known collection, a folder of pictures, or what `glasslung prepare` wrote
    split     the table's, where it has one; else by patient. The generator sees the training part alone
    watchdog  looks every some steps; `watchdog.jsonl` in the run's folder says what it saw

The same call goes on where it was stopped, to the same bits; with other settings or pictures it is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.data.batches import GroupBalancedBatches, mirror
from glasslung.data.pictureset import picture_parts
from glasslung.data.slices import SliceSet
from glasslung.errors import DataError, UsageError
from glasslung.models import build, entry_for
from glasslung.nn.batches import SliceBatch
from glasslung.studies.settings import typed_settings
from glasslung.studies.training import check_there, run_for, settings_of
from glasslung.train.game import Game
from glasslung.train.guarded import Stretch, fit_guarded
from glasslung.train.looks import reference_of
from glasslung.train.loop import Progress as StepProgress
from glasslung.train.machine import Machine
from glasslung.train.rundir import RunDir, tensorboard
from glasslung.train.watchdog import LOG, Alarm, Watchdog, WatchSettings
from glasslung.types import Progress

STUDY = "synthesis"
MAKERS = ("dcgan", "wgangp", "veegan", "leangan", "conditionalgan")
TRAIN, HELD_OUT = "train", ("val", "test")
LEAST_EACH = 4  # pictures of a group: fewer are learned by heart at once
BATCH_STREAM = 2
AVERAGED = ("leangan", "conditionalgan")  # without batch statistics, so averaged weights work at once


class KindsInTurn(GroupBalancedBatches):
    """The same batches, one picture of every group after another.

    The discriminator takes the spread over every n-th picture of a batch: with the groups one after another
    it would compare one group with the next, and pictures that are alike within their group would never give
    themselves away.
    """

    def __next__(self) -> SliceBatch:
        """The next batch."""
        batch = super().__next__()
        order = np.arange(len(batch)).reshape(len(self.rows), -1).T.ravel()
        fields = {name: getattr(batch, name)[order] for name in batch.__dataclass_fields__}
        return replace(batch, **fields)


@dataclass(frozen=True)
class MakerTraining:
    """How long and on what a model that makes lungs is trained; what it is, its own settings say."""

    steps: int
    batch: int = 16
    """Real pictures in a batch, shared evenly by the groups; the paper's is 50."""
    mirror: bool = True
    """Pictures turned left to right by chance: the paper's flipped copies, without keeping both."""
    labels: tuple[str, ...] = ()
    """Only pictures of these labels, like 'covid', the paper's; none: all."""
    framing: str = "stretch"
    """How a picture is made square: stretched, as in the paper, or padded with black."""
    ema: float | None = None
    """Decay of a running average of the weights, which is kept; None: 0.99 where it suits the model."""
    watch: WatchSettings = field(default_factory=WatchSettings)
    log_every: int = 10
    checkpoint_every: int = 200
    split_seed: int = 0

    def __post_init__(self) -> None:
        if min(self.steps, self.batch, self.log_every, self.checkpoint_every) < 1:
            raise UsageError("steps, batch, log_every and checkpoint_every must be 1 or more")
        if self.ema is not None and not 0 <= self.ema < 1:
            raise UsageError(
                f"ema {self.ema} is no decay; choose one below 1, for example 0.99, or 0 for none"
            )


@dataclass(frozen=True)
class MakerJob:
    """All that decides what a run gives: equal jobs give equal bits on equal machines."""

    model: str
    cohort: Path
    training: MakerTraining
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    machine: Machine = field(default_factory=Machine)


def train_maker(
    job: MakerJob,
    out: Path,
    must_exist: bool = False,
    with_tensorboard: bool = False,
    progress: Progress | None = None,
    bark: Callable[[Alarm], None] | None = None,
) -> RunDir:
    """Train a model that makes lungs, or go on with the run that stands in `out`.

    bark  told every alarm of the watchdog as it comes
    UsageError (settings, another run in the folder), DataError (pictures), TrainingError (a loss that is not
    finite, or the watchdog ends it: the run keeps its last checkpoint).
    """
    check_there(out, must_exist)
    config = maker_config(job)
    parts = maker_pictures(job, config, progress)
    slices = parts[TRAIN]
    told, game = settings_of(job, config, slices), new_game(job, config, slices)  # type: ignore[arg-type]
    run = run_for(job, out, told, STUDY, {"cohort": job.cohort})
    unseen = unseen_of(parts)
    watch = job.training.watch
    model = game.modules[job.model]
    averaged = game.averaged if game.ema is not None else None
    dog = Watchdog(model, reference_of(slices, unseen, watch.pictures), watch, run.folder / LOG, averaged)
    with run.writing(), tensorboard(run) if with_tensorboard else nullcontext(run.log) as log:
        _play(game, run, dog, job, log, progress, bark)
    return run


def maker_config(job: MakerJob) -> Any:
    """The model's settings, complete; UsageError for a model that makes no pictures from codes."""
    if job.model not in MAKERS:
        raise UsageError(f"{job.model} makes no lungs from codes; there are {', '.join(MAKERS)}")
    entry = entry_for(job.model)
    config = entry.config(**typed_settings(entry.config, job.settings))
    if config.lr <= 0:
        raise UsageError(f"lr {config.lr:g}: a learning rate must be above 0, for example 1e-3")
    return config


def maker_pictures(job: MakerJob, config: Any, progress: Progress | None = None) -> dict[str, SliceSet]:
    """The pictures by part of the split; every group that the model is to make is in the training part."""
    training = job.training
    condition = getattr(config, "condition", "none")
    parts = picture_parts(
        job.cohort, config.size, condition, training.labels, training.split_seed, training.framing, progress
    )
    if TRAIN not in parts:
        raise DataError(f"{job.cohort} has no picture in its part 'train'; split it: `glasslung split`")
    for group in groups_of(config):
        count = int((parts[TRAIN].group == group).sum())
        if count < LEAST_EACH:
            raise DataError(
                f"{job.cohort} has {count} picture(s) of group {group} of '{condition}' to train on; "
                f"{LEAST_EACH} is the least. Add pictures, or train a model without a condition"
            )
    return parts


def unseen_of(parts: Mapping[str, SliceSet]) -> SliceSet | None:
    """All pictures that no training sees; None where there are none."""
    held_out = [parts[name] for name in HELD_OUT if name in parts]
    return reduce(SliceSet.joined, held_out) if held_out else None


def groups_of(config: Any) -> tuple[int, ...]:
    """The groups that a model is to make."""
    return {"class": (0, 1), "age": (0, 1, 2, 3)}.get(getattr(config, "condition", "none"), (0,))


def new_game(job: MakerJob, config: Any, slices: SliceSet) -> Game:
    """Model, players and stream as they are before the first step."""
    training, groups = job.training, groups_of(config)
    if training.batch % len(groups):
        raise UsageError(
            f"a batch of {training.batch} cannot be shared by {len(groups)} groups; take a multiple"
        )
    model = build(
        job.model, job.seed, **{name: getattr(config, name) for name in config.__dataclass_fields__}
    )
    stream = KindsInTurn(
        slices,
        training.batch // len(groups),
        np.random.default_rng([job.seed, BATCH_STREAM]),
        groups,
        mirror if training.mirror else None,
    )
    usual = 0.99 if job.model in AVERAGED else None
    ema = usual if training.ema is None else training.ema or None
    return Game({job.model: model}, entry_for(job.model).players(model), stream, job.seed, job.machine, ema)


def _play(
    game: Game,
    run: RunDir,
    dog: Watchdog,
    job: MakerJob,
    log: Callable[[dict[str, Any]], None],
    progress: Progress | None,
    bark: Callable[[Alarm], None] | None,
) -> None:
    """All steps, then the weights."""
    training, heard = job.training, ""

    def tell(state: StepProgress) -> None:
        if progress:
            said = f"training {job.model}: step {state.step + 1} of {training.steps}{heard}"
            progress(said, (state.step + 1) / training.steps)

    def hear(alarm: Alarm) -> None:
        nonlocal heard
        heard = f", watchdog: {alarm.sign}"
        if bark:
            bark(alarm)

    stretch = Stretch(training.steps, training.checkpoint_every, training.log_every)
    fit_guarded(game, run, dog, stretch, log, tell, hear)
    with game.averaged() if game.ema is not None else nullcontext():
        run.save(job.model, game.modules[job.model])
