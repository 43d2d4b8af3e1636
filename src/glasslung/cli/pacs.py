"""Verbs that speak with a hospital's archive: results as DICOM."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glasslung.cli.telling import progress_bar


def dicom(
    story: Annotated[Path, typer.Argument(help="Folder that `glasslung analyze` wrote.", show_default=False)],
    source: Annotated[
        list[Path],
        typer.Option(
            help="A scan of the story as DICOM: folder, file or zip. Once for each scan.", show_default=False
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the files; an earlier set of them is replaced.")
    ] = Path("glasslung-dicom"),
) -> None:
    """Write a story's results as DICOM beside its scans: segmentation, report, map of relevance.

    Patient and study are taken from the source files, so these files name the patient; nothing else does.
    """
    from glasslung.report.dicom import left_out, match_sources, write_dicom_results

    with progress_bar() as progress, match_sources(story, source) as sources:
        written = write_dicom_results(story, sources, out, progress)
    for line in left_out(story, sources):
        typer.echo(f"left out: {line}", err=True)
    for path in written:
        typer.echo(str(path))
