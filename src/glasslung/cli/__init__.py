"""The verbs of `glasslung`: parse, call one function, print.

Nothing heavy is imported before a verb runs, so `glasslung --help` answers at once. Only our own errors lose
their traceback: they are told in one line and end with exit code 2. Anything else is a bug and shows.
"""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer

from glasslung import __version__
from glasslung.cli import (
    archives,
    cohorts,
    deidentifying,
    exploring,
    learning,
    lesions,
    making,
    nodes,
    pacs,
    robustness,
    scans,
    studies,
    viewing,
    weights,
)
from glasslung.cli.telling import tell_problem
from glasslung.errors import GlasslungError

VERBS = (  # in the order of --help
    scans.analyze,
    scans.segment,
    scans.diagnose,
    scans.forecast,
    scans.inspect,
    scans.report,
    pacs.dicom,
    cohorts.phantom,
    cohorts.cohort,
    cohorts.split,
    cohorts.check,
    cohorts.prepare,
    deidentifying.deidentify,
    archives.analyze_cohort,
    learning.train,
    learning.runs,
    learning.evaluate,
    robustness.robustness,
    lesions.styles,
    viewing.view,
    exploring.explore,
    making.make,
    making.walk,
)

RESUMING = ("analyze", "analyze-cohort", "segment", "phantom", "train", "study", "robustness", "deidentify")

app = typer.Typer(
    name="glasslung",
    help="Pneumonia on chest CT over time: find, measure, explain, forecast, audit. "
    "Research use only, not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for verb in VERBS:
    app.command()(verb)
app.add_typer(studies.app, name="study")
app.add_typer(weights.app, name="weights")
app.add_typer(nodes.app, name="node")


class _Stopped(BaseException):
    """Ctrl-C, or the system asking the process to end: unwinds everything, as KeyboardInterrupt would."""


def main() -> None:
    """Run the command line. Exit code 0: done. 1: a check found something serious. 2: a mistake, told in one
    line. 130: stopped by hand or by the system.
    """
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, _stop)
    try:
        app()
    except GlasslungError as problem:
        tell_problem(problem)
        raise SystemExit(2) from None
    except _Stopped:
        resumes = any(verb in RESUMING for verb in sys.argv[1:2])
        typer.echo("glasslung: stopped" + "; the same command goes on from here" * resumes, err=True)
        raise SystemExit(130) from None


def _stop(number: int, frame: object) -> None:
    raise _Stopped


@app.callback(invoke_without_command=True)
def _root(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    if show_version:
        typer.echo(f"glasslung {__version__}")
        raise typer.Exit
