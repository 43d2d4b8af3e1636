"""Verbs about many patients: made ones, their table, its split, its audit, their slices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from glasslung.cli.options import CohortPath, Seed, numbers
from glasslung.cli.telling import print_remarks, progress_bar
from glasslung.errors import UsageError
from glasslung.files import write_whole


def phantom(
    out: Annotated[Path, typer.Argument(help="Folder for the made scans.", show_default=False)],
    days: Annotated[str, typer.Option(help="Days on which each patient is scanned.")] = "0,5,10,28",
    patients: Annotated[
        int, typer.Option(help="1 writes one patient, a folder of DICOM per scan; more write a cohort.")
    ] = 1,
    disease: Annotated[
        str, typer.Option(help="covid, bacterial or healthy; covid if not given. One patient only.")
    ] = "",
    site: Annotated[str, typer.Option(help="Whose scanner is imitated, a to d. One patient only.")] = "",
    seed: Seed = 0,
) -> None:
    """Make chest CT of patients who never lived, with true masks: for trials, tests and teaching."""
    from glasslung.data import phantom as made

    on = numbers(days, "--days")
    if patients != 1 and (disease or site):
        raise UsageError("--disease and --site are for one patient; a cohort mixes diseases and sites")
    with progress_bar() as progress:
        if patients == 1:
            one = made.draw_patient(seed, disease=disease or "covid", site=site or "a")
            made.write_patient(one, on, out, as_dicom=True, progress=progress)
        else:
            made.write_cohort(made.draw_cohort(patients, seed), out, days=on, progress=progress)
    verb = f"glasslung analyze {out}/p* --out story" if patients == 1 else f"glasslung check {out}"
    typer.echo(f"{patients} phantom patient(s) in {out}. Next: {verb}")


def cohort(
    folder: Annotated[Path, typer.Argument(help="Folder of a known layout.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="The table to write.")] = Path("cohort.csv"),
    source: Annotated[str, typer.Option(help="Layout of the folder; found by itself if not given.")] = "",
) -> None:
    """Turn a folder of scans of a known layout into a cohort table."""
    from glasslung.data.cohort import write_cohort
    from glasslung.data.sources import SOURCES, detect_source

    name = source or detect_source(folder)
    if name not in SOURCES:
        raise UsageError(f"--source {name!r} is not known; it is one of {', '.join(SOURCES)}")
    found = SOURCES[name](folder)
    write_cohort(found, out)
    typer.echo(f"{len(found.cases)} scans of {len({case.patient for case in found.cases})} patients in {out}")


def split(
    table: CohortPath,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The table to write, with its split column filled.")
    ],
    train: Annotated[float, typer.Option(help="Share of the patients to train on.")] = 0.7,
    val: Annotated[float, typer.Option(help="Share of the patients to choose settings on.")] = 0.1,
    seed: Seed = 0,
) -> None:
    """Split a cohort by patient, the same way each time: train, val, and the rest to test."""
    from glasslung.data.cohort import read_cohort, split_by_patient, write_cohort

    shares = {"train": train, "val": val, "test": 1.0 - train - val}
    divided = split_by_patient(read_cohort(table), shares, seed=seed)
    write_cohort(divided, out)
    for name in shares:
        cases = [case for case in divided.cases if case.split == name]
        typer.echo(f"{name}: {len(cases)} scans of {len({case.patient for case in cases})} patients")


def check(
    table: CohortPath,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the audit as JSON.", show_default=False)
    ] = None,
) -> None:
    """Audit a cohort: leaks, copies, shortcuts, confounders. Exit code 1 if something is serious."""
    from glasslung.audit import audit_cohort
    from glasslung.data.cohort import read_cohort

    cohort = read_cohort(table)
    with progress_bar() as progress:
        audit = audit_cohort(cohort, progress=progress)
    typer.echo(f"{audit.cohort}: {audit.scans} scans of {audit.patients} patients")
    print_remarks(audit.remarks)
    if out is not None:
        write_whole(out, json.dumps(audit.as_dict(), indent=1) + "\n")
        typer.echo(f"audit: {out}")
    typer.echo(audit.disclaimer)
    if audit.serious:
        raise typer.Exit(1)


def prepare(
    scans: Annotated[
        Path,
        typer.Argument(
            metavar="COHORT",
            help="cohort.csv, the folder it lies in, or a folder of a known layout.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the slices and their table.")],
    size: Annotated[int, typer.Option(help="Side of the slices in pixels.")] = 64,
    lungs: Annotated[
        str, typer.Option(help="Where the lungs come from: auto, table, found or cut-out.")
    ] = "auto",
    middle: Annotated[str, typer.Option(help="Which slice: the middle of the scan, or of the lungs.")] = (
        "scan"
    ),
    labels: Annotated[
        str, typer.Option(help="Scans with another label are left out; an empty text keeps all.")
    ] = "healthy,covid",
) -> None:
    """Cut one square lung slice out of every scan, and list what was left out and why."""
    from glasslung.data.lung_field import FieldSettings
    from glasslung.data.prepare import EXCLUSIONS, PrepareSettings, prepare_cohort
    from glasslung.data.sources import open_cohort

    asked = tuple(name.strip() for name in labels.split(",") if name.strip())
    settings = PrepareSettings(size, lungs, asked, FieldSettings(middle))
    with progress_bar() as progress:
        done = prepare_cohort(open_cohort(scans), out, settings, progress)
    patients = len(set(done.slices.patient.tolist()))
    typer.echo(f"{len(done.slices)} slices of {patients} patients in {out}")
    left = ", ".join(f"{count} {reason}" for reason, count in done.excluded.items())
    typer.echo(f"left out: {left}; the reasons are in {out / EXCLUSIONS}" if left else "nothing was left out")
