"""Verbs about the scans of one patient: their story, what is likely next, whether they are fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glasslung.cli.options import (
    ClassifierName,
    IntensityName,
    LesionLabels,
    ScanPaths,
    Seed,
    SeenDay,
    SegmenterName,
    SeriesName,
    intensity_named,
    numbers,
)
from glasslung.cli.telling import (
    print_diagnosis,
    print_forecast,
    print_remarks,
    print_segmented,
    print_story,
    progress_bar,
    show_page,
    tell_problem,
)
from glasslung.errors import DataError, UsageError

if TYPE_CHECKING:
    from glasslung.analyze import ForecastSettings


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
    segmenter: SegmenterName = "",
    lungs: Annotated[
        list[Path] | None,
        typer.Option(
            help="Lungs made elsewhere, one file per scan in the order of the scans: used in place of ours.",
            show_default=False,
        ),
    ] = None,
    lesions: Annotated[
        list[Path] | None,
        typer.Option(help="Lesions made elsewhere, likewise.", show_default=False),
    ] = None,
    lesion_labels: LesionLabels = "",
    classifier: ClassifierName = "",
    prognosis: Annotated[
        str,
        typer.Option(help="Who foresees what becomes of the patient: a folder, a shipped name, or 'none'."),
    ] = "",
    age: Annotated[
        float | None,
        typer.Option(
            help="Age in years, for the prognosis alone; else the DICOM header's.", show_default=False
        ),
    ] = None,
    sex: Annotated[
        str, typer.Option(help="'m' or 'f', likewise; else the DICOM header's.", show_default=False)
    ] = "",
    keep_scan: Annotated[
        bool,
        typer.Option(
            "--keep-scan/--no-keep-scan",
            help="Keep a copy of each scan in the results, as `glasslung view` shows it.",
        ),
    ] = True,
    dicom: Annotated[
        bool,
        typer.Option(
            "--dicom",
            help="Also write the results as DICOM, into OUT/dicom. These files alone name the patient, as "
            "the scans do.",
        ),
    ] = False,
    show: Annotated[bool, typer.Option("--open", help="Open the report in the browser.")] = False,
) -> None:
    """Tell the story of one patient's scans: lungs, opacities, course, and how far to trust each answer."""
    from glasslung.analyze import MaskMaking, PrognosisSettings, Settings
    from glasslung.analyze import analyze as tell_story
    from glasslung.data.givenmasks import lesion_labels as labels_named

    masks = MaskMaking(segmenter, tuple(lungs or ()), tuple(lesions or ()), labels_named(lesion_labels))
    settings = Settings(
        numbers(days, "--days"),
        series or None,
        intensity_named(intensity),
        masks=masks,
        classifier=classifier,
        prognosis=PrognosisSettings(prognosis, age, _male(sex)),
        keep_scan=keep_scan,
    )
    if run:
        settings = replace(settings, forecast=_forecast_of(run, forecast_days, seen))
    elif seen is not None:
        raise UsageError("--seen is the last scan's day of illness for a forecast; name its run: --forecast")
    with progress_bar() as progress:
        story = tell_story(scans, out, settings, progress, then=_written(scans, dicom))
    print_story(story)
    show_page(out / "report.html", show)


def segment(
    source: Annotated[
        Path,
        typer.Argument(
            help="A scan in any format, a cohort of scans or slices, or a folder of slices (img/).",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for masks and maps.")] = Path(
        "glasslung-masks"
    ),
    segmenter: SegmenterName = "",
    slices: Annotated[
        bool,
        typer.Option("--slices", help="The pictures of a folder are slices of their own, not one scan."),
    ] = False,
    series: SeriesName = "",
    intensity: IntensityName = "",
) -> None:
    """Draw lungs and lesions of a scan, or of many slices: masks, a map of infection, amounts, pictures."""
    from glasslung.analyze.segmenting import SegmentSettings
    from glasslung.analyze.segmenting import segment as draw_masks

    settings = SegmentSettings(segmenter, series or None, intensity_named(intensity), slices)
    with progress_bar() as progress:
        done = draw_masks(source, out, settings, progress)
    print_segmented(done)
    if done.failed:
        raise typer.Exit(1)


def diagnose(
    scan: Annotated[Path, typer.Argument(help="A scan in any format.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for the answer, its map and a picture.", show_default=False),
    ] = None,
    classifier: ClassifierName = "",
    explain: Annotated[bool, typer.Option(help="Say where it found its reasons.")] = True,
    segmenter: SegmenterName = "",
    lungs: Annotated[
        Path | None, typer.Option(help="Lungs made elsewhere, in place of ours.", show_default=False)
    ] = None,
    lesions: Annotated[
        Path | None, typer.Option(help="Lesions made elsewhere, likewise.", show_default=False)
    ] = None,
    lesion_labels: LesionLabels = "",
    series: SeriesName = "",
    intensity: IntensityName = "",
) -> None:
    """Say how likely COVID-19 is by a trained classifier, how far to believe it, and where it looked."""
    from glasslung.analyze.asking import AskSettings, ask
    from glasslung.analyze.masks import GivenPaths
    from glasslung.data.givenmasks import lesion_labels as labels_named

    settings = AskSettings(
        classifier,
        segmenter,
        GivenPaths(lungs, lesions),
        labels_named(lesion_labels),
        explain,
        series or None,
        intensity_named(intensity),
    )
    with progress_bar() as progress:
        told = ask(scan, out, settings, progress)
    print_diagnosis(told)
    if out is not None:
        typer.echo(f"diagnosis: {out.resolve()}")


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

    settings = OutlookSettings(numbers(days, "--days"), seen, healthy, draws, seed)
    check_place(out)
    with progress_bar() as progress:
        progress("opening the run", 0.0)
        asked = open_run(run)
        progress("finding the slice", 0.1)
        sight = look(scan, asked.size, middle, series or None, intensity_named(intensity))
        progress("drawing the days to come", 0.5)
        told = foretell(asked, sight, settings)
        write_outlook(told, out)
    print_forecast(told.record)
    typer.echo(f"forecast: {out / 'forecast.png'}")


def inspect(scans: ScanPaths, series: SeriesName = "", intensity: IntensityName = "") -> None:
    """Say whether scans are fit to be measured, and what is wrong with those that are not."""
    from glasslung.data.formats import read_scan
    from glasslung.data.gate import inspect as pass_gate
    from glasslung.types import Severity

    unfit = False
    for path in scans:
        try:
            volume = read_scan(path, series=series or None, intensity=intensity_named(intensity))
        except DataError as problem:
            tell_problem(problem)
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
        print_remarks(remarks)
        unfit |= any(remark.severity is Severity.REFUSE for remark in remarks)
    if unfit:
        raise typer.Exit(2)


def report(
    folder: Annotated[
        Path, typer.Argument(help="Folder that `glasslung analyze` wrote.", show_default=False)
    ],
    pdf: Annotated[bool, typer.Option("--pdf", help="Also as a PDF of a few pages: report.pdf.")] = False,
    show: Annotated[bool, typer.Option("--open", help="Open the report in the browser.")] = False,
) -> None:
    """Draw the report of an analysis again, from its folder alone."""
    from glasslung.report.page import write_report

    page = write_report(folder)
    if pdf:
        from glasslung.report.pdf import write_pdf

        typer.echo(f"pdf: {write_pdf(folder, folder / 'report.pdf').resolve()}")
    show_page(page, show)


def _written(scans: list[Path], dicom: bool) -> Callable[[Path], object]:
    """What is made of a story when it is whole: its report, and results as DICOM where they are asked for."""
    from glasslung.report.page import write_report

    def write(out: Path) -> None:
        write_report(out)
        if dicom:
            from glasslung.report.dicom import add_dicom

            for line in add_dicom(out, scans):
                typer.echo(f"no DICOM results: {line}", err=True)

    return write


def _male(sex: str) -> bool | None:
    """Whether 'm' or 'f' was typed, or a word that begins so; None for nothing."""
    if sex and sex.lower() not in ("m", "f", "male", "female"):
        raise UsageError(f"--sex {sex!r}: give m or f, or leave it out")
    return sex.lower().startswith("m") if sex else None


def _forecast_of(run: str, days: str, seen: float | None) -> ForecastSettings:
    from glasslung.analyze import ForecastSettings
    from glasslung.forecast.outlook import OutlookSettings

    return ForecastSettings(run, OutlookSettings(numbers(days, "--forecast-days"), seen))
