"""Arguments and options that several verbs share, and what is read from their texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glasslung.errors import UsageError

if TYPE_CHECKING:
    from glasslung.types import Intensity

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
SegmenterName = Annotated[
    str,
    typer.Option(
        "--segmenter",
        help="Who finds the lesions: a run's folder, a shipped name, or none; else what ships for the scan's "
        "grey values.",
    ),
]
ClassifierName = Annotated[
    str,
    typer.Option(
        "--classifier",
        help="Who says which disease it is: a run's folder, a shipped name, or none; else what ships for the "
        "scan's grey values.",
    ),
]
LesionLabels = Annotated[
    str,
    typer.Option(
        "--lesion-labels",
        help='What the numbers of given lesions mean, e.g. "1=ground glass,2=consolidation".',
    ),
]
CohortPath = Annotated[Path, typer.Argument(help="cohort.csv, or the folder it lies in.", show_default=False)]


def whole_seed(number: int | None) -> int | None:
    """A seed from the command line, where one was given: generators take none below 0."""
    if number is not None and number < 0:
        raise UsageError(f"seed {number}: choose a whole number, 0 or more")
    return number


Seed = Annotated[int, typer.Option(help="The same seed gives the same result.", callback=whole_seed)]
SeenDay = Annotated[
    float | None,
    typer.Option(
        "--seen", help="Day of illness of the (last) scan, 0 to 14; else it is estimated.", show_default=False
    ),
]


def numbers(text: str, option: str) -> tuple[float, ...]:
    """'0,4,9' -> (0.0, 4.0, 9.0); an empty text gives none. `option` is whose text it is."""
    try:
        return tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError as problem:
        raise UsageError(f"{option} {text!r}: give numbers with commas between them, like 0,4,9") from problem


def whole_numbers(text: str, option: str) -> tuple[int, ...]:
    """'4,4,2' -> (4, 4, 2); an empty text gives none. `option` is whose text it is."""
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError as problem:
        raise UsageError(
            f"{option} {text!r}: give whole numbers with commas between them, like 5,10"
        ) from problem


def intensity_named(name: str) -> Intensity | None:
    """What the grey values mean; None for an empty name, which leaves it to the file."""
    from glasslung.types import Intensity

    if name and name not in list(Intensity):
        raise UsageError(f"--intensity {name!r} is not known; it is one of {', '.join(Intensity)}")
    return Intensity(name) if name else None
