"""One run of a network for whole scans: trained on a cohort's volumes, in a folder that can be gone on with.

    scans    those of a cohort that have masks of lungs or lesions (`data.volumecohort`); of a table with a
             part 'train', that part
    grid     each network has its usual one; scans are brought to it once and kept in memory
    reads    Hounsfield units; where the table has 8-bit scans, 8-bit grey, and HU are shown through windows

The same call goes on where it was stopped. A call with other settings or other scans is refused. What the
network reads is kept with the run, under training, reads, so that it can be asked about any scan.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from glasslung.data.boxgrid import Triple
from glasslung.data.sources import open_cohort
from glasslung.data.volumebatches import READINGS, AxialBatches, Reading, Settings, VolumeBatches
from glasslung.data.volumecohort import VolumeSet, labelled_cases, read_volume_cohort
from glasslung.errors import DataError, UsageError
from glasslung.models import build, entry_for
from glasslung.nn.batches import PatchBatch
from glasslung.predict import Network
from glasslung.predict.trained import TRAINING, Trained
from glasslung.studies.segmentation.training import carry_out, part_to_learn
from glasslung.studies.training import check_there, config_of
from glasslung.train.game import Game
from glasslung.train.machine import Machine
from glasslung.train.rundir import RunDir
from glasslung.types import Intensity, Progress, Remark, Severity

BATCH_STREAM = 2
READS, SCANS, REMARKS = "reads", "scans", "remarks"  # among the training's settings
WHOLE_MM = 1000.0  # a margin that takes in all of a scan
DIGITS = 16  # of a file's SHA-256 that a run keeps


class Usual(NamedTuple):
    """How a network is trained where nothing else is asked for.

    box        edges of its boxes, voxels; None: squares of the network's own setting `patch`
    margin_mm  of the body around the lungs that it sees, in training and when it is asked
    """

    spacing_mm: Triple
    box: tuple[int, int, int] | None
    boxes: int
    margin_mm: float


USUAL = {
    "unet3d": Usual((2.0, 2.0, 2.0), (64, 96, 96), 2, 40.0),
    # it looks for lungs where nobody has found them yet, and its low pathway needs 60 voxels to be of use
    "twopath": Usual((3.0, 3.0, 3.0), (64, 64, 64), 2, WHOLE_MM),
    "patchnet": Usual((2.0, 1.5, 1.5), None, 16, 40.0),
}
"""The networks for whole scans."""


@dataclass(frozen=True)
class VolumeTraining:
    """How long and on what a network is trained; what is None is as usual for it (`USUAL`)."""

    steps: int
    boxes: int | None = None
    """In a batch."""
    box: tuple[int, int, int] | None = None
    """Edges of a box along (z, y, x), voxels of the network's grid."""
    spacing_mm: Triple | None = None
    """(z, y, x) of the network's grid."""
    window_hu: tuple[float, float] = (-1000.0, 400.0)
    """What 0 and 1 stand for, where it reads HU; the diagnosis paper's."""
    margin_mm: float | None = None
    intensity: Intensity | None = None
    """hu or display8; None: as the cohort's scans are."""
    ema: float | None = 0.99
    """Decay of a running average of the weights, which is what is kept."""
    log_every: int = 10
    checkpoint_every: int = 100
    """Steps that a kill can cost."""

    def __post_init__(self) -> None:
        if min(self.steps, self.log_every, self.checkpoint_every) < 1:
            raise UsageError("steps, log_every and checkpoint_every must be 1 or more")
        if self.ema is not None and not 0 < self.ema < 1:
            raise UsageError(f"ema {self.ema} is no decay; choose one below 1, for example 0.99")


@dataclass(frozen=True)
class VolumeJob:
    """All that decides what a run gives: equal jobs give equal bits on equal machines."""

    model: str
    cohort: Path
    training: VolumeTraining
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    machine: Machine = field(default_factory=Machine)


def train_volumes(
    job: VolumeJob,
    out: Path,
    must_exist: bool = False,
    with_tensorboard: bool = False,
    progress: Progress | None = None,
) -> RunDir:
    """Train a network for whole scans as the job says, or go on with the run that stands in `out`.

    must_exist  True: UsageError where there is no run to go on with
    Raises UsageError (settings, another run in the folder), DataError (scans and masks), TrainingError (a
    loss that is not finite: the run keeps its last checkpoint).
    """
    check_there(out, must_exist)
    if job.model not in USUAL:
        raise UsageError(f"{job.model} is no network for whole scans; {', '.join(USUAL)} are")
    if entry_for(job.model).batch is PatchBatch:  # torch refuses the layout of slices in three dimensions
        job = replace(job, machine=replace(job.machine, channels_last=False))
    config = config_of(job)  # type: ignore[arg-type]
    reading = reading_of(job.model, config)
    cohort = part_to_learn(open_cohort(job.cohort))
    eight_bit = any(case.intensity is Intensity.DISPLAY8 for case in labelled_cases(cohort))
    job = replace(job, training=_filled(job, config, eight_bit))
    boxes = _boxes(job.training)
    _check_boxes(job, config)
    scans = read_volume_cohort(cohort, boxes, progress)
    _check_known(job, reading, scans)
    told, game = settings_of(job, config, reading, scans), new_game(job, config, reading, scans)
    return carry_out(job, out, told, game, {"cohort": job.cohort}, with_tensorboard, progress)


def reading_of(model: str, config: Any) -> Reading:
    """The classes that a network tells apart; UsageError where masks know no such classes."""
    if model == "unet3d":
        return READINGS[config.tree]
    if model == "patchnet":
        return READINGS["lesion"]
    by_count = {len(READINGS[name].classes): READINGS[name] for name in ("lungs", "lungs and lesions")}
    if config.classes not in by_count:
        raise UsageError(
            f"a {model} of {config.classes} classes has no meaning here: 2 are outside and lung, "
            f"{max(by_count)} outside, lung and three kinds of lesion"
        )
    return by_count[config.classes]


def _filled(job: VolumeJob, config: Any, eight_bit: bool) -> VolumeTraining:
    """The training's settings with what is usual where nothing was asked for."""
    usual, asked = USUAL[job.model], job.training
    edge = getattr(config, "patch", 0)
    if usual.box is None and asked.box is not None:
        raise UsageError(f"a {job.model} sees squares of its setting patch; set that instead of a box")
    if eight_bit and asked.intensity is Intensity.HU:
        raise DataError(f"{job.cohort} has 8-bit scans, from which no network for Hounsfield units can learn")
    return replace(
        asked,
        boxes=usual.boxes if asked.boxes is None else asked.boxes,
        box=asked.box or usual.box or (1, edge, edge),
        spacing_mm=asked.spacing_mm or usual.spacing_mm,
        margin_mm=usual.margin_mm if asked.margin_mm is None else asked.margin_mm,
        intensity=asked.intensity or (Intensity.DISPLAY8 if eight_bit else Intensity.HU),
    )


def _boxes(training: VolumeTraining) -> Settings:
    """How boxes are drawn, of complete settings."""
    names = ("spacing_mm", "window_hu", "box", "boxes", "intensity", "margin_mm")
    return Settings(**{name: getattr(training, name) for name in names})


def _check_boxes(job: VolumeJob, config: Any) -> None:
    """UsageError for boxes that the network cannot read, before any scan is."""
    box, multiple = job.training.box or (), int(getattr(config, "multiple", 1))
    least = int(getattr(config, "smaller", 1))
    if any(edge % multiple or edge < least for edge in box):
        raise UsageError(
            f"a {job.model} reads boxes with edges that are multiples of {multiple} from {least} on, not "
            f"{','.join(map(str, box))}"
        )


def _check_known(job: VolumeJob, reading: Reading, scans: VolumeSet) -> None:
    """DataError where no scan has what the network is to learn."""
    if not any((reading(scan.label) > 0).any() for scan in scans.scans):
        raise DataError(
            f"{job.cohort} has no scan with {' or '.join(reading.classes[1:4])} in its masks, which "
            f"{job.model} is to learn; give a cohort whose table names such masks"
        )


def new_game(job: VolumeJob, config: Any, reading: Reading, scans: VolumeSet) -> Game:
    """Model, players and stream as they are before the first step; the job's settings are complete."""
    model = build(job.model, job.seed, **{name: getattr(config, name) for name in asdict(config)})
    kind = AxialBatches if job.model == "patchnet" else VolumeBatches
    balanced = READINGS["lesions"] if job.model == "patchnet" else reading
    stream = kind(
        scans.scans, _boxes(job.training), np.random.default_rng([job.seed, BATCH_STREAM]), balanced
    )
    players = entry_for(job.model).players(model)
    return Game({job.model: model}, players, stream, job.seed, job.machine, job.training.ema)


def settings_of(job: VolumeJob, config: Any, reading: Reading, scans: VolumeSet) -> dict[str, Any]:
    """The run's settings as its folder keeps them: the model's, and under 'training' all else.

    'reads' is what the network must be shown, 'scans' are hashes of the files that it saw, so that a later
    evaluation can tell which ones were seen.
    """
    names = ("intensity", "spacing_mm", "window_hu", "margin_mm")
    training = {
        **asdict(job.training),
        "machine": asdict(job.machine),
        "classes": reading.classes,
        READS: {name: getattr(job.training, name) for name in names},
        SCANS: sorted(digest[:DIGITS] for digest in scans.digests),
        REMARKS: [{"code": r.code, "severity": r.severity, "text": r.text} for r in scans.remarks],
    }
    told: dict[str, Any] = json.loads(json.dumps({**asdict(config), TRAINING: training}))
    return told


# ---------------------------------------------------------------------------------------- the trained run


def training_remarks(run: RunDir) -> tuple[Remark, ...]:
    """What was to beware of in the scans that a run was trained on; () of a run of slices."""
    told = run.about["settings"].get(TRAINING, {}).get(REMARKS, [])
    return tuple(Remark(one["code"], Severity(one["severity"]), one["text"]) for one in told)


def margin_of(trained: Trained) -> float:
    """How much of the body around the lungs a trained network saw, mm."""
    return float(trained.about["settings"][TRAINING][READS]["margin_mm"])


def network_of(trained: Trained) -> Network:
    """A trained network for whole scans, and what it reads; UsageError for any other model."""
    told = trained.about["settings"].get(TRAINING, {})
    if trained.method not in USUAL or READS not in told:
        raise UsageError(f"{trained.name} is no network for whole scans; {', '.join(USUAL)} are")
    reads, config = told[READS], getattr(trained.model, "config", None)
    z, y, x = (float(one) for one in reads["spacing_mm"])
    low, high = (float(one) for one in reads["window_hu"])
    return Network(
        trained.model,
        tuple(told["classes"]),
        Intensity(reads["intensity"]),
        (z, y, x),
        (low, high),
        multiple=16 if trained.method == "patchnet" else int(getattr(config, "multiple", 4)),
        flat=trained.method == "patchnet",
    )
