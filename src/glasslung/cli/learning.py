"""Verbs about models: train one, list the runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glasslung.cli.options import Seed, whole_seed
from glasslung.cli.telling import print_columns, progress_bar


def train(
    model: Annotated[str, typer.Argument(help="usvae, cage or another model by name.", show_default=False)],
    data: Annotated[Path, typer.Option("--cohort", help="Folder that `glasslung prepare` wrote.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run; a run there goes on.")],
    steps: Annotated[int, typer.Option(help="Optimiser steps in all.")],
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="A setting of the model, name=value; may be repeated.", show_default=False
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="Slices in a batch, shared evenly by the ages.")] = 16,
    mirror: Annotated[bool, typer.Option("--mirror", help="Turn slices left to right by chance.")] = False,
    ema: Annotated[
        float | None, typer.Option(help="Keep averaged weights with this decay, e.g. 0.998.")
    ] = None,
    seed: Seed = 0,
    split_seed: Annotated[
        int, typer.Option(help="Of the split, for a table that has none.", callback=whole_seed)
    ] = 0,
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
    """Train a model on prepared slices, or go on with a run: the same command goes on where it stopped."""
    from glasslung.studies.settings import parse_settings
    from glasslung.studies.training import Job, TrainingSettings, train_model
    from glasslung.train.machine import Machine

    training = TrainingSettings(
        steps, batch, mirror, ema, checkpoint_every=checkpoint_every, split_seed=split_seed
    )
    machine = Machine(device, precision, deterministic=deterministic)
    job = Job(model, data, training, parse_settings(setting or ()), seed, machine)
    with progress_bar() as progress:
        run = train_model(job, out, resume, tensorboard, progress)
    typer.echo(f"{model}: {steps} steps done, weights in {run.folder / 'weights'}")


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
