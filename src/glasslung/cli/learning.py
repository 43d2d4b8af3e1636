"""Verbs about models: train one, list the runs, score one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glasslung.cli.options import Seed, whole_seed
from glasslung.cli.telling import print_columns, print_remarks, progress_bar
from glasslung.cli.trainings import (
    CLASSIFIERS,
    MAKING,
    SEGMENTERS,
    SLICES,
    VOLUMES,
    age_training,
    diagnosis_training,
    maker_training,
    refuse,
    segment_plan,
    segment_training,
    volume_training,
)
from glasslung.errors import UsageError

if TYPE_CHECKING:
    from glasslung.studies.diagnosis.training import DiagnosisJob


def train(
    model: Annotated[
        str,
        typer.Argument(
            help="usvae, cage, unet, unet3d, netvlad, i3d or another model by name.", show_default=False
        ),
    ],
    data: Annotated[
        Path,
        typer.Option(
            "--cohort",
            help="Folder that `glasslung prepare` wrote; for segmenters a cohort with masks; for classifiers "
            "one with labels.",
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
            "healthy ones, like 4,4,2; boxes for networks of whole scans; scans for classifiers, of which "
            "half have the disease.",
            show_default=False,
        ),
    ] = "",
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Turn slices left to right by chance; not for segmenters.")
    ] = False,
    augment: Annotated[
        str,
        typer.Option(
            help="How slices are varied: moderate for segmenters; usual, strong or none for classifiers.",
            show_default=False,
        ),
    ] = "",
    size: Annotated[
        int | None,
        typer.Option(help="Side of the framed slices: segmenters 192, classifiers 128 if not given."),
    ] = None,
    healthy: Annotated[
        Path | None,
        typer.Option(help="Segmenters: a cohort with slices of healthy people, to learn from as well."),
    ] = None,
    box: Annotated[
        str, typer.Option(help="Whole scans: edges of a box in voxels, like 64,96,96.", show_default=False)
    ] = "",
    spacing: Annotated[
        str, typer.Option(help="Whole scans: mm between voxels of the network's grid, like 2,2,2.")
    ] = "",
    reads: Annotated[
        str, typer.Option(help="Whole scans: hu or display8; as the cohort's scans are if not given.")
    ] = "",
    cvae: Annotated[
        int | None,
        typer.Option(help="Classifiers: steps of the CVAE that netvlad begins with; 400, 0 for none."),
    ] = None,
    lesions: Annotated[
        str,
        typer.Option(
            help="Classifiers: who finds lesions: a run or shipped name, none, or given by the table.",
            show_default=False,
        ),
    ] = "",
    exams: Annotated[
        Path | None,
        typer.Option(
            help="Classifiers: folder in which what is made of each scan is kept, for several runs."
        ),
    ] = None,
    look_every: Annotated[
        int | None, typer.Option(help="Classifiers: steps between looks at the validation scans; 50.")
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(help="Classifiers: looks without a better one that end the training; 10, 0 never."),
    ] = None,
    frame: Annotated[
        str,
        typer.Option(
            help="Classifiers: how scans are cut: lungs, or body; as the model's paper if not given.",
            show_default=False,
        ),
    ] = "",
    folds: Annotated[
        int | None,
        typer.Option(help="Classifiers: train one for each fold of so many, by patient; a folder of runs."),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            help="i3d, resnet2d: begin with the trunk of a run, or what `glasslung weights import` wrote."
        ),
    ] = None,
    ema: Annotated[
        float | None,
        typer.Option(
            help="Keep averaged weights with this decay, like 0.998; segmenters and classifiers: 0.99, or 0."
        ),
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
    shares: Annotated[
        int | None,
        typer.Option(
            help="Batches averaged in each step, dealt to the processes that torchrun or srun started; one "
            "for each if not given.",
            show_default=False,
        ),
    ] = None,
    checkpoint_every: Annotated[int, typer.Option(help="Steps that a kill can cost.")] = 200,
    resume: Annotated[
        bool, typer.Option("--resume", help="Insist that there is a run to go on with.")
    ] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Log for TensorBoard as well.")] = False,
    watch: Annotated[
        str,
        typer.Option(
            help="Models that make lungs: what their watchdog does: tell, stop, remedy or 'roll back'.",
            show_default=False,
        ),
    ] = "",
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label",
            help="Models that make lungs: only pictures of this label, like covid; may be repeated.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Train a model on slices or scans, or go on with a run: the same command goes on where it stopped."""
    from glasslung.models import entry_for
    from glasslung.nn.batches import ExamBatch, LabelledBatch, PairBatch, SideBatch, StayBatch
    from glasslung.studies.diagnosis.training import DiagnosisJob, train_diagnosis
    from glasslung.studies.segmentation.training import SegmentJob, train_segmenter
    from glasslung.studies.segmentation.volumes import USUAL, VolumeJob, train_volumes, training_remarks
    from glasslung.studies.settings import parse_settings
    from glasslung.studies.synthesis.training import MAKERS, MakerJob, train_maker
    from glasslung.studies.training import AGELESS, Job, train_model
    from glasslung.train.machine import Machine
    from glasslung.train.ranks import find_ranks

    ranks = find_ranks()
    machine = Machine(device, precision, ranks.world if shares is None else shares, deterministic)
    settings = parse_settings(setting or ())
    given = {"--mirror": mirror, "--split-seed": split_seed is not None, "--augment": augment}
    given |= {"--size": size is not None, "--healthy": healthy is not None}
    given |= {"--box": box, "--spacing": spacing, "--reads": reads}
    given |= {"--cvae": cvae is not None, "--lesions": lesions, "--exams": exams is not None}
    given |= {"--look-every": look_every is not None, "--patience": patience is not None}
    given |= {"--frame": frame, "--folds": folds is not None, "--start": start is not None}
    given |= {"--watch": watch, "--label": label}
    batches = entry_for(model).batch
    if ranks.world > 1 and (batches in (ExamBatch, SideBatch) or model in MAKERS):
        raise UsageError(f"{model} is trained by one process; start it without torchrun or srun")
    if model in USUAL:
        refuse(model, VOLUMES, given)
        volumes = volume_training(steps, batch, box, spacing, reads, ema, checkpoint_every)
        scans = VolumeJob(model, data, volumes, settings, seed, machine)
        with progress_bar() as progress:
            run = train_volumes(scans, out, resume, tensorboard, progress)
    elif batches is LabelledBatch:
        refuse(model, SEGMENTERS, given)
        plan = segment_plan(model, batch, healthy is not None)
        slices = segment_training(steps, plan, augment, size, ema, checkpoint_every)
        asked = SegmentJob(model, data, slices, healthy, settings, seed, machine)
        with progress_bar() as progress:
            run = train_segmenter(asked, out, resume, tensorboard, progress)
    elif batches in (ExamBatch, SideBatch):
        refuse(model, CLASSIFIERS, given)
        settings |= {} if size is None else {"size": size}
        wanted = {
            "cvae_steps": cvae,
            "look_every": look_every,
            "patience": patience,
            "split_seed": split_seed,
            "frame": frame or None,
        }
        diagnosis = diagnosis_training(model, steps, batch, augment, lesions, ema, wanted)
        exam_job = DiagnosisJob(model, data, diagnosis, settings, seed, machine, start)
        if folds is not None:
            if resume or tensorboard:
                raise UsageError(
                    "--folds goes on by itself and logs in each fold; leave --resume, --tensorboard out"
                )
            _train_folds(exam_job, folds, split_seed or 0, out, exams)
            return
        with progress_bar() as progress:
            run = train_diagnosis(exam_job, out, resume, tensorboard, progress, exams)
    elif model in MAKERS:
        refuse(model, MAKING, given)
        settings |= {} if size is None else {"size": size}
        pictures = maker_training(model, steps, batch, mirror, ema, checkpoint_every, watch)
        pictures = replace(pictures, labels=tuple(label or ()), split_seed=split_seed or 0)
        with progress_bar() as progress:
            run = train_maker(
                MakerJob(model, data, pictures, settings, seed, machine),
                out,
                resume,
                tensorboard,
                progress,
                _bark,
            )
    elif batches is PairBatch:
        raise UsageError(f"{model} learns from pairs, the same lung healthy and ill, which no cohort holds")
    elif batches is StayBatch:
        raise UsageError(f"{model} learns from features and stays: see `glasslung.studies.prognosis.network`")
    else:
        if model in AGELESS:  # its pictures are made square here, in the size that is asked for
            settings |= {"size": size} if given.pop("--size") else {}
        refuse(model, SLICES, given)
        ages = age_training(model, steps, batch, mirror, ema, split_seed or 0, checkpoint_every)
        job = Job(model, data, ages, settings, seed, machine)
        with progress_bar() as progress:
            run = train_model(job, out, resume, tensorboard, progress)
    if not ranks.first:
        return
    print_remarks(training_remarks(run))
    typer.echo(f"{model}: {steps} steps done, weights in {run.folder / 'weights'}")


def _train_folds(job: DiagnosisJob, folds: int, seed: int, out: Path, exams: Path | None) -> None:
    """Cross-validation of a classifier, and what each fold said of its own scans."""
    from glasslung.studies.diagnosis.folds import SCORES, FoldPlan, train_folds

    with progress_bar() as progress:
        found = train_folds(job, FoldPlan(folds, seed), out, progress, exams)
    each, whole = found.about["auc of the folds"], found.about["auc out of fold"]
    print_columns([("fold", "scans", "AUC"), *_fold_lines(found.about["folds"])])
    typer.echo(
        f"out of fold: AUC {whole['value']:.3f} [{whole['low']:.3f}, {whole['high']:.3f}], mean of folds "
        f"{each['mean']:.3f} (SD {each['sd']:.3f}), best {found.best.name}"
    )
    typer.echo(f"scores: {out / SCORES}; ask all folds as one: glasslung evaluate {out} COHORT")


def _fold_lines(folds: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [(one["folder"], str(one["scans"]), f"{one['auc']:.3f}") for one in folds]


def _bark(alarm: object) -> None:
    """What a watchdog saw, at once, beside the progress."""
    typer.echo(f"watchdog: {alarm}", err=True)


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
    data: Annotated[
        Path,
        typer.Argument(help="Folder of labelled slices, or a cohort of slices or scans.", show_default=False),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="New folder for figures, masks and pictures.", show_default=False),
    ] = None,
    seed: Seed = 0,
    part: Annotated[
        str,
        typer.Option(
            help="Classifiers: the part of the table that is scored, or all; test if there is one.",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Score a trained model on data with the truth: figures with intervals, the papers' beside them."""
    from glasslung.studies.evaluation import evaluate as score

    with progress_bar() as progress:
        found = score(model, data, out, progress, seed, part)
    typer.echo(found.text.rstrip())
    if out is not None:
        typer.echo(f"figures: {out / 'evaluation.json'}")
