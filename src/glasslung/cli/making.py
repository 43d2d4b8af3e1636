"""Verbs about made lungs: pictures with their provenance, and walks between them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glasslung.cli.options import Seed
from glasslung.cli.telling import progress_bar

Run = Annotated[
    str, typer.Argument(help="Folder of a run of `glasslung train leangan`, or alike.", show_default=False)
]


def make(
    model: Run,
    out: Annotated[Path, typer.Option("--out", "-o", help="New folder for the pictures.")],
    count: Annotated[int, typer.Option(help="Pictures to make.")] = 64,
    seed: Seed = 0,
    group: Annotated[
        int | None, typer.Option(help="Which kind, of a conditional model; all in turn.")
    ] = None,
    cohort: Annotated[
        Path | None, typer.Option(help="The pictures it was trained on, if they have moved since.")
    ] = None,
    most_copies: Annotated[
        float, typer.Option(help="Share of copies of training pictures above which nothing is written.")
    ] = 0.05,
    dicom: Annotated[bool, typer.Option("--dicom", help="As DICOM secondary captures, not PNG.")] = False,
    neighbours: Annotated[
        bool, typer.Option("--neighbours", help="Show the nearest training pictures too: patients', maybe.")
    ] = False,
) -> None:
    """Make lungs that nobody has, with their provenance; refused where they are training pictures."""
    from glasslung.studies.synthesis.export import Export, export_pictures

    wanted = Export(count, seed, group, "dicom" if dicom else "png", most_copies, neighbours)
    with progress_bar() as progress:
        folder = export_pictures(model, out, wanted, cohort, progress)
    typer.echo(f"pictures: {folder.resolve()}, provenance in provenance.json; made, not patients")


def walk(
    model: Run,
    out: Annotated[Path, typer.Option("--out", "-o", help="New folder for strip and film.")],
    pictures: Annotated[
        list[Path] | None, typer.Option("--picture", help="Walk between two real pictures: give it twice.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Pictures along the way.")] = 12,
    way: Annotated[str, typer.Option(help="spherical or linear.")] = "spherical",
    stages: Annotated[
        bool, typer.Option("--stages", help="Through all ages of a conditional model, one code.")
    ] = False,
    group: Annotated[int, typer.Option(help="Which kind, of a conditional model.")] = 0,
    optimise: Annotated[
        bool,
        typer.Option("--optimise", help="Look for the pictures' codes by descent: nearer than VEEGAN's."),
    ] = False,
    seed: Seed = 0,
) -> None:
    """Walk through the codes of a model: a strip, a film, and what the walk may be called."""
    from glasslung.studies.synthesis.walking import Walk, draw_walk

    wanted = Walk(steps, way, seed, group, stages, optimise=optimise)
    told = draw_walk(model, out, wanted, pictures or ())
    typer.echo(f"{told['called']}: {told['why']}")
    typer.echo(f"pictures: {out.resolve()}")
