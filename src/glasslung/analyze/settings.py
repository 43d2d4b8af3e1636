"""What a user may choose about an analysis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from glasslung.analyze.masks import MaskMaking
from glasslung.errors import UsageError
from glasslung.types import Intensity

if TYPE_CHECKING:
    from glasslung.forecast.outlook import OutlookSettings

OLDEST_YEARS = 125.0
FARTHEST_DAY = 100_000.0


@dataclass(frozen=True)
class ForecastSettings:
    """Which run is asked for what comes after the last scan: its folder or a shipped name, and what of it."""

    run: str
    asked: OutlookSettings


@dataclass(frozen=True)
class PrognosisSettings:
    """Who is asked what becomes of the patient, and what is known of the patient.

    model      a run's folder, a shipped name, 'none', or '' for what ships for the last scan's grey values
    age, male  years at the last scan, and sex; None takes them from the DICOM header where it has them
    """

    model: str = ""
    age: float | None = None
    male: bool | None = None


@dataclass(frozen=True)
class Settings:
    """What a user may choose about an analysis.

    days       days of the scans, in the order the scans are given; () takes them from the DICOM dates
    series     which series of a DICOM folder: its number or key; None picks, and says why
    intensity  what the grey values mean, for files that do not say; None reads it from the file or refuses
    forecast   what is likely next for the last scan; None asks nobody
    masks      who draws lungs and lesions
    classifier a run's folder, a shipped name, 'none', or '' for what ships for a scan's grey values
    prognosis  what becomes of the patient
    keep_scan  keep a copy of every scan in the story, for the viewer
    """

    days: tuple[float, ...] = ()
    series: str | None = None
    intensity: Intensity | None = None
    forecast: ForecastSettings | None = None
    masks: MaskMaking = field(default_factory=MaskMaking)
    classifier: str = ""
    prognosis: PrognosisSettings = field(default_factory=PrognosisSettings)
    keep_scan: bool = False  # an archive would double; who looks at one patient says so


def check_request(scans: Sequence[Path], settings: Settings) -> None:
    """UsageError for a request that cannot be met, before any file is opened."""
    if not scans:
        raise UsageError("no scan was given: `glasslung analyze SCAN [SCAN ...] --out DIR`")
    for path in scans:
        if not path.exists():
            raise UsageError(
                f"{path} does not exist: give a DICOM folder, a NIfTI, NRRD or MHA file, pictures or a zip"
            )
    if len({path.resolve() for path in scans}) < len(scans):
        raise UsageError("one scan was given twice: give each scan once")
    settings.masks.check(len(scans))
    if settings.days and len(settings.days) != len(scans):
        raise UsageError(f"{len(settings.days)} day(s) for {len(scans)} scan(s): give one day per scan")
    if any(not abs(day) < FARTHEST_DAY for day in settings.days):
        raise UsageError(
            f"--days {','.join(map(str, settings.days))}: days are numbers, counted from any day you like"
        )
    age = settings.prognosis.age
    if age is not None and not 0 <= age <= OLDEST_YEARS:
        raise UsageError(f"--age {age:g}: give the age in years, 0 to {OLDEST_YEARS:g}")
