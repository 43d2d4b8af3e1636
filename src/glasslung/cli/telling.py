"""What a person sees while a verb runs, and after it: progress, mistakes, findings, pages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from glasslung.errors import GlasslungError

if TYPE_CHECKING:
    from glasslung.analyze.segmenting import Segmented
    from glasslung.forecast.outlook import Forecast
    from glasslung.types import Diagnosis, Findings, Remark, Story

_ENOUGH = 0.002  # of the whole: with less done, the time left is a guess
_QUIET_SECONDS = 10.0  # where progress goes to a file, a long step is told again after this time


def tell_problem(problem: GlasslungError) -> None:
    """A mistake in one line, however long its text is."""
    typer.echo(f"glasslung: {' '.join(str(problem).split())}", err=True)


@contextmanager
def progress_bar() -> Iterator[Callable[[str, float], None]]:
    """A bar with the time left on a terminal; one line per step where the output goes to a file.

    What is told after a colon (a count, a loss) changes within a step and is told again now and then only.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from glasslung.train.ranks import find_ranks

    if not find_ranks().first:  # of several processes of one training one talks
        yield lambda what, done: None
        return

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
    if seconds < _QUIET_SECONDS or done < _ENOUGH:
        return ""
    rest = seconds / done * left
    return f", about {rest / 60:.0f} min left" if rest > 90 else f", about {rest:.0f} s left"


def print_columns(rows: Sequence[tuple[str, ...]]) -> None:
    """Rows of texts, each column as wide as its widest."""
    from glasslung.report.wording import in_columns

    typer.echo(in_columns(rows))


def print_remarks(remarks: Iterable[Remark]) -> None:
    """One line each: how grave, the fact, the remedy."""
    for remark in remarks:
        typer.echo(f"  {remark.severity.value:6}  {remark.text} {remark.remedy}".rstrip())


def print_story(story: Story) -> None:
    """The findings in a few lines; the report says the rest."""
    for scan in story.scans:
        both = scan.region("both lungs")
        day = "" if scan.day is None else f", day {scan.day:g}"
        size = "volume unknown (no spacing)" if both.ml is None else f"lungs {both.ml:.0f} ml"
        hurt = "not measured" if scan.involvement is None else f"{scan.involvement:.1f} %"
        points = "" if scan.severity is None else f", severity {scan.severity.points}/{scan.severity.most}"
        trust = "" if scan.lung_quality.trusted else "  (do not trust the lung mask without looking)"
        typer.echo(f"{scan.scan}{day}: {size}, involvement {hurt}{points}{trust}")
        if lesions := _lesions_told(scan):
            typer.echo(f"  {lesions}")
        if diagnosis := _diagnosis_told(scan):
            typer.echo(f"  {diagnosis}")
    _print_course(story)
    typer.echo(story.disclaimer)


def _print_course(story: Story) -> None:
    """What became of the lesions from scan to scan, and what a prognosis says."""
    from glasslung.report.followed import headline
    from glasslung.report.outlook import by_when

    for pair in story.comparisons:
        typer.echo(f"{pair.scan_before} to {pair.scan_after}: {headline(pair)}")
    if story.prognosis is None:
        return
    for told in (story.prognosis, *story.further):
        low, high = (100 * limit for limit in told.interval)
        doubt = "  (doubted: the report says why)" if told.doubts else ""
        what = f"chance of {told.endpoint} {by_when(told)} the last scan"
        typer.echo(f"{what}: {100 * told.chance:.0f} % ({low:.0f} to {high:.0f}), by {told.model}{doubt}")


def _diagnosis_told(scan: Findings) -> str:
    """'COVID-19 likely, 83 %, by diagnosis-hu'; '' where nobody was asked."""
    told = scan.diagnosis
    if told is None:
        return ""
    from glasslung.report.diagnosiswords import headline

    doubt = "  (doubted: the report says why)" if told.doubts else ""
    return f"{headline(told)}, by {told.classifier}; with confidence: {told.standing_words}{doubt}"


def print_diagnosis(told: Diagnosis) -> None:
    """Probability and answer, how far to believe them, where the reasons lie, who was asked."""
    from glasslung.report import diagnosiswords as words
    from glasslung.report.wording import sentence
    from glasslung.types import DISCLAIMER

    typer.echo(f"{words.headline(told)}; with confidence: {told.standing_words}")
    for doubt in told.doubts:
        typer.echo(f"  doubt: {sentence(doubt)}")
    for tell in (
        words.reliability_words,
        words.answer_words,
        words.standing_words,
        words.familiarity_words,
        words.calibration_words,
    ):
        typer.echo(f"  {tell(told)}")
    if told.explanation is not None:
        typer.echo(f"  {words.reasons_words(told.explanation, told.finding)}")
    for text in (words.learned_words(told), words.instrument_words(told), DISCLAIMER):
        typer.echo(text)


def _lesions_told(scan: Findings) -> str:
    """'lesions by lesions-hu: ground glass 4.1 %, consolidation 1.0 %'; '' where nobody drew any."""
    both = scan.region("both lungs")
    if both.lesions is None or scan.origin is None:
        return ""
    who = scan.origin.network or "the mask given"
    kinds = ", ".join(f"{kind} {amount.percent:.1f} %" for kind, amount in both.lesions.items())
    quality = scan.lesion_quality
    doubt = "" if quality is None or quality.trusted else "  (do not trust them without looking)"
    return f"lesions by {who}: {kinds}{doubt}"


def print_segmented(done: Segmented) -> None:
    """The lesions of one scan, or how many of several were done, and what could not be read."""
    from glasslung.types import DISCLAIMER

    for name, why in done.failed.items():
        typer.echo(f"left out: {name}: {' '.join(why.split())}", err=True)
    doubted = sum(not (r["lesions"] or r["lungs"])["trusted"] for r in done.records)
    if len(done.records) == 1 and not done.failed:
        both, quality = done.records[0]["regions"][0], done.records[0]["lesions"]
        found = [f"{kind} {amount['percent']:.1f} %" for kind, amount in both["lesions"].items()]
        size = "volume unknown (no spacing)" if both["lung_ml"] is None else f"lungs {both['lung_ml']:.0f} ml"
        typer.echo(f"{size}; {', '.join(found) or 'no network was asked about lesions'}")
        for reason in (quality or done.records[0]["lungs"])["reasons"]:
            typer.echo(f"  doubt: {reason}")
    else:
        typer.echo(f"{len(done.records)} segmented, {doubted} of them not to be trusted without looking")
    typer.echo(f"masks: {done.out.resolve()}")
    typer.echo(DISCLAIMER)


def print_forecast(told: Forecast) -> None:
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


def show_page(page: Path, in_browser: bool) -> None:
    """Say where a page lies, and open it if that was asked for."""
    typer.echo(f"report: {page.resolve()}")
    if in_browser:
        import webbrowser

        if not webbrowser.open(page.resolve().as_uri()):
            typer.echo("no browser was found: open the file above by hand", err=True)
