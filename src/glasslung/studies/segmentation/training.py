"""One run of a segmenter: trained on the labelled slices of a cohort, in a folder that can be gone on with.

    slices   a cohort of 8-bit slices, or a folder with img/ and multiclass/; those with lesion masks are its
             labels, the others are there for methods that learn without. Healthy slices may come from another
             cohort. All are shown upright, as if seen through one window.
    split    patients of the table's 'train' part, where it has one; else all slices

The same call goes on where it was stopped. A call with other settings or other slices is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from glasslung.data.cohort import TABLE_NAME, Cohort
from glasslung.data.labelbatches import BatchPlan, LabelledBatches, SquareSlices
from glasslung.data.labelfolders import read_labelled_cohort, read_labelled_folder
from glasslung.data.labelled import Kind, LabelledSlices, join
from glasslung.data.pairaugment import augmenter
from glasslung.data.slicewindows import alike
from glasslung.data.sources import open_cohort
from glasslung.errors import DataError, UsageError
from glasslung.models import build, entry_for
from glasslung.nn.batches import LabelledBatch
from glasslung.studies.segmentation.contest import segmenters, told_lungs
from glasslung.studies.trained import picture_digest
from glasslung.studies.training import check_there, config_of, play, run_for
from glasslung.train.game import Game
from glasslung.train.machine import Machine
from glasslung.train.rundir import RunDir, tensorboard
from glasslung.types import Progress

STUDY = "segmentation"
BATCH_STREAM = 2
PART = "train"


@dataclass(frozen=True)
class SegmentTraining:
    """How long and on what a segmenter is trained; what it is, its own settings say."""

    steps: int
    size: int = 192
    """Side to which slices are framed; the public ones are 150 to 510 pixels wide."""
    labelled: int = 4
    """Labelled slices in a batch ..."""
    unlabelled: int = 0
    """... those without labels, for methods that learn from them ..."""
    healthy: int = 0
    """... and those of healthy people, which have no lesion anywhere."""
    augment: str = "moderate"
    """Other views of slices and masks: see `data.pairaugment.POLICIES`."""
    one_window: bool = True
    """Show all slices as if seen through one window: sets come in windows of all kinds."""
    every: int = 4
    """Takes each n-th slice of stacks without labels: neighbours are nearly the same."""
    ema: float | None = 0.99
    """Decay of a running average of the weights, which is what is kept."""
    log_every: int = 10
    checkpoint_every: int = 100
    """Steps that a kill can cost."""

    def __post_init__(self) -> None:
        if min(self.steps, self.labelled, self.every, self.log_every, self.checkpoint_every) < 1:
            raise UsageError("steps, labelled, every, log_every and checkpoint_every must be 1 or more")
        if self.ema is not None and not 0 < self.ema < 1:
            raise UsageError(f"ema {self.ema} is no decay; choose one below 1, for example 0.99")

    @property
    def plan(self) -> BatchPlan:
        """What a batch is made of."""
        return BatchPlan(self.labelled, self.unlabelled, self.healthy)


@dataclass(frozen=True)
class SegmentJob:
    """All that decides what a run gives: equal jobs give equal bits on equal machines."""

    model: str
    cohort: Path
    training: SegmentTraining
    healthy: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    machine: Machine = field(default_factory=Machine)


def train_segmenter(
    job: SegmentJob,
    out: Path,
    must_exist: bool = False,
    with_tensorboard: bool = False,
    progress: Progress | None = None,
) -> RunDir:
    """Train a segmenter as the job says, or go on with the run that stands in `out`.

    must_exist  True: UsageError where there is no run to go on with
    Raises UsageError (settings, another run in the folder), DataError (slices), TrainingError (a loss that is
    not finite: the run keeps its last checkpoint).
    """
    check_there(out, must_exist)
    if entry_for(job.model).batch is not LabelledBatch:
        raise UsageError(f"{job.model} is no segmenter of slices")
    config = config_of(job)  # type: ignore[arg-type]
    slices = slices_for(job, progress)
    told, game = settings_of(job, config, slices), new_game(job, config, slices)
    inputs = {"cohort": job.cohort} | ({"healthy": job.healthy} if job.healthy else {})
    return carry_out(job, out, told, game, inputs, with_tensorboard, progress)


def carry_out(
    job: Any,
    out: Path,
    told: Mapping[str, Any],
    game: Game,
    inputs: Mapping[str, Path],
    with_tensorboard: bool = False,
    progress: Progress | None = None,
) -> RunDir:
    """Train a new game as its job says, in a new folder or from where the run in `out` stands.

    job     has model, seed and training (`steps`, `log_every`, `checkpoint_every`)
    told    the run's settings as its folder keeps them; another run's are refused (UsageError)
    inputs  what was read, by role
    """
    run = run_for(job, out, told, STUDY, inputs)
    with run.writing(), tensorboard(run) if with_tensorboard else nullcontext(run.log) as log:
        play(game, run, job, log, progress)
    return run


def slices_for(job: SegmentJob, progress: Progress | None = None) -> LabelledSlices:
    """The slices to learn from, upright, with their own greys; DataError where none is labelled."""
    if progress:
        progress("reading slices", 0.0)
    sets = [read_to_learn(job.cohort, job.training.every, job.training.unlabelled > 0)]
    if job.healthy is not None:
        sets.append(read_healthy(job.healthy))
    slices = join(*sets)
    if not len(slices.of_kind(Kind.LABELLED)):
        raise DataError(f"{job.cohort} has no labelled slice; give a cohort with lesion masks")
    return slices


def read_to_learn(path: Path, every: int, unlabelled: bool) -> LabelledSlices:
    """Slices of a folder with img/ and multiclass/, or of a cohort; its 'train' part where it has one."""
    path = Path(path)
    if path.is_dir() and (path / "img").is_dir() and not (path / TABLE_NAME).is_file():
        return read_labelled_folder(path)
    return read_labelled_cohort(part_to_learn(open_cohort(path)), unlabelled, every)


def part_to_learn(cohort: Cohort) -> Cohort:
    """The 'train' part of a cohort and what has no part; all of it where no scan is in 'train'."""
    if not any(case.split == PART for case in cohort.cases):
        return cohort
    return replace(cohort, cases=tuple(case for case in cohort.cases if case.split in (PART, "")))


def read_healthy(path: Path) -> LabelledSlices:
    """The healthy slices of a cohort; DataError where there is none."""
    cohort = open_cohort(path)
    kept = tuple(case for case in cohort.cases if case.label == "healthy" and case.split in (PART, ""))
    if not kept:
        raise DataError(f"{path} has no scan labelled healthy to train on; give another with --healthy")
    return read_labelled_cohort(Cohort(cohort.name, cohort.folder, kept, cohort.note))


def new_game(job: SegmentJob, config: Any, slices: LabelledSlices) -> Game:
    """Model, players and stream as they are before the first step."""
    model = build(job.model, job.seed, **{name: getattr(config, name) for name in asdict(config)})
    shown = alike(slices) if job.training.one_window else slices
    squares = SquareSlices(shown, job.training.size)
    if any(one.lungs for one in segmenters().values() if one.model == job.model):
        squares = told_lungs(squares, np.arange(len(shown)))
    stream = LabelledBatches(
        squares,
        job.training.plan,
        np.random.default_rng([job.seed, BATCH_STREAM]),
        augment=augmenter(job.training.augment),
    )
    players = entry_for(job.model).players(model)
    return Game({job.model: model}, players, stream, job.seed, job.machine, job.training.ema)


def settings_of(job: SegmentJob, config: Any, slices: LabelledSlices) -> dict[str, Any]:
    """The run's settings as its folder keeps them: the model's, and under 'training' all else.

    'pictures' are hashes of the labelled slices, so that a later evaluation can tell which ones were seen.
    """
    import json

    labelled = slices.of_kind(Kind.LABELLED)
    training = {
        **asdict(job.training),
        "machine": asdict(job.machine),
        "slices": {str(kind): len(slices.of_kind(kind)) for kind in Kind},
        "pictures": sorted(picture_digest(slices.pictures[row]) for row in labelled),
    }
    told: dict[str, Any] = json.loads(json.dumps({**asdict(config), "training": training}))
    return told
