"""The verb about a whole archive: every patient of a cohort."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glasslung.cli.options import ClassifierName, SegmenterName
from glasslung.cli.telling import progress_bar

if TYPE_CHECKING:
    from glasslung.archive.run import Done


def analyze_cohort(
    cohort: Annotated[
        Path,
        typer.Argument(
            help="cohort.csv, the folder it lies in, or a collection that `glasslung cohort` knows.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for stories, ledger and table.")] = Path(
        "glasslung-cohort"
    ),
    workers: Annotated[int, typer.Option(help="How many patients are analysed at a time.")] = 1,
    ray: Annotated[
        str,
        typer.Option(
            help="Have the workers on a Ray cluster: its address, or 'auto' for the one this machine is in.",
            show_default=False,
        ),
    ] = "",
    memory: Annotated[float, typer.Option(help="GB of memory a worker may hold.")] = 8.0,
    minutes: Annotated[float, typer.Option(help="Minutes a patient may take.")] = 60.0,
    retry: Annotated[bool, typer.Option("--retry", help="Try patients again that were set aside.")] = False,
    keep: Annotated[
        str, typer.Option(help="everything, reports (no masks) or figures (the table alone).")
    ] = "everything",
    table_masks: Annotated[
        bool, typer.Option("--table-masks", help="Use the lungs and lesions that the table names, not ours.")
    ] = False,
    segmenter: SegmenterName = "",
    classifier: ClassifierName = "",
    prognosis: Annotated[
        str, typer.Option(help="Who foresees what becomes of patients: a folder, a shipped name, or 'none'.")
    ] = "",
    threads: Annotated[int, typer.Option(help="Threads of a worker; part of the result's last digits.")] = 1,
) -> None:
    """Analyse every patient of a cohort, with one worker or many: a story each, one table, nothing twice."""
    from glasslung.archive.run import analyze_cohort as analyse
    from glasslung.archive.settings import ArchiveSettings, Limits
    from glasslung.data.sources import open_cohort

    settings = ArchiveSettings(segmenter, classifier, prognosis, table_masks, keep, threads)
    limits = Limits(workers, memory, minutes)
    opened = open_cohort(cohort)
    with progress_bar() as progress:
        done = analyse(opened, out, settings, limits, ray, retry, progress)
    _tell(done)
    if done.aside:
        raise typer.Exit(1)


def _tell(done: Done) -> None:
    from glasslung.archive.tables import ASIDE_CSV, SUMMARY, TABLE_CSV

    typer.echo((done.out / SUMMARY).read_text(encoding="utf-8"), nl=False)
    if done.aside:
        typer.echo(f"set aside: {(done.out / ASIDE_CSV).resolve()}", err=True)
    typer.echo(f"table: {(done.out / TABLE_CSV).resolve()}")
