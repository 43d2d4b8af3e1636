"""Verbs about models: train one, list the runs, score one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glasslung.cli.options import Seed, whole_numbers, whole_seed
from glasslung.cli.telling import print_columns, progress_bar
from glasslung.errors import UsageError

if TYPE_CHECKING:
    from glasslung.data.labelbatches import BatchPlan
    from glasslung.studies.segmentation.training import SegmentTraining
    from glasslung.studies.training import TrainingSettings

USUAL_BATCH = 16  # of models of ages; the paper's
INSTEAD = {  # what does the work of a flag that a model does not have
    "--mirror": "its slices are varied by --augment",
    "--split-seed": "it learns from the part 'train' of the table, or from all slices where it names none",
    "--augment": "its slices can be turned by --mirror",
    "--size": "prepare the slices in the size that its settings ask for",
    "--healthy": "its healthy slices come with the others in --cohort",
}


def train(
    model: Annotated[
        str, typer.Argument(help="usvae, cage, unet, stichnet or another model by name.", show_default=False)
    ],
    data: Annotated[
        Path,
        typer.Option(
            "--cohort",
            help="Folder that `glasslung prepare` wrote; for segmenters a cohort with lesion masks.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run; a run there goes on.")],
    steps: Annotated[int, typer.Option(help="Optimiser steps in all.")],
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="A setting of the model, name=value; may be repeated.", show_default=False
        ),
    ] = None,
    batch: Annotated[
        str,
        typer.Option(
            help="Slices in a batch: 16, shared evenly by the ages; for segmenters labelled, unlabelled and "
            "healthy ones, like 4,4,2.",
            show_default=False,
        ),
    ] = "",
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Turn slices left to right by chance; not for segmenters.")
    ] = False,
    augment: Annotated[
        str, typer.Option(help="Segmenters: how slices are varied; strong if not given.", show_default=False)
    ] = "",
    size: Annotated[
        int | None, typer.Option(help="Segmenters: side of the framed slices; 192 if not given.")
    ] = None,
    healthy: Annotated[
        Path | None,
        typer.Option(help="Segmenters: a cohort with slices of healthy people, to learn from as well."),
    ] = None,
    ema: Annotated[
        float | None,
        typer.Option(help="Keep averaged weights with this decay, e.g. 0.998; segmenters: 0.99, 0 for none."),
    ] = None,
    seed: Seed = 0,
    split_seed: Annotated[
        int | None,
        typer.Option(help="Of the split, for a table without; not for segmenters.", callback=whole_seed),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, 32-true or bf16-mixed.")] = "auto",
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Refuse operations that differ from run to run.")
    ] = False,
    checkpoint_every: Annotated[int, typer.Option(help="Steps that a kill can cost.")] = 200,
    resume: Annotated[
        bool, typer.Option("--resume", help="Insist that there is a run to go on with.")
    ] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Log for TensorBoard as well.")] = False,
) -> None:
    """Train a model on slices, or go on with a run: the same command goes on where it stopped."""
    from glasslung.models import entry_for
    from glasslung.nn.batches import LabelledBatch
    from glasslung.studies.segmentation.training import SegmentJob, train_segmenter
    from glasslung.studies.settings import parse_settings
    from glasslung.studies.training import Job, train_model
    from glasslung.train.machine import Machine

    machine = Machine(device, precision, deterministic=deterministic)
    settings = parse_settings(setting or ())
    if entry_for(model).batch is LabelledBatch:
        _refuse(model, {"--mirror": mirror, "--split-seed": split_seed is not None})
        plan = _segment_plan(model, batch, healthy is not None)
        lesions = _segment_training(steps, plan, augment, size, ema, checkpoint_every)
        asked = SegmentJob(model, data, lesions, healthy, settings, seed, machine)
        with progress_bar() as progress:
            run = train_segmenter(asked, out, resume, tensorboard, progress)
    else:
        _refuse(model, {"--augment": augment, "--size": size is not None, "--healthy": healthy is not None})
        ages = _age_training(model, steps, batch, mirror, ema, split_seed or 0, checkpoint_every)
        job = Job(model, data, ages, settings, seed, machine)
        with progress_bar() as progress:
            run = train_model(job, out, resume, tensorboard, progress)
    typer.echo(f"{model}: {steps} steps done, weights in {run.folder / 'weights'}")


def _refuse(model: str, flags: Mapping[str, object]) -> None:
    """UsageError for the first flag that was given and means nothing to this model."""
    for flag, given in flags.items():
        if given:
            raise UsageError(f"{flag} is not for {model}; {INSTEAD[flag]}")


def _segment_plan(model: str, batch: str, healthy: bool) -> BatchPlan:
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


def _segment_training(
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


def _age_training(
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


def runs(
    folder: Annotated[Path, typer.Argument(help="Folder that holds runs, at any depth.", show_default=False)],
) -> None:
    """List the runs in a folder, oldest first: what each is, how far it came, how it stands."""
    from glasslung.train.rundir import list_runs

    found = list_runs(folder)
    if not found:
        typer.echo(f"no run in {folder}")
        return
    rows = [("run", "study", "model", "seed", "steps", "loss", "begun", "state")]
    for run in found:
        training = run.settings.get("training")
        asked = training.get("steps") if isinstance(training, dict) else None
        loss = run.last.get("total")
        rows.append(
            (
                str(run.folder.relative_to(folder)),
                run.study,
                run.model,
                "" if run.seed is None else str(run.seed),
                f"{run.made}/{asked}" if asked else str(run.made),
                "" if loss is None else f"{loss:.4g}",
                run.created,
                run.state,
            )
        )
    print_columns(rows)


def evaluate(
    model: Annotated[
        str, typer.Argument(help="Folder of a run, or the name of shipped weights.", show_default=False)
    ],
    data: Annotated[Path, typer.Argument(help="Folder of labelled slices, or a cohort.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="New folder for figures, masks and pictures.", show_default=False),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Score a trained model on data with the truth: figures with intervals, the papers' beside them."""
    from glasslung.studies.evaluation import evaluate as score

    with progress_bar() as progress:
        found = score(model, data, out, progress, seed)
    typer.echo(found.text.rstrip())
    if out is not None:
        typer.echo(f"figures: {out / 'evaluation.json'}")
