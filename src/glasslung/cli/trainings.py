"""What was typed for a training becomes its settings, each kind of model by its own defaults.

A flag that means nothing to a kind is refused, with what does its work.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from glasslung.cli.options import numbers, whole_numbers
from glasslung.errors import UsageError

if TYPE_CHECKING:
    from glasslung.data.labelbatches import BatchPlan
    from glasslung.studies.diagnosis.training import DiagnosisTraining
    from glasslung.studies.segmentation.training import SegmentTraining
    from glasslung.studies.segmentation.volumes import VolumeTraining
    from glasslung.studies.synthesis.training import MakerTraining
    from glasslung.studies.training import TrainingSettings

USUAL_BATCH = 16  # of models of ages; the paper's
SLICES, SEGMENTERS, VOLUMES = "models of ages", "segmenters of slices", "networks for whole scans"
CLASSIFIERS = "classifiers of scans"
MAKING = "models that make lungs"
ONLY_MAKING = ("--watch", "--label")
ONLY_CLASSIFIERS = (
    "--cvae",
    "--lesions",
    "--exams",
    "--look-every",
    "--patience",
    "--frame",
    "--folds",
    "--start",
)
INSTEAD = {  # what does the work of a flag that a kind of model does not have
    ("--mirror", SEGMENTERS): "its slices are varied by --augment",
    ("--mirror", VOLUMES): "its boxes are mirrored anyway",
    ("--split-seed", SEGMENTERS): "it learns from the part 'train' of the table, or from all slices where it "
    "names none",
    ("--split-seed", VOLUMES): "it learns from the part 'train' of the table, or from all scans where it "
    "names none",
    ("--augment", SLICES): "its slices can be turned by --mirror",
    ("--augment", VOLUMES): "the greys of its boxes are varied anyway",
    ("--size", SLICES): "prepare the slices in the size that its settings ask for",
    ("--size", VOLUMES): "give the edges of its boxes with --box, or set its patch",
    ("--healthy", SLICES): "its healthy slices come with the others in --cohort",
    ("--healthy", VOLUMES): "its healthy scans come with the others in --cohort",
    ("--box", SLICES): "it sees whole slices",
    ("--box", SEGMENTERS): "give the side of its slices with --size",
    ("--spacing", SLICES): "it sees slices as they were prepared",
    ("--spacing", SEGMENTERS): "it sees slices as they are",
    ("--reads", SLICES): "it reads 8-bit slices",
    ("--reads", SEGMENTERS): "it reads 8-bit slices",
    ("--augment", MAKING): "its pictures are distorted by its setting: --set augment=0.8",
    ("--healthy", MAKING): "its pictures come from --cohort alone; --label chooses among them",
    ("--box", MAKING): "it sees whole pictures",
    ("--spacing", MAKING): "it sees pictures as they are",
    ("--reads", MAKING): "it reads pictures of any depth",
    ("--mirror", CLASSIFIERS): "its scans are varied by --augment",
    ("--healthy", CLASSIFIERS): "its healthy scans come with the others in --cohort",
    ("--box", CLASSIFIERS): "give the side of its slices with --size; a densenet3d has the setting box",
    ("--spacing", CLASSIFIERS): "its slices are 3 mm apart, or as far as the scan's",
    ("--reads", CLASSIFIERS): "it reads what the cohort's scans are",
}


def refuse(model: str, kind: str, flags: Mapping[str, object]) -> None:
    """UsageError for the first flag that was given and means nothing to this kind of model."""
    for flag, given in flags.items():
        if given and (flag, kind) in INSTEAD:
            raise UsageError(f"{flag} is not for {model}; {INSTEAD[flag, kind]}")
        if given and flag in ONLY_MAKING and kind != MAKING:
            raise UsageError(f"{flag} is not for {model}; only {MAKING} have it")
        if given and flag in ONLY_CLASSIFIERS and kind != CLASSIFIERS:
            raise UsageError(f"{flag} is not for {model}; only {CLASSIFIERS} have it")


def volume_training(
    steps: int, batch: str, box: str, spacing: str, reads: str, ema: float | None, checkpoint_every: int
) -> VolumeTraining:
    """What was typed; what was not is as is usual for the network."""
    from glasslung.studies.segmentation.volumes import VolumeTraining
    from glasslung.types import Intensity

    boxes, edges = whole_numbers(batch, "--batch"), whole_numbers(box, "--box")
    spacing_mm = numbers(spacing, "--spacing")
    if len(boxes) > 1:
        raise UsageError(f"--batch {batch!r}: a network for whole scans takes one number, its boxes")
    for flag, found in (("--box", edges), ("--spacing", spacing_mm)):
        if found and (len(found) != 3 or not min(found) > 0):
            raise UsageError(f"{flag}: give three numbers above 0, along z, y, x, like 64,96,96 or 2,2,2")
    if reads and reads not in list(Intensity):
        raise UsageError(f"--reads {reads!r} is not known; it is one of {', '.join(Intensity)}")
    average: dict[str, Any] = {} if ema is None else {"ema": ema or None}
    return VolumeTraining(
        steps,
        boxes[0] if boxes else None,
        edges or None,  # type: ignore[arg-type]
        spacing_mm or None,  # type: ignore[arg-type]
        intensity=Intensity(reads) if reads else None,
        checkpoint_every=checkpoint_every,
        **average,
    )


def segment_plan(model: str, batch: str, healthy: bool) -> BatchPlan:
    """How many labelled, unlabelled and healthy slices make a batch: as typed, else as the study has it."""
    from glasslung.data.labelbatches import BatchPlan
    from glasslung.studies.segmentation.contest import Budget, segmenters

    counts, usual = whole_numbers(batch, "--batch"), Budget()
    if len(counts) > 3:
        raise UsageError(f"--batch {batch!r}: give labelled, unlabelled and healthy slices, like 4,4,2")
    if counts and healthy and not sum(counts[2:]):
        raise UsageError("--healthy is given, but no healthy slice is in a batch; try --batch 4,0,2")
    if counts:
        return BatchPlan(*counts, *(0, 0, 0)[len(counts) :])
    learns = any(one.unlabelled for one in segmenters().values() if one.model == model)
    return BatchPlan(usual.labelled, usual.unlabelled * learns, usual.healthy * healthy)


def segment_training(
    steps: int, plan: BatchPlan, augment: str, size: int | None, ema: float | None, checkpoint_every: int
) -> SegmentTraining:
    """What was typed; what was not has the defaults of a segmenter."""
    from glasslung.studies.segmentation.training import SegmentTraining

    given: dict[str, Any] = {"augment": augment} if augment else {}
    given |= {} if size is None else {"size": size}
    given |= {} if ema is None else {"ema": ema or None}
    return SegmentTraining(
        steps,
        labelled=plan.labelled,
        unlabelled=plan.unlabelled,
        healthy=plan.healthy,
        checkpoint_every=checkpoint_every,
        **given,
    )


def diagnosis_training(
    model: str,
    steps: int,
    batch: str,
    views: str,
    lesions: str,
    ema: float | None,
    wanted: Mapping[str, int | str | None],
) -> DiagnosisTraining:
    """What was typed, for a classifier of scans or a CVAE; what was not has their defaults."""
    from glasslung.studies.diagnosis.learning import Pace
    from glasslung.studies.diagnosis.training import CVAE, DiagnosisTraining

    counts = whole_numbers(batch, "--batch")
    if len(counts) > 1 or any(count % 2 for count in counts):
        raise UsageError(f"--batch {batch!r}: {model} takes one even number, half of it with the disease")
    pace: dict[str, Any] = {"views": views} if views else {}
    pace |= {} if ema is None else {"ema": ema or None}
    if counts:
        pace["side_each" if model == CVAE else "each"] = counts[0] // 2
    given: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
    return DiagnosisTraining(steps, pace=Pace(**pace), lesions=lesions, **given)


def maker_training(
    model: str,
    steps: int,
    batch: str,
    mirror: bool,
    ema: float | None,
    checkpoint_every: int,
    watch: str,
) -> MakerTraining:
    """What was typed, for a model that makes lungs; it looks every hundred steps, or at every checkpoint."""
    from glasslung.studies.synthesis.training import MakerTraining
    from glasslung.train.watchdog import WatchSettings

    counts = whole_numbers(batch, "--batch") or (USUAL_BATCH,)
    if len(counts) > 1:
        raise UsageError(f"--batch {batch!r}: {model} takes one number, its real pictures")
    usual = WatchSettings()
    every = usual.every if checkpoint_every % usual.every == 0 else checkpoint_every
    looks = WatchSettings(every=every, action=watch or usual.action)
    return MakerTraining(steps, counts[0], mirror, ema=ema, watch=looks, checkpoint_every=checkpoint_every)


def age_training(
    model: str,
    steps: int,
    batch: str,
    mirror: bool,
    ema: float | None,
    split_seed: int,
    checkpoint_every: int,
) -> TrainingSettings:
    """What was typed, for a model of ages: its batch is one number."""
    from glasslung.studies.training import TrainingSettings

    counts = whole_numbers(batch, "--batch") or (USUAL_BATCH,)
    if len(counts) > 1:
        raise UsageError(f"--batch {batch!r}: {model} takes one number, which the ages share evenly")
    return TrainingSettings(
        steps, counts[0], mirror, ema or None, checkpoint_every=checkpoint_every, split_seed=split_seed
    )
