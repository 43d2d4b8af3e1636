"""`glasslung study`: published systems, each one command and one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glasslung.cli.options import whole_numbers
from glasslung.cli.telling import progress_bar, show_page
from glasslung.errors import UsageError

app = typer.Typer(
    help="Published systems, told in order and measured: one command, one page.", no_args_is_help=True
)


@app.command()
def progression(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the study; a study there goes on.")],
    data: Annotated[
        Path | None,
        typer.Option(
            "--cohort",
            help="8-bit slices, or what `glasslung prepare` wrote; else phantoms.",
            show_default=False,
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Ten minutes: too short for conclusions, enough for a look.")
    ] = False,
    seeds: Annotated[int, typer.Option(help="Trainings of every method; more can be added later.")] = 1,
    minutes: Annotated[
        float | None,
        typer.Option(help="Processor time for each method; 2 in full, 0.3 quick.", show_default=False),
    ] = None,
    methods: Annotated[
        str, typer.Option(help="Only these, with commas between them, like CAGE-T0,R6.", show_default=False)
    ] = "",
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """U-SVAE and CAGE: a lung carried through the ages of COVID-19, the tourist crisis, and its remedies."""
    from glasslung.studies.progression.study import FULL, QUICK, choose_methods, run_progression

    plan = (QUICK if quick else FULL).for_minutes(minutes)
    chosen = choose_methods(methods, plan)
    with progress_bar() as progress:
        page = run_progression(data, out, plan, seeds, chosen, progress)
    show_page(page, show)


@app.command()
def segmentation(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the study; a study there goes on.")],
    data: Annotated[
        Path | None,
        typer.Option(
            "--cohort", help="8-bit slices, some with lesion masks; else phantoms.", show_default=False
        ),
    ] = None,
    healthy: Annotated[
        Path | None,
        typer.Option(
            help="Cohort with slices of healthy people; else those of --cohort.", show_default=False
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A quarter of an hour: too short for conclusions.")
    ] = False,
    seeds: Annotated[int, typer.Option(help="Trainings of every cell; more can be added later.")] = 1,
    minutes: Annotated[
        float | None,
        typer.Option(help="Processor time for each training; 2 in full, 0.4 quick.", show_default=False),
    ] = None,
    labels: Annotated[
        str,
        typer.Option(
            help="Numbers of labelled slices, with commas between them; 5,10,25,50 in full, 5,50 quick.",
            show_default=False,
        ),
    ] = "",
    folds: Annotated[
        int | None,
        typer.Option(help="Parts of the labelled slices; 5 in full, 2 quick.", show_default=False),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(help="Side of the framed slices, pixels; 192 in full, 128 quick.", show_default=False),
    ] = None,
    methods: Annotated[
        str,
        typer.Option(
            help="Only these beside the baseline, with commas between them, like StichNet,UniMatch.",
            show_default=False,
        ),
    ] = "",
    baseline: Annotated[str, typer.Option(help="The method beside which gains are told.")] = "U-Net",
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """U-Net, pseudo-labels, Inf-Net, StichNet: which finds lesions best when few slices are labelled?"""
    from glasslung.studies.segmentation.study import FULL, QUICK, choose_segmenters, run_segmentation

    if healthy is not None and data is None:
        raise UsageError("--healthy goes with --cohort; phantoms bring healthy slices of their own")
    plan = (QUICK if quick else FULL).for_minutes(minutes).for_labels(whole_numbers(labels, "--labels"))
    plan = plan.for_folds(folds).for_size(size)
    chosen = choose_segmenters(methods, plan, baseline)
    with progress_bar() as progress:
        page = run_segmentation(data, out, plan, seeds, chosen, healthy, progress, baseline)
    show_page(page, show)


@app.command()
def diagnosis(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the study; a study there goes on.")],
    data: Annotated[
        Path | None,
        typer.Option(
            "--cohort", help="Scans labelled 'covid' or otherwise; else phantoms.", show_default=False
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A quarter of an hour: too short for conclusions.")
    ] = False,
    seeds: Annotated[int, typer.Option(help="Trainings of every method; more can be added later.")] = 1,
    minutes: Annotated[
        float | None,
        typer.Option(help="Processor time for each training; 2 in full, 0.33 quick.", show_default=False),
    ] = None,
    people: Annotated[
        int | None, typer.Option(help="Phantoms; 160 in full, 60 quick.", show_default=False)
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(help="Side of the slices, pixels; 96 in full, 64 quick.", show_default=False),
    ] = None,
    drawn: Annotated[
        bool,
        typer.Option(
            "--drawn-masks",
            help="Lungs and lesions that the table names, or a phantom's true ones, not those found.",
        ),
    ] = False,
    methods: Annotated[
        str,
        typer.Option(
            help="Only these beside the paper's, with commas between them, like slice-wise,3D DenseNet.",
            show_default=False,
        ),
    ] = "",
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """CVAE, NetVLAD, relevance: COVID-19 or not, and why?"""
    from glasslung.studies.diagnosis.study import FULL, QUICK, run_diagnosis

    if people is not None and data is not None:
        raise UsageError("--people counts phantoms, and --cohort brings its own scans; give one of the two")
    plan = (QUICK if quick else FULL).for_minutes(minutes).for_people(people).for_size(size)
    plan = plan.for_methods(methods).with_masks(drawn)
    with progress_bar() as progress:
        page = run_diagnosis(data, out, plan, seeds, progress)
    show_page(page, show)


@app.command()
def prognosis(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the study; a study there goes on.")],
    data: Annotated[
        Path | None,
        typer.Option(
            "--cohort",
            help="Serial scans with days and outcomes, or slices with critical_illness; else phantoms.",
            show_default=False,
        ),
    ] = None,
    readers: Annotated[
        Path | None,
        typer.Option(help="Readers' ratings, readers.csv; of phantoms else simulated.", show_default=False),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Some minutes: too short for conclusions.")] = False,
    minutes: Annotated[
        float | None,
        typer.Option(help="Processor time for each fold; 2 in full, 0.33 quick.", show_default=False),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(help="Folds of the hospital learned from; 3 in full, 2 quick.", show_default=False),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(help="Side of the slices, pixels; 96 in full, 48 quick.", show_default=False),
    ] = None,
    found: Annotated[
        bool,
        typer.Option(
            "--found-masks",
            help="Lungs and lesions as the product finds them, 2 s a scan, not those drawn.",
        ),
    ] = False,
    methods: Annotated[
        str,
        typer.Option(help="Only these beside I3D, like 2D ResNet-50.", show_default=False),
    ] = "",
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """COVID3D: the diagnosis elsewhere, its score over the days, and what one scan or two foretell."""
    from glasslung.studies.prognosis.study import FULL, QUICK, is_critical, run_prognosis

    with progress_bar() as progress:
        if data is not None and is_critical(data):
            from glasslung.studies.critical.study import FULL as CRITICAL_FULL
            from glasslung.studies.critical.study import QUICK as CRITICAL_QUICK
            from glasslung.studies.critical.study import run_critical

            page = run_critical(data, out, CRITICAL_QUICK if quick else CRITICAL_FULL, progress)
        else:
            plan = (QUICK if quick else FULL).for_minutes(minutes).for_folds(folds).for_size(size)
            plan = plan.for_methods(methods).with_masks(found)
            page = run_prognosis(data, out, plan, readers, progress)
    show_page(page, show)


@app.command()
def synthesis(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the study; a study there goes on.")],
    data: Annotated[
        Path | None,
        typer.Option(
            "--cohort", help="A folder of pictures, or a cohort's table; else phantoms.", show_default=False
        ),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label", help="Only pictures of this label, like covid; may be repeated.", show_default=False
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A quarter of an hour: too short for conclusions.")
    ] = False,
    seeds: Annotated[int, typer.Option(help="Trainings of every model; more can be added later.")] = 1,
    minutes: Annotated[
        float | None,
        typer.Option(help="Processor time for each training; 2.5 in full, 1.2 quick.", show_default=False),
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Side of the pictures; 64 in full, 32 quick.", show_default=False)
    ] = None,
    methods: Annotated[
        str,
        typer.Option(
            help="Only these, with semicolons between them, like DCGAN;LeanGAN.", show_default=False
        ),
    ] = "",
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """DCGAN to WGAN-GP, VEEGAN and a small-data recipe: made lungs that are stable, diverse and audited."""
    from glasslung.studies.synthesis.study import FULL, QUICK, choose_methods, run_synthesis

    plan = (QUICK if quick else FULL).for_minutes(minutes).for_size(size)
    chosen = choose_methods(methods, plan)
    with progress_bar() as progress:
        page = run_synthesis(data, out, plan, seeds, chosen, label or (), progress)
    show_page(page, show)
