"""`glasslung robustness`: a classifier through other windows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glasslung.cli.options import Seed, numbers
from glasslung.cli.telling import print_remarks, progress_bar, show_page


def robustness(
    classifier: Annotated[
        str, typer.Argument(help="Folder of a classifier's run, or a shipped name.", show_default=False)
    ],
    cohort: Annotated[Path, typer.Argument(help="Scans labelled 'covid' or otherwise.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the page; one there goes on.")],
    draws: Annotated[int, typer.Option(help="Windows drawn for each deviation.")] = 100,
    sd: Annotated[
        str, typer.Option("--sd", help="Standard deviations of level and width, HU, with commas.")
    ] = "50,100",
    part: Annotated[
        str,
        typer.Option(
            help="The part of the table that is asked, or all; test if there is one.", show_default=False
        ),
    ] = "",
    scans: Annotated[
        int | None,
        typer.Option(help="At most so many scans, both labels as evenly as may be.", show_default=False),
    ] = None,
    drawn: Annotated[
        bool,
        typer.Option("--drawn-masks", help="Lungs and lesions that the table names, not those found."),
    ] = False,
    seed: Seed = 0,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Ask a classifier through windows of other level and width: does its AUC hold?"""
    from glasslung.studies.robustness.study import run_robustness
    from glasslung.studies.robustness.windows import RobustnessPlan

    plan = RobustnessPlan(
        draws=draws, deviations=numbers(sd, "--sd"), scans=scans, drawn_masks=drawn, seed=seed
    )
    with progress_bar() as progress:
        page, remarks = run_robustness(classifier, cohort, out, plan, part, progress)
    print_remarks(remarks)
    show_page(page, show)
