"""Verbs of the PACS node: run it, look at its queue, begin again with what failed."""

from __future__ import annotations

import logging
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glasslung.cli.telling import print_columns
from glasslung.errors import UsageError

if TYPE_CHECKING:
    from glasslung.node.queue import Queue
    from glasslung.node.settings import NodeSettings
    from glasslung.node.studies import Study

app = typer.Typer(
    help="A PACS node: studies come in, are analysed, and their results go back.", no_args_is_help=True
)

Config = Annotated[
    Path, typer.Argument(help="Settings that `glasslung node init` wrote.", show_default=False)
]


@app.callback()
def _node() -> None:
    """A PACS node: studies come in, are analysed, and their results go back."""


@app.command()
def init(
    config: Annotated[Path, typer.Argument(help="New file for the settings.")] = Path("node.toml"),
) -> None:
    """Write settings to be edited: every key with its default and what it means."""
    from glasslung.files import write_whole
    from glasslung.node.template import TEMPLATE

    if config.exists():
        raise UsageError(f"{config} is there already; choose another name")
    write_whole(config, TEMPLATE)
    typer.echo(f"settings: {config.resolve()}")


@app.command()
def run(config: Config) -> None:
    """Receive studies, have them analysed, send the results back, until stopped (Ctrl-C, SIGTERM)."""
    from glasslung.node import read_settings
    from glasslung.node.node import Node

    settings = read_settings(config)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("glasslung.node").setLevel(logging.INFO)
    node = Node(settings)
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, lambda number, frame: node.stop())
    node.run(lambda port: typer.echo(f"node: listening at {settings.listen} port {port}"))
    typer.echo("node: stopped; the same command goes on from here")


@app.command()
def status(
    config: Config,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per study.")] = False,
) -> None:
    """Show the queue: every study, where it stands, and why."""
    import json

    from glasslung.node.node import end_state

    settings = _read(config)
    if as_json:
        for told in end_state(settings.folder):
            typer.echo(json.dumps(told))
        return
    studies = _queue(settings).studies()
    rows: list[tuple[str, ...]] = [("study", "state", "patient", "day", "objects", "tries", "changed", "")]
    rows += [_row(study) for study in studies]
    print_columns(rows)


@app.command()
def retry(
    config: Config,
    studies: Annotated[
        list[str] | None, typer.Argument(help="Keys that `status` shows; none: all that failed.")
    ] = None,
) -> None:
    """Begin again with studies that were set aside; a running node goes on with them by itself."""
    queue, keys = _queue(_read(config)), tuple(studies or ())
    failed = {study.key for study in queue.studies() if study.state == "failed"}
    if unknown := [key for key in keys if key not in failed]:
        raise UsageError(f"{unknown[0]!r} is no study that failed; `glasslung node status` shows them")
    for study in queue.retry(keys):
        typer.echo(f"{study.key}: begins again")


def _read(config: Path) -> NodeSettings:
    from glasslung.node import read_settings

    return read_settings(config)


def _queue(settings: NodeSettings) -> Queue:
    from glasslung.node.node import open_queue

    return open_queue(settings.folder)


def _row(study: Study) -> tuple[str, ...]:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(study.changed))
    why = study.reason or study.remark
    return (
        study.key, str(study.state), study.patient or "", study.day, str(study.objects), str(study.tries),
        when, why,
    )  # fmt: skip
