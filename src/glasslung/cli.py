"""The verbs of `glasslung`: parse, call one function, print.

Nothing heavy is imported before a verb runs, so `glasslung --help` answers at once. Only our own errors lose
their traceback: they are told in one line and end with exit code 2. Anything else is a bug and shows.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glasslung import __version__
from glasslung.errors import DataError, GlasslungError, UsageError
from glasslung.files import write_whole

if TYPE_CHECKING:
    from glasslung.analyze import ForecastSettings
    from glasslung.forecast.outlook import Forecast
    from glasslung.types import Intensity, Remark, Story

app = typer.Typer(
    name="glasslung",
    help="Pneumonia on chest CT over time: find, measure, explain, forecast, audit. "
    "Research use only, not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

study_app = typer.Typer(
    help="Published systems, told in order and measured: one command, one page.", no_args_is_help=True
)
app.add_typer(study_app, name="study")

_QUIET_SECONDS = 10.0  # where progress goes to a file, a long step is told again after this time

ScanPaths = Annotated[
    list[Path], typer.Argument(help="DICOM folder, NIfTI, NRRD, MHA, pictures or zip.", show_default=False)
]
IntensityName = Annotated[
    str,
    typer.Option("--intensity", help="What the grey values mean, for files that do not say: hu or display8."),
]
SeriesName = Annotated[
    str, typer.Option("--series", help="Which DICOM series, by number or key; else the best is picked.")
]
CohortPath = Annotated[Path, typer.Argument(help="cohort.csv, or the folder it lies in.", show_default=False)]


def _seed(number: int) -> int:
    """A seed from the command line: generators take none below 0."""
    if number < 0:
        raise UsageError(f"seed {number}: choose a whole number, 0 or more")
    return number


Seed = Annotated[int, typer.Option(help="The same seed gives the same result.", callback=_seed)]
SeenDay = Annotated[
    float | None,
    typer.Option(
        "--seen", help="Day of illness of the (last) scan, 0 to 14; else it is estimated.", show_default=False
    ),
]


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
        _fail(problem)
        raise SystemExit(2) from None
    except _Stopped:
        resumes = sys.argv[1:2] in (["analyze"], ["phantom"], ["train"], ["study"])
        typer.echo("glasslung: stopped" + "; the same command goes on from here" * resumes, err=True)
        raise SystemExit(130) from None


def _stop(number: int, frame: object) -> None:
    raise _Stopped


def _fail(problem: GlasslungError) -> None:
    typer.echo(f"glasslung: {' '.join(str(problem).split())}", err=True)


@app.callback(invoke_without_command=True)
def _root(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    if show_version:
        typer.echo(f"glasslung {__version__}")
        raise typer.Exit


@app.command()
def analyze(
    scans: ScanPaths,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")] = Path(
        "glasslung-story"
    ),
    days: Annotated[str, typer.Option(help="Days of the scans, e.g. 0,4,9; else the DICOM dates.")] = "",
    series: SeriesName = "",
    intensity: IntensityName = "",
    run: Annotated[
        str,
        typer.Option(
            "--forecast", help="Add what is likely next, by this run: its folder, or a shipped name."
        ),
    ] = "",
    forecast_days: Annotated[
        str, typer.Option(help="Days after the last scan on which its lung is forecast.")
    ] = "5,10",
    seen: SeenDay = None,
    show: Annotated[bool, typer.Option("--open", help="Open the report in the browser.")] = False,
) -> None:
    """Tell the story of one patient's scans: lungs, opacities, course, and how far to trust each answer."""
    from glasslung.analyze import Settings
    from glasslung.analyze import analyze as tell_story
    from glasslung.report.page import write_report

    settings = Settings(_numbers(days, "--days"), series or None, _intensity(intensity))
    if run:
        settings = replace(settings, forecast=_forecast_of(run, forecast_days, seen))
    elif seen is not None:
        raise UsageError("--seen is the last scan's day of illness for a forecast; name its run: --forecast")
    with _progress() as progress:
        story = tell_story(scans, out, settings, progress, then=write_report)
    _print_story(story)
    _show(out / "report.html", show)


@app.command()
def forecast(
    scan: Annotated[
        Path,
        typer.Argument(help="A scan in any format, or a slice that `prepare` made.", show_default=False),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the forecast.")] = Path(
        "glasslung-forecast"
    ),
    run: Annotated[str, typer.Option(help="Folder of a run, or the name of a shipped one.")] = "agetransport",
    days: Annotated[str, typer.Option(help="Days after the scan.")] = "0,5,10",
    seen: SeenDay = None,
    healthy: Annotated[
        bool, typer.Option("--healthy", help="Never ill: the illness begins on the day of the scan.")
    ] = False,
    draws: Annotated[int, typer.Option(help="How many times the lung is carried on.")] = 64,
    middle: Annotated[str, typer.Option(help="Which slice: the middle of the scan, or of the lungs.")] = (
        "scan"
    ),
    series: SeriesName = "",
    intensity: IntensityName = "",
    seed: Seed = 0,
) -> None:
    """Show one lung slice on the days to come: many draws, their spread, and how far to trust them."""
    from glasslung.forecast.opening import open_run
    from glasslung.forecast.outlook import OutlookSettings, check_place, foretell, write_outlook
    from glasslung.forecast.sight import look

    settings = OutlookSettings(_numbers(days, "--days"), seen, healthy, draws, seed)
    check_place(out)
    with _progress() as progress:
        progress("opening the run", 0.0)
        asked = open_run(run)
        progress("finding the slice", 0.1)
        sight = look(scan, asked.size, middle, series or None, _intensity(intensity))
        progress("drawing the days to come", 0.5)
        told = foretell(asked, sight, settings)
        write_outlook(told, out)
    _print_forecast(told.record)
    typer.echo(f"forecast: {out / 'forecast.png'}")


@app.command()
def inspect(scans: ScanPaths, series: SeriesName = "", intensity: IntensityName = "") -> None:
    """Say whether scans are fit to be measured, and what is wrong with those that are not."""
    from glasslung.data.formats import read_scan
    from glasslung.data.gate import inspect as pass_gate
    from glasslung.types import Severity

    unfit = False
    for path in scans:
        try:
            volume = read_scan(path, series=series or None, intensity=_intensity(intensity))
        except DataError as problem:
            _fail(problem)
            unfit = True
            continue
        size, spacing = (
            " x ".join(map(str, volume.shape)),
            " x ".join(f"{mm:.3g}" for mm in volume.spacing_mm),
        )
        typer.echo(
            f"{path.name}: {volume.source.kind}, {volume.intensity.value}, {size} voxels, {spacing} mm"
        )
        remarks = pass_gate(volume)
        _print_remarks(remarks)
        unfit |= any(remark.severity is Severity.REFUSE for remark in remarks)
    if unfit:
        raise typer.Exit(2)


@app.command()
def report(
    folder: Annotated[
        Path, typer.Argument(help="Folder that `glasslung analyze` wrote.", show_default=False)
    ],
    show: Annotated[bool, typer.Option("--open", help="Open the report in the browser.")] = False,
) -> None:
    """Draw the report of an analysis again, from its folder alone."""
    from glasslung.report.page import write_report

    _show(write_report(folder), show)


@app.command()
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

    on = _numbers(days, "--days")
    if patients != 1 and (disease or site):
        raise UsageError("--disease and --site are for one patient; a cohort mixes diseases and sites")
    with _progress() as progress:
        if patients == 1:
            one = made.draw_patient(seed, disease=disease or "covid", site=site or "a")
            made.write_patient(one, on, out, as_dicom=True, progress=progress)
        else:
            made.write_cohort(made.draw_cohort(patients, seed), out, days=on, progress=progress)
    verb = f"glasslung analyze {out}/p* --out story" if patients == 1 else f"glasslung check {out}"
    typer.echo(f"{patients} phantom patient(s) in {out}. Next: {verb}")


@app.command()
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


@app.command()
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


@app.command()
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
    with _progress() as progress:
        audit = audit_cohort(cohort, progress=progress)
    typer.echo(f"{audit.cohort}: {audit.scans} scans of {audit.patients} patients")
    _print_remarks(audit.remarks)
    if out is not None:
        write_whole(out, json.dumps(audit.as_dict(), indent=1) + "\n")
        typer.echo(f"audit: {out}")
    typer.echo(audit.disclaimer)
    if audit.serious:
        raise typer.Exit(1)


@app.command()
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
    with _progress() as progress:
        done = prepare_cohort(open_cohort(scans), out, settings, progress)
    patients = len(set(done.slices.patient.tolist()))
    typer.echo(f"{len(done.slices)} slices of {patients} patients in {out}")
    left = ", ".join(f"{count} {reason}" for reason, count in done.excluded.items())
    typer.echo(f"left out: {left}; the reasons are in {out / EXCLUSIONS}" if left else "nothing was left out")


@app.command()
def train(
    model: Annotated[str, typer.Argument(help="usvae, cage or another model by name.", show_default=False)],
    data: Annotated[Path, typer.Option("--cohort", help="Folder that `glasslung prepare` wrote.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run; a run there goes on.")],
    steps: Annotated[int, typer.Option(help="Optimiser steps in all.")],
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="A setting of the model, name=value; may be repeated.", show_default=False
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="Slices in a batch, shared evenly by the ages.")] = 16,
    mirror: Annotated[bool, typer.Option("--mirror", help="Turn slices left to right by chance.")] = False,
    ema: Annotated[
        float | None, typer.Option(help="Keep averaged weights with this decay, e.g. 0.998.")
    ] = None,
    seed: Seed = 0,
    split_seed: Annotated[
        int, typer.Option(help="Of the split, for a table that has none.", callback=_seed)
    ] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, 32-true or bf16-mixed.")] = "auto",
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Refuse operations that differ from run to run.")
    ] = False,
    checkpoint_every: Annotated[int, typer.Option(help="Steps that a kill can cost.")] = 200,
    resume: Annotated[
        bool, typer.Option("--resume", help="Insist that there is a run to go on with.")
    ] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Log for TensorBoard as well.")] = False,
) -> None:
    """Train a model on prepared slices, or go on with a run: the same command goes on where it stopped."""
    from glasslung.studies.settings import parse_settings
    from glasslung.studies.training import Job, TrainingSettings, train_model
    from glasslung.train.machine import Machine

    training = TrainingSettings(
        steps, batch, mirror, ema, checkpoint_every=checkpoint_every, split_seed=split_seed
    )
    machine = Machine(device, precision, deterministic=deterministic)
    job = Job(model, data, training, parse_settings(setting or ()), seed, machine)
    with _progress() as progress:
        run = train_model(job, out, resume, tensorboard, progress)
    typer.echo(f"{model}: {steps} steps done, weights in {run.folder / 'weights'}")


@app.command()
def runs(
    folder: Annotated[Path, typer.Argument(help="Folder that holds runs, at any depth.", show_default=False)],
) -> None:
    """List the runs in a folder, oldest first: what each is, how far it came, how it stands."""
    from glasslung.train.rundir import list_runs

    found = list_runs(folder)
    if not found:
        typer.echo(f"no run in {folder}")
        return
    rows = [("run", "study", "model", "seed", "steps", "loss", "begun", "state")]
    for run in found:
        training = run.settings.get("training")
        asked = training.get("steps") if isinstance(training, dict) else None
        loss = run.last.get("total")
        rows.append(
            (
                str(run.folder.relative_to(folder)),
                run.study,
                run.model,
                "" if run.seed is None else str(run.seed),
                f"{run.made}/{asked}" if asked else str(run.made),
                "" if loss is None else f"{loss:.4g}",
                run.created,
                run.state,
            )
        )
    _print_columns(rows)


@study_app.command()
def progression(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the study; a study there goes on.")],
    data: Annotated[
        Path | None,
        typer.Option(
            "--cohort",
            help="8-bit slices, or what `glasslung prepare` wrote; else phantoms.",
            show_default=False,
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Ten minutes: too short for conclusions, enough for a look.")
    ] = False,
    seeds: Annotated[int, typer.Option(help="Trainings of every method; more can be added later.")] = 1,
    minutes: Annotated[
        float | None,
        typer.Option(help="Processor time for each method; 2 in full, 0.3 quick.", show_default=False),
    ] = None,
    methods: Annotated[
        str, typer.Option(help="Only these, with commas between them, like CAGE-T0,R6.", show_default=False)
    ] = "",
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """U-SVAE and CAGE: a lung carried through the ages of COVID-19, the tourist crisis, and its remedies."""
    from glasslung.studies.progression import FULL, QUICK, choose_methods, run_progression

    plan = (QUICK if quick else FULL).for_minutes(minutes)
    chosen = choose_methods(methods, plan)
    with _progress() as progress:
        page = run_progression(data, out, plan, seeds, chosen, progress)
    _show(page, show)


# --- what the verbs share ----------------------------------------------------------------------------------


def _numbers(text: str, option: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError as problem:
        raise UsageError(f"{option} {text!r}: give numbers with commas between them, like 0,4,9") from problem


def _intensity(name: str) -> Intensity | None:
    from glasslung.types import Intensity

    if name and name not in list(Intensity):
        raise UsageError(f"--intensity {name!r} is not known; it is one of {', '.join(Intensity)}")
    return Intensity(name) if name else None


@contextmanager
def _progress() -> Iterator[Callable[[str, float], None]]:
    """A bar with the time left on a terminal; one line per step where the output goes to a file.

    What is told after a colon (a count, a loss) changes within a step and is told again now and then only.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    said, said_at = "", 0.0
    first: tuple[float, float] | None = None

    def say(what: str, done: float) -> None:
        nonlocal said, said_at, first
        now = time.monotonic()
        first = first or (now, done)
        step = what.partition(":")[0]
        if step != said or now - said_at > _QUIET_SECONDS:
            typer.echo(
                f"{done:4.0%}  {what}{_time_left(now - first[0], done - first[1], 1 - done)}", err=True
            )
            said, said_at = step, now

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    if not console.is_terminal:
        yield say
        return
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=1.0)
        yield lambda what, done: bar.update(task, description=what, completed=done)


def _time_left(seconds: float, done: float, left: float) -> str:
    """', about 5 min left', once there is something to judge by."""
    if seconds < _QUIET_SECONDS or done <= 0:
        return ""
    rest = seconds / done * left
    return f", about {rest / 60:.0f} min left" if rest > 90 else f", about {rest:.0f} s left"


def _print_columns(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _print_remarks(remarks: Iterable[Remark]) -> None:
    for remark in remarks:
        typer.echo(f"  {remark.severity.value:6}  {remark.text} {remark.remedy}".rstrip())


def _print_story(story: Story) -> None:
    """The findings in a few lines; the report says the rest."""
    for scan in story.scans:
        both = scan.region("both lungs")
        day = "" if scan.day is None else f", day {scan.day:g}"
        size = "volume unknown (no spacing)" if both.ml is None else f"lungs {both.ml:.0f} ml"
        hurt = "not measured" if scan.involvement is None else f"{scan.involvement:.1f} %"
        points = "" if scan.severity is None else f", severity {scan.severity.points}/{scan.severity.most}"
        trust = "" if scan.lung_quality.trusted else "  (do not trust the lung mask without looking)"
        typer.echo(f"{scan.scan}{day}: {size}, involvement {hurt}{points}{trust}")
    typer.echo(story.disclaimer)


def _forecast_of(run: str, days: str, seen: float | None) -> ForecastSettings:
    from glasslung.analyze import ForecastSettings
    from glasslung.forecast.outlook import OutlookSettings

    return ForecastSettings(run, OutlookSettings(_numbers(days, "--forecast-days"), seen))


def _print_forecast(told: Forecast) -> None:
    """A table of the days, then how the scan's day is known and how familiar the slice is."""
    from rich.console import Console
    from rich.table import Table

    from glasslung.forecast.words import dating_words, familiarity_words, likeness_words, run_words

    table = Table()
    for name in ("", "dense lung, %", "80 % of draws", "change", "80 % of draws"):
        table.add_column(name, justify="right")
    table.add_row("the scan", f"{told.dense:.1f}")
    table.add_row(
        "as the model sees it", f"{told.now.mean:.1f}", f"{told.now.low:.1f} to {told.now.high:.1f}"
    )
    for day in told.moments:
        table.add_row(
            f"{day.days:g} d later",
            f"{day.dense.mean:.1f}",
            f"{day.dense.low:.1f} to {day.dense.high:.1f}",
            f"{day.change.mean:+.1f}",
            f"{day.change.low:+.1f} to {day.change.high:+.1f}",
        )
    Console().print(table)
    known = (f"{run_words(told.run)}.", dating_words(told), familiarity_words(told), likeness_words(told))
    for text in (*filter(None, known), told.caveats[0], told.disclaimer):
        typer.echo(text)


def _show(page: Path, in_browser: bool) -> None:
    typer.echo(f"report: {page.resolve()}")
    if in_browser:
        import webbrowser

        if not webbrowser.open(page.resolve().as_uri()):
            typer.echo("no browser was found: open the file above by hand", err=True)
