"""The verb that opens pictures in a browser, laid out by what a model sees in them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glasslung.cli.options import Seed
from glasslung.cli.telling import progress_bar
from glasslung.errors import UsageError


def explore(
    place: Annotated[
        Path,
        typer.Argument(
            help="Run of an auto-encoder, folder of pictures, cohort, or table of codes.", show_default=False
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            help="Who makes the codes: a run's folder, a shipped name (explorer, usvae), pixels or texture; "
            "else the shipped auto-encoder, or the table's own codes."
        ),
    ] = "auto",
    made: Annotated[
        list[Path] | None,
        typer.Option(help="A further folder or table, of made pictures; may be given more than once."),
    ] = None,
    layout: Annotated[str, typer.Option(help="pca, tsne, or codes (the first three numbers).")] = "pca",
    export: Annotated[
        Path | None,
        typer.Option(help="Write one HTML file that works offline, instead of serving.", show_default=False),
    ] = None,
    names: Annotated[
        bool, typer.Option("--names", help="Tell file names in an exported page; they may be patients'.")
    ] = False,
    port: Annotated[int, typer.Option(help="Of the server on 127.0.0.1; 0: any free one.")] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
    seed: Seed = 0,
) -> None:
    """Walk among pictures in the space of a model's codes: neighbours, outliers, batch effects,
    interpolations.
    """
    from glasslung.web.explorer import Wish, open_explorer
    from glasslung.web.page import check_export, export_page
    from glasslung.web.server import open_socket, serve

    if names and export is None:
        raise UsageError("--names is for --export; the page on this machine tells them anyway")
    if export is not None:
        check_export(export)
    listening = open_socket(port) if export is None else None
    with progress_bar() as progress:
        scene = open_explorer(Wish(place, model, tuple(made or ()), layout, seed), progress)
    left = len(scene.collection.left_out)
    typer.echo(f"{len(scene.collection)} pictures, {left} left out; {scene.codes.told}")
    for out in scene.collection.left_out[:5]:
        typer.echo(f"  left out: {out.name}: {out.why}")
    if left > 5:
        typer.echo(f"  and {left - 5} more, listed under About")
    if listening is None:
        assert export is not None
        typer.echo(f"page: {export_page(scene, export, names).resolve()}")
        return
    serve(scene, listening, lambda address: _tell(address, browser))


def _tell(address: str, browser: bool) -> None:
    typer.echo(f"explorer: {address}  (this machine only; Ctrl-C ends it)")
    if browser:
        import webbrowser

        webbrowser.open(address)
