"""Verbs about lesions in slices: a lung in other states, as a model imagines it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glasslung.cli.telling import progress_bar


def styles(
    model: Annotated[
        str, typer.Argument(help="Folder of a run of `glasslung train stichnet`.", show_default=False)
    ],
    pictures: Annotated[
        Path, typer.Argument(help="An 8-bit picture of an axial slice, or a folder.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="New folder for the pictures.")],
) -> None:
    """Draw a lung as it would look wholly healthy, in ground glass, or consolidated."""
    from glasslung.studies.segmentation.styles import draw_styles

    with progress_bar() as progress:
        sheets = draw_styles(model, pictures, out, progress)
    for sheet in sheets:
        typer.echo(f"pictures: {sheet.resolve()}")
