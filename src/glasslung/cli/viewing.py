"""The verb that opens a patient's scans in a browser."""

from __future__ import annotations

import getpass
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated

import typer

from glasslung.cli.options import IntensityName, SeriesName, intensity_named
from glasslung.cli.telling import progress_bar


def view(
    place: Annotated[
        Path,
        typer.Argument(
            metavar="STORY|SCAN",
            help="Folder that `glasslung analyze` wrote, or a scan in any format.",
            show_default=False,
        ),
    ],
    scan: Annotated[
        list[Path] | None,
        typer.Option(
            help="A scan of a story that keeps no copies; may be given for each, in any order.",
            show_default=False,
        ),
    ] = None,
    reader: Annotated[
        str, typer.Option(help="Name under which corrections are saved; else that of this login.")
    ] = "",
    series: SeriesName = "",
    intensity: IntensityName = "",
    port: Annotated[int, typer.Option(help="Of the server on 127.0.0.1; 0: any free one.")] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
) -> None:
    """Look at scans with all that was found in them, follow lesions over the days, and correct them."""
    from glasslung.web.serving import open_socket, serve
    from glasslung.web.viewer.case import Reading, open_case
    from glasslung.web.viewer.server import make_viewer

    reading = Reading(series or None, intensity_named(intensity))
    with closing(open_socket(port)) as listening, ExitStack() as opened:
        with progress_bar() as progress:
            case = opened.enter_context(open_case(place, tuple(scan or ()), reading, progress))
        app = make_viewer(case, reader or _login())
        serve(app, listening, lambda address: _tell(address, browser))


def _login() -> str:
    """Who is logged in; '' where the system does not know."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


def _tell(address: str, browser: bool) -> None:
    typer.echo(f"viewer: {address}  (this machine only; Ctrl-C ends it)")
    if browser:
        import webbrowser

        webbrowser.open(address)
