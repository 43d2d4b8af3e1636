"""Verbs about weights from elsewhere: bring them into a folder that training can begin from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Weights from elsewhere.", no_args_is_help=True)


@app.callback()
def _weights() -> None:
    """Weights from elsewhere, to begin a training with."""


@app.command("import")
def import_weights(
    file: Annotated[
        Path,
        typer.Argument(help="State of a public PyTorch I3D, .pt or .safetensors.", show_default=False),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="New folder for the weights.")],
) -> None:
    """Read the weights of a public I3D; `glasslung train i3d --start FOLDER` begins from them."""
    from glasslung.train.starts import import_i3d

    found = import_i3d(file, out)
    typer.echo(f"SHA-256 of {file.name}: {found.sha256}")
    left = f"; left behind: {', '.join(found.left)}" if found.left else ""
    typer.echo(f"{found.tensors} tensors, {found.numbers} numbers, in {out}{left}")
