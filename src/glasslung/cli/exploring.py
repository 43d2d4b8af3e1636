"""The verb that opens pictures in a browser, laid out by what a model sees in them."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glasslung.cli.options import Seed
from glasslung.cli.telling import progress_bar
from glasslung.errors import UsageError

if TYPE_CHECKING:
    from glasslung.web.explorer.opening import Wish
    from glasslung.web.explorer.scene import Scene


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
    """Walk among pictures as a model sees them: neighbours, outliers, batch effects, interpolations."""
    from glasslung.web.explorer.opening import Wish
    from glasslung.web.explorer.page import check_export, export_page
    from glasslung.web.explorer.server import make_app
    from glasslung.web.serving import open_socket, serve

    if names and export is None:
        raise UsageError("--names is for --export; the page on this machine tells them anyway")
    if export is not None:
        check_export(export)
    wish = Wish(place, model, tuple(made or ()), layout, seed)
    if export is not None:
        scene = _opened(wish)
        typer.echo(f"page: {export_page(scene, export, names).resolve()}")
        return
    with closing(open_socket(port)) as listening:  # before the pictures are read: a port may be taken
        serve(make_app(_opened(wish)), listening, lambda address: _tell(address, browser))


def _opened(wish: Wish) -> Scene:
    """The scene, and a few lines on what it holds."""
    from glasslung.web.explorer.opening import open_explorer

    with progress_bar() as progress:
        scene = open_explorer(wish, progress)
    left = len(scene.collection.left_out)
    typer.echo(f"{len(scene.collection)} pictures, {left} left out; {scene.codes.told}")
    for out in scene.collection.left_out[:5]:
        typer.echo(f"  left out: {out.name}: {out.why}")
    if left > 5:
        typer.echo(f"  and {left - 5} more, listed under About")
    return scene


def _tell(address: str, browser: bool) -> None:
    typer.echo(f"explorer: {address}  (this machine only; Ctrl-C ends it)")
    if browser:
        import webbrowser

        webbrowser.open(address)
