"""The verb that takes identity out of scans."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from glasslung.cli.telling import progress_bar


def deidentify(
    source: Annotated[Path, typer.Argument(help="Folder of scans, or one file.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="New folder for the result.", show_default=False)],
    keys: Annotated[
        Path,
        typer.Option(help="The secret key: made where there is none, needed again for the same pseudonyms."),
    ],
    characteristics: Annotated[
        bool, typer.Option("--characteristics", help="Keep age (90 and above as 90) and sex.")
    ] = False,
    device: Annotated[
        bool, typer.Option("--device", help="Keep the scanner's model, software and numbers.")
    ] = False,
    descriptions: Annotated[
        bool, typer.Option("--descriptions", help="Keep listed words of study and series descriptions.")
    ] = False,
    keep_flagged: Annotated[
        bool,
        typer.Option(
            "--keep-flagged", help="Hand on what was only flagged: burnt-in text, screenshots, scouts, heads."
        ),
    ] = False,
    links: Annotated[
        Path | None,
        typer.Option(help="Also write which file became which: identity, to be kept with the key."),
    ] = None,
) -> None:
    """De-identify scans: no name, number or date of anybody in the result, and days between scans true."""
    from glasslung.data.deidentification import Options, Places
    from glasslung.data.deidentification import deidentify as run

    options = Options(characteristics, device, descriptions)
    with progress_bar() as progress:
        done = run(Places(source, out, keys, links), options, keep_flagged, progress)
    typer.echo(f"{done.written} of {done.searched} files, {done.patients} patient(s): {done.out.resolve()}")
    for reason, count in Counter(one.reason.value for one in done.aside).most_common():
        typer.echo(f"  set aside: {count} x {reason}")
    typer.echo("no original identifier was found in the result; what was changed is in changes.csv")
    typer.echo(f"key: {keys.resolve()}: keep it secret and apart from the result")
    typer.echo(
        "Look at the pictures before you hand them on: burnt-in text can be missed. Research use only."
    )
